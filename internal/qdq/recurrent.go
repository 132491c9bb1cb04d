package qdq

import "quantcheck/internal/onnx/onnxpb"

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

// BiasInput is the number of the input that is added to the products of an operator's first two inputs.
func BiasInput(n *onnxpb.NodeProto) int {
	if recurrent[n.GetOpType()] {
		return 3
	}
	return 2
}
