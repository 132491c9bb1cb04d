// Package netrun is the use case of quantcheck net-run: a DLC runs on the HTP emulator on the files of an input list, as snpe-net-run does on a
// board.
package netrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dlc"
	"quantcheck/internal/qnn"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/snpe"
	"quantcheck/internal/usage"
)

// Spec is what net-run is asked for.
type Spec struct {
	Container string
	InputList string // a file as snpe-net-run takes it; paths in it are relative to the working folder
	OutputDir string
	Debug     bool     // every layer is written
	Outputs   []string // tensors that are written in place of the graph's outputs; nil: those
	Only      []string // tensors and layers that are written besides
	// Input and Output say of which type the numbers in files are.
	Input, Output FileType
	SoC           int
	AnyVersion    bool
}

// Ran is what net-run did.
type Ran struct {
	Container string         `json:"container"`
	Format    string         `json:"format,omitempty"` // "" if our reader does not understand the file
	Graph     string         `json:"graph"`
	Wheel     string         `json:"onnxruntime_qnn"`
	Core      [3]int         `json:"core_api"`
	SoC       int            `json:"soc_model"`
	Half      bool           `json:"half_precision"` // a float DLC, which the HTP computes in fp16
	Inputs    []RanTensor    `json:"inputs"`
	Outputs   []RanTensor    `json:"outputs"`
	Results   []RanInference `json:"results"`
	Notes     []string       `json:"notes"`
	Opening   float64        `json:"open_seconds"` // start of the worker and building the graph, once
	Seconds   float64        `json:"seconds"`
}

// RanTensor is an input, or a tensor that is written.
type RanTensor struct {
	Name     string       `json:"name"`     // the DLC's
	Reported string       `json:"reported"` // as Qualcomm's composer spells it
	Type     string       `json:"type"`
	Shape    []int        `json:"shape"`
	Encoding *RanEncoding `json:"encoding,omitempty"`
	File     string       `json:"file,omitempty"` // of an output, below the result's folder
	FileType string       `json:"file_type"`
}

// RanEncoding maps integers to real numbers: real = scale · (q + offset), one of each or one per channel along the axis.
type RanEncoding struct {
	Bits   int       `json:"bits"`
	Axis   int       `json:"axis"` // −1: one
	Scale  []float32 `json:"scale"`
	Offset []int32   `json:"offset"`
}

// RanInference is one inference.
type RanInference struct {
	Folder  string            `json:"folder"`
	Inputs  map[string]string `json:"inputs"`
	Seconds float64           `json:"seconds"` // on the emulator
	Written float64           `json:"write_seconds"`
}

// Watcher is told how far net-run has come.
type Watcher interface {
	Opened(*Ran)
	Begins(files []string)
}

// PartlyError means that a run ended before all inferences were made; the results of the first ones are written.
type PartlyError struct {
	Done int
	Err  error
}

func (e *PartlyError) Error() string { return e.Err.Error() }
func (e *PartlyError) Unwrap() error { return e.Err }

// netRun is one run of a DLC on files.
type netRun struct {
	spec    Spec
	r       *qnnworker.Runner
	run     *Ran
	inputs  []qnnworker.Tensor
	outputs []output
	pending <-chan error // of the files of the inference before, nil: none
	done    int          // inferences whose files are in their places
}

