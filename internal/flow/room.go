package flow

import (
	"quantcheck/internal/onnx"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

// Planner is an Output that wants to know what it will have to store before the work begins. An error ends the check.
type Planner interface {
	Plan(p workspace.Plan) error
}

// plan tells an output what it will have to store.
func (b *build) plan(out Output) error {
	planner, ok := out.(Planner)
	if !ok {
		return nil
	}
	p := workspace.Plan{Layers: b.run.Layers, Channels: channels(b.ref.model), Samples: b.samples, Variants: len(b.variants)}
	for _, v := range b.variants {
		p.Models = append(p.Models, modelBytes(b.ref.model, v))
	}
	return planner.Plan(p)
}

// modelBytes is about what a variant's model takes as a file, 0 if none is handed over.
func modelBytes(m *onnx.Model, v variant.Spec) int64 {
	const graph = 64 << 10
	switch {
	case v.Kind == variant.Recipe:
		return graph + weightBytes(m, nil, v.WeightBits)
	case v.Kind == variant.Half && !emulated(v):
		return graph + weightBytes(m, nil, 16)
	}
	return 0
}

// channels is how many encodings the weights have, with one per channel.
func channels(m *onnx.Model) int {
	n := 0
	for _, t := range m.Graph().GetInitializer() {
		if d := t.GetDims(); len(d) > 1 {
			n += int(min(max(d[0], d[len(d)-1], 1), 1<<20))
		}
	}
	return n
}
