package ort

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// FoldConstants evaluates, once, every node that depends on no input, and gives a model with initializers in their
// place. Values that are no numeric tensors keep their nodes. The second value names the tensors that were made by
// such nodes.
func FoldConstants(ctx context.Context, r *onnxruntime.Runtime, m *onnx.Model) (*onnx.Model, map[string]bool, error) {
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
		session, err := compile(r, part, 0, len(nodes), nil, wanted)
		if err != nil {
			return nil, nil, err
		}
		defer session.Close()
		list, err := session.Run(ctx, nil, make([]*onnxruntime.Value, len(wanted)))
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
