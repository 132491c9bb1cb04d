package rewrite

import (
	"math"

	"quantcheck/internal/onnx/onnxpb"
)

var equalize = Pass{
	Name: "equalize", Title: "weights of successive Convs are scaled against each other so that their channels have like ranges", Tolerance: 1e-3, Off: true,
	Order: "last of what changes weights: it needs the final ones",
	Why:   "With one encoding per tensor, a channel with small weights beside one with large ones loses its bits. With per-channel encodings it helps little.",
	Doc: `
    Before   x ─ Conv(W¹, b¹) ─ Relu ─ Conv(W²) ─ y
    After    x ─ Conv(W¹/s, b¹/s) ─ Relu ─ Conv(W²·s) ─ y          s_c = √(r¹_c / r²_c),  r_c = max |W_c|

r¹ is the range of output channel c of the first, r² that of input channel c of the second (Nagel et al., Data-Free
Quantization Through Weight Equalization and Bias Correction, 2019, eq. 11). Conditions: between them nothing, Relu or
LeakyRelu, for which f(s·x) = s·f(x); nobody else uses what lies between; weights constant and used here only; the second Conv
may be depthwise. A channel without weights stays. Factors within 1 % of 1 are left, so that a second run changes nothing.
`,
	apply: func(s *sweep) error {
		for i := range s.x.Nodes {
			if !s.free(i) || s.x.Nodes[i].GetOpType() == "Gemm" {
				continue
			}
			first, ok, err := s.linearOf(i)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			name := first.node.GetOutput()[0]
			k, sole := s.sole(name)
			if sole && (s.x.Nodes[k].GetOpType() == "Relu" || s.x.Nodes[k].GetOpType() == "LeakyRelu") {
				name = s.x.Nodes[k].GetOutput()[0]
				k, sole = s.sole(name)
			}
			if !sole || s.x.Nodes[k].GetOpType() != "Conv" || s.x.Nodes[k].GetInput()[0] != name {
				continue
			}
			second, ok, err := s.linearOf(k)
			if err != nil {
				return err
			}
			if !ok || second.inputs != first.outputs || !s.alone(first.node, 1) || !s.alone(second.node, 1) {
				continue
			}
			equalizePair(s, i, k, first, second)
		}
		return nil
	},
}

// alone says whether nobody else uses a node's constant.
func (f *facts) alone(n *onnxpb.NodeProto, input int) bool {
	name := n.GetInput()[input]
	return len(f.x.Consumers[name]) == 1 && !f.x.Output[name]
}

func equalizePair(s *sweep, i, k int, first, second *linear) {
	greatest := func(l *linear, channel func(int) int) []float64 {
		r := make([]float64, first.outputs)
		for e, w := range l.weight.F32 {
			c := channel(e)
			r[c] = math.Max(r[c], math.Abs(float64(w)))
		}
		return r
	}
	r1, r2 := greatest(first, first.output), greatest(second, second.input)
	factors := make([]float64, first.outputs)
	needed := false
	for c := range factors {
		factors[c] = 1
		if r1[c] > 0 && r2[c] > 0 {
			factors[c] = math.Sqrt(r1[c] / r2[c])
		}
		needed = needed || math.Abs(factors[c]-1) > 0.01
	}
	if !needed {
		return
	}
	w1, w2 := make([]float64, len(first.weight.F32)), make([]float64, len(second.weight.F32))
	for e, w := range first.weight.F32 {
		w1[e] = float64(w) / factors[first.output(e)]
	}
	for e, w := range second.weight.F32 {
		w2[e] = float64(w) * factors[second.input(e)]
	}
	b1 := make([]float64, len(first.bias))
	for c, b := range first.bias {
		b1[c] = b / factors[c]
	}
	s.replace(i, first.rewritten(s, i, w1, b1))
	s.replace(k, second.rewritten(s, k, w2, second.bias))
	s.changed("%s and %s", nameOf(first.node), nameOf(second.node))
}
