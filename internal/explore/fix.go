package explore

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/variant"
)

// Fix is a recommended model: what a device runs, and its encodings.
type Fix struct {
	Model   *onnx.Model // QDQ
	DLC     []byte      // nil: not asked for, or Problem says why there is none
	Layers  []result.Layer
	Variant *result.Variant // its encodings
	Problem string          // why there is no DLC
}

// makeFix builds the recommended point: what stays without an encoding, where widths meet, and the files' contents if they are
// wanted.
func (x *explorer) makeFix(ctx context.Context) error {
	s, best := x.stage, x.found.Points[x.found.Best]
	spec := best.Recipe
	spec.Engine = variant.HTP
	m, err := s.build(candidate{spec: spec})
	if err != nil {
		return err
	}
	x.found.Converts = append([]string{}, slices.Compact(slices.Sorted(slices.Values(borders(m))))...)
	run := &result.Run{Model: s.b.Run.Model, Layers: s.b.Float.Layers}
	b := s.b.Beside(s.b.Options, run, spec)
	defer b.Close()
	b.Stats = s.stats
	if err := prepare.Build(ctx, b, nil, b.Loader); err != nil {
		return err
	}
	v := &run.Variants[0]
	v.Spec.Engine, v.Emulator = variant.CPU, nil
	for k, l := range v.Layers {
		if l.Encoding == nil && l.Status != result.NotComparable && l.Status != result.Fused {
			x.found.Unencoded = append(x.found.Unencoded, fmt.Sprintf("%s (%s): %s", run.Layers[k].Name, run.Layers[k].Op, l.Reason))
		}
	}
	if !x.spec.Apply {
		return nil
	}
	x.fix = &Fix{Model: model.WithOutputTypes(b.Variants[0].Model, s.b.Float.Types), Layers: run.Layers, Variant: v}
	if x.pricer.estimator == nil {
		x.fix.Problem = "the libraries that write a DLC are not installed (quantcheck doctor)"
		return nil
	}
	x.progress.Phase("writing the DLC", 1)
	if x.fix.DLC, err = s.b.Emulator.WriteDLC(ctx, x.fix.Model); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		x.fix.DLC, x.fix.Problem = nil, err.Error()
	}
	return nil
}
