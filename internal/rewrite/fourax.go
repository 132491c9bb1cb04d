package rewrite

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// mostAxes is how many axes the HTP moves values over at once.
const mostAxes = 4

var fourAxes = Pass{
	Name: "four-axes", Title: "a Transpose of five or more axes between two Reshapes becomes one of four", Tolerance: 0,
	Order: "behind the passes that put Reshape and Transpose into a Conv, since those are better off there",
	Why:   "The HTP moves tensors of more than four axes slowly, or not at all; windows of a Swin transformer are cut with six. By the estimate one such cut of 8,192 values brings 1.2 % of the model around it.",
	Doc: `
    Before   x ─ Reshape [1,a,w,b,v,C] ─ Transpose(0,1,3,2,4,5) ─ Reshape ─ y
    After    x ─ Reshape [a,w,b,v·C]   ─ Transpose(0,2,1,3)     ─ Reshape ─ y

Axes of one value are left out, and axes that stay beside each other are one. Conditions: four axes or fewer are left; the shapes are known;
nobody else uses what lies between, and it is no graph output.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			if n.GetOpType() == "Transpose" && n.GetDomain() == "" && s.free(i) {
				moveOverFour(s, i)
			}
		}
		return nil
	},
}

// moveOverFour rewrites a Transpose and the Reshapes around it, where that can be done.
func moveOverFour(s *sweep, i int) {
	n := s.x.Nodes[i]
	in, out := n.GetInput()[0], n.GetOutput()[0]
	first, made := s.x.Producer[in]
	last, sole := s.sole(out)
	shape, known := s.shapes(in)
	if !made || !sole || !known || len(shape) <= mostAxes || slices.ContainsFunc(shape, func(d int64) bool { return d < 1 }) || !s.free(first) {
		return
	}
	if _, alone := s.sole(in); !alone {
		return
	}
	a, b := s.x.Nodes[first], s.x.Nodes[last]
	if a.GetOpType() != "Reshape" || b.GetOpType() != "Reshape" || a.GetDomain() != "" || b.GetDomain() != "" || b.GetInput()[0] != out {
		return
	}
	end, known := s.shapes(b.GetOutput()[0])
	if !known || slices.ContainsFunc(end, func(d int64) bool { return d < 1 }) {
		return
	}
	sizes, perm := merged(shape, onnx.Attr(n, "perm").GetInts())
	if len(sizes) > mostAxes || len(sizes) == 0 {
		if len(sizes) > 0 {
			s.leave(n, "%d axes are left of %d", len(sizes), len(shape))
		}
		return
	}
	begin := proto.CloneOf(a)
	begin.Input = []string{a.GetInput()[0], s.freshInts(in+"_shape", sizes...)}
	begin.Attribute = nil
	move := proto.CloneOf(n)
	move.Attribute = []*onnxpb.AttributeProto{onnx.IntsAttr("perm", perm)}
	finish := proto.CloneOf(b)
	finish.Input = []string{out, s.freshInts(b.GetOutput()[0]+"_shape", end...)} // a 0 in the old one meant an axis of before
	finish.Attribute = nil
	s.replace(first, begin)
	s.replace(i, move)
	s.replace(last, finish)
	s.changed("%s: %d axes, now %d", nameOf(n), len(shape), len(sizes))
}

// merged leaves out axes of one value and makes one of axes that stay beside each other. It gives the sizes that are left and their order;
// none if perm is no order of the axes.
func merged(shape, perm []int64) (sizes, order []int64) {
	if len(perm) != len(shape) {
		return nil, nil
	}
	var kept []int64 // axes in their new order
	for _, axis := range perm {
		if axis < 0 || axis >= int64(len(shape)) {
			return nil, nil
		}
		if shape[axis] != 1 {
			kept = append(kept, axis)
		}
	}
	next := func(axis int64) int64 { // the next one that is kept
		for axis++; axis < int64(len(shape)) && shape[axis] == 1; axis++ {
		}
		return axis
	}
	var heads []int64 // first axis of each group, in the new order
	size := map[int64]int64{}
	for i, axis := range kept {
		if i > 0 && next(kept[i-1]) == axis {
			size[heads[len(heads)-1]] *= shape[axis]
			continue
		}
		heads = append(heads, axis)
		size[axis] = shape[axis]
	}
	sorted := slices.Sorted(slices.Values(heads))
	for _, h := range sorted {
		sizes = append(sizes, size[h])
	}
	for _, h := range heads {
		order = append(order, int64(slices.Index(sorted, h)))
	}
	return sizes, order
}
