package rewrite

import (
	"math"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
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
			if len(bn.GetInput()) != 5 || bn.GetInput()[0] != l.node.GetOutput()[0] {
				continue
			}
			n, ok, err := batchNormOf(s.facts, bn, l.outputs)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			weight, bias := make([]float64, len(l.weight.F32)), make([]float64, l.outputs)
			for c := range bias {
				bias[c] = (l.bias[c]-n.mean[c])*n.scale[c] + n.shift[c]
			}
			for e, w := range l.weight.F32 {
				weight[e] = float64(w) * n.scale[l.output(e)]
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

// batchNorm is a BatchNormalization of constants, y = (x − mean)·scale + shift for each channel.
type batchNorm struct{ mean, scale, shift []float64 }

// batchNormOf reads one of some channels; ok is false if it is none, or not of constants.
func batchNormOf(f *facts, n *onnxpb.NodeProto, channels int) (_ batchNorm, ok bool, _ error) {
	if n.GetOpType() != "BatchNormalization" || n.GetDomain() != "" || len(n.GetInput()) != 5 || len(n.GetOutput()) != 1 {
		return batchNorm{}, false, nil
	}
	var stats [4][]float32
	for j := range stats {
		c, known, err := f.constant(n.GetInput()[j+1])
		if err != nil || !known || len(c.F32) != channels {
			return batchNorm{}, false, err
		}
		stats[j] = c.F32
	}
	epsilon := float64(onnx.AttrFloat(n, "epsilon", 1e-5))
	b := batchNorm{make([]float64, channels), make([]float64, channels), make([]float64, channels)}
	for c := range channels {
		b.scale[c] = float64(stats[0][c]) / math.Sqrt(float64(stats[3][c])+epsilon)
		b.shift[c], b.mean[c] = float64(stats[1][c]), float64(stats[2][c])
	}
	return b, true, nil
}

// batchNormAffine is a BatchNormalization as scale and shift.
func batchNormAffine(f *facts, n *onnxpb.NodeProto, channels int) (affine, bool, error) {
	b, ok, err := batchNormOf(f, n, channels)
	if err != nil || !ok {
		return affine{}, false, err
	}
	a := affine{from: n.GetInput()[0], scale: b.scale, shift: b.shift}
	for c := range a.shift {
		a.shift[c] -= b.mean[c] * b.scale[c]
	}
	return a, true, nil
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
