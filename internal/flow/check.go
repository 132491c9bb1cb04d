// Package flow holds the use cases, one file each: they know what is done in which order, and nothing of flags, files'
// formats or screens.
package flow

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"quantcheck/internal/align"
	"quantcheck/internal/dataset"
	"quantcheck/internal/dlc"
	"quantcheck/internal/machine"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// ErrUsage marks errors in what was asked for, as against failures on the way.
var ErrUsage = errors.New("usage")

// usage marks an error as one of usage, without changing its text.
func usage(err error) error {
	if err == nil {
		return nil
	}
	return &usageError{err}
}

type usageError struct{ error }

func (e *usageError) Is(target error) bool { return target == ErrUsage }
func (e *usageError) Unwrap() error        { return e.error }

// Progress is told how far long work has come. Its methods are called from one goroutine.
type Progress interface {
	// Phase begins a phase of so many steps.
	Phase(title string, steps int)
	// Step says how many steps of the phase are done.
	Step(done int)
}

// Output is where a check's by-products go while it runs.
type Output interface {
	// Tensor takes a layer's values on the first sample: of the float model if variant is "", else of the variant.
	// Values are valid during the call only.
	Tensor(variant string, layer result.Layer, values []float32, shape []int64) error
	// Model takes the bytes of a variant's QDQ model, and its encodings.
	Model(v *result.Variant, layers []result.Layer, model []byte) error
}

// Engines are what models run on.
type Engines struct {
	ORT ort.Engine
	// HTP looks for the emulator; it is asked when a variant wants it.
	HTP func() (htp.Engine, error)
	// Device runs variants on a device; nil: there is none.
	Device DeviceRunner
}

// DeviceRunner starts a DLC on a device on all samples, and gives its results as they arrive. They are taken in the order of
// the samples; the run ends with ctx.
type DeviceRunner func(ctx context.Context, work DeviceWork) (dump.Source, error)

// DeviceWork is what a device is asked to run.
type DeviceWork struct {
	Variant variant.Spec
	Graph   *dlc.Graph
	Inputs  []align.Tap // the DLC's inputs, by the names of the float model's
	Taps    []align.Tap // the tensors that are wanted
	Samples *dataset.Set
	Loader  dataset.Loader
}

// Check compares a float model with its variants, tensor by tensor.
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
func Check(ctx context.Context, engines Engines, spec result.Spec, progress Progress, out Output, keep *Keeping) (*result.Run, error) {
	started := time.Now()
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage(err)
	}
	for _, v := range variants {
		if v.Kind == variant.Device && engines.Device == nil {
			return nil, usage(fmt.Errorf("variant %s: a device is compared by quantcheck benchmark", v.Name))
		}
	}
	if err := spec.Input.Check(); err != nil {
		return nil, usage(err)
	}
	r := engines.ORT
	var emulator htp.Engine
	if slices.ContainsFunc(variants, emulated) {
		if emulator, err = engines.HTP(); err != nil {
			return nil, err
		}
	}
	run, ref, loader, err := begin(ctx, "check", r, spec, started)
	if err != nil {
		return nil, err
	}
	compared, err := samples(spec.Images, spec.Limit, loader)
	if err != nil {
		return nil, err
	}
	run.Warnings = append(run.Warnings, compared.Warnings...)
	calibrating := compared
	if spec.Calib != "" {
		if calibrating, err = samples(spec.Calib, spec.Limit, loader); err != nil {
			return nil, err
		}
		run.Warnings = append(run.Warnings, calibrating.Warnings...)
	} else if needsCalibration(variants) {
		run.Warnings = append(run.Warnings, "the compared samples are also those that calibrate; give others with --calib for numbers that hold on unseen pictures")
	}

	b := &build{r: r, emulator: emulator, ref: ref, spec: spec, variants: variants, device: engines.Device, compared: compared, loader: loader, samples: len(compared.Sources), progress: progress, run: run}
	defer b.close()
	if err := b.plan(out); err != nil {
		return nil, err
	}
	if keep != nil && !spec.Bare && engines.Device == nil {
		key, err := b.identify(run.Command, identifying(spec), nil, nil, compared, calibrating)
		if err != nil {
			return nil, err
		}
		if b.keep, err = newKeeper(keep, key, started); err != nil {
			return nil, err
		}
	}
	if err := b.check(ctx, engines, calibrating, out); err != nil {
		return nil, b.keep.end(err)
	}
	b.keep.done()
	summarize(run)
	originate(run)
	run.Started, run.Seconds = b.keep.since(run.Started), b.keep.spent(started).Seconds()
	return run, nil
}

