package verdict

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/rewrite"
)

// Shapes gives the shape of a tensor of the float model.
type Shapes = rewrite.Shapes

const (
	mostSources  = 64      // inputs of the Concats that make an output
	mostChannels = 1024    // along the axis of the channels; of more, the channels are not told apart
	mostCells    = 4096    // sources × channels
	mostDepth    = 32      // operators that move elements, one behind the other
	mostElements = 1 << 24 // of an output whose Concats are followed
)

// layout says of each element of an output which cell it belongs to: elements of one channel that one source brings.
type layout struct {
	sources  []string // the tensors that the Concats behind the output join; one, "", if it is not joined
	channels int      // 1: they are not told apart
	inner    int      // elements between two channels
	of       []int32  // element → source; nil: there is one source
}

func (l *layout) cells() int { return len(l.sources) * l.channels }

// layoutOf looks for the Concats that make an output, over operators that move elements and change none, and for the axis of its channels.
func layoutOf(x *onnx.Index, shapes Shapes, output string, dims []int64) *layout {
	l := &layout{sources: []string{""}, channels: 1, inner: 1}
	if axis := channelAxis(dims); axis >= 0 {
		l.channels = int(dims[axis])
		for _, d := range dims[axis+1:] {
			l.inner *= int(d)
		}
	}
	t := &tracer{x: x, shapes: shapes}
	if of, ok := t.trace(output); ok && len(t.sources) > 1 && len(t.sources)*l.channels <= mostCells {
		l.sources, l.of = t.sources, of
	}
	return l
}

// channelAxis is the axis whose entries mean different things, −1 if there is none that is told: of [N, C] the last, of maps and rows the
// shorter one of axis 1 and the last.
func channelAxis(dims []int64) int {
	axis := -1
	switch n := len(dims); {
	case n == 2:
		axis = 1
	case n > 2:
		if axis = 1; dims[n-1] < dims[1] {
			axis = n - 1
		}
	}
	if axis >= 0 && (dims[axis] < 2 || dims[axis] > mostChannels) {
		return -1
	}
	return axis
}

// tracer follows elements back over operators that only move them.
type tracer struct {
	x       *onnx.Index
	shapes  Shapes
	sources []string
	depth   int // of the operators that are followed
}

// trace gives the source of each element of a tensor; false if there are too many, or a shape is not known.
func (t *tracer) trace(name string) ([]int32, bool) {
	dims, ok := t.shapes(name)
	count := elements(dims)
	if !ok || count < 1 || count > mostElements {
		return nil, false
	}
	if k, made := t.x.Producer[name]; made && t.depth < mostDepth {
		t.depth++
		defer func() { t.depth-- }()
		if of, ok := t.through(t.x.Nodes[k], dims, int(count)); ok {
			return of, true
		}
	}
	if len(t.sources) == mostSources {
		return nil, false
	}
	of := make([]int32, count)
	for i := range of {
		of[i] = int32(len(t.sources))
	}
	t.sources = append(t.sources, name)
	return of, true
}

// through gives the sources of what an operator makes, false if it is none that moves elements.
func (t *tracer) through(n *onnxpb.NodeProto, dims []int64, count int) ([]int32, bool) {
	if len(n.GetInput()) == 0 {
		return nil, false
	}
	before := len(t.sources)
	fail := func() ([]int32, bool) {
		t.sources = t.sources[:before]
		return nil, false
	}
	switch n.GetOpType() {
	case "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout":
		if of, ok := t.trace(n.GetInput()[0]); ok && len(of) == count {
			return of, true
		}
		return fail()
	case "Transpose":
		in, ok := t.shapes(n.GetInput()[0])
		of, also := t.trace(n.GetInput()[0])
		if !ok || !also || len(of) != count {
			return fail()
		}
		perm := onnx.Attr(n, "perm").GetInts()
		if len(perm) == 0 {
			for i := range in {
				perm = append(perm, int64(len(in)-1-i))
			}
		}
		if !permutes(perm, len(in)) || elements(in) != int64(count) {
			return fail()
		}
		return transpose(of, in, perm), true
	case "Concat":
		axis := int(onnx.AttrInt(n, "axis", 0))
		if axis < 0 {
			axis += len(dims)
		}
		if axis < 0 || axis >= len(dims) {
			return fail()
		}
		outer, row := int(elements(dims[:axis])), int(elements(dims[axis:]))
		out := make([]int32, count)
		at := 0
		for _, in := range n.GetInput() {
			of, ok := t.trace(in)
			if !ok || outer < 1 || len(of)%outer != 0 || at+len(of)/outer > row {
				return fail()
			}
			part := len(of) / outer
			for o := range outer {
				copy(out[o*row+at:], of[o*part:(o+1)*part])
			}
			at += part
		}
		if at != row {
			return fail()
		}
		return out, true
	}
	return nil, false
}

func elements(dims []int64) int64 {
	n := int64(1)
	for _, d := range dims {
		if d < 0 || d > 0 && n > mostElements/d {
			return -1
		}
		n *= d
	}
	return n
}

// permutes says whether a list has each of 0…n−1 once.
func permutes(list []int64, n int) bool {
	sorted := slices.Sorted(slices.Values(list))
	for i, v := range sorted {
		if v != int64(i) {
			return false
		}
	}
	return len(sorted) == n
}

// transpose gives out[i…] = in[…] as ONNX's Transpose does: axis k of the result is axis perm[k] of the operand.
func transpose(in []int32, dims, perm []int64) []int32 {
	stride := make([]int, len(dims))
	s := 1
	for k := len(dims) - 1; k >= 0; k-- {
		stride[k], s = s, s*int(dims[k])
	}
	out := make([]int32, len(in))
	at, index := 0, make([]int, len(dims))
	for i := range out {
		out[i] = in[at]
		for k := len(perm) - 1; k >= 0; k-- {
			p := perm[k]
			index[k]++
			at += stride[p]
			if index[k] < int(dims[p]) {
				break
			}
			at -= index[k] * stride[p]
			index[k] = 0
		}
	}
	return out
}

// groups divides channels by their float ranges (the largest absolute value of each): where sorted ranges jump by more than ratio, a new
// group begins. Channels that are 0 in float are in none.
func groups(ranges []float64, ratio float64) [][]int {
	order := make([]int, 0, len(ranges))
	for c, r := range ranges {
		if r > 0 {
			order = append(order, c)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case ranges[a] > ranges[b]:
			return -1
		case ranges[a] < ranges[b]:
			return 1
		}
		return 0
	})
	var list [][]int
	for i, c := range order {
		if i == 0 || ranges[order[i-1]] > ratio*ranges[c] {
			list = append(list, nil)
		}
		list[len(list)-1] = append(list[len(list)-1], c)
	}
	for _, g := range list {
		slices.Sort(g)
	}
	return list
}
