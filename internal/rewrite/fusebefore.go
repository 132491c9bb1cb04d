package rewrite

import "quantcheck/internal/onnx"

var fuseBeforeConv = Pass{
	Name: "fuse-mul-add-before-conv", Title: "Mul, Div, Add and Sub by constants in front of a Conv go into its weights and bias", Tolerance: 1e-4,
	Why: "An element-wise operator in front of a Conv reads and writes the whole tensor on the vector unit; in the weights it costs nothing. Input normalization is the usual case.",
	Doc: `
    Before   x ─ (·s) ─ (+a) ─ Conv(W, b) ─ y
    After    x ─ Conv(W', b') ─ y

    W'[o,i,…] = W[o,i,…]·s[i]          b'[o] = b[o] + Σ W[o,i,k]·a[i]   over i and the kernel's places k

Conditions: s and a are constant, scalar or one value per channel; nobody else uses the tensors between; the Conv's weights
and bias are constant. An addition is fused only if the Conv is not padded: the border would see x = 0 instead of a. A
multiplication is exact with padding too. Any chain is fused operator by operator, from the Conv on.
`,
	apply: func(s *sweep) error {
		for i := range s.x.Nodes {
			if s.x.Nodes[i].GetOpType() != "Conv" || !s.free(i) {
				continue
			}
			l, ok, err := s.linearOf(i)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			p, made := s.x.Producer[l.node.GetInput()[0]]
			if !made || !s.free(p) {
				continue
			}
			if _, sole := s.sole(l.node.GetInput()[0]); !sole {
				continue
			}
			a, ok, err := s.affineOf(s.x.Nodes[p], int64(l.inputs), l.rank, 1)
			if err != nil {
				return err
			}
			if shape, known := s.shapes(a.from); !ok || !known || len(shape) != l.rank || shape[1] != int64(l.inputs) {
				continue // the constant would widen the tensor
			}
			if a.shifts() && padded(l.node) {
				s.leave(s.x.Nodes[p], "the padding of %s would see other values at the border", nameOf(l.node))
				continue
			}
			weight := make([]float64, len(l.weight.F32))
			bias := append([]float64{}, l.bias...)
			for e, w := range l.weight.F32 {
				in := l.input(e)
				weight[e] = float64(w) * a.scale[in]
				bias[l.output(e)] += float64(w) * a.shift[in]
			}
			c := l.rewritten(s, i, weight, bias)
			c.Input[0] = a.from
			s.replace(p)
			s.replace(i, c)
			s.changed("%s into %s", nameOf(s.x.Nodes[p]), nameOf(l.node))
		}
		return nil
	},
}

var fuseAfterConv = Pass{
	Name: "fuse-mul-add-after-conv", Title: "Mul, Div, Add and Sub by constants behind a Conv, ConvTranspose or Gemm go into its weights and bias", Tolerance: 1e-4,
	Why: "Element-wise operators cost a pass over the tensor each; in the weights they cost nothing.",
	Doc: `
    Before   x ─ Conv(W, b) ─ t ─ (·s) ─ (+a) ─ y
    After    x ─ Conv(W·s, b·s + a) ─ y                s and a per output channel

Conditions: s and a are constant, scalar or one value per output channel, and do not widen the tensor; nobody else uses t;
weights and bias are constant. Padding does not matter.
`,
	apply: func(s *sweep) error {
		for i := range s.x.Nodes {
			if !s.free(i) {
				continue
			}
			l, ok, err := s.linearOf(i)
			if err != nil {
				return err
			}
			if !ok {
				continue
			}
			k, sole := s.sole(l.node.GetOutput()[0])
			if !sole {
				continue
			}
			a, ok, err := s.affineOf(s.x.Nodes[k], int64(l.outputs), l.rank, l.axis)
			if err != nil {
				return err
			}
			if !ok || a.from != l.node.GetOutput()[0] {
				continue
			}
			weight := make([]float64, len(l.weight.F32))
			bias := append([]float64{}, l.bias...)
			for e, w := range l.weight.F32 {
				weight[e] = float64(w) * a.scale[l.output(e)]
			}
			for o := range bias {
				bias[o] = bias[o]*a.scale[o] + a.shift[o]
			}
			c := l.rewritten(s, i, weight, bias)
			c.Output = []string{s.x.Nodes[k].GetOutput()[0]}
			s.replace(k)
			s.replace(i, c)
			s.changed("%s into %s", nameOf(s.x.Nodes[k]), nameOf(l.node))
		}
		return nil
	},
}

var divToMul = Pass{
	Name: "div-to-mul", Title: "division by a constant becomes multiplication by its reciprocal", Tolerance: 1e-5,
	Why: "Division is slow on the DSP, and its quantized form coarse.",
	Doc: `
    Before   x ─ Div(c) ─ y
    After    x ─ Mul(1/c) ─ y

Conditions: c is a constant of real numbers without a zero. A division of a constant by a tensor stays.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			if n.GetOpType() != "Div" || n.GetDomain() != "" || len(n.GetInput()) != 2 || onnx.Attr(n, "axis") != nil {
				continue
			}
			c, ok, err := s.constant(n.GetInput()[1])
			if err != nil {
				return err
			}
			if !ok || len(c.F32) == 0 {
				continue
			}
			zero := false
			t := c.Clone()
			for e, v := range c.F32 {
				zero = zero || v == 0
				t.F32[e] = float32(1 / float64(v))
			}
			if zero {
				s.leave(n, "it divides by zero")
				continue
			}
			d := mulOf(n, s.fresh(n.GetInput()[1]+"_reciprocal", t))
			s.replace(i, d)
			s.changed("%s", nameOf(n))
		}
		return nil
	},
}
