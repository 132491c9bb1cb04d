package rewrite

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

var divToMul = Pass{
	Name: "div-to-mul", Title: "division by a constant becomes multiplication by its reciprocal", Tolerance: 1e-5,
	Order: "before them too: what cannot be fused is at least no division",
	Why:   "Division is slow on the DSP, and its quantized form coarse.",
	Doc: `
    Before   x ─ Div(c) ─ y
    After    x ─ Mul(1/c) ─ y

x·Clip(x + 3, 0, 6)/6 stays but for --pass and --enable: the compiler knows a HardSwish by its division, and PP-OCR's direction takes 28 % more
cycles with a Mul. Conditions: c is a constant of real numbers without a zero. A division of a constant by a tensor stays.
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
			if s.sure && hardSwish(s.facts, n) {
				s.leave(n, "with the Clip before it the compiler takes it for one operator, which it does not with a Mul: --enable div-to-mul does it all the same")
				continue
			}
			d := mulOf(n, s.fresh(n.GetInput()[1]+"_reciprocal", t))
			s.replace(i, d)
			s.changed("%s", nameOf(n))
		}
		return nil
	},
}

// hardSwish says whether a division ends x·Clip(x + 3, 0, 6)/6 or Clip(x + 3, 0, 6)/6.
func hardSwish(f *facts, div *onnxpb.NodeProto) bool {
	clips := func(name string) bool {
		k, made := f.x.Producer[name]
		return made && f.x.Nodes[k].GetOpType() == "Clip"
	}
	from := div.GetInput()[0]
	k, made := f.x.Producer[from]
	return clips(from) || made && f.x.Nodes[k].GetOpType() == "Mul" && slices.ContainsFunc(f.x.Nodes[k].GetInput(), clips)
}

func mulOf(n *onnxpb.NodeProto, constant string) *onnxpb.NodeProto {
	c := proto.CloneOf(n)
	c.OpType = proto.String("Mul")
	c.Input[1] = constant
	return c
}
