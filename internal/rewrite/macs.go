package rewrite

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// MACs counts the multiply-adds of an operator: of convolutions, matrix products and the products of LSTM, GRU and RNN, 0 for all others, −1 if a
// shape that decides is not known.
func MACs(n *onnxpb.NodeProto, shapes Shapes) int64 {
	if known := slices.Contains([]string{"Conv", "ConvTranspose", "Gemm", "MatMul"}, n.GetOpType()) || recurrentOp(n); !known || len(n.GetInput()) < 2 || len(n.GetOutput()) < 1 {
		return 0
	}
	in, ok := shapes(n.GetInput()[0])
	w, also := shapes(n.GetInput()[1])
	out, all := shapes(n.GetOutput()[0])
	all = all || recurrentOp(n) // its first output may be missing
	if !ok || !also || !all || len(in) == 0 || len(w) == 0 {
		return -1
	}
	product := func(dims []int64) int64 {
		p := int64(1)
		for _, d := range dims {
			if d < 0 {
				return -1
			}
			p *= d
		}
		return p
	}
	var outputs, each int64
	switch n.GetOpType() {
	case "Conv": // each output takes a kernel of [in/group, …]
		outputs, each = product(out), product(w[1:])
	case "ConvTranspose": // each input gives a kernel of [out/group, …]
		outputs, each = product(in), product(w[1:])
	case "Gemm":
		inner := in[len(in)-1]
		if onnx.AttrInt(n, "transA", 0) != 0 {
			inner = in[0]
		}
		outputs, each = product(out), inner
	case "LSTM", "GRU", "RNN": // each step of each sequence takes all of W, and R, for all directions
		if len(in) != 3 || len(n.GetInput()) < 3 {
			return -1
		}
		r, all := shapes(n.GetInput()[2])
		if !all || product(r) < 0 || product(w) < 0 {
			return -1
		}
		outputs, each = product(in[:2]), product(w)+product(r)
	default:
		outputs, each = product(out), in[len(in)-1]
	}
	if outputs < 0 || each < 0 {
		return -1
	}
	return outputs * each
}

// recurrentOp says whether an operator multiplies by its weights in every step of a sequence.
func recurrentOp(n *onnxpb.NodeProto) bool {
	return slices.Contains([]string{"LSTM", "GRU", "RNN"}, n.GetOpType())
}
