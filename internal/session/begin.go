package session

import (
	"context"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/model"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// begin starts a command's run: it reads the float model and says how samples become its inputs.
func begin(ctx context.Context, r ort.Engine, o Options, started time.Time) (*result.Run, *model.Float, dataset.Loader, error) {
	run := &result.Run{
		Command: o.Command, Name: o.Name, Started: started.UTC().Truncate(time.Millisecond),
		Tool: hostinfo.Version, ONNXRuntime: r.About().Version, Machine: hostinfo.Describe(), Warnings: []string{},
		Samples: []result.Sample{}, Calibration: []result.Sample{},
	}
	ref, err := model.Open(ctx, r, o.Model, o.Input, model.Options{Quantized: o.Quantized, Samples: o.SamplePath})
	if err != nil {
		return nil, nil, dataset.Loader{}, err
	}
	run.Model, run.Layers = ref.Describe(), ref.Layers
	run.Warnings = append(run.Warnings, ref.Warnings...)
	loader := dataset.Loader{Inputs: run.Model.Inputs, Description: o.Input, Cache: dataset.NewCache(min(int64(o.MemoryMiB)<<20/32, 64<<20)), Pictures: dataset.BudgetOf(o.MemoryMiB)}
	run.Model.Layout = loader.Layout()
	return run, ref, loader, nil
}

// Emulated says whether a variant runs on the emulator.
func Emulated(v variant.Spec) bool { return v.Engine == variant.HTP }

// NeedsCalibration says whether a variant's ranges come from samples: those of a recipe, and what a device needs besides given encodings.
func NeedsCalibration(variants []variant.Spec) bool {
	for _, v := range variants {
		if v.Kind == variant.Recipe || v.Kind == variant.Encodings && Emulated(v) {
			return true
		}
	}
	return false
}

// CountStatuses counts the layers of each status.
func CountStatuses(v *result.Variant) {
	v.Counts = map[result.Status]int{}
	for _, l := range v.Layers {
		v.Counts[l.Status]++
	}
}
