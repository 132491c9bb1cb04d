package session

import (
	"context"
	"fmt"

	"quantcheck/internal/calib"
	"quantcheck/internal/runner"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Builder makes the model of a variant, or finds it, and matches its tensors with the layers of the float model. There is one for each
// kind of variant.
type Builder interface {
	// Read reads what the variant names, before long work begins.
	Read(ctx context.Context, b *Session, v *Variant) error
	// Build fills v.Result. stats is nil if no variant needs a calibration.
	Build(b *Session, v *Variant, stats *calib.Statistics) error
}

// Opener opens what gives the tensors of a variant that was built. There is one for each engine.
type Opener interface {
	// Open gives a runner of as many segments as there are groups, with the tensors of each group, by the names of Variant.Tap. With
	// entrances it fills v.Entrances, and the runner gives these tensors too.
	Open(ctx context.Context, b *Session, v *Variant, groups [][]string, entrances bool) (runner.Runner, error)
}

// Isolating is an Opener that computes the layers of a variant alone, or says why not.
type Isolating interface {
	Opener
	// Isolate opens what computes the layers alone; those that it leaves out are in Skipped, with the reason. segments are the float model's, groups those of the variant.
	Isolate(ctx context.Context, b *Session, v *Variant, segments, groups [][]string) (*Isolated, error)
}

// kindOn names what is registered: a kind of variant on an engine.
type kindOn struct {
	kind   variant.Kind
	engine variant.Engine
}

// maker is how such variants are made.
type maker struct {
	builder Builder
	opener  Opener
}

// makers are what the program knows to run.
var makers = map[kindOn]maker{}

// Register says how variants of a kind are made for an engine. Its name is then one that may stand behind @ in a variant. It is called
// while the program starts.
func Register(k variant.Kind, e variant.Engine, b Builder, o Opener) {
	variant.AddEngine(e)
	makers[kindOn{k, e}] = maker{b, o}
}

// find says how the variant is made, and keeps it.
func (v *Variant) find() error {
	m, ok := makers[kindOn{v.Spec.Kind, v.Spec.Engine}]
	if !ok {
		return usage.Mark(fmt.Errorf("variant %s: the engine %s does not run variants of the kind %s", v.Spec.Name, v.Spec.Engine, v.Spec.Kind))
	}
	v.maker = m
	return nil
}
