package benchmark

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/estimate"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/inspect"
	"quantcheck/internal/netrun"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/seedfiles"
	"quantcheck/internal/session"
	"quantcheck/internal/session/dlcvariant"
	"quantcheck/internal/snpe"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

// throughput measures how many inferences the device makes in a second. The file holds what the median repeat printed.
func (b *benchmark) throughput(ctx context.Context) error {
	t := &result.DeviceThroughput{Runtime: b.spec.On.Runtime, Profile: b.spec.On.Profile, Duration: b.spec.Seconds}
	var texts [][]byte
	b.Progress.Phase("measuring throughput", b.spec.Repeats)
	for i := range b.spec.Repeats {
		text, rate, err := b.board.Throughput(ctx, b.model, b.spec.Seconds)
		if err != nil {
			return err
		}
		t.PerSecond, texts = append(t.PerSecond, rate), append(texts, text)
		b.Progress.Step(i + 1)
	}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(t.PerSecond[x], t.PerSecond[y]) })
	b.done.Throughput = t
	return workspace.WriteFile(filepath.Join(b.folder.ModelDLC(b.spec.Check.Name), "throughput.txt"), texts[order[(len(order)-1)/2]])
}

// cycles profiles native inferences, keeps the outputs, and writes layer_stats.csv.
func (b *benchmark) cycles(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	estimate := b.estimating(ctx)
	lines, err := b.nativeInputs(ctx)
	if err != nil {
		return err
	}
	outputs, err := b.outputs()
	if err != nil {
		return err
	}
	name := b.spec.Check.Name
	incoming := filepath.Join(b.dir, "outputs")
	b.Progress.Phase("profiling on the device", len(lines))
	results := b.board.Start(ctx, snpedevice.Run{
		Name: name + "-cycles", Lines: lines, Dir: incoming, Folders: foldersOf(outputs), Arrived: b.Progress.Step,
		Args: func(list, output string) []string { return snpe.NativeCommand(b.model, list, output, b.spec.On) },
		Want: func(file string) bool { return strings.HasSuffix(file, ".raw") }, Size: nativeSizes(outputs),
	})
	defer results.Close()
	if err := results.Wait(); err != nil {
		return err
	}
	b.notes = append(b.notes, results.Notes...)
	if v, ok := snpe.Version(results.Text); ok {
		b.done.SNPE = v
	}
	if err := replaceFolder(incoming, b.folder.RawOutputs(name)); err != nil {
		return err
	}
	profile, err := b.diagnose(ctx, results.Log, b.board.Path(name+"-cycles.out"))
	if err != nil {
		return err
	}
	c := &result.DeviceCycles{Inferences: len(lines), Profile: b.spec.On.Profile, Layers: workspace.LayerCycles(profile.Layers)}
	for _, g := range profile.Globals {
		c.Globals = append(c.Globals, result.Statistic{Name: g.Name, Unit: g.Unit, Value: g.Value})
	}
	if err := b.expect(ctx, c, estimate); err != nil {
		return err
	}
	b.done.Cycles = c
	return workspace.WriteFile(filepath.Join(b.folder.ModelDLC(name), "layer_stats.csv"), snpe.WriteLayerStats(profile.Layers))
}

// diagnose makes a profile of the log on the device, or here if the device has no snpe-diagview.
func (b *benchmark) diagnose(ctx context.Context, log, folder string) (*snpe.Profile, error) {
	if log == "" {
		return nil, fmt.Errorf("%s left no SNPEDiag.log; is profiling switched off on the device?", snpe.NetRunTool)
	}
	csv, err := b.board.Diagnose(ctx, folder+"/"+log, folder+"/layers.csv")
	if errors.Is(err, device.ErrToolMissing) {
		here := filepath.Join(b.dir, "SNPEDiag.log")
		if e := device.PullFile(ctx, b.device, folder+"/"+log, here); e != nil {
			return nil, e
		}
		if _, e := b.HostTool(ctx, b.dir, snpe.DiagViewCommand("SNPEDiag.log", "layers.csv")); e != nil {
			kept := filepath.Join(b.folder.ModelDLC(b.spec.Check.Name), "SNPEDiag.log")
			return nil, errors.Join(fmt.Errorf("%s is neither on the device nor on this machine (%w); the profile is kept as %s", snpe.DiagViewTool, e, kept), copyFile(here, kept))
		}
		b.note("%s ran on this machine, since the device does not have it", snpe.DiagViewTool)
		csv, err = os.ReadFile(filepath.Join(b.dir, "layers.csv"))
	}
	if err != nil {
		return nil, err
	}
	return snpe.ReadProfile(csv)
}

