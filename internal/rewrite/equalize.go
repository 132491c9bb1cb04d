package rewrite

import (
	"math"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var equalize = Pass{
	Name: "equalize", Title: "weights of successive Convs are scaled against each other so that their channels have like ranges", Tolerance: 1e-3, Off: true,
	Why: "With one encoding per tensor, a channel with small weights beside one with large ones loses its bits. With per-channel encodings it helps little.",
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
			s.equalizePair(i, k, first, second)
		}
		return nil
	},
}

// alone says whether nobody else uses a node's constant.
func (s *sweep) alone(n *onnxpb.NodeProto, input int) bool {
	name := n.GetInput()[input]
	return len(s.x.Consumers[name]) == 1 && !s.x.Output[name]
}

func (s *sweep) equalizePair(i, k int, first, second *linear) {
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

var foldBatchNorm = Pass{
	Name: "fold-batchnorm", Title: "BatchNormalization behind a Conv, ConvTranspose or Gemm goes into its weights", Tolerance: 1e-4,
	Why: "Every converter does it; done before, layers have the same names and ranges everywhere.",
	Doc: `
    Before   x ─ Conv(W, b) ─ t ─ BatchNormalization(γ, β, μ, σ²) ─ y
    After    x ─ Conv(W·s, (b − μ)·s + β) ─ y          s = γ / √(σ² + ε), per output channel

Conditions: weights, bias and the four statistics are constant; nobody else uses t; the normalization has one output.
`,
	apply: func(s *sweep) error {
		for i := range s.x.Nodes {
			l, ok, err := s.linearOf(i)
			if err != nil {
				return err
			}
			if !ok || !s.free(i) {
				continue
			}
			k, sole := s.sole(l.node.GetOutput()[0])
			if !sole || s.x.Nodes[k].GetOpType() != "BatchNormalization" {
				continue
			}
			bn := s.x.Nodes[k]
			if bn.GetInput()[0] != l.node.GetOutput()[0] || len(bn.GetInput()) != 5 || len(bn.GetOutput()) != 1 {
				continue
			}
			stats := make([]tensor.Tensor, 4)
			for j := range stats {
				c, known, err := s.constant(bn.GetInput()[j+1])
				if err != nil {
					return err
				}
				ok = ok && known && len(c.F32) == l.outputs
				stats[j] = c
			}
			if !ok {
				continue
			}
			epsilon := float64(onnx.AttrFloat(bn, "epsilon", 1e-5))
			weight, bias := make([]float64, len(l.weight.F32)), make([]float64, l.outputs)
			scale := make([]float64, l.outputs)
			for c := range scale {
				scale[c] = float64(stats[0].F32[c]) / math.Sqrt(float64(stats[3].F32[c])+epsilon)
				bias[c] = (l.bias[c]-float64(stats[2].F32[c]))*scale[c] + float64(stats[1].F32[c])
			}
			for e, w := range l.weight.F32 {
				weight[e] = float64(w) * scale[l.output(e)]
			}
			c := l.rewritten(s, i, weight, bias)
			c.Output = []string{bn.GetOutput()[0]}
			s.replace(k)
			s.replace(i, c)
			s.into(l.node.GetOutput()[0], bn.GetOutput()[0])
			s.changed("%s into %s", nameOf(bn), nameOf(l.node))
		}
		return nil
	},
}

// into notes that a tensor went into another one.
func (s *sweep) into(gone, in string) {
	if s.folded == nil {
		s.folded = map[string]string{}
	}
	s.folded[gone] = in
}

var constantFold = Pass{
	Name: "constant-fold", Title: "what does not depend on an input is computed once", Tolerance: 0,
	Why: "Converters do it in different ways, or not at all; the other passes look for constants.",
	Doc: `
    Before   a ─ Add(b) ─ c,  a and b constant        After   c is an initializer

Computed by ONNX Runtime. Shape of a tensor whose shape is known counts as constant. Values that are no tensors of numbers
stay; DequantizeLinear of a weight stays, since it is a quantized weight.
`,
	apply: func(s *sweep) error {
		if s.fold == nil {
			return nil
		}
		after, err := s.fold(s.m)
		if err != nil || after == s.m {
			return err
		}
		x := onnx.NewIndex(after)
		for _, n := range s.x.Nodes {
			if len(n.GetOutput()) > 0 && n.GetOutput()[0] != "" {
				if _, there := x.Producer[n.GetOutput()[0]]; !there {
					s.changed("%s (%s)", nameOf(n), n.GetOpType())
				}
			}
		}
		s.whole = after
		return nil
	},
}
