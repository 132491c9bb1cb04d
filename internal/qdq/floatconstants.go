package qdq

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// FloatConstants gives operators the values of dequantized constants as constants where the HTP takes them in no other form. The values are
// the same.
//
//   - LSTM, GRU and RNN are computed in half precision. The provider of Qualcomm's libraries does not look through the DequantizeLinear of an
//     int32 bias, and the HTP dequantizes no constant of three axes per channel.
//   - Constants with an encoding for each block are refused in front of Conv and MatMul.
func FloatConstants(m *onnx.Model) (*onnx.Model, error) {
	x := onnx.NewIndex(m)
	used := onnx.NewNames(m)
	floats := map[string]string{} // dequantized constant → the one of real numbers
	var inits []*onnxpb.TensorProto
	var nodes []*onnxpb.NodeProto
	for _, n := range x.Nodes {
		c := n
		for i, in := range n.GetInput() {
			if k, made := x.Producer[in]; made && (recurrent[n.GetOpType()] || onnx.AttrInt(x.Nodes[k], "block_size", 0) > 0) {
				if _, done := floats[in]; !done {
					t, ok, err := dequantizedConstant(m, x, in)
					if err != nil {
						return nil, err
					}
					if !ok {
						continue
					}
					floats[in] = used.Unique(in + "_float")
					inits = append(inits, onnx.TensorProto(floats[in], t))
				}
				if c == n {
					c = proto.CloneOf(n)
				}
				c.Input[i] = floats[in]
			}
		}
		nodes = append(nodes, c)
	}
	if len(inits) == 0 {
		return m, nil
	}
	reads := map[string]int{}
	for _, n := range nodes {
		for _, in := range onnx.Uses(n) {
			reads[in]++
		}
	}
	nodes = slices.DeleteFunc(nodes, func(n *onnxpb.NodeProto) bool {
		out := n.GetOutput()
		return len(out) == 1 && floats[out[0]] != "" && reads[out[0]] == 0 && !x.Output[out[0]]
	})
	return onnx.Rebuild(m, nodes, inits...), nil
}

// dequantizedConstant computes what a DequantizeLinear makes of a constant: (q − zero) · scale in single precision; ok is false if that is not what makes
// the tensor.
func dequantizedConstant(m *onnx.Model, x *onnx.Index, name string) (_ tensor.Tensor, ok bool, _ error) {
	k, made := x.Producer[name]
	if !made || x.Nodes[k].GetOpType() != "DequantizeLinear" {
		return tensor.Tensor{}, false, nil
	}
	n := x.Nodes[k]
	stored := x.Initializer[n.GetInput()[0]]
	if stored == nil {
		return tensor.Tensor{}, false, nil
	}
	scales, zeros, _, err := scalesAndZeros(m, x, n, tensor.DType(stored.GetDataType()))
	if err != nil || len(scales) == 0 {
		return tensor.Tensor{}, false, err
	}
	t, err := m.Tensor(stored)
	if err != nil {
		return tensor.Tensor{}, false, err
	}
	ints, ok := t.Ints()
	if !ok {
		return tensor.Tensor{}, false, nil
	}
	values := make([]float32, len(ints))
	if size := onnx.AttrInt(n, "block_size", 0); size > 0 {
		b := blocksOf(t.Shape, x.Initializer[n.GetInput()[1]].GetDims(), int(onnx.AttrInt(n, "axis", 1)), size)
		if b == nil {
			return tensor.Tensor{}, false, nil
		}
		for i, q := range ints {
			c := b.Of(t.Shape, i)
			values[i] = float32(q-zeros[c]) * scales[c]
		}
		return tensor.Floats(values, t.Shape...), true, nil
	}
	group := max(len(ints), 1)
	if len(scales) > 1 {
		axis := int(onnx.AttrInt(n, "axis", 1))
		if axis < 0 {
			axis += len(t.Shape)
		}
		if axis < 0 || axis >= len(t.Shape) || t.Shape[axis] != int64(len(scales)) {
			return tensor.Tensor{}, false, nil
		}
		group = inner(t.Shape, axis)
	}
	for i, q := range ints {
		c := i / group % len(scales)
		values[i] = float32(q-zeros[c]) * scales[c]
	}
	return tensor.Floats(values, t.Shape...), true, nil
}
