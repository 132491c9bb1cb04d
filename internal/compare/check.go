// Package compare is the use case of quantcheck check: a float model and its variants run on the same samples, and their tensors are compared
// layer by layer.
package compare

import (
	"context"
	"fmt"
	"time"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/compare/brief"
	"quantcheck/internal/compare/cycles"
	"quantcheck/internal/compare/measure"
	"quantcheck/internal/dataset"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/session/identity"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Run compares a float model with its variants, tensor by tensor.
//
//  1. The model is read, its input shapes are fixed, its constant nodes evaluated; samples and variants are looked up,
//     so that what is wrong with the request is said before long work begins.
//  2. The float model runs on the calibration samples, if a variant needs that.
//  3. Variants are built and compiled in step with the float model's segments.
//  4. The HTP compiler estimates what the variants cost on the device.
//  5. Each sample runs through the float model and all variants; pairs of tensors are measured beside the inference.
//
// What is computed is kept as keep says (nil: it is not), and an interrupted run of the same request goes on. A run that ends early
// and is kept gives a *checkpoint.UnfinishedError.
func Run(ctx context.Context, engines session.Engines, spec result.CheckSpec, progress progress.Reporter, out session.Output, keep *checkpoint.Keeping) (*result.Run, error) {
	run, _, err := Check(ctx, engines, spec, progress, out, keep)
	return run, err
}

// Check is Run, with a bench on which more variants of the same model can be judged.
func Check(ctx context.Context, engines session.Engines, spec result.CheckSpec, progress progress.Reporter, out session.Output, keep *checkpoint.Keeping) (*result.Run, *brief.Bench, error) {
	started := time.Now()
	b, calibrating, err := open(ctx, engines, spec, progress, started)
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	if err := planOutput(b, out); err != nil {
		return nil, nil, err
	}
	run := b.Run
	if keep != nil && engines.Device == nil {
		key, err := identity.Of(b, run.Command, identifying(spec), nil, nil, b.Compared, calibrating)
		if err != nil {
			return nil, nil, err
		}
		if b.Keeper, err = checkpoint.New(keep, key, started); err != nil {
			return nil, nil, err
		}
	}
	if err := checkAll(ctx, b, engines, calibrating, out); err != nil {
		return nil, nil, b.Keeper.End(err)
	}
	b.Keeper.Done()
	measure.Conclude(b)
	measure.FindOrigins(run)
	run.Started, run.Seconds = b.Keeper.Since(run.Started), b.Keeper.Spent(started).Seconds()
	return run, brief.New(b, b.Compared, calibrating), nil
}

// Bench is a bench of a request's model and samples; nothing is run yet.
func Bench(ctx context.Context, engines session.Engines, spec result.CheckSpec) (*brief.Bench, error) {
	b, calibrating, err := open(ctx, engines, spec, progress.Silent{}, time.Now())
	if err != nil {
		return nil, err
	}
	return brief.New(b, b.Compared, calibrating), nil
}

// open reads a request's model and finds its samples: those that are compared stand in the session, those that calibrate beside it.
func open(ctx context.Context, engines session.Engines, spec result.CheckSpec, progress progress.Reporter, started time.Time) (*session.Session, *dataset.Set, error) {
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, nil, usage.Mark(err)
	}
	for _, v := range variants {
		if v.Kind == variant.Device && engines.Device == nil {
			return nil, nil, usage.Mark(fmt.Errorf("variant %s: a device is compared by quantcheck benchmark", v.Name))
		}
	}
	if err := spec.Input.Check(); err != nil {
		return nil, nil, usage.Mark(err)
	}
	r := engines.ORT
	emulator, err := engines.Emulator(variants)
	if err != nil {
		return nil, nil, err
	}
	b, err := session.Open(ctx, r, session.Options{
		Command: "check", Name: spec.Name, Model: spec.Model, Input: spec.Input, SamplePath: spec.Images, MemoryMiB: spec.MemoryMiB, LocalSamples: spec.LocalSamples, AllLayers: spec.SaveTensors, DLC: spec.DLCRun, Quantized: session.Twin,
	}, variants, progress, started)
	if err != nil {
		return nil, nil, err
	}
	run := b.Run
	run.Spec = spec
	if b.Compared, err = session.Samples(spec.Images, spec.Limit, b.Loader); err != nil {
		return nil, nil, err
	}
	b.Emulator, b.Device, b.Samples = emulator, engines.Device, len(b.Compared.Sources)
	run.Warnings = append(run.Warnings, b.Compared.Warnings...)
	calibrating := b.Compared
	if spec.Calib != "" {
		if calibrating, err = session.Samples(spec.Calib, spec.Limit, b.Loader); err != nil {
			return nil, nil, err
		}
		run.Warnings = append(run.Warnings, calibrating.Warnings...)
	} else if session.NeedsCalibration(variants) {
		run.Warnings = append(run.Warnings, "the compared samples are also those that calibrate; give others with --calib for numbers that hold on unseen pictures")
	}
	return b, calibrating, nil
}

// checkAll does the work of a check, once it is known what that is.
func checkAll(ctx context.Context, b *session.Session, engines session.Engines, calibrating *dataset.Set, out session.Output) error {
	if err := prepare.All(ctx, b, calibrating, b.Loader); err != nil {
		return err
	}
	if err := cycles.Add(ctx, b, engines, calibrating); err != nil {
		return err
	}
	if spec := b.Run.Spec; out != nil && (spec.SaveModel || spec.Encodings != "") {
		if err := b.HandOver(out); err != nil {
			return err
		}
	}
	return measure.All(ctx, b, b.Compared, b.Loader, out)
}

// identifying is a request without what is looked at when all is computed, and with paths that hold in every working folder.
func identifying(s result.CheckSpec) result.CheckSpec {
	s.FailUnder, s.DivergeUnder = nil, 0
	identity.Absolute(&s.Sources, &s.Place)
	return s
}
