package estimator

import (
	"context"
	"fmt"

	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Load reads a model for Estimate: it gives its inputs their shapes, its nodes names.
func Load(path string, shapes map[string][]int64) (*onnx.Model, error) {
	m, _, err := model.Read(path)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if m, _, err = onnx.FixInputs(m, shapes); err != nil {
		return nil, usage.Mark(fmt.Errorf("%s: %w", path, err))
	}
	return htp.Named(m), nil
}

// Named gives every node of a model a name of its own, by which an estimate names it.
func Named(m *onnx.Model) *onnx.Model { return htp.Named(m) }

// Form estimates one variant of a float model.
func (e *Estimator) Form(ctx context.Context, m *onnx.Model, v variant.Spec, set *dataset.Set, input dataset.Description) (*result.Estimated, error) {
	built, err := e.Build(ctx, htp.Named(m), []variant.Spec{v}, set, input)
	if err != nil {
		return nil, err
	}
	return e.Estimate(ctx, built[0])
}

// Build makes the variants of a float model whose shapes are fixed, as a device runs them: every tensor between two operators is
// quantized. Half precision is the float model itself; what is no recipe is nil. Without samples (set is nil) seeded random ones
// calibrate.
func (e *Estimator) Build(ctx context.Context, m *onnx.Model, variants []variant.Spec, set *dataset.Set, input dataset.Description) ([]*onnx.Model, error) {
	list := make([]*onnx.Model, len(variants))
	var recipes []variant.Spec
	var place []int
	for i, v := range variants {
		switch v.Kind {
		case variant.Half:
			list[i] = m
		case variant.Recipe, variant.Encodings:
			v.Engine = variant.HTP
			recipes, place = append(recipes, v), append(place, i)
		}
	}
	if len(recipes) == 0 {
		return list, nil
	}
	ref, err := model.New(ctx, e.Ort, m)
	if err != nil {
		return nil, err
	}
	run := &result.Run{Model: ref.Describe(), Layers: ref.Layers}
	loader := dataset.Loader{Inputs: run.Model.Inputs, Description: input, Cache: dataset.NewCache(1 << 20), Pictures: dataset.BudgetOf(max(e.Memory, 256))}
	if set == nil {
		values, err := model.Seeded(run.Model.Inputs, 2)
		if err != nil {
			return nil, usage.Mark(err)
		}
		set = &dataset.Set{Sources: []dataset.Source{{Name: "seeded random input", Inputs: values[0]}, {Name: "seeded random input", Inputs: values[1]}}}
	}
	b := &session.Session{ORT: e.Ort, Emulator: e.Engine, Float: ref, Options: session.Options{MemoryMiB: max(e.Memory, 256)}, Variants: session.Of(recipes), Progress: progress.Silent{}, Run: run}
	defer b.Close()
	if err := prepare.Build(ctx, b, set, loader); err != nil {
		return nil, err
	}
	for k, i := range place {
		list[i] = model.WithOutputTypes(b.Variants[k].Model, ref.Types)
	}
	return list, nil
}