// nativeInputs brings inputs in the DLC's own types to the device.
func (b *benchmark) nativeInputs(ctx context.Context) ([]string, error) {
	if b.spec.Data != "" {
		return b.readyInputs(ctx)
	}
	work, closed, err := b.entries(ctx)
	if err != nil {
		return nil, err
	}
	defer closed()
	sources := work.Samples.Sources
	if n := b.spec.Profile; n > 0 && len(sources) > n {
		few := *work.Samples
		few.Sources = sources[:n]
		work.Samples = &few
		b.note("%d of %d images are profiled", n, len(sources))
	}
	sent, err := b.sendSamples(ctx, work, b.spec.Check.Name+"-native", nativeOf)
	if err != nil {
		return nil, err
	}
	return sent.lines, nil
}

// entries reads the float model and the DLC for what is put into it.
func (b *benchmark) entries(ctx context.Context) (dump.Work, func(), error) {
	check := &b.spec.Check
	x, err := session.Open(ctx, b.Engines.ORT, session.Options{Command: "benchmark", Name: check.Name, Model: check.Model, Input: check.Input, MemoryMiB: check.MemoryMiB, DLC: check.DLCRun}, nil, progress.Silent{}, b.began)
	if err != nil {
		return dump.Work{}, nil, err
	}
	set, err := session.Samples(check.Images, check.Limit, x.Loader)
	if err != nil {
		return dump.Work{}, nil, err
	}
	c, err := dlcvariant.Open(x, variant.Spec{Name: onDevice, Kind: variant.Device, File: b.spec.DLC})
	if err != nil {
		return dump.Work{}, nil, err
	}
	return dump.Work{Graph: c.Held.Graph, Inputs: c.Inputs, Samples: set, Loader: x.Loader}, func() { c.File.Close() }, nil
}

// readyInputs brings a folder of raw files, with its inputs_raw.txt, as quantcheck raw and the seed's to_raw write it.
func (b *benchmark) readyInputs(ctx context.Context) ([]string, error) {
	list, err := netrun.ReadInputList(filepath.Join(b.spec.Data, "inputs_raw.txt"))
	if err != nil {
		return nil, usage.Mark(err)
	}
	f, err := inspect.OpenDLC(b.spec.DLC)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	inputs := f.Graphs[0].At(dlc.Input)
	named := map[string]*dlc.Tensor{}
	for _, t := range inputs {
		named[t.Name] = t
	}
	folder := b.spec.Check.Name + "-data"
	var lines []string
	var files []device.File
	inferences := list.Inferences
	if n := b.spec.Profile; n > 0 && len(inferences) > n {
		inferences = inferences[:n]
		b.note("%d of %d inputs are profiled", n, len(list.Inferences))
	}
	for i, line := range inferences {
		var items []string
		for _, item := range line.Items {
			in := named[item.Name]
			if item.Name == "" && len(inputs) == 1 {
				in = inputs[0]
			}
			local := filepath.Join(b.spec.Data, filepath.Base(filepath.FromSlash(item.Path))) // wherever the list says: on a device, mostly
			info, err := os.Stat(local)
			switch {
			case err != nil:
				return nil, usage.Mark(fmt.Errorf("inputs_raw.txt, line %d: %w", line.Number, err))
			case in != nil && info.Size() != in.Bytes():
				return nil, usage.Mark(fmt.Errorf("%s has %d bytes; the DLC's input %s takes %d (%s %v): write it with quantcheck raw --model %s --type u8 or u16", local, info.Size(), in.Name, in.Bytes(), in.DType, in.Shape, b.spec.DLC))
			}
			remote := folder + "/" + remoteName(i, local, item.Name)
			files = append(files, device.FromDisk(local, b.board.Path(remote)))
			if item.Name != "" {
				remote = item.Name + ":=" + remote
			}
			items = append(items, remote)
		}
		lines = append(lines, strings.Join(items, " "))
	}
	b.Progress.Phase("sending inputs", len(files))
	_, err = b.board.Send(ctx, b.spec.Keep, b.board.Path(folder), files, b.Progress.Step)
	return lines, err
}

