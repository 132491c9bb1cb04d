// Package quantize is the use case of quantcheck quantize: a recipe is calibrated on samples, or encodings are taken from a file, and the model
// is written as a device runs it.
package quantize

import (
	"context"
	"fmt"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/dlcwriter"
	"quantcheck/internal/encodings"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Spec is what is quantized.
type Spec struct {
	Model     string // path of the float model
	Name      string // of the model
	Calib     string // samples that calibrate
	Limit     int    // of them; 0: all
	Recipe    string // such as w8a8, or encodings, such as mine=x.encodings
	Input     dataset.Description
	MemoryMiB int
	DLC       bool // write the DLC too
}

// Result is a model that was quantized by a recipe.
type Result struct {
	Run   *result.Run // its layers, one variant with its encodings, and what was used; nothing is measured
	Model *onnx.Model // QDQ, with a pair behind every tensor that a device quantizes
	DLC   []byte      // nil if it was not asked for
	Float *onnx.Model // of a healed recipe: the float model whose weights lie on the grids of the encodings; else nil
}

// Run calibrates a recipe on samples and writes the model that a device runs: as QDQ ONNX, and as a DLC if that is asked for.
func Run(ctx context.Context, engines session.Engines, spec Spec, progress progress.Reporter) (*Result, error) {
	started := time.Now()
	variants, err := variant.ParseAll([]string{spec.Recipe})
	if err != nil {
		return nil, usage.Mark(err)
	}
	if len(variants) != 1 || variants[0].Kind != variant.Recipe && variants[0].Kind != variant.Encodings || session.Emulated(variants[0]) {
		return nil, usage.Mark(fmt.Errorf("quantize takes one recipe, such as w8a8, or encodings, such as mine=x.encodings; %s is neither", spec.Recipe))
	}
	if err := spec.Input.Check(); err != nil {
		return nil, usage.Mark(err)
	}
	var emulator htp.Engine
	if spec.DLC {
		if emulator, err = engines.HTP(); err != nil {
			return nil, err
		}
	}
	variants[0].Engine = variant.HTP // a device takes no float tensor between two operators
	b, err := session.Open(ctx, engines.ORT, session.Options{Command: "quantize", Name: spec.Name, Model: spec.Model, Input: spec.Input, SamplePath: spec.Calib, MemoryMiB: spec.MemoryMiB}, variants, progress, started)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	b.Emulator = emulator
	run := b.Run
	set, err := session.Samples(spec.Calib, spec.Limit, b.Loader)
	if err != nil {
		return nil, err
	}
	run.Warnings = append(run.Warnings, set.Warnings...)
	if err := prepare.Build(ctx, b, set, b.Loader); err != nil {
		return nil, err
	}
	v := &run.Variants[0]
	if err := holdsBlocks(b.Float.Model, v, spec.DLC); err != nil {
		return nil, usage.Mark(err)
	}
	v.Spec.Engine, v.Emulator = variant.CPU, nil
	q := &Result{Run: run, Model: b.Float.Written(b.Variants[0].Model)}
	if spec.DLC {
		run.Warnings = append(run.Warnings, htp.ComputedWrong(b.Float.Model)...)
		progress.Phase("writing the DLC", 1)
		if q.DLC, err = dlcwriter.Write(ctx, engines.ORT, emulator, q.Model); err != nil {
			return nil, err
		}
	}
	if err := q.try(ctx, engines, b, set); err != nil {
		return nil, err
	}
	session.CountStatuses(v)
	if q.Float = b.Variants[0].Healed; q.Float != nil {
		progress.Phase("checking that the encodings move no weight", len(encodings.Versions))
		if err := q.unmoved(b, progress); err != nil {
			return nil, err
		}
		q.Float = model.WithOutputTypes(q.Float, b.Float.Types)
	}
	run.Seconds = time.Since(started).Seconds()
	return q, nil
}

// holdsBlocks refuses encodings per block that what is written cannot hold.
func holdsBlocks(m *onnx.Model, v *result.Variant, dlc bool) error {
	for _, p := range v.Params {
		switch {
		case p.Blocks == nil:
		case m.Opset() < qdq.BlockOpset:
			return fmt.Errorf("%s has an encoding for every %d values, and the model's operator set %d has no DequantizeLinear with blocks: export it for set %d or newer, or give an encoding for each channel", p.Tensor, p.Blocks.Size, m.Opset(), qdq.BlockOpset)
		case dlc:
			return fmt.Errorf("%s has an encoding for every %d values, which the HTP does not take: leave --dlc out, or give an encoding for each channel", p.Tensor, p.Blocks.Size)
		case p.Encodings[0].Bits > 16:
			return fmt.Errorf("%s has blocks of %d-bit integers: there are 4, 8 and 16 bits", p.Tensor, p.Encodings[0].Bits)
		}
	}
	return nil
}

// try loads what will be written and runs it on the first sample that can be read.
func (q *Result) try(ctx context.Context, engines session.Engines, b *session.Session, set *dataset.Set) error {
	for _, source := range set.Sources {
		sample, err := b.Loader.Load(source)
		if err != nil {
			continue // the calibration has said so
		}
		inputs, err := b.Float.WrittenSample(sample.Inputs)
		if err == nil {
			_, err = model.Trial(ctx, engines.ORT, q.Model, inputs)
		}
		return err
	}
	return nil
}

// Unencoded lists the layers of real numbers that carry no encoding of their own, with the reason.
func (q *Result) Unencoded() []string {
	var list []string
	for k, l := range q.Run.Variants[0].Layers {
		if l.Encoding == nil && l.Status != result.NotComparable {
			list = append(list, fmt.Sprintf("%s (%s): %s", q.Run.Layers[k].Name, q.Run.Layers[k].Op, l.Reason))
		}
	}
	return list
}
