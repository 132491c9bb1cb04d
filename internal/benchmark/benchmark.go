// Package benchmark is the use case of quantcheck benchmark: a DLC is measured on a device, layer by layer, for throughput and for cycles.
package benchmark

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"quantcheck/internal/benchmark/hold"
	"quantcheck/internal/benchmark/layers"
	"quantcheck/internal/benchmark/plan"
	"quantcheck/internal/benchmark/speed"
	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
	"quantcheck/internal/seedfiles"
	"quantcheck/internal/session"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/workspace"
)

// Spec says what is measured on a device.
type Spec = plan.Spec

// Bench is the surroundings of a benchmark.
type Bench struct {
	Engines session.Engines
	// Open connects to the device; it is called once, when the first step needs it.
	Open func(ctx context.Context) (device.Device, error)
	// Patience says how patient the board is; Base and On are the spec's.
	Patience snpedevice.Options
	// Watch observes the device until ctx ends; nil: nobody does.
	Watch func(ctx context.Context, d device.Device, see func(result.Condition)) error
	// Keep stores a comparison's run and gives it its number.
	Keep func(run *result.Run, stage *workspace.Stage) error
	// Say tells the user something that is neither a result nor an error.
	Say func(text string)
	// HostTool runs a program of this machine in a folder, for tools that the device lacks; device.ErrToolMissing: it is not here either.
	HostTool func(ctx context.Context, dir string, args []string) ([]byte, error)
	Progress progress.Reporter
}

// benchmark is one under way.
type benchmark struct {
	Bench
	plan   *plan.Plan
	device *hold.Device
	run    *result.Run // of this run's comparison
	dir    string      // for what comes from the device, removed at the end
}

// Run measures a DLC on a device, step by step. A step that was finished before, with the same files and settings, is left
// out; each is written when it is done, so that a later run goes on where this one ended.
//
//  1. What is wrong with the request is said before the device is touched.
//  2. The device is taken, cleaned of what earlier runs left, and given the DLC and the inputs that it does not have yet.
//  3. Each step runs SNPE's tools there, watched, and files what they give in the seed tool's layout.
//  4. What was made on the device is removed, and what an earlier run could not remove, even if no step had to run.
func Run(ctx context.Context, bench Bench, spec Spec) (found *result.Benchmark, run *result.Run, err error) {
	p, err := plan.New(spec)
	if err != nil {
		return nil, nil, err
	}
	b := &benchmark{Bench: bench, plan: p, device: &hold.Device{Plan: p, Open: bench.Open, Patience: bench.Patience, Watch: bench.Watch, Say: bench.Say, Progress: bench.Progress}}
	if b.dir, err = scratch.Hidden(string(p.Folder), "device"); err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(b.dir)
	defer func() {
		if e := b.device.Leave(ctx); err == nil {
			err = e
		}
	}()
	for _, step := range result.Steps {
		if !slices.Contains(spec.Steps, step) {
			continue
		}
		if err := b.step(ctx, step); err != nil {
			return p.Done, b.run, fmt.Errorf("step %s: %w", step, err)
		}
	}
	b.device.CleanUp(ctx)
	return p.Done, b.run, nil
}

// step runs one step unless it is done.
func (b *benchmark) step(ctx context.Context, step result.Step) error {
	key, needed, err := b.plan.Begin(step)
	if err != nil || !needed {
		return err
	}
	if step != result.StepInfo { // which wants the device's own listing, but not at any price
		if err := b.device.Enter(ctx); err != nil {
			return err
		}
	}
	began, tools := time.Now(), b.device.ToolTime()
	ended := b.device.Watching(ctx, step)
	switch step {
	case result.StepLayers:
		var run *result.Run
		run, err = (&layers.Comparison{Device: b.device, Engines: b.Engines, Keep: b.Keep, Dir: b.dir}).Run(ctx)
		if err == nil {
			b.run = run
		}
	case result.StepThroughput:
		err = speed.Throughput(ctx, b.device)
	case result.StepCycles:
		err = (&speed.Cycles{Device: b.device, Engines: b.Engines, HostTool: b.HostTool, Dir: b.dir, Compared: b.run}).Measure(ctx)
	case result.StepInfo:
		err = b.info(ctx)
	}
	ended()
	if err != nil {
		return err
	}
	return b.plan.Finish(step, key, began, b.device.ToolTime()-tools)
}

// info writes what the DLC says of itself: the device's own listing where it has the tool, else ours.
func (b *benchmark) info(ctx context.Context) error {
	p := b.device.Plan
	name := p.Name()
	dir := p.ModelFolder()
	var listing []byte
	if b.device.Board != nil {
		var err error
		listing, err = b.device.Board.Listing(ctx, b.device.Model)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, device.ErrToolMissing) {
			p.Note("the listing is ours: %v", err)
		}
		if err != nil {
			listing = nil
		}
	}
	_, err := inspect.ViewDLC(p.DLC, func(v *inspect.View, f *dlc.File) error {
		_, err := seedfiles.WriteSeedFiles(dir, name, v, f, listing)
		return err
	})
	return err
}
