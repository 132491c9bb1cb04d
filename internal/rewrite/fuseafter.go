package rewrite

var fuseAfterConv = Pass{
	Name: "fuse-mul-add-after-conv", Title: "Mul, Div, Add and Sub by constants behind a Conv, ConvTranspose or Gemm go into its weights and bias", Tolerance: 1e-4,
	Order: "before fuse-mul-add-before-conv: a chain between two Convs goes to the first, where padding does not matter",
	Why:   "Element-wise operators cost a pass over the tensor each; in the weights they cost nothing.",
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
