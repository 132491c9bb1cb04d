package rewrite

import "quantcheck/internal/onnx"

var constantFold = Pass{
	Name: "constant-fold", Title: "what does not depend on an input is computed once", Tolerance: 1e-5,
	Order: "first too: what it leaves are initializers",
	Why:   "Converters do it in different ways, or not at all; the other passes look for constants.",
	Doc: `
    Before   a ─ Add(b) ─ c,  a and b constant        After   c is an initializer

Computed by ONNX Runtime. Shape of a tensor whose shape is known counts as constant. Values that are no tensors of numbers
stay; DequantizeLinear of a weight stays, since it is a quantized weight. Kernels that take a constant may add in another order than those
that take a computed tensor.
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
