package compare

import (
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

// Planner is an Output that wants to know what it will have to store before the work begins. An error ends the check.
type Planner interface {
	Plan(p workspace.Plan) error
}

// planOutput tells an output what it will have to store.
func planOutput(b *session.Session, out session.Output) error {
	planner, ok := out.(Planner)
	if !ok {
		return nil
	}
	p := workspace.Plan{Layers: b.Run.Layers, Channels: channels(b.Float.Model), Samples: b.Samples, Variants: len(b.Variants)}
	for _, v := range b.Specs() {
		p.Models = append(p.Models, modelBytes(b.Float.Model, v))
	}
	return planner.Plan(p)
}

// modelBytes is about what a variant's model takes as a file, 0 if none is handed over.
func modelBytes(m *onnx.Model, v variant.Spec) int64 {
	const graph = 64 << 10
	switch {
	case v.Kind == variant.Recipe:
		return graph + model.WeightBytes(m, nil, v.WeightBits)
	case v.Kind == variant.Half && !session.Emulated(v):
		return graph + model.WeightBytes(m, nil, 16)
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