// check does the work of a check, once it is known what that is.
func (b *build) check(ctx context.Context, engines Engines, calibrating *dataset.Set, out Output) error {
	if err := b.prepare(ctx, calibrating, b.loader); err != nil {
		return err
	}
	if err := b.addTimes(ctx, engines, calibrating); err != nil {
		return err
	}
	if out != nil {
		if err := b.hand(out); err != nil {
			return err
		}
	}
	return b.compare(ctx, b.compared, b.loader, out)
}

// begin starts a command's run: it reads the float model and says how samples become its inputs.
func begin(ctx context.Context, command string, r ort.Engine, spec result.Spec, started time.Time) (*result.Run, *reference, dataset.Loader, error) {
	run := &result.Run{
		Command: command, Name: spec.Name, Started: started.UTC().Truncate(time.Millisecond), Spec: spec,
		Tool: machine.Version, ONNXRuntime: r.About().Version, Machine: machine.Describe(), Warnings: []string{},
		Samples: []result.Sample{}, Calibration: []result.Sample{},
	}
	ref, err := loadReference(ctx, r, spec)
	if err != nil {
		return nil, nil, dataset.Loader{}, err
	}
	run.Model, run.Layers = ref.describe(), ref.layers
	run.Warnings = append(run.Warnings, ref.warnings...)
	loader := dataset.Loader{Inputs: run.Model.Inputs, Description: spec.Input, Cache: dataset.NewCache(min(int64(spec.MemoryMiB)<<20/32, 64<<20)), Pictures: dataset.BudgetOf(spec.MemoryMiB)}
	run.Model.Layout = loader.Layout()
	return run, ref, loader, nil
}

func samples(path string, limit int, loader dataset.Loader) (*dataset.Set, error) {
	set, err := dataset.Find(path, limit)
	if err != nil {
		return nil, usage(err)
	}
	if err := loader.Check(set); err != nil {
		return nil, usage(err)
	}
	return set, nil
}

func emulated(v variant.Spec) bool { return v.Engine == variant.HTP }

func needsCalibration(variants []variant.Spec) bool {
	for _, v := range variants {
		if v.Kind == variant.Recipe {
			return true
		}
	}
	return false
}

// summarize derives what depends on all samples: spreads, counts, the first diverging layer and failed gates.
func summarize(run *result.Run) {
	for i := range run.Variants {
		v := &run.Variants[i]
		countStatuses(v)
		v.Diverges = -1
		for k := range v.Layers {
			l := &v.Layers[k]
			if !l.Has() {
				continue
			}
			l.Summary = metric.Summarize(l.Samples)
			if sqnr := l.Summary[metric.SQNR].Mean; v.Diverges < 0 && sqnr.OK && sqnr.V < run.Spec.DivergeUnder {
				v.Diverges = k
			}
			if run.Layers[k].Output {
				v.Failed = append(v.Failed, gates(run.Spec.FailUnder, run.Layers[k].Name, l)...)
			}
		}
		for k, l := range v.Layers {
			if run.Layers[k].Output && !l.Has() && len(run.Spec.FailUnder) > 0 {
				v.Failed = append(v.Failed, fmt.Sprintf("output %s has no value: %s", run.Layers[k].Name, l.Reason))
			}
		}
	}
}

// gates checks an output layer against the thresholds. Two zero tensors agree although their cosine is not defined.
func gates(thresholds []result.Threshold, name string, l *result.LayerResult) []string {
	var failed []string
	for _, t := range thresholds {
		info, got := metric.All[t.Metric], l.Summary[t.Metric].Mean
		if !got.OK && l.Summary[metric.MSE].Max == metric.Defined(0) {
			continue
		}
		if !got.OK {
			failed = append(failed, fmt.Sprintf("output %s: %s is not defined", name, info.Key))
		} else if got.V < t.Value {
			near := ""
			if bound, ok := result.ThreadBound(t.Metric); ok && t.Value-got.V <= bound {
				near = fmt.Sprintf(", by %.2g, which another number of threads may turn around", t.Value-got.V)
			}
			failed = append(failed, fmt.Sprintf("output %s: %s %.4g is under %g%s", name, info.Key, got.V, t.Value, near))
		}
	}
	return failed
}

// workers is how many goroutines measure beside the inference: one core is left to it.
func workers() int { return max(runtime.GOMAXPROCS(0)-1, 1) }
