package flow

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// reference is the float model, made ready to be run and to be quantized.
type reference struct {
	model     *onnx.Model // input shapes fixed, constant nodes evaluated
	types     map[string]onnxruntime.Type
	index     *onnx.Index
	constant  map[string]bool // tensors that were made by constant nodes
	layers    []result.Layer
	folded    map[string]string // tensors that batch normalization folding removes
	toRun     *onnx.Model       // with batch normalizations folded, the base of variants
	placement *qdq.Placement
	warnings  []string
	external  []string // files beside the model that hold weights
}

func loadReference(ctx context.Context, r ort.Engine, spec result.Spec) (*reference, error) {
	m, err := onnx.Load(spec.Model)
	if err != nil {
		return nil, usage(err)
	}
	shapes, err := spec.Input.Shapes()
	if err != nil {
		return nil, usage(err)
	}
	if len(m.Inputs()) == 0 {
		return nil, usage(fmt.Errorf("%s has no inputs, so there is nothing to compare on samples", spec.Model))
	}
	fixed, batched, err := onnx.FixInputs(m, shapes)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %w", spec.Model, err))
	}
	ref, err := newReference(ctx, r, fixed)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	ref.external = m.ExternalFiles()
	if len(batched) > 0 {
		ref.warnings = append([]string{fmt.Sprintf("the open batch dimension of %s was set to 1", strings.Join(batched, ", "))}, ref.warnings...)
	}
	return ref, nil
}

// newReference makes a float model whose shapes are fixed ready.
func newReference(ctx context.Context, r ort.Engine, fixed *onnx.Model) (*reference, error) {
	ref := &reference{}
	var err error
	if ref.model, ref.constant, ref.types, err = ort.Fold(ctx, r, fixed); err != nil {
		return nil, err
	}
	if len(ref.model.Graph().GetNode()) == 0 {
		return nil, usage(errors.New("its outputs do not depend on its inputs"))
	}
	ref.index = onnx.NewIndex(ref.model)
	ref.listLayers(fixed)
	ref.connect()
	ref.standIns()
	if ref.toRun, ref.folded, err = rewrite.FoldBatchNorm(ref.model); err != nil {
		return nil, err
	}
	ref.placement = qdq.Find(ref.toRun, func(name string) bool { return ref.types[name].DType == tensor.Float32 })
	return ref, nil
}

// listLayers makes a layer of every tensor that a node of the original graph makes.
func (ref *reference) listLayers(original *onnx.Model) {
	x := onnx.NewIndex(original)
	taken := map[string]int{}
	for i, n := range x.Nodes {
		for _, out := range n.GetOutput() {
			if out == "" {
				continue
			}
			l := result.Layer{
				Name: out, Clean: align.Clean(out), Node: n.GetName(), Op: n.GetOpType(), Output: x.Output[out], Shape: []int64{},
			}
			if l.Node == "" {
				l.Node = fmt.Sprintf("%s_%d", n.GetOpType(), i)
			}
			if t, ok := ref.types[out]; ok && t.Tensor {
				l.DType, l.Shape = t.DType.String(), append(l.Shape, t.Shape...)
			} else if !ok {
				l.DType = "constant"
			} else {
				l.DType = "sequence or map"
			}
			if taken[l.Clean]++; taken[l.Clean] > 1 {
				l.Clean = fmt.Sprintf("%s~%d", l.Clean, taken[l.Clean])
			}
			ref.layers = append(ref.layers, l)
		}
	}
}

// connect finds for each layer the layers that it is computed from.
func (ref *reference) connect() {
	number := map[string]int{}
	for k, l := range ref.layers {
		number[l.Name] = k
	}
	for k := range ref.layers {
		l := &ref.layers[k]
		l.Inputs = []int{}
		p, made := ref.index.Producer[l.Name]
		if !made {
			continue
		}
		for _, in := range onnx.Uses(ref.index.Nodes[p]) {
			if _, ok := ref.index.Producer[in]; ok && !slices.Contains(l.Inputs, number[in]) {
				l.Inputs = append(l.Inputs, number[in])
			}
		}
	}
}

// standIns marks, for each output of the graph that is no tensor of real numbers, the layers before it that stand for
// it: a class label is judged by the scores that it was taken from.
func (ref *reference) standIns() {
	number := map[string]int{}
	for k, l := range ref.layers {
		number[l.Name] = k
	}
	seen := map[string]bool{}
	var mark func(name string) []string
	mark = func(name string) []string {
		k, made := number[name]
		if !made || seen[name] {
			return nil
		}
		seen[name] = true
		if ref.incomparable(ref.layers[k]) == "" {
			ref.layers[k].Output = true
			return []string{name}
		}
		var marked []string
		if p, ok := ref.index.Producer[name]; ok {
			for _, in := range onnx.Uses(ref.index.Nodes[p]) {
				marked = append(marked, mark(in)...)
			}
		}
		return marked
	}
	for _, out := range ref.model.Outputs() {
		if k, made := number[out]; made && ref.incomparable(ref.layers[k]) != "" {
			if marked := mark(out); len(marked) > 0 {
				ref.layers[k].Output = false
				ref.warnings = append(ref.warnings, fmt.Sprintf("the output %s is %s; %s before it stands for it", out, ref.incomparable(ref.layers[k]), strings.Join(marked, ", ")))
			}
		}
	}
}

func (ref *reference) describe() result.Model {
	d := result.Model{Path: absolute(ref.model.Path), SHA256: ref.model.SHA256, Opset: ref.model.Opset()}
	for _, in := range ref.model.Inputs() {
		t := ref.types[in.GetName()]
		d.Inputs = append(d.Inputs, dataset.Input{Name: in.GetName(), DType: t.DType, Shape: t.Shape})
	}
	return d
}

func describeSample(s *dataset.Sample) result.Sample {
	return result.Sample{Name: s.Name, Path: absolute(s.Path), SHA256: s.SHA256}
}

// absolute makes a path good from every folder: results are looked at from others than they were made in.
func absolute(path string) string {
	if full, err := filepath.Abs(path); err == nil {
		return full
	}
	return path
}

// incomparable says why a layer cannot be compared whatever the variant; it is "" if it can.
func (ref *reference) incomparable(l result.Layer) string {
	t, ok := ref.types[l.Name]
	switch {
	case ref.constant[l.Name]:
		return "constant: it does not depend on the input"
	case !ok:
		return "not in the graph that is run"
	case !t.Tensor:
		return "a sequence or map, not a tensor"
	case !t.DType.IsFloat():
		return t.DType.String() + " values, not real numbers"
	case t.Fixed() && slices.Contains(t.Shape, 0):
		return "empty: it has no elements"
	}
	return ""
}
