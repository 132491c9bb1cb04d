package session

import (
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
)

// Isolated measures, for one variant, the error that each layer makes alone, and that of the whole model with only its
// weights or only its activations quantized.
type Isolated struct {
	// Layers computes the layers alone from the float model's tensors: it is a runner.Stepped or a runner.Fed. nil: there are none.
	Layers  runner.Runner
	Of      map[string][]IsolatedTensor // layer → its tensors in the islands' graph
	Skipped map[string]string

	WeightsOnly, ActsOnly runner.Runner // nil if they cannot be built
	Outputs               map[string]int
}

// NotAlone is the local part of a variant whose engine does not compute layers alone.
func NotAlone(layers []result.Layer, why string) *Isolated {
	l := &Isolated{Of: map[string][]IsolatedTensor{}, Skipped: map[string]string{}, Outputs: map[string]int{}}
	for _, layer := range layers {
		l.Skipped[layer.Name] = why
	}
	return l
}

// IsolatedTensor is one tensor of a layer that was computed alone.
type IsolatedTensor struct {
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

// Follow divides the tensors of the islands as the float model's segments are.
func (l *Isolated) Follow(segments [][]string) [][]string {
	groups := make([][]string, len(segments))
	for k, group := range segments {
		for _, layer := range group {
			for _, one := range l.Of[layer] {
				groups[k] = append(groups[k], one.Tap)
			}
		}
	}
	return groups
}

// Close frees the runners; a nil Isolated has none.
func (l *Isolated) Close() {
	if l == nil {
		return
	}
	for _, r := range []runner.Runner{l.Layers, l.WeightsOnly, l.ActsOnly} {
		if r != nil {
			r.Close()
		}
	}
}
