// Package compare is the use case of quantcheck check: a float model and its variants run on the same samples, and their tensors are compared
// layer by layer.
package compare

import (
	"context"
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
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
// and is kept gives an *UnfinishedError.
func Run(ctx context.Context, engines session.Engines, spec result.Spec, progress progress.Reporter, out session.Output, keep *session.Keeping) (*result.Run, error) {
	started := time.Now()
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage.Mark(err)
	}
	for _, v := range variants {
		if v.Kind == variant.Device && engines.Device == nil {
			return nil, usage.Mark(fmt.Errorf("variant %s: a device is compared by quantcheck benchmark", v.Name))
		}
	}
	if err := spec.Input.Check(); err != nil {
		return nil, usage.Mark(err)
	}
	r := engines.ORT
	var emulator htp.Engine
	if slices.ContainsFunc(variants, session.Emulated) {
		if emulator, err = engines.HTP(); err != nil {
			return nil, err
		}
	}
	b, err := session.Open(ctx, "check", r, spec, variants, progress, started)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	run := b.Run
	if b.Compared, err = session.Samples(spec.Images, spec.Limit, b.Loader); err != nil {
		return nil, err
	}
	b.Emulator, b.Device, b.Samples = emulator, engines.Device, len(b.Compared.Sources)
	run.Warnings = append(run.Warnings, b.Compared.Warnings...)
	calibrating := b.Compared
	if spec.Calib != "" {
		if calibrating, err = session.Samples(spec.Calib, spec.Limit, b.Loader); err != nil {
			return nil, err
		}
		run.Warnings = append(run.Warnings, calibrating.Warnings...)
	} else if session.NeedsCalibration(variants) {
		run.Warnings = append(run.Warnings, "the compared samples are also those that calibrate; give others with --calib for numbers that hold on unseen pictures")
	}
	if err := planOutput(b, out); err != nil {
		return nil, err
	}
	if keep != nil && engines.Device == nil {
		key, err := session.Identify(b, run.Command, session.Identifying(spec), nil, nil, b.Compared, calibrating)
		if err != nil {
			return nil, err
		}
		if b.Keeper, err = session.NewKeeper(keep, key, started); err != nil {
			return nil, err
		}
	}
	if err := checkAll(ctx, b, engines, calibrating, out); err != nil {
		return nil, b.Keeper.End(err)
	}
	b.Keeper.Done()
	Summarize(run)
	findOrigins(run)
	run.Started, run.Seconds = b.Keeper.Since(run.Started), b.Keeper.Spent(started).Seconds()
	return run, nil
}

// checkAll does the work of a check, once it is known what that is.
func checkAll(ctx context.Context, b *session.Session, engines session.Engines, calibrating *dataset.Set, out session.Output) error {
	if err := b.Prepare(ctx, calibrating, b.Loader); err != nil {
		return err
	}
	if err := addTimes(ctx, b, engines, calibrating); err != nil {
		return err
	}
	if out != nil {
		if err := b.HandOver(out); err != nil {
			return err
		}
	}
	return All(ctx, b, b.Compared, b.Loader, out)
}

// Summarize derives what depends on all samples: spreads, counts, the first diverging layer and failed gates.
func Summarize(run *result.Run) {
	for i := range run.Variants {
		v := &run.Variants[i]
		session.CountStatuses(v)
		for k := range v.Layers {
			l := &v.Layers[k]
			if !l.HasMetrics() {
				continue
			}
			l.Summary = metric.Summarize(l.Samples)
			if run.Layers[k].Output {
				v.Failed = append(v.Failed, Gates(run.Spec.FailUnder, run.Layers[k].Name, l)...)
			}
		}
		v.Failed = append(v.Failed, gateParts(run, v)...)
		v.Diverges = diverges(run, v)
		for k, l := range v.Layers {
			if run.Layers[k].Output && !l.HasMetrics() && len(run.Spec.FailUnder) > 0 {
				v.Failed = append(v.Failed, fmt.Sprintf("output %s has no value: %s", run.Layers[k].Name, l.Reason))
			}
		}
	}
}

// diverges finds the first layer under the threshold whose error goes on: a calibrator may spend a layer's own SQNR where the activation
// behind it takes the error away, so that a layer counts only if it is an output, or one that is computed from it is under the threshold
// too. It is −1 if there is none.
func diverges(run *result.Run, v *result.Variant) int {
	under := make([]bool, len(v.Layers))
	compared, goesOn := make([]bool, len(v.Layers)), make([]bool, len(v.Layers)) // some layer that is computed from it is compared, is under
	for k := range v.Layers {
		sqnr := v.Layers[k].Summary[metric.SQNR].Mean
		there := v.Layers[k].HasMetrics() && sqnr.OK
		under[k] = there && sqnr.V < run.Spec.DivergeUnder
		for _, in := range run.Layers[k].Inputs {
			compared[in] = compared[in] || there
			goesOn[in] = goesOn[in] || under[k]
		}
	}
	for k := range under {
		if under[k] && (run.Layers[k].Output || !compared[k] || goesOn[k]) {
			return k
		}
	}
	return -1
}

// gateParts checks the parts of outputs against the thresholds of the metrics that parts have: a part that is lost hardly moves the
// metrics of the whole.
func gateParts(run *result.Run, v *result.Variant) []string {
	if v.Verdict == nil {
		return nil
	}
	var failed []string
	for i := range v.Verdict.Parts {
		p := &v.Verdict.Parts[i]
		if p.Source == "" && p.Channels == nil {
			continue // it is the whole output
		}
		for _, t := range run.Spec.FailUnder {
			got, ok := map[metric.ID]metric.Value{metric.SQNR: p.SQNR.Mean, metric.CosSim: p.Cos.Mean}[t.Metric]
			if !ok || !got.OK || got.V >= t.Value {
				continue
			}
			name := run.Layers[p.Layer].Name
			if p.Channels != nil {
				name += ", channels " + verdict.Channels(p.Channels)
			}
			if p.Source != "" {
				name += " (from " + p.Source + ")"
			}
			failed = append(failed, fmt.Sprintf("output %s: %s %.4g is under %g%s", name, metric.All[t.Metric].Key, got.V, t.Value, result.NearThreshold(t.Metric, t.Value-got.V)))
		}
	}
	return failed
}

// Gates checks an output layer against the thresholds. Two zero tensors agree although their cosine is not defined.
func Gates(thresholds []result.Threshold, name string, l *result.LayerResult) []string {
	var failed []string
	for _, t := range thresholds {
		info, got := metric.All[t.Metric], l.Summary[t.Metric].Mean
		if !got.OK && l.Summary[metric.MSE].Max == metric.Defined(0) {
			continue
		}
		if !got.OK {
			failed = append(failed, fmt.Sprintf("output %s: %s is not defined", name, info.Key))
		} else if got.V < t.Value {
			failed = append(failed, fmt.Sprintf("output %s: %s %.4g is under %g%s", name, info.Key, got.V, t.Value, result.NearThreshold(t.Metric, t.Value-got.V)))
		}
	}
	return failed
}
