// Package layers runs all layers of a DLC on a device and compares each with the float model, while the device computes.
package layers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"quantcheck/internal/benchmark/hold"
	"quantcheck/internal/benchmark/inputs"
	"quantcheck/internal/benchmark/plan"
	"quantcheck/internal/benchmark/resultfiles"
	"quantcheck/internal/benchmark/similarity"
	"quantcheck/internal/compare"
	"quantcheck/internal/device"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/session"
	"quantcheck/internal/snpe"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/workspace"
)

// resultsHeld is how many results wait here to be compared; more wait on the device.
const resultsHeld = 2

// Comparison compares the layers of a DLC as a device computes them.
type Comparison struct {
	Device  *hold.Device
	Engines session.Engines
	// Keep stores a comparison's run and gives it its number.
	Keep func(run *result.Run, stage *workspace.Stage) error
	Dir  string // for what comes from the device
}

// Run compares every layer with the float model, and with whatever else was asked for, while the device computes.
// Its notes are those of the plan's step.
func (c *Comparison) Run(ctx context.Context) (*result.Run, error) {
	p := c.Device.Plan
	spec := p.Check
	spec.Variants = slices.Clone(spec.Variants)
	if p.Emulate {
		if _, err := c.Engines.HTP(); errors.Is(err, qnn.ErrUnavailable) {
			p.Note("the device is not held against the emulator, which is not installed: quantcheck doctor --install htp brings it")
		} else if err != nil {
			return nil, err
		} else {
			spec.Variants = append(spec.Variants, plan.OnEmulator+"="+p.DLC+"@htp")
		}
	}
	spec.Variants = append(spec.Variants, fmt.Sprintf("%s=device:%s@%s", plan.OnDevice, p.Target, p.DLC))
	engines := c.Engines
	var results *snpedevice.Results
	engines.Device = func(ctx context.Context, work dump.Work) (dump.Source, error) {
		source, err := c.start(ctx, work)
		if err == nil {
			results = source.results
		}
		return source, err
	}
	defer func() {
		if results != nil {
			results.Close()
		}
	}()
	stage := workspace.NewStage(p.Folder, spec)
	stage.OnDevice = plan.OnDevice
	defer stage.Discard()
	run, err := compare.Run(ctx, engines, spec, c.Device.Progress, stage, nil)
	if err != nil {
		return nil, err
	}
	if err := results.Wait(); err != nil {
		return nil, err
	}
	run.Command = "benchmark"
	p.Notes = append(p.Notes, results.Notes...)
	run.Warnings = append(run.Warnings, p.Notes...)
	if v, ok := snpe.Version(results.Text); ok {
		p.Done.SNPE = v
	}
	if err := similarity.File(p, run); err != nil {
		return nil, err
	}
	if err := c.Keep(run, stage); err != nil {
		return nil, err
	}
	return run, nil
}

// arriving hands a run's results over by the samples' numbers.
type arriving struct {
	results *snpedevice.Results
	line    []int // sample → line, −1: it was not sent
}

func (a *arriving) Result(ctx context.Context, number int) (string, func(), error) {
	if number >= len(a.line) || a.line[number] < 0 {
		return "", nil, errors.New("the sample was not sent")
	}
	return a.results.Result(ctx, a.line[number])
}

// start sends the samples and starts the run.
func (c *Comparison) start(ctx context.Context, work dump.Work) (*arriving, error) {
	d := c.Device
	sent, err := inputs.Send(ctx, d, work, d.Plan.Name(), inputs.Floats)
	if err != nil {
		return nil, err
	}
	chunk, err := chunk(ctx, d, resultfiles.LayerBytes(work.Graph), len(sent.Lines))
	if err != nil {
		return nil, err
	}
	files := resultfiles.NewTaps(work.Taps)
	d.Progress.Phase("running on the device", len(sent.Lines))
	results := d.Board.Start(ctx, snpedevice.Run{
		Name: d.Plan.Name() + "-layers", Lines: sent.Lines, Chunk: chunk, Dir: filepath.Join(c.Dir, "layers"), Hold: resultsHeld,
		Args: func(list, output string) []string { return snpe.LayersCommand(d.Model, list, output, d.Plan.On) },
		Want: files.Takes, Size: files.Size, Folders: resultfiles.Folders(work.Graph.Tensors),
	})
	return &arriving{results, sent.Line}, nil
}

// diskShare is how much of the device's free space results may take, and mostResults how much in any case.
const (
	diskShare   = 0.5
	mostResults = 4 << 30
)

// chunk is how many inferences one start of the tool may make, so that all their layers, of one bytes each, fit the device's disk.
func chunk(ctx context.Context, d *hold.Device, one int64, inferences int) (int, error) {
	free, err := d.Board.Free(ctx)
	if err != nil {
		return 0, err
	}
	room := min(int64(diskShare*float64(free)), mostResults)
	if one > int64(float64(free)*0.9) {
		return 0, fmt.Errorf("%w: one result takes %d MiB, %d MiB are free at %s; make room or give another folder with --device-dir", device.ErrDiskFull, one>>20, free>>20, d.Plan.Base)
	}
	chunk := int(max(1, min(room/max(one, 1), int64(inferences))))
	if chunk < inferences {
		d.Plan.Note("the layers of one image take %d MiB: %d images at a time, so that the device's disk holds them", one>>20, chunk)
	}
	return chunk, nil
}
