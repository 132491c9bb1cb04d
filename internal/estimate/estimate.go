// Package estimate is the use case of quantcheck estimate: the HTP compiler's cost model is asked about models, variants and DLC files. Nothing is
// run on a device, and nothing is a measurement.
package estimate

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimator"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/inspect"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/paths"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Spec says what is estimated.
type Spec struct {
	Model     string   // .onnx, float or QDQ, or .dlc
	Variants  []string // of a float model, none: w8a8
	Images    string   // samples that calibrate; "": seeded random input
	Limit     int
	SoC       string // "": the default
	Name      string
	Input     dataset.Description
	MemoryMiB int
	Advise    bool // look for a pass that makes it faster
	FloatIO   bool // inputs and outputs are float, in the model's order of axes
}

// seededNote is said where nobody gave samples.
const seededNote = "the ranges are from seeded random input; they hardly change the time. Give --calib for those of the model's own"

// Run asks the HTP compiler's cost model about every variant of a model. Nothing is run on a device, and nothing is
// a measurement.
func Run(ctx context.Context, engines session.Engines, spec Spec, progress progress.Reporter) ([]*result.Estimated, error) {
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if err := spec.Input.Check(); err != nil {
		return nil, usage.Mark(err)
	}
	asks, err := estimator.Open(engines, spec.SoC)
	if err != nil {
		return nil, err
	}
	asks.Progress, asks.Memory, asks.FloatIO = progress, spec.MemoryMiB, spec.FloatIO
	e := estimation{asks, spec}
	var list []*result.Estimated
	if inspect.IsDLC(spec.Model) {
		if len(variants) > 0 {
			return nil, usage.Mark(fmt.Errorf("%s is a DLC, which is estimated as it is: --variant is for a float ONNX model", spec.Model))
		}
		x, err := e.Container(ctx, spec.Model)
		if err != nil {
			return nil, err
		}
		x.Variant = filepath.Base(spec.Model)
		list = append(list, x)
	} else if list, err = e.models(ctx, variants); err != nil {
		return nil, err
	}
	for _, x := range list {
		x.Name, x.Started, x.Tool, x.Wheel = spec.Name, time.Now().UTC().Truncate(time.Millisecond), hostinfo.Version, qnn.Version
		x.Path = paths.Absolute(x.Path)
		if x.Spec != nil && x.IO == result.NativeIO && x.Covered == 1 {
			x.Forecast = htpcost.ForecastOf(x.Estimate, precision(x.Spec))
		}
	}
	return list, nil
}

// precision is how a recipe without changes of its own holds numbers; "" for all else.
func precision(v *variant.Spec) htpcost.Precision {
	switch {
	case v.Kind == variant.Half:
		return htpcost.FP16
	case v.Kind == variant.Recipe && v.WeightBits == 8 && v.ActBits == 8 && len(v.Choices) == 0:
		return htpcost.W8A8
	case v.Kind == variant.Recipe && v.WeightBits == 8 && v.ActBits == 16 && len(v.Choices) == 0:
		return htpcost.W8A16
	}
	return ""
}

// estimation is what one request asks of the compiler.
type estimation struct {
	*estimator.Estimator
	spec Spec
}

// models estimates an ONNX model: variants of a float one, a quantized one as it is.
func (e estimation) models(ctx context.Context, variants []variant.Spec) ([]*result.Estimated, error) {
	spec := e.spec
	shapes, err := spec.Input.Shapes()
	if err != nil {
		return nil, usage.Mark(err)
	}
	m, err := estimator.Load(spec.Model, shapes)
	if err != nil {
		return nil, err
	}
	if m, _, err = model.Inline(ctx, e.Ort, m); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	quantized, err := model.TakenByHTP(spec.Model, m)
	if err != nil {
		return nil, err
	}
	if quantized {
		if len(variants) > 0 {
			return nil, usage.Mark(fmt.Errorf("%s is quantized already and is estimated as it is: --variant is for a float model", spec.Model))
		}
		e.Progress.Phase("estimating", 1)
		x, err := e.Estimate(ctx, m)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", spec.Model, err)
		}
		x.Variant, x.Path = strings.TrimSuffix(filepath.Base(spec.Model), filepath.Ext(spec.Model)), spec.Model
		return []*result.Estimated{x}, nil
	}
	if len(variants) == 0 {
		variants = []variant.Spec{variant.Usual()}
	}
	return e.variants(ctx, m, variants, shapes)
}

// variants estimates forms of a float model whose inputs have the given shapes, and what stands beside it in files.
func (e estimation) variants(ctx context.Context, m *onnx.Model, variants []variant.Spec, shapes map[string][]int64) ([]*result.Estimated, error) {
	spec := e.spec
	var set *dataset.Set
	if spec.Images != "" && session.NeedsCalibration(variants) {
		loader := dataset.Loader{Inputs: model.InputsOf(m), Description: spec.Input, Cache: dataset.NewCache(1 << 20), Pictures: dataset.BudgetOf(max(e.Memory, 256))}
		var err error
		if set, err = session.Samples(spec.Images, spec.Limit, loader); err != nil {
			return nil, err
		}
	}
	built, err := e.Build(ctx, m, variants, set, spec.Input)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	e.Progress.Phase("estimating", len(variants))
	list := make([]*result.Estimated, 0, len(variants))
	for i, v := range variants {
		var x *result.Estimated
		switch v.Kind {
		case variant.Dumps, variant.DLC, variant.Device:
			if x, err = e.Container(ctx, v.File); err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
		case variant.File:
			ready, err := estimator.Load(v.File, shapes)
			if err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			if x, err = e.Estimate(ctx, ready); err != nil {
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			x.Path = v.File
		default:
			if x, err = e.Estimate(ctx, built[i]); err != nil {
				if outer, inner := onnx.Branching(built[i].Graph().GetNode()...); outer > 0 && ctx.Err() == nil {
					err = fmt.Errorf("%d of its operators stand in the bodies of If, Loop or Scan, which the HTP does not take: export it without them: %w", inner, err)
				}
				return nil, fmt.Errorf("variant %s: %w", v.Name, err)
			}
			x.Path = spec.Model
			if note := floatNote(v.Name, built[i]); note != "" && v.Kind == variant.Recipe {
				x.Notes = append(x.Notes, note)
			}
			if v.Kind == variant.Recipe && set == nil {
				x.Notes = append(x.Notes, seededNote)
			}
			if spec.Advise {
				if x.Advice, err = e.advise(ctx, m, x, func(m *onnx.Model) (*result.Estimated, error) { return e.Form(ctx, m, v, set, spec.Input) }); err != nil {
					return nil, fmt.Errorf("variant %s: %w", v.Name, err)
				}
			}
		}
		x.Variant, x.Spec = v.Name, &variants[i]
		list = append(list, x)
		e.Progress.Step(i + 1)
	}
	return list, nil
}
