// Package cpuvariant runs variants that are ONNX models in ONNX Runtime on the CPU, where their quantizers simulate a device.
package cpuvariant

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/session/qdqvariant"
)

// Opener simulates a variant in ONNX Runtime.
type Opener struct{}

// Open implements session.Opener.
func (Opener) Open(_ context.Context, b *session.Session, v *session.Variant, groups [][]string, entrances bool) (runner.Runner, error) {
	taps := slices.Concat(groups...)
	if entrances {
		v.Entrances = map[string]string{}
		apart := qdqvariant.Isolator(b, v)
		for _, in := range b.Run.Model.Inputs {
			if u := apart.Entrance(in.Name, b.Float.Index); u != "" {
				v.Entrances[u] = in.Name
			}
		}
		taps = slices.AppendSeq(taps, maps.Keys(v.Entrances))
	}
	return ort.New(b.ORT, v.Model, ort.Options{Taps: taps, Follow: groups, Arena: b.Arena})
}

// Isolate implements session.Isolating: each layer whole, with its weights quantized alone, and with its activations; and the whole model with
// either.
func (Opener) Isolate(_ context.Context, b *session.Session, v *session.Variant, segments, groups [][]string) (*session.Isolated, error) {
	apart := qdqvariant.Isolator(b, v)
	islands := apart.Isolate(true)
	l := &session.Isolated{Of: map[string][]session.IsolatedTensor{}, Skipped: islands.Skipped, Outputs: map[string]int{}}
	var taps []string
	for _, one := range islands.Layers {
		for part, tap := range []string{one.Full, one.Weights, one.Acts} {
			if tap != "" {
				l.Of[one.Layer] = append(l.Of[one.Layer], session.IsolatedTensor{Tap: tap, Part: part})
				taps = append(taps, tap)
			}
		}
	}
	if len(taps) > 0 {
		r, err := ort.New(b.ORT, islands.Model, ort.Options{Taps: taps, Follow: l.Follow(segments), Arena: b.Arena})
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
			l.Close()
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
func wholeRunner(b *session.Session, m *onnx.Model, outputs []string, follow [][]string) (runner.Runner, error) {
	x := onnx.NewIndex(m)
	taps := slices.DeleteFunc(slices.Clone(outputs), func(name string) bool { _, ok := x.Producer[name]; return !ok })
	r, err := ort.New(b.ORT, m, ort.Options{Taps: taps, Follow: follow, Arena: b.Arena})
	if err != nil {
		return nil, fmt.Errorf("whole model, partly quantized: %w", err)
	}
	return r, nil
}
