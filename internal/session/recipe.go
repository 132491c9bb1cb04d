package session

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/align"
	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// FromRecipe quantizes the float model with the encodings of a calibration.
type FromRecipe struct{}

// Read implements Builder.
func (FromRecipe) Read(context.Context, *Session, *Variant) error { return nil }

// Build implements Builder.
func (FromRecipe) Build(b *Session, v *Variant, stats *calib.Statistics) error {
	made, err := qdq.Build(b.Float.Base, b.Float.Placement, v.Spec, stats.Activation)
	if err == nil {
		b.takeBuilt(v, made)
	}
	return err
}

// fromHalf rounds the float model to half precision.
type fromHalf struct{}

func (fromHalf) Read(context.Context, *Session, *Variant) error { return nil }

func (fromHalf) Build(b *Session, v *Variant, _ *calib.Statistics) error {
	made, err := qdq.BuildHalf(b.Float.Base, b.Float.Placement)
	if err == nil {
		b.takeBuilt(v, made)
	}
	return err
}

// takeBuilt makes a variant of a model that was made here.
func (b *Session) takeBuilt(v *Variant, made *qdq.Built) {
	v.Result.Spec.Choices, v.written = made.Choices, true
	for _, in := range b.Run.Model.Inputs {
		if e, ok := made.Encodings[in.Name]; ok {
			v.Result.Inputs[in.Name] = e
		}
	}
	for _, w := range made.Warnings {
		b.Run.Warnings = append(b.Run.Warnings, v.Spec.Name+": "+w)
	}
	b.take(v, built{made.Model, made.Floats, made.Params, func(layer string) align.Match {
		return align.Built(layer, b.Float.Placement, made, b.Float.Folded)
	}})
}

// asFloat takes the float model as it is: the emulator computes it in half precision.
type asFloat struct{}

func (asFloat) Read(context.Context, *Session, *Variant) error { return nil }

func (asFloat) Build(b *Session, v *Variant, _ *calib.Statistics) error {
	b.take(v, built{model: b.Float.Model, match: func(layer string) align.Match { return align.Match{Status: result.Compared, Tap: layer} }})
	return nil
}

// fromFile takes a ready QDQ model.
type fromFile struct{}

func (fromFile) Read(ctx context.Context, b *Session, v *Variant) error {
	m, err := onnx.Load(v.Spec.File)
	if err != nil {
		return usage.Mark(fmt.Errorf("variant %s: %w", v.Spec.Name, err))
	}
	shapes := map[string][]int64{}
	for _, in := range b.Run.Model.Inputs {
		shapes[in.Name] = in.Shape
	}
	if m, _, err = onnx.FixInputs(m, shapes); err == nil {
		for _, in := range m.Inputs() {
			if _, known := shapes[in.GetName()]; !known {
				err = fmt.Errorf("it has an input %q, which the float model does not have", in.GetName())
			}
		}
	}
	if err != nil {
		return usage.Mark(fmt.Errorf("variant %s does not fit the float model: %w", v.Spec.Name, err))
	}
	if v.Model, _, _, err = ort.Fold(ctx, b.ORT, m); err != nil {
		return fmt.Errorf("variant %s: %w", v.Spec.Name, err)
	}
	return nil
}

func (fromFile) Build(b *Session, v *Variant, _ *calib.Statistics) error {
	found, err := qdq.Read(v.Model)
	if err != nil {
		return err
	}
	v.Result.Inputs = found.Inputs
	b.take(v, built{v.Model, found.Floats(b.Float.Model), found.Params, func(layer string) align.Match {
		return align.Ready(layer, b.Float.Index, found)
	}})
	return nil
}

// emulatedAs builds a variant for the emulator, and finds the one that simulates the same on the CPU.
type emulatedAs struct{ Builder }

func (e emulatedAs) Build(b *Session, v *Variant, stats *calib.Statistics) error {
	if err := e.Builder.Build(b, v, stats); err != nil {
		return err
	}
	v.Result.Emulator = &result.Emulator{Wheel: qnn.Version, SoC: b.Emulator.SoC, Arch: b.Emulator.Arch}
	v.Result.Counterpart = slices.IndexFunc(b.Specs(), func(o variant.Spec) bool {
		cpu := !Emulated(o)
		o.Engine, o.Name = v.Spec.Engine, v.Spec.Name
		return cpu && o.Equal(v.Spec)
	})
	return nil
}
