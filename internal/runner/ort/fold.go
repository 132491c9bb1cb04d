package ort

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// FoldConstants evaluates, once, every node that depends on no input, and gives a model with initializers in their
// place. Values that are no numeric tensors keep their nodes. The second value names the tensors that were made by
// such nodes.
func FoldConstants(ctx context.Context, r Engine, m *onnx.Model) (*onnx.Model, map[string]bool, error) {
	x := onnx.NewIndex(m)
	constant := x.Constants()
	made := map[string]bool{}
	var nodes []*onnxpb.NodeProto
	var wanted []string
	for i, n := range x.Nodes {
		if !constant[i] {
			continue
		}
		nodes = append(nodes, n)
		for _, out := range n.GetOutput() {
			if out == "" {
				continue
			}
			made[out] = true
			needed := x.Output[out]
			for _, user := range x.Consumers[out] {
				needed = needed || !constant[user]
			}
			if needed {
				wanted = append(wanted, out)
			}
		}
	}
	if len(nodes) == 0 {
		return m, made, nil
	}
	values := map[string]tensor.Tensor{}
	if len(wanted) > 0 {
		part := m.With(&onnxpb.GraphProto{Name: proto.String("constants"), Node: nodes, Initializer: m.Graph().GetInitializer()})
		session, err := compile(r, graph{m: part, to: len(nodes), outputs: wanted})
		if err != nil {
			return nil, nil, err
		}
		defer session.Close()
		types, err := session.OutputTypes()
		if err != nil {
			return nil, nil, err
		}
		list, err := session.run(ctx, []tensor.Tensor{}, types, runner.NewArena(0)) // on Go's heap: the values stay
		if err != nil {
			return nil, nil, fmt.Errorf("evaluate constants: %w", err)
		}
		for i, name := range wanted {
			if list[i].DType != tensor.Undefined {
				values[name] = list[i]
			}
		}
	}
	return withValues(m, x, constant, values), made, nil
}

// withValues drops the constant nodes whose every wanted output has a value.
func withValues(m *onnx.Model, x *onnx.Index, constant map[int]bool, values map[string]tensor.Tensor) *onnx.Model {
	keep := map[int]bool{}
	var need func(name string)
	need = func(name string) {
		p, made := x.Producer[name]
		if _, known := values[name]; known || !made || keep[p] {
			return
		}
		keep[p] = true
		for _, in := range onnx.Uses(x.Nodes[p]) {
			need(in)
		}
	}
	for i, n := range x.Nodes {
		if !constant[i] {
			keep[i] = true
			for _, in := range onnx.Uses(n) {
				need(in)
			}
		}
	}
	for name := range x.Output {
		need(name)
	}
	var nodes []*onnxpb.NodeProto
	remade := map[string]bool{}
	for i, n := range x.Nodes {
		if keep[i] {
			nodes = append(nodes, n)
			for _, name := range n.GetOutput() {
				remade[name] = true
			}
		}
	}
	var evaluated []*onnxpb.TensorProto
	for _, n := range x.Nodes {
		for _, name := range n.GetOutput() {
			if v, ok := values[name]; ok && !remade[name] {
				evaluated = append(evaluated, onnx.TensorProto(name, v))
			}
		}
	}
	c := onnx.Rebuild(m, nodes, evaluated...)
	c.SHA256 = m.SHA256
	return c
}

// Fold evaluates what is the same in every inference: constant nodes, and Shape of tensors whose shape is known since the
// inputs' shapes are fixed, as converters for devices do. It gives the types of what is left, too.
func Fold(ctx context.Context, r Engine, m *onnx.Model) (*onnx.Model, map[string]bool, map[string]onnxruntime.Type, error) {
	constant := map[string]bool{}
	for {
		folded, made, err := FoldConstants(ctx, r, m)
		if err != nil {
			return nil, nil, nil, err
		}
		maps.Copy(constant, made)
		types := map[string]onnxruntime.Type{}
		if len(folded.Graph().GetNode()) > 0 {
			if types, err = Types(r, folded); err != nil {
				return nil, nil, nil, err
			}
		}
		shapes := shapesOf(folded, types)
		if len(shapes) == 0 {
			return folded, constant, types, nil
		}
		var nodes []*onnxpb.NodeProto
		var values []*onnxpb.TensorProto
		for _, n := range folded.Graph().GetNode() {
			if v, ok := shapes[n]; ok {
				values = append(values, onnx.TensorProto(n.GetOutput()[0], v))
				constant[n.GetOutput()[0]] = true
			} else {
				nodes = append(nodes, n)
			}
		}
		m = onnx.Rebuild(folded, nodes, values...)
		m.SHA256 = folded.SHA256
	}
}

// shapesOf finds the Shape nodes whose value is known. One that is a graph output stays.
func shapesOf(m *onnx.Model, types map[string]onnxruntime.Type) map[*onnxpb.NodeProto]tensor.Tensor {
	found := map[*onnxpb.NodeProto]tensor.Tensor{}
	x := onnx.NewIndex(m)
	for _, n := range x.Nodes {
		if n.GetOpType() != "Shape" || len(n.GetInput()) != 1 || len(n.GetOutput()) != 1 || x.Output[n.GetOutput()[0]] {
			continue
		}
		t, ok := types[n.GetInput()[0]]
		if !ok || !t.Fixed() {
			continue
		}
		rank := int64(len(t.Shape))
		bound := func(name string, otherwise int64) int64 {
			at := onnx.AttrInt(n, name, otherwise)
			if at < 0 {
				at += rank
			}
			return min(max(at, 0), rank)
		}
		from, to := bound("start", 0), bound("end", rank)
		shape := t.Shape[from:max(from, to)]
		raw := make([]byte, 0, 8*len(shape))
		for _, d := range shape {
			raw = binary.LittleEndian.AppendUint64(raw, uint64(d))
		}
		found[n] = tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(shape))}, Raw: raw}
	}
	return found
}
