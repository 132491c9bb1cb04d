package rewrite

import (
	"math"

	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
)

var foldBatchNorm = Pass{
	Name: "fold-batchnorm", Title: "BatchNormalization behind a Conv, ConvTranspose or Gemm goes into its weights", Tolerance: 1e-4,
	Order: "before the fusions: it leaves a bias for them",
	Why:   "Every converter does it; done before, layers have the same names and ranges everywhere.",
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

// FoldBatchNorm puts every BatchNormalization behind a convolution into the convolution's weights, as the converters for
// the DSP do before they quantize: the pass fold-batchnorm. The result names, for each tensor that is gone, the one that it
// went into.
func FoldBatchNorm(m *onnx.Model) (*onnx.Model, map[string]string, error) {
	folded := map[string]string{}
	for {
		r, err := foldBatchNorm.Run(m, Env{})
		if err != nil || r.Model == m {
			return m, folded, err
		}
		for gone, in := range r.folded {
			folded[gone] = in
		}
		m = r.Model
	}
}