// outputs are the DLC's.
func (b *benchmark) outputs() ([]dlc.Tensor, error) {
	f, err := inspect.OpenDLC(b.spec.DLC)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var list []dlc.Tensor
	for _, t := range f.Graphs[0].At(dlc.Output) {
		list = append(list, *t)
	}
	return list, nil
}

// nativeSizes says how many bytes a tensor's file has in its own type, −1 of others.
func nativeSizes(tensors []dlc.Tensor) func(file string) int64 {
	sizes := map[string]int64{}
	for _, t := range tensors {
		sizes[strings.TrimLeft(t.Name, "/")+".raw"] = t.Bytes()
	}
	return func(file string) int64 {
		if size, ok := sizes[file]; ok {
			return size
		}
		return -1
	}
}

// replaceFolder puts a folder in the place of another. If there is none, nothing is there afterwards.
func replaceFolder(from, to string) error {
	if _, err := os.Stat(from); errors.Is(err, fs.ErrNotExist) {
		return os.RemoveAll(to)
	}
	return atomicfile.ReplaceFolder(from, to)
}

// estimating estimates the DLC while the device works.
func (b *benchmark) estimating(ctx context.Context) (wait func() (*result.Estimated, error)) {
	type answer struct {
		x   *result.Estimated
		err error
	}
	made := make(chan answer, 1)
	go func() {
		x, err := b.estimated(ctx)
		made <- answer{x, err}
	}()
	return func() (*result.Estimated, error) {
		a := <-made
		return a.x, a.err
	}
}

// expect puts the compiler's estimate of the very DLC beside its profile.
func (b *benchmark) expect(ctx context.Context, c *result.DeviceCycles, estimate func() (*result.Estimated, error)) error {
	x, err := estimate()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, qnn.ErrUnavailable):
		b.note("there is no estimate beside the cycles: the compiler is not installed (quantcheck doctor --install htp)")
		return nil
	case err != nil:
		b.note("there is no estimate beside the cycles: %v", err)
		return nil
	}
	c.SoC, c.Estimated = x.SoC.Name, map[string]float64{}
	for _, l := range x.Layers {
		switch {
		case l.Kind == htpcost.Input:
			c.Estimated[snpe.InputRow] += l.Cycles
		case l.Kind == htpcost.Output:
			c.Estimated[snpe.OutputRow] += l.Cycles
		case l.Kind == htpcost.Operator && l.Name != "":
			c.Estimated[l.Name] += l.Cycles
		}
	}
	return nil
}

// estimated is the estimate of the DLC: the comparison's, if it was just made.
func (b *benchmark) estimated(ctx context.Context) (*result.Estimated, error) {
	if b.run != nil {
		for _, v := range b.run.Variants {
			if v.Spec.File == b.spec.DLC && v.Estimated != nil {
				return v.Estimated, nil
			}
		}
	}
	engine, err := b.Engines.HTP()
	if err != nil {
		return nil, err
	}
	soc, err := htpcost.Find("")
	if err != nil {
		return nil, err
	}
	return (&estimate.Estimator{Engine: engine, Soc: soc, Progress: progress.Silent{}}).Container(ctx, b.spec.DLC)
}

// info writes what the DLC says of itself: the device's own listing where it has the tool, else ours.
func (b *benchmark) info(ctx context.Context) error {
	name := b.spec.Check.Name
	dir := b.folder.ModelDLC(name)
	var listing []byte
	if b.board != nil {
		var err error
		listing, err = b.board.Listing(ctx, b.model)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && !errors.Is(err, device.ErrToolMissing) {
			b.note("the listing is ours: %v", err)
		}
		if err != nil {
			listing = nil
		}
	}
	_, err := inspect.ViewDLC(b.spec.DLC, func(v *inspect.View, f *dlc.File) error {
		_, err := seedfiles.WriteSeedFiles(dir, name, v, f, listing)
		return err
	})
	return err
}
