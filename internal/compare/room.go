package compare

import (
	"quantcheck/internal/model"
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
	p := workspace.Plan{Layers: b.Run.Layers, Channels: b.Float.Channels(), Samples: b.Samples, Variants: len(b.Variants)}
	for _, v := range b.Specs() {
		p.Models = append(p.Models, modelBytes(b.Float, v))
	}
	return planner.Plan(p)
}

// modelBytes is about what a variant's model takes as a file, 0 if none is handed over.
func modelBytes(f *model.Float, v variant.Spec) int64 {
	const graph = 64 << 10
	switch {
	case v.Kind == variant.Recipe:
		return graph + model.WeightBytes(f.Model, nil, v.WeightBits)
	case v.Kind == variant.Encodings:
		return graph + model.WeightBytes(f.Model, nil, 8)
	case v.Kind == variant.Half && !session.Emulated(v):
		return graph + model.WeightBytes(f.Model, nil, 16)
	}
	return 0
}
