// Package native brings inputs in a DLC's own types to a device: samples that are encoded, or raw files that are there already.
package native

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/benchmark/hold"
	"quantcheck/internal/benchmark/inputs"
	"quantcheck/internal/benchmark/plan"
	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/netrun"
	"quantcheck/internal/progress"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/session"
	"quantcheck/internal/session/dlcvariant"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Inputs brings inputs in the DLC's own types to the device.
func Inputs(ctx context.Context, d *hold.Device, engine ort.Engine) ([]string, error) {
	if d.Plan.Data != "" {
		return ready(ctx, d)
	}
	work, closed, err := entries(ctx, d, engine)
	if err != nil {
		return nil, err
	}
	defer closed()
	sources := work.Samples.Sources
	if n := d.Plan.Profile; n > 0 && len(sources) > n {
		few := *work.Samples
		few.Sources = sources[:n]
		work.Samples = &few
		d.Plan.Note("%d of %d images are profiled", n, len(sources))
	}
	sent, err := inputs.Send(ctx, d, work, d.Plan.Name()+"-native", qnnworker.Encode)
	if err != nil {
		return nil, err
	}
	return sent.Lines, nil
}

// entries reads the float model and the DLC for what is put into it.
func entries(ctx context.Context, d *hold.Device, engine ort.Engine) (dump.Work, func(), error) {
	check := &d.Plan.Check
	x, err := session.Open(ctx, engine, session.Options{Command: "benchmark", Quantized: session.Twin, Name: check.Name, Model: check.Model, Input: check.Input, MemoryMiB: check.MemoryMiB, DLC: check.DLCRun}, nil, progress.Silent{}, d.Began())
	if err != nil {
		return dump.Work{}, nil, err
	}
	set, err := session.Samples(check.Images, check.Limit, x.Loader)
	if err != nil {
		return dump.Work{}, nil, err
	}
	c, err := dlcvariant.Open(x, variant.Spec{Name: plan.OnDevice, Kind: variant.Device, File: d.Plan.DLC})
	if err != nil {
		return dump.Work{}, nil, err
	}
	return dump.Work{Graph: c.Held.Graph, Inputs: c.Inputs, Samples: set, Loader: x.Loader}, func() { c.File.Close() }, nil
}

// ready brings a folder of raw files, with its inputs_raw.txt, as quantcheck raw and the seed's to_raw write it.
func ready(ctx context.Context, d *hold.Device) ([]string, error) {
	list, err := netrun.ReadInputList(filepath.Join(d.Plan.Data, "inputs_raw.txt"))
	if err != nil {
		return nil, usage.Mark(err)
	}
	f, err := inspect.OpenDLC(d.Plan.DLC)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	own := f.Graphs[0].At(dlc.Input)
	named := map[string]*dlc.Tensor{}
	for _, t := range own {
		named[t.Name] = t
	}
	folder := d.Plan.Name() + "-data"
	var lines []string
	var files []device.File
	inferences := list.Inferences
	if n := d.Plan.Profile; n > 0 && len(inferences) > n {
		inferences = inferences[:n]
		d.Plan.Note("%d of %d inputs are profiled", n, len(list.Inferences))
	}
	for i, line := range inferences {
		var items []string
		for _, item := range line.Items {
			in := named[item.Name]
			if item.Name == "" && len(own) == 1 {
				in = own[0]
			}
			local := filepath.Join(d.Plan.Data, filepath.Base(filepath.FromSlash(item.Path))) // wherever the list says: on a device, mostly
			info, err := os.Stat(local)
			switch {
			case err != nil:
				return nil, usage.Mark(fmt.Errorf("inputs_raw.txt, line %d: %w", line.Number, err))
			case in != nil && info.Size() != in.Bytes():
				return nil, usage.Mark(fmt.Errorf("%s has %d bytes; the DLC's input %s takes %d (%s %v): write it with quantcheck raw --model %s --type u8 or u16", local, info.Size(), in.Name, in.Bytes(), in.DType, in.Shape, d.Plan.DLC))
			}
			remote := folder + "/" + inputs.RemoteName(i, local, item.Name)
			files = append(files, device.FromDisk(local, d.Board.Path(remote)))
			if item.Name != "" {
				remote = item.Name + ":=" + remote
			}
			items = append(items, remote)
		}
		lines = append(lines, strings.Join(items, " "))
	}
	d.Progress.Phase("sending inputs", len(files))
	_, err = d.Board.Send(ctx, d.Plan.Keep, d.Board.Path(folder), files, d.Progress.Step)
	return lines, err
}
