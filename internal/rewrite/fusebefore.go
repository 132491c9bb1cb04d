package rewrite

var fuseBeforeConv = Pass{
	Name: "fuse-mul-add-before-conv", Title: "Mul, Div, Add and Sub by constants and BatchNormalization in front of a Conv go into its weights and bias", Tolerance: 1e-4,
	Order: "after fuse-mul-add-after-conv: it takes what that has left",
	Why:   "An element-wise operator in front of a Conv reads and writes the whole tensor on the vector unit; in the weights it costs nothing. Input normalization is the usual case.",
	Doc: `
    Before   x ─ (·s) ─ (+a) ─ Conv(W, b) ─ y
    After    x ─ Conv(W', b') ─ y

    W'[o,i,…] = W[o,i,…]·s[i]          b'[o] = b[o] + Σ W[o,i,k]·a[i]   over i and the kernel's places k

Conditions: s and a are constant, scalar or one value per channel; nobody else uses the tensors between; the Conv's weights
and bias are constant. An addition is fused only if the Conv is not padded: the border would see x = 0 instead of a. A
multiplication is exact with padding too. Any chain is fused operator by operator, from the Conv on. A BatchNormalization of constants counts as
s = γ / √(σ² + ε) and a = β − μ·s.
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
			if !ok {
				if a, ok, err = batchNormAffine(s.facts, s.x.Nodes[p], l.inputs); err != nil {
					return err
				}
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
