package rewrite

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

var uniformStride = Pass{
	Name: "uniform-stride", Doubtful: true, Title: "a Conv with unequal strides takes the stride they have in common, and a Slice the rest", Tolerance: 1e-5,
	Order: "after the fusions: it puts an operator behind the Conv",
	Why:   "Convolutions whose strides differ are many times slower on the DSP.",
	Doc: `
    Before   x ─ Conv(strides s₁, s₂, …) ─ y
    After    x ─ Conv(strides g, g, …) ─ t ─ Slice(steps s₁/g, s₂/g, …) ─ y       g = gcd(s₁, s₂, …)

    Before   x [N,C,1,W] ─ Conv(strides 1, s) ─ y [N,D,1,W']          After    x ─ Conv(strides s, s) ─ y

Where the output has one place along an axis, the stride along it is free; that costs nothing and saves up to a tenth of the Conv's cycles.
Elsewhere g computes s₁·s₂/g² as many places: by the estimate a Conv of 64 channels takes 11 % more or less, one of 3 channels 5 times as many
cycles, basic-pitch 2.5 times, so that it is done when it is asked for by name, or where the estimate says that it is faster (--keep-faster).

Conditions: opset 10 or later (Slice with steps). Output d has ⌊(in + pads − extent)/s⌋ + 1 places; every s/g-th of those
of stride g are they. Paddings of auto_pad SAME_UPPER and SAME_LOWER depend on the stride, so they are written out first, for
which the input's size must be known. Dilations and groups stay.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			a := onnx.Attr(n, "strides")
			if n.GetOpType() != "Conv" || n.GetDomain() != "" || a == nil || !s.free(i) {
				continue
			}
			strides := a.GetInts()
			if len(strides) == 0 || !slices.ContainsFunc(strides, func(v int64) bool { return v != strides[0] }) || slices.ContainsFunc(strides, func(v int64) bool { return v < 1 }) {
				continue
			}
			if s.freeStride(i, n, strides) {
				continue
			}
			if s.sure {
				s.leave(n, "strides %v: a common one computes values that a Slice drops, which costs more in most models; --enable uniform-stride does it all the same, --keep-faster where it is faster", strides)
				continue
			}
			if s.m.Opset() < 10 {
				s.leave(n, "opset %d has no Slice with steps", s.m.Opset())
				continue
			}
			pads, ok := s.explicitPads(n, strides)
			if !ok {
				s.leave(n, "its padding depends on an input size that is not known")
				continue
			}
			common := strides[0]
			for _, v := range strides {
				common = gcd(common, v)
			}
			c := proto.CloneOf(n)
			c.Attribute = slices.DeleteFunc(c.Attribute, func(a *onnxpb.AttributeProto) bool {
				return slices.Contains([]string{"strides", "pads", "auto_pad"}, a.GetName())
			})
			c.Attribute = append(c.Attribute, onnx.IntsAttr("strides", repeat(common, len(strides))), onnx.IntsAttr("pads", pads))
			y := n.GetOutput()[0]
			t := s.unique(y + "_strided")
			c.Output = []string{t}
			var starts, ends, axes, steps []int64
			for d, v := range strides {
				if v != common {
					starts, ends, axes, steps = append(starts, 0), append(ends, 1<<31-1), append(axes, int64(d+2)), append(steps, v/common)
				}
			}
			slice := &onnxpb.NodeProto{
				OpType: proto.String("Slice"), Name: proto.String(nameOf(n) + "_stride"), Output: []string{y},
				Input: []string{t, s.freshInts(y+"_starts", starts...), s.freshInts(y+"_ends", ends...), s.freshInts(y+"_axes", axes...), s.freshInts(y+"_steps", steps...)},
			}
			s.replace(i, c, slice)
			s.changed("%s: strides %v", nameOf(n), strides)
		}
		return nil
	},
}

// FreeStride ends what the pass says of a Conv whose strides became equal at no cost.
const FreeStride = ", the output has one place there"

// freeStride lets a Conv have one stride where the output has one place along all axes of the others.
func (s *sweep) freeStride(i int, n *onnxpb.NodeProto, strides []int64) bool {
	out, known := s.shapes(n.GetOutput()[0])
	if !known || len(out) != len(strides)+2 {
		return false
	}
	common := int64(0)
	for d, v := range strides {
		switch {
		case out[d+2] == 1:
		case common == 0:
			common = v
		case v != common:
			return false
		}
	}
	if common == 0 { // one place altogether
		common = slices.Max(strides)
	}
	pads, ok := s.explicitPads(n, strides)
	if !ok || common < slices.Max(strides) { // a smaller one would find more places
		return false
	}
	c := proto.CloneOf(n)
	c.Attribute = slices.DeleteFunc(c.Attribute, func(a *onnxpb.AttributeProto) bool {
		return slices.Contains([]string{"strides", "pads", "auto_pad"}, a.GetName())
	})
	c.Attribute = append(c.Attribute, onnx.IntsAttr("strides", repeat(common, len(strides))), onnx.IntsAttr("pads", pads))
	s.replace(i, c)
	s.changed("%s: strides %v%s", nameOf(n), strides, FreeStride)
	return true
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

func repeat(v int64, n int) []int64 {
	list := make([]int64, n)
	for i := range list {
		list[i] = v
	}
	return list
}

// explicitPads writes a Conv's padding out: begins, then ends (https://onnx.ai/onnx/operators/onnx__Conv.html).
func (f *facts) explicitPads(n *onnxpb.NodeProto, strides []int64) ([]int64, bool) {
	dims := len(strides)
	switch auto := onnx.AttrString(n, "auto_pad", "NOTSET"); auto {
	case "NOTSET":
		if a := onnx.Attr(n, "pads"); a != nil {
			return a.GetInts(), len(a.GetInts()) == 2*dims
		}
		return repeat(0, 2*dims), true
	case "VALID":
		return repeat(0, 2*dims), true
	case "SAME_UPPER", "SAME_LOWER":
		in, ok := f.shapes(n.GetInput()[0])
		w := f.x.Initializer[n.GetInput()[1]]
		if !ok || len(in) != dims+2 || w == nil || len(w.GetDims()) != dims+2 {
			return nil, false
		}
		dilations := repeat(1, dims)
		if a := onnx.Attr(n, "dilations"); a != nil && len(a.GetInts()) == dims {
			dilations = a.GetInts()
		}
		pads := repeat(0, 2*dims)
		for d := range dims {
			size := in[d+2]
			if size < 0 {
				return nil, false
			}
			out := (size + strides[d] - 1) / strides[d]
			total := max((out-1)*strides[d]+(w.GetDims()[d+2]-1)*dilations[d]+1-size, 0)
			small := total / 2
			if auto == "SAME_UPPER" {
				pads[d], pads[d+dims] = small, total-small
			} else {
				pads[d], pads[d+dims] = total-small, small
			}
		}
		return pads, true
	}
	return nil, false
}
