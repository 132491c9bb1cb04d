package benchmark

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/atomicfile"
	"quantcheck/internal/compare"
	"quantcheck/internal/dataset"
	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/snpe"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

// The names of the variants that a benchmark adds.
const (
	onDevice   = "device"
	onEmulator = "emulated"
)

// resultsHeld is how many results wait here to be compared; more wait on the device.
const resultsHeld = 2

// layers compares every layer with the float model, and with whatever else was asked for, while the device computes.
func (b *benchmark) layers(ctx context.Context) error {
	spec := b.spec.Check
	spec.Variants = slices.Clone(spec.Variants)
	if b.spec.Emulate {
		if _, err := b.Engines.HTP(); errors.Is(err, qnn.ErrUnavailable) {
			b.note("the device is not held against the emulator, which is not installed: quantcheck doctor --install htp brings it")
		} else if err != nil {
			return err
		} else {
			spec.Variants = append(spec.Variants, onEmulator+"="+b.spec.DLC+"@htp")
		}
	}
	spec.Variants = append(spec.Variants, fmt.Sprintf("%s=device:%s@%s", onDevice, b.spec.Target, b.spec.DLC))
	engines := b.Engines
	var results *snpedevice.Results
	engines.Device = func(ctx context.Context, work dump.Work) (dump.Source, error) {
		source, err := b.start(ctx, work)
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
	stage := workspace.NewStage(b.folder, spec)
	stage.OnDevice = onDevice
	defer stage.Discard()
	run, err := compare.Run(ctx, engines, spec, b.Progress, stage, nil)
	if err != nil {
		return err
	}
	if err := results.Wait(); err != nil {
		return err
	}
	run.Command = "benchmark"
	b.notes = append(b.notes, results.Notes...)
	run.Warnings = append(run.Warnings, b.notes...)
	if v, ok := snpe.Version(results.Text); ok {
		b.done.SNPE = v
	}
	if err := b.file(run); err != nil {
		return err
	}
	if err := b.Keep(run, stage); err != nil {
		return err
	}
	b.run = run
	return nil
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
func (b *benchmark) start(ctx context.Context, work dump.Work) (*arriving, error) {
	sent, err := b.sendSamples(ctx, work, b.spec.Check.Name, floatsOf)
	if err != nil {
		return nil, err
	}
	chunk, err := b.chunk(ctx, work.Graph, len(sent.lines))
	if err != nil {
		return nil, err
	}
	files := newTapFiles(work.Taps)
	b.Progress.Phase("running on the device", len(sent.lines))
	results := b.board.Start(ctx, snpedevice.Run{
		Name: b.spec.Check.Name + "-layers", Lines: sent.lines, Chunk: chunk, Dir: filepath.Join(b.dir, "layers"), Hold: resultsHeld,
		Args: func(list, output string) []string { return snpe.LayersCommand(b.model, list, output, b.spec.On) },
		Want: files.takes, Size: files.size, Folders: foldersOf(work.Graph.Tensors),
	})
	return &arriving{results, sent.line}, nil
}

// encoder turns a sample's values, in the DLC's order of axes, into a raw file.
type encoder func(t *dlc.Tensor, x tensor.Tensor) ([]byte, error)

// floatsOf is what snpe-net-run takes with --userbuffer_float.
func floatsOf(t *dlc.Tensor, x tensor.Tensor) ([]byte, error) {
	values, ok := x.AsFloat32()
	if !ok || int64(len(values)) != t.Elements() {
		return nil, fmt.Errorf("%d numbers of type %s for the input %s %v", x.Len(), x.DType, t.Name, t.Shape)
	}
	return tensor.Floats(values).LittleEndian(), nil
}

// sentSamples are the samples on the device.
type sentSamples struct {
	lines []string // of the input list, relative to the base
	line  []int    // sample → line, −1: it could not be read
}

// sendSamples writes the samples as raw files, data_raw/<name> as the seed has it, and brings them to a folder of that name.
func (b *benchmark) sendSamples(ctx context.Context, work dump.Work, name string, encode encoder) (*sentSamples, error) {
	local := b.folder.RawInputs(name)
	s := &sentSamples{}
	var files []device.File
	var written atomicfile.Batch
	defer written.Discard()
	b.Progress.Phase("preparing inputs", len(work.Samples.Sources))
	for i, source := range work.Samples.Sources {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sample, err := work.Loader.Load(source)
		if err != nil { // the comparison says so too, and goes on without it
			s.line = append(s.line, -1)
			continue
		}
		items, pushed, err := b.rawOf(&written, i, source.Name, sample, work.Inputs, encode, name)
		if err != nil {
			return nil, fmt.Errorf("sample %s: %w", source.Name, err)
		}
		s.line = append(s.line, len(s.lines))
		s.lines, files = append(s.lines, strings.Join(items, " ")), append(files, pushed...)
		b.Progress.Step(i + 1)
	}
	if len(s.lines) == 0 {
		return nil, errors.New("none of the samples could be read")
	}
	list := strings.Join(s.lines, "\n") + "\n"
	if err := written.WriteBytes(filepath.Join(local, "inputs_raw.txt"), []byte(list)); err != nil {
		return nil, err
	}
	if err := written.Commit(); err != nil {
		return nil, err
	}
	b.Progress.Phase("sending inputs", len(files))
	_, err := b.board.Send(ctx, b.spec.Keep, b.board.Path(name), files, b.Progress.Step)
	return s, err
}

// rawOf adds one sample's files to those that are written, and gives its line of the input list.
func (b *benchmark) rawOf(written *atomicfile.Batch, number int, source string, sample *dataset.Sample, inputs []align.Tap, encode encoder, name string) (items []string, files []device.File, err error) {
	local := b.folder.RawInputs(name)
	for _, in := range inputs {
		x, ok := sample.Inputs[in.Name]
		if !ok {
			return nil, nil, fmt.Errorf("it has no input %q", in.Name)
		}
		data, err := encode(in.Tensor, in.Layout.Do(x))
		if err != nil {
			return nil, nil, err
		}
		input := ""
		if len(inputs) > 1 {
			input = in.Tensor.Name
			if strings.ContainsAny(input, " \t\r\n") {
				return nil, nil, fmt.Errorf("an input list cannot name the input %q, whose name has blanks", input)
			}
		}
		own := remoteName(number, source, input)
		path := filepath.Join(local, own)
		if err := written.WriteBytes(path, data); err != nil {
			return nil, nil, err
		}
		item := name + "/" + own
		files = append(files, device.FromDisk(path, b.board.Path(item)))
		if input != "" {
			item = input + ":=" + item
		}
		items = append(items, item)
	}
	return items, files, nil
}

// diskShare is how much of the device's free space results may take, and mostResults how much in any case.
const (
	diskShare   = 0.5
	mostResults = 4 << 30
)

// chunk is how many inferences one start of the tool may make, so that all their layers fit the device's disk.
func (b *benchmark) chunk(ctx context.Context, g *dlc.Graph, inferences int) (int, error) {
	free, err := b.board.Free(ctx)
	if err != nil {
		return 0, err
	}
	one := int64(0)
	for _, t := range g.Tensors {
		if t.Location != dlc.Static && t.Location != dlc.Input {
			one += 4 * t.Elements()
		}
	}
	room := min(int64(diskShare*float64(free)), mostResults)
	if one > int64(float64(free)*0.9) {
		return 0, fmt.Errorf("%w: one result takes %d MiB, %d MiB are free at %s; make room or give another folder with --device-dir", device.ErrDiskFull, one>>20, free>>20, b.spec.Base)
	}
	chunk := int(max(1, min(room/max(one, 1), int64(inferences))))
	if chunk < inferences {
		b.note("the layers of one image take %d MiB: %d images at a time, so that the device's disk holds them", one>>20, chunk)
	}
	return chunk, nil
}

// tapFiles are the files of a result that hold a tensor that is wanted.
type tapFiles struct {
	exact, clean map[string]*dlc.Tensor
}

func newTapFiles(taps []align.Tap) tapFiles {
	w := tapFiles{map[string]*dlc.Tensor{}, map[string]*dlc.Tensor{}}
	for _, t := range taps {
		w.exact[strings.TrimLeft(t.Tensor.Name, "/")] = t.Tensor
		w.clean[align.Clean(t.Tensor.Name)] = t.Tensor
	}
	return w
}

func (w tapFiles) find(file string) *dlc.Tensor {
	name, ok := strings.CutSuffix(file, ".raw")
	if !ok {
		return nil
	}
	if t := w.exact[name]; t != nil {
		return t
	}
	return w.clean[align.Clean(name)]
}

func (w tapFiles) takes(file string) bool { return w.find(file) != nil }

// size is that of float32, −1 for integers, which tools write in their own width.
func (w tapFiles) size(file string) int64 {
	t := w.find(file)
	if t == nil || !t.DType.Quantized() && t.DType.Bits() != 32 && t.DType.Bits() != 16 {
		return -1
	}
	return 4 * t.Elements()
}

// foldersOf lists the folders that a result's files need.
func foldersOf(tensors []dlc.Tensor) []string {
	set := map[string]bool{}
	for _, t := range tensors {
		if dir := path.Dir(strings.TrimLeft(t.Name, "/")); dir != "." && !strings.Contains(dir, "..") {
			set[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// file puts the comparison into the benchmark, and writes the seed's similarity.csv and the float model's copy.
func (b *benchmark) file(run *result.Run) error {
	at := slices.IndexFunc(run.Variants, func(v result.Variant) bool { return v.Spec.Kind == variant.Device })
	if at < 0 {
		return errors.New("the comparison has no device")
	}
	v := &run.Variants[at]
	view, err := inspect.ViewDLC(b.spec.DLC, nil)
	if err != nil {
		return err
	}
	maker := inspect.Makers(view)
	d := &result.DeviceLayers{Images: len(run.Samples), Variant: v.Spec.Name, Under: run.Spec.DivergeUnder}
	if v.Counterpart >= 0 {
		d.Against = run.Variants[v.Counterpart].Spec.Name
	}
	if v.FirstMismatchLayer >= 0 {
		d.Parts = run.Layers[v.FirstMismatchLayer].Name
	}
	alone := simulated(run, v)
	if alone != nil {
		d.From = alone.Spec.Name
	}
	for k, l := range run.Layers {
		got := &v.Layers[k]
		if !got.HasMetrics() {
			continue
		}
		row := result.DeviceLayer{Name: l.Name, Op: l.Op, Tensor: got.Tap, Node: maker[got.Tap], SQNR: got.Summary[metric.SQNR].Mean, CosSim: got.Summary[metric.CosSim].Mean}
		if got.EmulationError != nil {
			row.Apart, row.TwinSQNR = got.EmulationError.FractionOverOneStep, got.EmulationError.Summary[metric.SQNR].Mean
		}
		if alone != nil && alone.Layers[k].Local != nil {
			row.Share = metric.Defined(alone.Layers[k].Local.Share)
		}
		d.Rows = append(d.Rows, row)
	}
	b.done.Layers = d
	return b.seedModel(run)
}

// simulated is the variant whose layers were computed alone and that stands for the DLC: of its recipe, or any.
func simulated(run *result.Run, device *result.Variant) *result.Variant {
	has := func(v *result.Variant) bool {
		return slices.ContainsFunc(v.Layers, func(l result.LayerResult) bool { return l.Local != nil })
	}
	if device.Counterpart >= 0 {
		if t := &run.Variants[device.Counterpart]; has(t) {
			return t
		} else if t.Counterpart >= 0 && has(&run.Variants[t.Counterpart]) {
			return &run.Variants[t.Counterpart]
		}
	}
	for i := range run.Variants {
		if has(&run.Variants[i]) {
			return &run.Variants[i]
		}
	}
	return nil
}

// seedModel copies the float model, as it is and with every layer put out.
func (b *benchmark) seedModel(run *result.Run) error {
	name := b.spec.Check.Name
	dir := b.folder.ModelONNX(name, "")
	if err := copyFile(b.spec.Check.Model, filepath.Join(dir, name+".onnx")); err != nil {
		return err
	}
	m, err := onnx.Load(b.spec.Check.Model)
	if err != nil {
		return err
	}
	own := m.Outputs()
	g := onnx.Rebuild(m, m.Graph().GetNode())
	g.Graph().Output = slices.Clone(g.Graph().GetOutput())
	made := onnx.NewIndex(m).Producer
	for _, l := range run.Layers {
		if _, here := made[l.Name]; here && !slices.Contains(own, l.Name) {
			g.Graph().Output = append(g.Graph().GetOutput(), onnx.Untyped(l.Name))
		}
	}
	return onnx.Save(g, filepath.Join(dir, name+"-all-layers.onnx"))
}

// nativeOf is what snpe-net-run takes with --use_native_input_files.
func nativeOf(t *dlc.Tensor, x tensor.Tensor) ([]byte, error) { return qnnworker.Encode(t, x) }
