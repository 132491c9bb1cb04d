package flow

import (
	"context"
	"fmt"
	"time"

	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/variant"
)

// Quantized is a model that was quantized by a recipe.
type Quantized struct {
	Run   *result.Run // its layers, one variant with its encodings, and what was used; nothing is measured
	Model *onnx.Model // QDQ, with a pair behind every tensor that a device quantizes
	DLC   []byte      // nil if it was not asked for
}

// Quantize calibrates a recipe on samples and writes the model that a device runs: as QDQ ONNX, and as a DLC if dlc says so.
// Its spec has one variant, a recipe.
func Quantize(ctx context.Context, engines Engines, spec result.Spec, dlc bool, progress Progress) (*Quantized, error) {
	started := time.Now()
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage(err)
	}
	if len(variants) != 1 || variants[0].Kind != variant.Recipe {
		return nil, usage(fmt.Errorf("quantize takes one recipe, such as w8a8; %v is none", spec.Variants))
	}
	if err := spec.Input.Check(); err != nil {
		return nil, usage(err)
	}
	var emulator htp.Engine
	if dlc {
		if emulator, err = engines.HTP(); err != nil {
			return nil, err
		}
	}
	variants[0].Choices = spec.Choices
	variants[0].Engine = variant.HTP // a device takes no float tensor between two operators
	run, ref, loader, err := begin(ctx, "quantize", engines.ORT, spec, started)
	if err != nil {
		return nil, err
	}
	set, err := samples(spec.Images, spec.Limit, loader)
	if err != nil {
		return nil, err
	}
	run.Warnings = append(run.Warnings, set.Warnings...)
	b := &build{r: engines.ORT, emulator: emulator, ref: ref, spec: spec, variants: variants, progress: progress, run: run}
	defer b.close()
	if err := b.model(ctx, set, loader); err != nil {
		return nil, err
	}
	v := &run.Variants[0]
	v.Spec.Engine, v.Emulator = variant.CPU, nil
	q := &Quantized{Run: run, Model: typed(b.models[0], ref.types)}
	if dlc {
		progress.Phase("writing the DLC", 1)
		if q.DLC, err = emulator.WriteDLC(ctx, q.Model); err != nil {
			return nil, err
		}
	}
	countStatuses(v)
	run.Seconds = time.Since(started).Seconds()
	return q, nil
}

// countStatuses counts the layers of each status.
func countStatuses(v *result.Variant) {
	v.Counts = map[result.Status]int{}
	for _, l := range v.Layers {
		v.Counts[l.Status]++
	}
}

// Unencoded lists the layers of real numbers that carry no encoding of their own, with the reason.
func (q *Quantized) Unencoded() []string {
	var list []string
	for k, l := range q.Run.Variants[0].Layers {
		if l.Encoding == nil && l.Status != result.NotComparable {
			list = append(list, fmt.Sprintf("%s (%s): %s", q.Run.Layers[k].Name, q.Run.Layers[k].Op, l.Reason))
		}
	}
	return list
}