// Run runs a DLC on the HTP emulator, as snpe-net-run does on a board.
//
//  1. The input list and the names of outputs are read; what is wrong with them is said before anything starts.
//  2. One worker opens the graph; all input files are looked at.
//  3. Each line is an inference, whose outputs are written, each file whole.
func Run(ctx context.Context, emulator func() (qnn.Kit, error), spec Spec, watch Watcher) (*Ran, error) {
	started := time.Now()
	list, err := ReadInputList(spec.InputList)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if info, err := os.Stat(spec.OutputDir); err == nil && !info.IsDir() {
		return nil, usage.Mark(fmt.Errorf("%s is no folder", spec.OutputDir))
	}
	n := &netRun{spec: spec, run: &Ran{Container: spec.Container, Wheel: qnn.Version, SoC: spec.SoC, Inputs: []RanTensor{}, Outputs: []RanTensor{}, Results: []RanInference{}, Notes: []string{}}}
	wanted, err := n.wanted(list)
	if err != nil {
		return nil, err
	}
	kit, err := emulator()
	if err != nil {
		return nil, err
	}
	n.r, err = qnnworker.New(ctx, qnnworker.Engine{Kit: kit, SoC: spec.SoC, AnyVersion: spec.AnyVersion}, spec.Container, qnnworker.Options{All: spec.Debug, Expose: slices.Concat(wanted.instead, wanted.besides)})
	if err != nil {
		return nil, qnnworker.Opening(ctx, err)
	}
	defer n.r.Close()
	n.run.Opening = time.Since(started).Seconds()
	if err := n.describe(wanted); err != nil {
		return nil, err
	}
	files, err := n.files(list)
	if err != nil {
		return nil, usage.Mark(err)
	}
	watch.Opened(n.run)
	for i, line := range files {
		if err = n.infer(ctx, i, line, watch); err != nil {
			break
		}
	}
	if e := n.committed(); err == nil {
		err = e
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if err != nil {
		return n.run, &PartlyError{n.done, err}
	}
	n.run.Seconds = time.Since(started).Seconds()
	return n.run, nil
}

const inputListMost = 64 << 20

// ReadInputList reads a list of input files as snpe-net-run takes it.
func ReadInputList(path string) (*snpe.InputList, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, inputListMost+1))
	if err == nil && len(data) > inputListMost {
		err = errors.New("too large for a list of inputs")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	list, err := snpe.ReadInputList(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

// describe says what was opened and which tensors are written where.
func (n *netRun) describe(w wanted) error {
	n.run.Graph, n.run.Core, n.inputs = n.r.Name(), n.r.Core(), n.r.Inputs()
	n.run.Notes = append(n.run.Notes, n.r.Notes()...)
	n.run.Half = half(n.r)
	for _, x := range n.inputs {
		name, err := n.spec.Input.of(x.Tensor)
		if err != nil {
			return usage.Mark(fmt.Errorf("input %q: %w", x.Called(), err))
		}
		n.run.Inputs = append(n.run.Inputs, ranTensor(x, name))
	}
	paths := map[string]string{}
	for _, x := range n.r.Outputs() {
		if !n.spec.Debug && !w.takes(x) {
			continue
		}
		o := output{Tensor: x, path: filePath(x.Called())}
		if other, clash := clashes(paths, o.path); clash {
			return usage.Mark(fmt.Errorf("the tensors %q and %q would be written to the same place, %s", other, x.Called(), o.path))
		}
		paths[o.path] = x.Called()
		name, err := n.spec.Output.of(x.Tensor)
		if err != nil { // one of many layers: it is written as it is
			n.run.Notes = append(n.run.Notes, fmt.Sprintf("%s is written as it is, in %s: %v", x.Called(), x.DType, err))
			name, o.native = x.DType.String(), true
		}
		one := ranTensor(x, name)
		one.File = o.path
		n.outputs, n.run.Outputs = append(n.outputs, o), append(n.run.Outputs, one)
	}
	return nil
}

func ranTensor(x qnnworker.Tensor, file string) RanTensor {
	t := RanTensor{Name: x.Called(), Reported: x.Name, Type: x.DType.String(), Shape: x.Shape, FileType: file}
	if e := x.Encoding; e != nil {
		t.Encoding = &RanEncoding{e.Bits, e.Axis, e.Scale, e.Offset}
	}
	return t
}

// half says whether a graph computes in floats: the HTP does that in half precision.
func half(r *qnnworker.Runner) bool {
	made := map[string]bool{}
	for _, n := range r.Nodes() {
		for _, out := range n.Outputs {
			made[out] = true
		}
	}
	floats := false
	for _, t := range r.Tensors() {
		if made[t.Name] && t.DType.Quantized() {
			return false
		}
		floats = floats || made[t.Name] && (t.DType.String() == "Float_32" || t.DType.String() == "Float_16")
	}
	return floats
}

// infer makes the inference number i, from 0, and writes its outputs.
func (n *netRun) infer(ctx context.Context, i int, line inputFiles, watch Watcher) error {
	watch.Begins(line.paths())
	inputs := map[string][]byte{}
	for k, x := range n.inputs {
		data, err := n.spec.Input.read(line.files[k], x.Tensor)
		if err != nil {
			return usage.Mark(fmt.Errorf("%s:%d: %s: %w", n.spec.InputList, line.number, line.files[k], err))
		}
		inputs[x.Name] = data
	}
	began := time.Now()
	out, err := n.r.Run(ctx, inputs)
	if err != nil {
		return fmt.Errorf("%s:%d: %w", n.spec.InputList, line.number, err)
	}
	one := RanInference{Folder: filepath.Join(n.spec.OutputDir, fmt.Sprintf("Result_%d", i)), Inputs: line.named(n.inputs), Seconds: time.Since(began).Seconds()}
	drafts, err := n.write(ctx, one.Folder, out)
	if e := n.committed(); err == nil {
		err = e
	}
	if err != nil {
		atomicfile.Discard(drafts...)
		return err
	}
	n.pending = commit(drafts)
	one.Written = time.Since(began).Seconds() - one.Seconds
	n.run.Results = append(n.run.Results, one)
	return nil
}

// committed waits until the files of the inference before are in their places.
func (n *netRun) committed() error {
	if n.pending == nil {
		return nil
	}
	err := <-n.pending
	n.pending = nil
	if err == nil {
		n.done++
	}
	return err
}

// wanted are the tensors that are to be written.
type wanted struct {
	instead []string // in place of the graph's outputs; nil: those
	besides []string
}

func (w wanted) takes(x qnnworker.Tensor) bool {
	named := func(list []string) bool { return slices.Contains(list, x.Own) || slices.Contains(list, x.Name) }
	own := x.Location == dlc.Output || x.Location == dlc.InOut
	return named(w.instead) || named(w.besides) || own && len(w.instead) == 0
}

// wanted finds the tensors that flags and input list name, and says what the file is.
func (n *netRun) wanted(list *snpe.InputList) (wanted, error) {
	f, err := dlc.Open(n.spec.Container)
	if err != nil || f.Major < 4 || len(f.Graphs) != 1 {
		// What our reader does not understand the libraries may; they have the last word on the names, too.
		if err == nil {
			f.Close()
		}
		return wanted{slices.Concat(n.spec.Outputs, list.Layers, list.Tensors), n.spec.Only}, nil
	}
	defer f.Close()
	n.run.Format = f.Format
	n.run.Notes = append(n.run.Notes, f.Notes...)
	if caches := f.Caches(); len(caches) > 0 {
		var names []string
		for _, c := range caches {
			names = append(names, c.Name)
		}
		n.run.Notes = append(n.run.Notes, fmt.Sprintf("%d cache records, prepared for particular chips, are ignored; the graph itself is run: %s", len(caches), strings.Join(names, ", ")))
	}
	s := newSelection(&f.Graphs[0])
	w := wanted{instead: slices.Concat(s.tensors(n.spec.Outputs), s.layers(list.Layers), s.tensors(list.Tensors)), besides: s.layers(n.spec.Only)}
	if s.err != nil {
		return w, usage.Mark(fmt.Errorf("%s: %w", n.spec.Container, s.err))
	}
	return w, nil
}
