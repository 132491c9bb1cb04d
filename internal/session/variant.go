package session

import (
	"context"
	"fmt"
	"io"

	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/variant"
)

// Variant is one variant of a session: what it is made from, what is said of it, and what gives its tensors. Read, Build, Open and Isolate
// fill it, in this order; Session.Close closes it.
type Variant struct {
	Spec   variant.Spec
	maker  maker           // found by Read
	Result *result.Variant // in the session's run; nil before the variant is built. What is measured is put into it while samples run

	Model   *onnx.Model // nil: a DLC's
	Written bool        // the model was made here, so that it can be handed over
	Half    bool        // a ready model in half precision, without quantizers
	Hidden  bool        // a ready model of integer operators, whose encodings do not stand behind tensors: nothing counts them
	Healed  *onnx.Model // the float model with the weights that were healed, which lie on the variant's grid; nil: none were
	// Source is what the Builder of its kind leaves for the Opener; an io.Closer is closed with the variant.
	Source any

	Runner    runner.Runner     // gives the tensors of Tap
	Entrances map[string]string // tensor of Runner that the first operator gets → graph input
	Alone     *Isolated         // nil: local errors are not asked for
}

// Of makes variants of what was asked for.
func Of(specs []variant.Spec) []*Variant {
	list := make([]*Variant, len(specs))
	for i, s := range specs {
		list[i] = &Variant{Spec: s}
	}
	return list
}

// Specs lists what the variants are made from.
func (b *Session) Specs() []variant.Spec {
	list := make([]variant.Spec, len(b.Variants))
	for i, v := range b.Variants {
		list[i] = v.Spec
	}
	return list
}

// Read finds how the variant is made, and reads what it names.
func (v *Variant) Read(ctx context.Context, b *Session) error {
	if err := v.find(); err != nil {
		return err
	}
	return v.maker.builder.Read(ctx, b, v)
}

// Build makes the variant's model and matches its tensors with the layers. stats is nil if no variant needs a calibration.
func (v *Variant) Build(b *Session, stats *calib.Statistics) error {
	if err := v.maker.builder.Build(b, v, stats); err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	return nil
}

// Open opens what gives the variant's tensors, by the names of Tap: a group for each segment.
func (v *Variant) Open(ctx context.Context, b *Session, groups [][]string, entrances bool) error {
	r, err := v.maker.opener.Open(ctx, b, v, groups, entrances)
	if err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	v.Runner = r
	return nil
}

// Isolate opens what computes the variant's layers alone.
func (v *Variant) Isolate(ctx context.Context, b *Session, segments, groups [][]string) (err error) {
	opener, ok := v.maker.opener.(Isolating)
	if !ok {
		v.Alone = NotAlone(b.Float.Layers, "its engine does not compute layers alone")
		return nil
	}
	if v.Alone, err = opener.Isolate(ctx, b, v, segments, groups); err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	return nil
}

func (v *Variant) close() {
	if v.Runner != nil {
		v.Runner.Close()
	}
	if c, ok := v.Source.(io.Closer); ok {
		_ = c.Close() // it was only read
	}
	v.Alone.Close()
}

// Tap is the name under which the variant's runner gives a layer: the variant's own tensor, or, since two layers can be one tensor of a
// DLC in different orders, the layer's.
func (v *Variant) Tap(layer result.Layer, of *result.LayerResult) string {
	if v.Spec.OfDLC() {
		return layer.Name
	}
	return of.Tap
}
