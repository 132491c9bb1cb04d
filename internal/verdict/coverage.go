package verdict

import (
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
)

// Cover counts the operators of a float model, and their multiply-adds, whose output has an encoding in a variant or is fused into one
// that has. An operator that makes no real numbers is not counted; those in the bodies of control flow are, and none of them has an
// encoding.
func Cover(x *onnx.Index, layers []result.Layer, of []result.LayerResult, shapes Shapes) *result.Coverage {
	number := map[string]int{}
	for k, l := range layers {
		number[l.Name] = k
	}
	c := &result.Coverage{}
	known := true
	for _, n := range x.Nodes {
		numbers, covered := false, false
		for _, out := range n.GetOutput() {
			k, ok := number[out]
			if !ok || of[k].Status == result.NotComparable && of[k].Encoding == nil {
				continue
			}
			numbers = true
			covered = covered || of[k].Encoding != nil || of[k].Status == result.Fused
		}
		if inside, multiplies := body(n); inside > 0 {
			c.OperatorsOf += inside
			known = known && !multiplies
		}
		if !numbers {
			continue
		}
		macs := rewrite.MACs(n, shapes)
		known = known && macs >= 0
		c.OperatorsOf++
		c.MultiplyAddOf += max(macs, 0)
		if covered {
			c.Operators++
			c.MultiplyAdds += max(macs, 0)
		}
	}
	if !known {
		c.MultiplyAdds, c.MultiplyAddOf = 0, 0
	}
	return c
}

// body counts the operators in the bodies of a node, and says whether some multiply.
func body(n *onnxpb.NodeProto) (count int, multiplies bool) {
	for _, a := range n.GetAttribute() {
		for _, g := range append(a.GetGraphs(), a.GetG()) {
			for _, inner := range g.GetNode() {
				switch inner.GetOpType() {
				case "Constant":
					continue
				case "Conv", "ConvTranspose", "MatMul", "Gemm", "LSTM", "GRU", "RNN":
					multiplies = true
				}
				deeper, also := body(inner)
				count, multiplies = count+1+deeper, multiplies || also
			}
		}
	}
	return count, multiplies
}
