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
	made, wanted := map[string]bool{}, map[string]bool{}
	values := map[string]tensor.Tensor{}
	part := &onnxpb.GraphProto{Name: proto.String("constants"), Initializer: m.Graph().GetInitializer(), SparseInitializer: m.Graph().GetSparseInitializer()}
	for i, n := range x.Nodes {
		if !constant[i] {
			continue
		}
		literal, isLiteral := literal(m, n)
		if isLiteral {
			part.Initializer = append(part.Initializer[:len(part.Initializer):len(part.Initializer)], onnx.TensorProto(n.GetOutput()[0], literal))
		} else {
			part.Node = append(part.Node, n)
		}
		for _, out := range n.GetOutput() {
			if out == "" {
				continue
			}
			made[out] = true
			needed := x.Output[out]
			for _, user := range x.Consumers[out] {
				needed = needed || !constant[user]
			}
			switch {
			case needed && isLiteral:
				values[out] = literal
			case needed:
				wanted[out] = true
			}
		}
	}
	if len(made) == 0 {
		return m, made, nil
	}
	if len(wanted) > 0 {
		if err := evaluate(ctx, r, m.With(part), wanted, values); err != nil {
			return nil, nil, err
		}
	}
	return withValues(m, x, constant, values), made, nil
}

// literal is the value that a Constant node writes down as a numeric tensor.
func literal(m *onnx.Model, n *onnxpb.NodeProto) (tensor.Tensor, bool) {
	a := onnx.Attr(n, "value")
	if n.GetOpType() != "Constant" || n.GetDomain() != "" && n.GetDomain() != "ai.onnx" || a.GetT() == nil || len(n.GetOutput()) != 1 {
		return tensor.Tensor{}, false
	}
	t, err := m.Tensor(a.GetT())
	return t, err == nil // what cannot be read is left to the library, which says why
}

// evaluate computes the tensors that are wanted of a model without inputs, a piece after the other: what a piece makes for later ones is
// a constant of these. Values that are no numeric tensors are left out; a piece goes on where one would have to be handed over.
func evaluate(ctx context.Context, r Engine, m *onnx.Model, wanted map[string]bool, values map[string]tensor.Tensor) error {
	x := onnx.NewIndex(m)
	for from, to := 0, 0; from < len(x.Nodes); {
		to = min(max(from, to)+pieceNodes, len(x.Nodes))
		var outputs []string
		handed := map[string]bool{}
		for i := from; i < to; i++ {
			for _, out := range x.Nodes[i].GetOutput() {
				if handed[out] = x.LastUser(out) >= to; out != "" && (wanted[out] || handed[out]) {
					outputs = append(outputs, out)
				}
			}
		}
		if len(outputs) == 0 {
			from = to
			continue
		}
		list, err := outputsOf(ctx, r, graph{m: m, x: x, from: from, to: to, outputs: outputs})
		if err != nil {
			return err
		}
		whole := true
		for i, name := range outputs {
			whole = whole && (list[i].DType != tensor.Undefined || !handed[name])
		}
		if !whole {
			continue // with more nodes: the whole rest has nothing to hand over
		}
		for i, name := range outputs {
			if list[i].DType == tensor.Undefined {
				continue
			}
			if wanted[name] {
				values[name] = list[i]
			}
			if handed[name] {
				x.Initializer[name] = onnx.TensorProto(name, list[i])
			}
		}
		from = to
	}
	return nil
}

// outputsOf runs a graph without inputs once. Its outputs are on Go's heap: they stay.
func outputsOf(ctx context.Context, r Engine, g graph) ([]tensor.Tensor, error) {
	session, err := compile(r, g)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	types, err := session.OutputTypes()
	if err != nil {
		return nil, err
	}
	list, err := session.run(ctx, []tensor.Tensor{}, types, runner.NewArena(0))
	if err != nil {
		return nil, fmt.Errorf("evaluate constants: %w", err)
	}
	return list, nil
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
