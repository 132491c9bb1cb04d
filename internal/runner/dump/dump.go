// Package dump replays inferences that were made elsewhere: folders of raw tensors as snpe-net-run writes them, one per
// sample, read with what a DLC says of types, shapes and encodings. They lie there already, or arrive from a device.
//
//  1. Open looks through the folder: Result_0, Result_1, … below it or below its folder "output", or one sample's files. A
//     device is another Source.
//  2. New says which tensor stands for which layer, and in which order of axes.
//  3. Start gives a sample's tensors, in the model's own order of axes, as float32.
package dump

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/tensor"
)

// Folder is a folder of results.
type Folder struct {
	Path    string
	results []string // by sample
}

// Open finds the results in a folder.
func Open(path string) (*Folder, error) {
	for _, dir := range []string{path, filepath.Join(path, "output")} {
		list, err := results(dir)
		if err != nil {
			if dir != path && errors.Is(err, fs.ErrNotExist) {
				break
			}
			return nil, err
		}
		if len(list) > 0 {
			return &Folder{path, list}, nil
		}
	}
	files, err := rawFiles(path)
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s holds no results: neither folders Result_0, Result_1, … nor .raw files; snpe-net-run --debug writes them", path)
	}
	return &Folder{path, []string{path}}, nil
}

// results lists Result_0, Result_1 and so on; one that is missing is "".
func results(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "Result_")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 0 || n > 1e6 || !e.IsDir() {
			continue
		}
		for len(list) <= n {
			list = append(list, "")
		}
		list[n] = filepath.Join(dir, e.Name())
	}
	return list, nil
}

// rawFiles lists the .raw files below a folder, by their path without the ending.
func rawFiles(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.HasSuffix(path, ".raw") {
			return err
		}
		name, err := filepath.Rel(dir, strings.TrimSuffix(path, ".raw"))
		files[filepath.ToSlash(name)] = path
		return err
	})
	return files, err
}

// Samples is for how many samples there is a place.
func (f *Folder) Samples() int { return len(f.results) }

// Source gives results by sample.
type Source interface {
	// Result gives the folder of a sample's files, and waits for it if it is on its way. done is called when they have been read.
	Result(ctx context.Context, number int) (dir string, done func(), err error)
}

// Result implements Source.
func (f *Folder) Result(_ context.Context, number int) (dir string, done func(), err error) {
	if number >= len(f.results) || f.results[number] == "" {
		return "", nil, fmt.Errorf("%w: %s has no Result_%d", runner.ErrSample, f.Path, number)
	}
	return f.results[number], func() {}, nil
}

// Runner is a runner.Runner that replays results.
type Runner struct {
	source Source
	groups [][]align.Tap
}

// New makes a runner that gives the taps in groups, one per segment.
func New(s Source, groups [][]align.Tap) *Runner { return &Runner{s, groups} }

// Segments implements runner.Runner.
func (r *Runner) Segments() [][]string {
	names := make([][]string, len(r.groups))
	for k, group := range r.groups {
		for _, t := range group {
			names[k] = append(names[k], t.Name)
		}
	}
	return names
}

// Start implements runner.Runner: it begins to read the results of the sample with this number.
func (r *Runner) Start(s runner.Sample) runner.Inference { return &inference{r: r, number: s.Number} }

// Close implements runner.Runner; the source is its owner's.
func (r *Runner) Close() {}

type inference struct {
	r      *Runner
	number int
	next   int
	files  map[string]string // by name
	clean  map[string][]string
	done   func() // gives the files back
}

// Close implements runner.Inference.
func (f *inference) Close() {
	if f.done != nil {
		f.done()
	}
}

// Next implements runner.Inference: it reads the next group's files. A file that is missing or of a wrong size is that
// tap's problem.
func (f *inference) Next(ctx context.Context) (*runner.Batch, error) {
	if f.files == nil {
		dir, done, err := f.r.source.Result(ctx, f.number)
		if err != nil {
			return nil, err
		}
		f.done = done
		files, err := rawFiles(dir)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", runner.ErrSample, err)
		}
		f.files, f.clean = files, map[string][]string{}
		for name := range files {
			key := align.Clean(name)
			f.clean[key] = append(f.clean[key], name)
		}
	}
	group := f.r.groups[f.next]
	f.next++
	var taps []runner.Tap
	for _, t := range group {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tap := runner.Tap{Name: t.Name}
		got, err := f.read(t)
		if err != nil {
			tap.Problem = err.Error()
		} else {
			tap.Tensor = got
		}
		taps = append(taps, tap)
	}
	return runner.NewBatch(taps, nil), nil
}

// file finds a tensor's file: under its own name, where '/' makes folders, or under the name that the seed gives it.
func (f *inference) file(name string) (string, error) {
	if path, ok := f.files[strings.TrimLeft(name, "/")]; ok {
		return path, nil
	}
	switch list := f.clean[align.Clean(name)]; len(list) {
	case 0:
		return "", fmt.Errorf("there is no file of it (%s.raw)", name)
	case 1:
		return f.files[list[0]], nil
	default:
		slices.Sort(list)
		return "", fmt.Errorf("the files %s.raw and %s.raw could both be it", list[0], list[1])
	}
}

func (f *inference) read(t align.Tap) (tensor.Tensor, error) {
	path, err := f.file(t.Tensor.Name)
	if err != nil {
		return tensor.Tensor{}, err
	}
	count, err := tensor.Count(t.Shape)
	if err != nil || int64(count) != t.Tensor.Elements() {
		return tensor.Tensor{}, fmt.Errorf("the DLC has the shape %v, the float model %v", t.Tensor.Shape, t.Shape)
	}
	info, err := os.Stat(path)
	if err != nil {
		return tensor.Tensor{}, err
	}
	native := t.Tensor.Bytes()
	if info.Size() != int64(count)*4 && info.Size() != native {
		return tensor.Tensor{}, fmt.Errorf("%s has %d bytes; as float32 it would have %d, as %s %d", filepath.Base(path), info.Size(), count*4, t.Tensor.DType, native)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return tensor.Tensor{}, err
	}
	if len(data) != int(info.Size()) {
		return tensor.Tensor{}, fmt.Errorf("%s is being written", filepath.Base(path))
	}
	got, err := Values(t.Tensor, count, data)
	if err != nil {
		return tensor.Tensor{}, err
	}
	return t.Layout.Undo(got, t.Shape), nil
}

// Values reads a tensor's values, as float32 of the DLC's order of axes: from float32, or from the DLC's own type with its
// encoding, real = scale · (q + offset). The length says which; for 4-byte types that are quantized it is float32.
func Values(t *dlc.Tensor, count int, data []byte) (tensor.Tensor, error) {
	_, known := qnnworker.Stored(t.DType)
	if !known || len(data) == 4*count && (t.DType.Quantized() || t.DType.Bits() != 32) {
		return tensor.FromLittleEndian(tensor.Float32, []int64{int64(count)}, data)
	}
	return qnnworker.Decode(t, data)
}
