package htp

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/tensor"
)

// LastAxis gives a model in which every Softmax and LogSoftmax works on the last axis, as a DLC's does: the IR backend writes others, which no
// composer takes. Such an operator is computed on rows,
//
//	x ─► Transpose ─► Reshape ─► Softmax of [rows, n] ─► Reshape ─► Transpose ─► y
//
// and the tensors on the way are quantized as those beside it, so that only integers move. ONNX Runtime would move the Transposes through the
// operator, but moves none over a Reshape. The function gives the shape of a tensor, nil if it is not known: such an operator is left.
func LastAxis(m *onnx.Model, shape func(tensor string) []int64) *onnx.Model {
	r := rows{x: onnx.NewIndex(m), used: onnx.NewNames(m)}
	for _, n := range r.x.Nodes {
		if axis, dims := softmaxAxis(m, n, shape); dims != nil {
			r.compute(n, axis, dims)
			continue
		}
		r.nodes = append(r.nodes, n)
	}
	if len(r.shapes) == 0 {
		return m
	}
	return onnx.Rebuild(m, r.nodes, r.shapes...)
}

// softmaxAxis gives the axis of a Softmax or LogSoftmax and the shape of its input, if the axis is not the last one and all is known.
func softmaxAxis(m *onnx.Model, n *onnxpb.NodeProto, shape func(tensor string) []int64) (axis int, dims []int64) {
	if op := n.GetOpType(); op != "Softmax" && op != "LogSoftmax" || n.GetDomain() != "" || m.Opset() < 13 || len(n.GetInput()) == 0 || len(n.GetOutput()) == 0 {
		return 0, nil // before opset 13 the operator works on all axes from its own on
	}
	dims = shape(n.GetInput()[0])
	axis = int(onnx.AttrInt(n, "axis", -1))
	if axis < 0 {
		axis += len(dims)
	}
	if axis < 0 || axis >= len(dims)-1 {
		return 0, nil
	}
	for _, d := range dims {
		if d <= 0 {
			return 0, nil
		}
	}
	return axis, dims
}

// rows rewrites operators so that they work on the rows of a matrix.
type rows struct {
	x      *onnx.Index
	used   onnx.Names
	nodes  []*onnxpb.NodeProto
	shapes []*onnxpb.TensorProto
}

// compute puts an operator between what makes rows of its axis and what makes the former order of axes.
func (r *rows) compute(n *onnxpb.NodeProto, axis int, dims []int64) {
	last := len(dims) - 1
	perm, turned, count := make([]int64, len(dims)), make([]int64, len(dims)), int64(1)
	for i := range perm {
		perm[i] = int64(i)
	}
	perm[axis], perm[last] = perm[last], perm[axis] // its own inverse
	for i, p := range perm {
		turned[i] = dims[p]
		count *= dims[p]
	}
	before, encoded := qdq.PairBefore(r.x, n.GetInput()[0])
	after, given := qdq.PairBehind(r.x, n.GetOutput()[0])
	quantize := func(tensor string, p qdq.Pair, ok bool) string {
		if !ok {
			return tensor
		}
		nodes, to := p.Again(r.used, tensor, tensor)
		r.nodes = append(r.nodes, nodes...)
		return to
	}
	out := n.GetOutput()[0]
	at := quantize(r.transpose(n.GetInput()[0], r.used.Unique(out+"_axis_last"), perm), before, encoded)
	at = quantize(r.reshape(at, r.used.Unique(out+"_in_rows"), count/dims[axis], dims[axis]), before, encoded)
	op := proto.CloneOf(n)
	op.Input[0], op.Output[0] = at, r.used.Unique(out+"_of_rows")
	for _, a := range op.GetAttribute() {
		if a.GetName() == "axis" {
			a.I = proto.Int64(1)
		}
	}
	r.nodes = append(r.nodes, op)
	at = quantize(op.GetOutput()[0], after, given)
	at = quantize(r.reshape(at, r.used.Unique(out+"_axes"), turned...), after, given)
	r.transpose(at, out, perm)
}

func (r *rows) transpose(from, to string, perm []int64) string {
	r.nodes = append(r.nodes, onnx.Transpose(r.used.Unique(to+"_Transpose"), from, to, perm))
	return to
}

func (r *rows) reshape(from, to string, dims ...int64) string {
	shape := r.used.Unique(to + "_shape")
	r.shapes = append(r.shapes, &onnxpb.TensorProto{Name: proto.String(shape), DataType: proto.Int32(int32(tensor.Int64)), Dims: []int64{int64(len(dims))}, Int64Data: dims})
	r.nodes = append(r.nodes, &onnxpb.NodeProto{OpType: proto.String("Reshape"), Name: proto.String(r.used.Unique(to + "_Reshape")), Input: []string{from, shape}, Output: []string{to}})
	return to
}
