package flow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/board"
	"quantcheck/internal/cost"
	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/metric"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
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
	slices.SortStableFunc(order, func(x, y int) int {
		switch {
		case t.PerSecond[x] < t.PerSecond[y]:
			return -1
		case t.PerSecond[x] > t.PerSecond[y]:
			return 1
		}
		return 0
	})
	b.done.Throughput = t
	return workspace.WriteFile(filepath.Join(b.folder.ModelDLC(b.spec.Check.Name), "throughput.txt"), texts[order[(len(order)-1)/2]])
}

// cycles profiles native inferences, keeps the outputs, and writes layer_stats.csv.
func (b *benchmark) cycles(ctx context.Context) error {
	lines, err := b.nativeInputs(ctx)
	if err != nil {
		return err
	}
	name := b.spec.Check.Name
	incoming := filepath.Join(b.dir, "outputs")
	b.Progress.Phase("profiling on the device", len(lines))
	results := b.board.Start(ctx, board.Run{
		Name: name + "-cycles", Lines: lines, Dir: incoming, Folders: b.outputFolders(),
		Args: func(list, output string) []string { return snpe.NativeCommand(b.model, list, output, b.spec.On) },
		Want: func(file string) bool { return strings.HasSuffix(file, ".raw") }, Size: b.outputSize,
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
	profile, err := b.diagnose(ctx, string(results.Log), b.board.Path(name+"-cycles.out"))
	if err != nil {
		return err
	}
	c := &result.DeviceCycles{Inferences: len(lines), Profile: b.spec.On.Profile}
	for _, l := range profile.Layers {
		row := result.LayerCycle{ID: l.ID, Name: l.Name, Mean: l.Mean, Share: l.Share, Unit: l.Unit}
		if !math.IsNaN(l.Std) {
			row.Std = metric.Defined(l.Std)
		}
		c.Layers = append(c.Layers, row)
	}
	for _, g := range profile.Globals {
		c.Globals = append(c.Globals, result.Statistic{Name: g.Name, Unit: g.Unit, Value: g.Value})
	}
	if err := b.expect(ctx, c); err != nil {
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
func (b *benchmark) entries(ctx context.Context) (DeviceWork, func(), error) {
	run, ref, loader, err := begin(ctx, "benchmark", b.Engines.ORT, b.spec.Check, b.began)
	if err != nil {
		return DeviceWork{}, nil, err
	}
	set, err := samples(b.spec.Check.Images, b.spec.Check.Limit, loader)
	if err != nil {
		return DeviceWork{}, nil, err
	}
	x := &build{ref: ref, spec: b.spec.Check, run: run}
	f, err := openContainer(b.spec.DLC)
	if err != nil {
		return DeviceWork{}, nil, err
	}
	c := &contained{file: f}
	if c.held, err = align.Contain(ref.aligned(), f); err == nil {
		c.inputs, err = x.entries(c)
	}
	if err != nil {
		f.Close()
		return DeviceWork{}, nil, usage(err)
	}
	return DeviceWork{Graph: c.held.Graph, Inputs: c.inputs, Samples: set, Loader: loader}, func() { f.Close() }, nil
}

// readyInputs brings a folder of raw files, with its inputs_raw.txt, as quantcheck raw and the seed's to_raw write it.
func (b *benchmark) readyInputs(ctx context.Context) ([]string, error) {
	list, err := readInputList(filepath.Join(b.spec.Data, "inputs_raw.txt"))
	if err != nil {
		return nil, usage(err)
	}
	f, err := openContainer(b.spec.DLC)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	inputs := f.Graphs[0].At(dlc.Input)
	sizes := map[string]int64{}
	for _, t := range inputs {
		sizes[t.Name] = t.Bytes()
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
			want, known := sizes[item.Name]
			if item.Name == "" && len(inputs) == 1 {
				want, known = inputs[0].Bytes(), true
			}
			local := filepath.Join(b.spec.Data, filepath.Base(filepath.FromSlash(item.Path))) // wherever the list says: on a device, mostly
			info, err := os.Stat(local)
			switch {
			case err != nil:
				return nil, usage(fmt.Errorf("inputs_raw.txt, line %d: %w", line.Number, err))
			case known && info.Size() != want:
				return nil, usage(fmt.Errorf("%s has %d bytes; the DLC's input %s takes %d (%s %v): write it with quantcheck raw --model %s --type u8 or u16", local, info.Size(), inputs[0].Name, want, inputs[0].DType, inputs[0].Shape, b.spec.DLC))
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

// outputSize is how many bytes an output has in its own type, −1 if that is not known.
func (b *benchmark) outputSize(file string) int64 {
	size := int64(-1)
	b.outputs(func(t *dlc.Tensor) {
		if strings.TrimLeft(t.Name, "/")+".raw" == file {
			size = t.Bytes()
		}
	})
	return size
}

func (b *benchmark) outputFolders() []string {
	g := &dlc.Graph{}
	b.outputs(func(t *dlc.Tensor) { g.Tensors = append(g.Tensors, *t) })
	return foldersOf(g)
}

// outputs looks at the DLC's outputs; one that cannot be read any more has none.
func (b *benchmark) outputs(see func(*dlc.Tensor)) {
	f, err := openContainer(b.spec.DLC)
	if err != nil {
		return
	}
	defer f.Close()
	for _, t := range f.Graphs[0].At(dlc.Output) {
		see(t)
	}
}

// replaceFolder puts a folder in the place of another.
func replaceFolder(from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	if err := os.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// expect puts the compiler's estimate of the very DLC beside its profile.
func (b *benchmark) expect(ctx context.Context, c *result.DeviceCycles) error {
	engine, err := b.Engines.HTP()
	if errors.Is(err, qnn.ErrUnavailable) {
		b.note("there is no estimate beside the cycles: the compiler is not installed (quantcheck doctor --install htp)")
		return nil
	}
	if err != nil {
		return err
	}
	soc, err := cost.Find("")
	if err != nil {
		return err
	}
	e := &estimator{engine: engine, soc: soc, progress: silent{}}
	x, err := e.container(ctx, b.spec.DLC)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		b.note("there is no estimate beside the cycles: %v", err)
		return nil
	}
	c.SoC, c.Estimated = x.SoC.Name, map[string]float64{}
	for _, l := range x.Layers {
		switch {
		case l.Kind == cost.Input:
			c.Estimated[snpe.InputRow] += l.Cycles
		case l.Kind == cost.Output:
			c.Estimated[snpe.OutputRow] += l.Cycles
		case l.Kind == cost.Operator && l.Name != "":
			c.Estimated[l.Name] += l.Cycles
		}
	}
	return nil
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
	_, err := InspectDLC(b.spec.DLC, func(v *inspect.View, f *dlc.File) error {
		_, err := WriteSeedFiles(dir, name, v, f, listing)
		return err
	})
	return err
}
