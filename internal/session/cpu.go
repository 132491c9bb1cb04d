package session

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
)

// cpu simulates a variant in ONNX Runtime.
type cpu struct{}

// Open implements Opener.
func (cpu) Open(_ context.Context, b *Session, v *Variant, groups [][]string, entrances bool) (runner.Runner, error) {
	taps := slices.Concat(groups...)
	if entrances {
		v.Entrances = map[string]string{}
		apart := b.Isolator(v)
		for _, in := range b.Run.Model.Inputs {
			if u := apart.Entrance(in.Name, b.Float.Index); u != "" {
				v.Entrances[u] = in.Name
			}
		}
		taps = slices.AppendSeq(taps, maps.Keys(v.Entrances))
	}
	return ort.New(b.ORT, v.Model, ort.Options{Taps: taps, Follow: groups, Arena: b.Arena})
}

// Isolate implements Isolating: each layer whole, with its weights quantized alone, and with its activations; and the whole model with
// either.
func (cpu) Isolate(_ context.Context, b *Session, v *Variant, segments, groups [][]string) (*Isolated, error) {
	apart := b.Isolator(v)
	islands := apart.Isolate(true)
	l := &Isolated{Of: map[string][]IsolatedTensor{}, Skipped: islands.Skipped, Outputs: map[string]int{}}
	var taps []string
	for _, one := range islands.Layers {
		for part, tap := range []string{one.Full, one.Weights, one.Acts} {
			if tap != "" {
				l.Of[one.Layer] = append(l.Of[one.Layer], IsolatedTensor{tap, part})
				taps = append(taps, tap)
			}
		}
	}
	if len(taps) > 0 {
		r, err := ort.New(b.ORT, islands.Model, ort.Options{Taps: taps, Follow: l.follow(segments), Arena: b.Arena})
		if err != nil {
			return nil, fmt.Errorf("layers alone: %w", err)
		}
		l.Layers = r
	}
	var outputs []string
	for k, layer := range v.Result.Layers {
		if b.Float.Layers[k].Output && layer.Status == result.Compared {
			l.Outputs[layer.Tap] = k
			outputs = append(outputs, layer.Tap)
		}
	}
	for _, weightsOnly := range []bool{true, false} {
		m, instead, err := apart.Strip(weightsOnly)
		if err != nil || len(outputs) == 0 {
			continue
		}
		follow := make([][]string, len(groups))
		for k, group := range groups {
			for _, name := range group {
				if to, gone := instead[name]; gone {
					name = to
				}
				follow[k] = append(follow[k], name)
			}
		}
		r, err := wholeRunner(b, m, outputs, follow)
		if err != nil {
			l.close()
			return nil, err
		}
		if weightsOnly {
			l.WeightsOnly = r
		} else {
			l.ActsOnly = r
		}
	}
	return l, nil
}

// wholeRunner runs a stripped variant for its outputs.
func wholeRunner(b *Session, m *onnx.Model, outputs []string, follow [][]string) (runner.Runner, error) {
	x := onnx.NewIndex(m)
	taps := slices.DeleteFunc(slices.Clone(outputs), func(name string) bool { _, ok := x.Producer[name]; return !ok })
	r, err := ort.New(b.ORT, m, ort.Options{Taps: taps, Follow: follow, Arena: b.Arena})
	if err != nil {
		return nil, fmt.Errorf("whole model, partly quantized: %w", err)
	}
	return r, nil
}
