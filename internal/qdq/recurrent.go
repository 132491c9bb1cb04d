package qdq

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// recurrent are the operators that multiply by weights in every step of a sequence. Their inputs are, by ONNX: X, W, R, B, sequence_lens,
// initial_h, and of LSTM alone initial_c and P. The first axis of W, R, B and P is that of the directions. Converters make an operator with
// encodings of its own of each direction.
var recurrent = map[string]bool{"LSTM": true, "GRU": true, "RNN": true}

// recurrentParam is what a constant input of such an operator is to it; ok is false for the lengths.
func recurrentParam(q Param, dims []int64) (_ Param, ok bool) {
	switch q.Input {
	case 0, 5, 6:
		q.Role = Operand
	case 1, 2, 7:
		q.Role = Weight
	case 3:
		q.Role = Bias
	default:
		return q, false
	}
	if q.Role == Weight && len(dims) > 0 && dims[0] > 1 {
		q.Axis = 0
	}
	return q, true
}

// biasInput is the number of the input that is added to the products of an operator's first two inputs.
func biasInput(n *onnxpb.NodeProto) int {
	if recurrent[n.GetOpType()] {
		return 3
	}
	return 2
}

// FloatRecurrent gives LSTM, GRU and RNN the values of their dequantized constants as constants. The HTP computes these operators in half
// precision, and the provider of Qualcomm's libraries takes some of their weights and biases only as constants of real numbers: it does not
// look through a DequantizeLinear of an int32 bias, and the HTP dequantizes no constant of three axes per channel. The values are the same.
func FloatRecurrent(m *onnx.Model) (*onnx.Model, error) {
	x := onnx.NewIndex(m)
	used := onnx.NewNames(m)
	floats := map[string]string{} // dequantized constant → the one of real numbers
	var inits []*onnxpb.TensorProto
	var nodes []*onnxpb.NodeProto
	for _, n := range x.Nodes {
		if recurrent[n.GetOpType()] {
			c := proto.CloneOf(n)
			for i, in := range n.GetInput() {
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
				c.Input[i] = floats[in]
			}
			n = c
		}
		nodes = append(nodes, n)
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
// the tensor, or if it has blocks.
func dequantizedConstant(m *onnx.Model, x *onnx.Index, name string) (_ tensor.Tensor, ok bool, _ error) {
	k, made := x.Producer[name]
	if !made || x.Nodes[k].GetOpType() != "DequantizeLinear" || onnx.AttrInt(x.Nodes[k], "block_size", 0) != 0 {
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
	values := make([]float32, len(ints))
	for i, q := range ints {
		c := i / group % len(scales)
		values[i] = float32(q-zeros[c]) * scales[c]
	}
	return tensor.Floats(values, t.Shape...), true, nil
}
