package rewrite

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

var removeIdentity = Pass{
	Name: "remove-identity", Title: "operators that change nothing are removed, transposes that follow each other become one", Tolerance: 1e-6,
	Order: "before the fusions: what lies between two operators hides them from each other",
	Why:   "They hide operators from each other that a converter would fuse, and some are copied on the DSP all the same.",
	Doc: `
    Before   x ─ Identity ─ y                     After   x
    Before   x ─ Transpose(p) ─ Transpose(q) ─ y  After   x ─ Transpose(p∘q) ─ y, or x if p∘q changes nothing

Removed: Identity; Dropout (in inference, its mask unused); Cast to the type it has; Reshape, Flatten, Squeeze, Unsqueeze and
Expand to the shape it has; Transpose and Pad that do nothing; Concat and Sum of one tensor; Add or Sub of 0, Mul or Div by
1. Conditions: shapes are known where they decide; two transposes are joined if nobody else uses the tensor between. A graph
output keeps its name. Nothing is computed otherwise, but a kernel may add in another order where a constant stands before it now.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			if !s.free(i) || n.GetDomain() != "" || len(n.GetInput()) == 0 || len(n.GetOutput()) == 0 {
				continue
			}
			from, same, err := s.unchanged(n)
			if err != nil {
				return err
			}
			if same {
				if s.bypass(i, from, n.GetOutput()[0]) {
					s.changed("%s (%s)", nameOf(n), n.GetOpType())
				}
				continue
			}
			s.joinTransposes(i)
		}
		return nil
	},
}

// unchanged says whether a node's output equals one of its inputs, and which.
func (f *facts) unchanged(n *onnxpb.NodeProto) (string, bool, error) {
	in, out := n.GetInput()[0], n.GetOutput()[0]
	switch n.GetOpType() {
	case "Identity":
		return in, f.x.Initializer[in] == nil, nil
	case "Dropout":
		unused := len(n.GetOutput()) < 2 || n.GetOutput()[1] == "" || len(f.x.Consumers[n.GetOutput()[1]]) == 0 && !f.x.Output[n.GetOutput()[1]]
		training := len(n.GetInput()) > 2 && n.GetInput()[2] != ""
		return in, unused && !training, nil
	case "Cast":
		to := onnx.Attr(n, "to")
		if f.types == nil || to == nil || f.x.Initializer[in] != nil {
			return in, false, nil
		}
		d, known := f.types(in)
		return in, known && int64(d) == to.GetI(), nil
	case "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand":
		a, known := f.shapes(in)
		b, also := f.shapes(out)
		return in, known && also && slices.Equal(a, b) && !slices.ContainsFunc(a, func(d int64) bool { return d < 0 }), nil
	case "Transpose":
		perm := onnx.Attr(n, "perm")
		return in, perm != nil && len(perm.GetInts()) > 0 && slices.IsSorted(perm.GetInts()), nil
	case "Concat", "Sum", "Mean", "Max", "Min":
		return in, len(n.GetInput()) == 1, nil
	case "Pad":
		if a := onnx.Attr(n, "pads"); a != nil {
			return in, allZero(a.GetInts()), nil
		}
		if len(n.GetInput()) > 1 {
			pads, ok, err := f.ints(n.GetInput()[1])
			return in, ok && allZero(pads), err
		}
	case "Mul", "Div", "Add", "Sub":
		shape, known := f.shapes(out)
		for k, name := range n.GetInput() {
			other, also := f.shapes(n.GetInput()[(k+1)%len(n.GetInput())])
			if !known || !also || !slices.Equal(shape, other) || slices.ContainsFunc(shape, func(d int64) bool { return d < 0 }) || k == 0 && (n.GetOpType() == "Div" || n.GetOpType() == "Sub") {
				continue
			}
			c, ok, err := f.constant(name)
			if err != nil {
				return "", false, err
			}
			neutral := float32(0)
			if op := n.GetOpType(); op == "Mul" || op == "Div" {
				neutral = 1
			}
			if ok && len(c.F32) > 0 && !slices.ContainsFunc(c.F32, func(v float32) bool { return v != neutral }) {
				return n.GetInput()[1-k], true, nil
			}
		}
	}
	return "", false, nil
}

func allZero(list []int64) bool {
	return len(list) > 0 && !slices.ContainsFunc(list, func(v int64) bool { return v != 0 })
}

// joinTransposes makes one of two.
func (s *sweep) joinTransposes(i int) {
	first := s.x.Nodes[i]
	if first.GetOpType() != "Transpose" {
		return
	}
	k, sole := s.sole(first.GetOutput()[0])
	if !sole || s.x.Nodes[k].GetOpType() != "Transpose" {
		return
	}
	p, q := onnx.Attr(first, "perm").GetInts(), onnx.Attr(s.x.Nodes[k], "perm").GetInts()
	if len(p) == 0 || len(p) != len(q) {
		return
	}
	joined := make([]int64, len(p))
	for d, axis := range q {
		if axis < 0 || axis >= int64(len(p)) {
			return
		}
		joined[d] = p[axis]
	}
	c := proto.CloneOf(s.x.Nodes[k])
	c.Input[0] = first.GetInput()[0]
	c.Attribute = []*onnxpb.AttributeProto{onnx.IntsAttr("perm", joined)}
	s.replace(i)
	s.replace(k, c)
	s.changed("%s and %s (Transpose)", nameOf(first), nameOf(s.x.Nodes[k]))
}
