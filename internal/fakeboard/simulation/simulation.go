// Package simulation computes what the stand-in board would where the emulator is not installed: the inferences of a DLC by the QDQ model that
// it was written from, on the CPU, and its cycles by the tensors' sizes.
package simulation

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/netrun"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/snpe"
	"quantcheck/internal/tensor"
)

// simulation makes the inferences of the QDQ model that a DLC was written from, on the CPU: what the board computes where the
// emulator is not installed. It gives the layers that both have, and the DLC's outputs.
type simulation struct {
	graph  *dlc.Graph
	runner *ort.Runner
	inputs []align.Tap
	writes map[string][]align.Tap // by the QDQ model's tensor
}

// Run is netrun.Run by the QDQ model.
func Run(ctx context.Context, spec netrun.Spec, models control.Simulation, watch netrun.Watcher) (*netrun.Ran, error) {
	file, graph, err := Open(spec.Container)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s, err := newSimulation(ctx, file, graph, models, spec.Debug)
	if err != nil {
		return nil, err
	}
	defer s.runner.Close()
	data, err := os.ReadFile(spec.InputList)
	if err != nil {
		return nil, err
	}
	list, err := snpe.ReadInputList(data)
	if err != nil {
		return nil, err
	}
	ran := &netrun.Ran{Container: spec.Container, Graph: graph.Name}
	watch.Opened(ran)
	for i, line := range list.Inferences {
		var paths []string
		for _, item := range line.Items {
			paths = append(paths, item.Path)
		}
		watch.Begins(paths)
		if err := s.infer(ctx, line, spec, filepath.Join(spec.OutputDir, fmt.Sprintf("Result_%d", i))); err != nil {
			return nil, err
		}
	}
	return ran, nil
}

// newSimulation holds the DLC against the float model that both were made from, and finds the QDQ model's tensors of its layers.
func newSimulation(ctx context.Context, file *dlc.File, graph *dlc.Graph, models control.Simulation, all bool) (*simulation, error) {
	library, err := onnxruntime.Open(models.Library, 2)
	if err != nil {
		return nil, err
	}
	r := ort.InProcess(library)
	folded := func(path string) (*onnx.Model, map[string]bool, map[string]onnxruntime.Type, error) {
		m, err := onnx.Load(path)
		if err != nil {
			return nil, nil, nil, err
		}
		return ort.Fold(ctx, r, m)
	}
	float, constant, types, err := folded(models.Float)
	if err != nil {
		return nil, err
	}
	quantized, _, _, err := folded(models.QDQ)
	if err != nil {
		return nil, err
	}
	found, err := qdq.Read(quantized)
	if err != nil {
		return nil, err
	}
	index := onnx.NewIndex(float)
	var layers []string
	for _, n := range index.Nodes {
		layers = append(layers, n.GetOutput()...)
	}
	held, err := align.Contain(align.Float{
		Index: index, Layers: layers, Constant: func(name string) bool { return constant[name] },
		Shape: func(name string) ([]int64, bool) { t, ok := types[name]; return t.Shape, ok && t.Tensor },
	}, file)
	if err != nil {
		return nil, err
	}
	s := &simulation{graph: graph, writes: map[string][]align.Tap{}}
	for name, p := range held.Inputs {
		s.inputs = append(s.inputs, align.Tap{Name: name, Tensor: graph.Tensor(p.Tensor), Layout: p.Layout, Shape: types[name].Shape})
	}
	var taps []string
	for _, layer := range layers {
		p, ok := held.Pairs[layer]
		if !ok || p.Tensor == "" || p.Unknown != "" {
			continue
		}
		tap := align.Tap{Name: layer, Tensor: graph.Tensor(p.Tensor), Layout: p.Layout, Shape: types[layer].Shape}
		match := align.Ready(layer, index, found)
		if match.Tap == "" || !all && tap.Tensor.Location != dlc.Output {
			continue
		}
		if len(s.writes[match.Tap]) == 0 {
			taps = append(taps, match.Tap)
		}
		s.writes[match.Tap] = append(s.writes[match.Tap], tap)
	}
	s.runner, err = ort.New(r, quantized, ort.Options{Taps: taps})
	return s, err
}

