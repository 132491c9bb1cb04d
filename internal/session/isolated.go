package session

import (
	"fmt"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
)

// Isolated measures, for one variant, the error that each layer makes alone, and that of the whole model with only its
// weights or only its activations quantized.
type Isolated struct {
	islands  runner.Runner       // nil if there are none
	CPU      *ort.Runner         // the same, if they run on the CPU
	Emulated *htp.Runner         // the same, if they run on the emulator
	Of       map[string][]Island // layer → its tensors in the islands' graph
	Skipped  map[string]string

	WeightsOnly, ActsOnly runner.Runner // nil if they cannot be built
	Outputs               map[string]int
}

// notAlone is the local part of a variant that is a DLC's, run here or elsewhere.
func notAlone(layers []result.Layer, here bool) *Isolated {
	why := "run elsewhere: its layers are not computed alone"
	if here {
		why = "a DLC is run as it is: its layers are not computed alone"
	}
	l := &Isolated{Of: map[string][]Island{}, Skipped: map[string]string{}, Outputs: map[string]int{}}
	for _, layer := range layers {
		l.Skipped[layer.Name] = why
	}
	return l
}

// Island is one tensor of a layer that was computed alone.
type Island struct {
	Tap  string
	Part int
}

// The parts of a local error, and those of the whole model.
const (
	PartFull = iota
	PartWeights
	PartActs
	Parts
)

// addLocal builds what measures the local errors of variant i; groups are the float model's segments, mapped the same with
// the variant's tensors.
func (b *Session) addLocal(i int, surgeon *qdq.Surgeon, groups, mapped [][]string) error {
	v := &b.Run.Variants[i]
	islands := surgeon.Islands(true)
	l := &Isolated{Of: map[string][]Island{}, Skipped: islands.Skipped, Outputs: map[string]int{}}
	b.Locals = append(b.Locals, l)
	var taps []string
	for _, one := range islands.Layers {
		for part, tap := range []string{one.Full, one.Weights, one.Acts} {
			if tap != "" {
				l.Of[one.Layer] = append(l.Of[one.Layer], Island{tap, part})
				taps = append(taps, tap)
			}
		}
	}
	follow := make([][]string, len(groups))
	for k, group := range groups {
		for _, layer := range group {
			for _, one := range l.Of[layer] {
				follow[k] = append(follow[k], one.Tap)
			}
		}
	}
	var err error
	if len(taps) > 0 {
		if l.CPU, err = ort.New(b.ORT, islands.Model, ort.Options{Taps: taps, Follow: follow, Arena: b.Arena}); err != nil {
			return fmt.Errorf("layers alone: %w", err)
		}
		l.islands = l.CPU
	}
	var outputs []string
	for k, layer := range v.Layers {
		if b.Float.Layers[k].Output && layer.Status == result.Compared {
			l.Outputs[layer.Tap] = k
			outputs = append(outputs, layer.Tap)
		}
	}
	for _, weightsOnly := range []bool{true, false} {
		m, instead, err := surgeon.Strip(weightsOnly)
		if err == nil && len(outputs) > 0 {
			follow := make([][]string, len(mapped))
			for k, group := range mapped {
				for _, name := range group {
					if to, gone := instead[name]; gone {
						name = to
					}
					follow[k] = append(follow[k], name)
				}
			}
			r, err := b.wholeRunner(m, outputs, follow)
			if err != nil {
				return err
			}
			if weightsOnly {
				l.WeightsOnly = r
			} else {
				l.ActsOnly = r
			}
		}
	}
	return nil
}

// wholeRunner runs a stripped variant for its outputs.
func (b *Session) wholeRunner(m *onnx.Model, outputs []string, follow [][]string) (runner.Runner, error) {
	x := onnx.NewIndex(m)
	taps := slices.DeleteFunc(slices.Clone(outputs), func(name string) bool { _, ok := x.Producer[name]; return !ok })
	r, err := ort.New(b.ORT, m, ort.Options{Taps: taps, Follow: follow, Arena: b.Arena})
	if err != nil {
		return nil, fmt.Errorf("whole model, partly quantized: %w", err)
	}
	return r, nil
}

func (l *Isolated) close() {
	if l == nil {
		return
	}
	if l.islands != nil {
		l.islands.Close()
	}
	for _, r := range []runner.Runner{l.WeightsOnly, l.ActsOnly} {
		if r != nil {
			r.Close()
		}
	}
}