// infer makes one inference and writes its result.
func (s *simulation) infer(ctx context.Context, line snpe.InputLine, spec netrun.Spec, folder string) error {
	sample := map[string]tensor.Tensor{}
	for _, in := range s.inputs {
		path := ""
		for _, item := range line.Items {
			if item.Name == in.Tensor.Name || item.Name == "" && len(s.inputs) == 1 {
				path = item.Path
			}
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		x, err := valuesOf(in.Tensor, data, spec.Input)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		sample[in.Name] = in.Layout.Undo(x, in.Shape)
	}
	run := s.runner.Start(runner.Sample{Inputs: sample})
	defer run.Close()
	for range s.runner.Segments() {
		batch, err := run.Next(ctx)
		if err != nil {
			return err
		}
		for _, tap := range batch.Taps {
			for _, w := range s.writes[tap.Name] {
				if err := writeTensor(folder, w, tap.Tensor, spec.Output); err != nil {
					batch.Release()
					return err
				}
			}
		}
		batch.Release()
	}
	return nil
}

// errFileType is a type of file that the simulation does not write or read.
var errFileType = errors.New("without the emulator the stand-in has float32 and native files only")

// valuesOf reads an input's file.
func valuesOf(t *dlc.Tensor, data []byte, as netrun.FileType) (tensor.Tensor, error) {
	switch {
	case as.Kind == netrun.Native && int64(len(data)) == t.Bytes():
		x, err := qnnworker.Decode(t, data)
		if err != nil {
			return x, err
		}
		values, _ := x.AsFloat32()
		return tensor.Floats(values, x.Shape...), nil
	case as.Kind == netrun.Floats && as.Bits == 32 && int64(len(data)) == 4*t.Elements():
		return tensor.FromLittleEndian(tensor.Float32, shapeOf(t), data)
	case as.Kind == netrun.Native || as.Kind == netrun.Floats && as.Bits == 32:
		return tensor.Tensor{}, fmt.Errorf("%d bytes for the input %s", len(data), t.Name)
	}
	return tensor.Tensor{}, errFileType
}

func shapeOf(t *dlc.Tensor) []int64 {
	var shape []int64
	for _, n := range t.Shape {
		shape = append(shape, int64(n))
	}
	return shape
}

// writeTensor writes one tensor, in the DLC's order of axes.
func writeTensor(folder string, w align.Tap, x tensor.Tensor, as netrun.FileType) error {
	x = w.Layout.Do(x)
	var data []byte
	var err error
	switch {
	case as.Kind == netrun.Native:
		data, err = qnnworker.Encode(w.Tensor, x)
	case as.Kind == netrun.Floats && as.Bits == 32:
		values, ok := x.AsFloat32()
		if !ok {
			return nil // strings and such, which the tool does not write either
		}
		data = tensor.Floats(values).LittleEndian()
	default:
		err = errFileType
	}
	if err != nil {
		return err
	}
	path := filepath.Join(folder, filepath.FromSlash(strings.TrimLeft(w.Tensor.Name, "/"))+".raw")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// BySize stands for the compiler's estimate where that is not installed: each operator takes a cycle for 32 values that it makes.
func BySize(path string) (*htpcost.Estimate, error) {
	file, graph, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	e := &htpcost.Estimate{}
	for i, n := range graph.Nodes {
		l := htpcost.Layer{Kind: htpcost.Operator, Node: uint32(i + 1), Raw: n.Name, Name: n.Name, Op: n.Type, Events: 1} //nolint:gosec // a graph has few nodes
		for _, out := range n.Outputs {
			if t := graph.Tensor(out); t != nil {
				l.Cycles += float64(t.Elements()) / 32
			}
		}
		e.Cycles += int64(l.Cycles)
		e.Layers = append(e.Layers, l)
	}
	return e, nil
}

// Open reads a DLC that has one graph.
func Open(path string) (*dlc.File, *dlc.Graph, error) {
	f, err := dlc.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", qnnworker.ErrNotDLC, err)
	}
	if len(f.Graphs) != 1 {
		f.Close()
		return nil, nil, fmt.Errorf("%s has %d graphs", path, len(f.Graphs))
	}
	return f, &f.Graphs[0], nil
}
