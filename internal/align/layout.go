package align

import (
	"slices"

	"quantcheck/internal/dlc"
	"quantcheck/internal/tensor"
)

// Layout says in which order a DLC keeps a layer's axes: axis i of the DLC's tensor is axis Layout[i] of the layer's. nil
// is the same order.
type Layout []int

// Tap is a tensor of a DLC that stands for a layer, or for an input, of a float model.
type Tap struct {
	Name   string // under which it is known outside of the DLC
	Tensor *dlc.Tensor
	Layout Layout
	Shape  []int64 // in the float model
}

// channelLast is NCHW → NHWC and its like of other ranks.
func channelLast(rank int) Layout {
	l := Layout{0}
	for i := 2; i < rank; i++ {
		l = append(l, i)
	}
	return append(l, 1)
}

// channelFirst is NHWC → NCHW.
func channelFirst(rank int) Layout {
	l := Layout{0, rank - 1}
	for i := 1; i < rank-1; i++ {
		l = append(l, i)
	}
	return l
}

// Undo puts values that lie in the DLC's order into the layer's, of the shape given.
func (l Layout) Undo(t tensor.Tensor, shape []int64) tensor.Tensor {
	t.Shape = slices.Clone(shape)
	if l == nil {
		return t
	}
	width := 4
	if t.DType != tensor.Float32 {
		width = t.DType.Bits() / 8
	}
	// The strides of the layer's axes in the DLC's order.
	strides := make([]int, len(shape))
	step := 1
	for i := len(l) - 1; i >= 0; i-- {
		strides[l[i]] = step
		step *= int(shape[l[i]])
	}
	out := t
	if t.DType == tensor.Float32 {
		out.F32 = make([]float32, len(t.F32))
	} else {
		out.Raw = make([]byte, len(t.Raw))
	}
	index := make([]int, len(shape))
	from := 0
	for to := range step {
		if t.DType == tensor.Float32 {
			out.F32[to] = t.F32[from]
		} else {
			copy(out.Raw[to*width:(to+1)*width], t.Raw[from*width:])
		}
		for i := len(shape) - 1; i >= 0; i-- {
			index[i]++
			from += strides[i]
			if index[i] < int(shape[i]) {
				break
			}
			from -= strides[i] * index[i]
			index[i] = 0
		}
	}
	return out
}

// Do puts values that lie in the layer's order into the DLC's. The shape is the layer's, and then its axes in that order.
func (l Layout) Do(t tensor.Tensor) tensor.Tensor {
	if l == nil {
		return t
	}
	back := make(Layout, len(l))
	for i, axis := range l {
		back[axis] = i
	}
	return back.Undo(t, apply(l, t.Shape))
}

// Candidates are the orders of axes that converters make and that fit a tensor's shape.
func Candidates(shape []int64, t *dlc.Tensor) []Layout {
	return slices.DeleteFunc(candidates(len(shape)), func(l Layout) bool { return !l.Fits(shape, t) })
}

// Fits says whether values of a shape, in this order, are as many along each axis as a tensor's; axes of length 1 may be missing.
func (l Layout) Fits(shape []int64, t *dlc.Tensor) bool {
	if l != nil {
		for axis := range shape {
			if len(l) != len(shape) || !slices.Contains(l, axis) {
				return false
			}
		}
	}
	theirs := make([]int64, len(t.Shape))
	for i, d := range t.Shape {
		theirs[i] = int64(d)
	}
	return slices.Equal(squeezed(apply(l, shape)), squeezed(theirs))
}

// imageOperators give tensors with the channels last, by QNN's definition.
var imageOperators = []string{
	"Conv2d", "DepthWiseConv2d", "TransposeConv2d", "Pool", "PoolMax2d", "PoolAvg2d", "Resize", "ResizeBilinear", "ResizeNearestNeighbor", "DepthToSpace", "SpaceToDepth",
	"Batchnorm", "InstanceNorm", "GroupConv2d",
}

// The values of a tensor's axis format that say something of its layout.
const (
	formatChannelLast = 3
	formatAsInModel   = 11
)

// layouts finds in which order a DLC keeps the axes of tensors that belong to layers or inputs.
type layouts struct {
	Float
	g     *dlcGraph
	taken map[string]string // tensor of the DLC → layer or graph input
}

// layout finds how a tensor of the DLC lies against a layer's shape: by the two shapes, where those fit several orders by
// the DLC's metadata, else by the operators of its graph. why says why it is not known.
func (l *layouts) layout(name string, t *dlc.Tensor) (found Layout, why string) {
	shape, known := l.Shape(name)
	if !known || slices.Contains(shape, -1) {
		return nil, "the layer's shape is not known"
	}
	if len(t.Shape) == 0 && len(shape) > 0 {
		return nil, "the DLC does not tell its shape"
	}
	fitting := Candidates(shape, t)
	// Orders that differ in axes of length 1 only are one.
	for i := len(fitting) - 1; i > 0; i-- {
		if slices.Equal(effective(fitting[i], shape), effective(fitting[0], shape)) {
			fitting = slices.Delete(fitting, i, i+1)
		}
	}
	switch len(fitting) {
	case 0:
		return nil, "its shape is no known order of the layer's"
	case 1:
		return fitting[0], ""
	}
	last, told := l.channelsLast(t.Name, 0)
	if !told {
		return nil, "its shape fits several orders of axes, and neither metadata nor operators tell which"
	}
	if last {
		return channelLast(len(shape)), ""
	}
	return nil, ""
}

func candidates(rank int) []Layout {
	if rank < 3 {
		return []Layout{nil}
	}
	return []Layout{nil, channelLast(rank), channelFirst(rank)}
}

func apply(l Layout, shape []int64) []int64 {
	if l == nil {
		return shape
	}
	out := make([]int64, len(l))
	for i, axis := range l {
		out[i] = shape[axis]
	}
	return out
}

func squeezed(shape []int64) []int64 {
	return slices.DeleteFunc(slices.Clone(shape), func(d int64) bool { return d == 1 })
}

// effective lists the axes longer than 1 in the order in which they lie.
func effective(l Layout, shape []int64) []int {
	var list []int
	for i := range shape {
		axis := i
		if l != nil {
			axis = l[i]
		}
		if shape[axis] != 1 {
			list = append(list, axis)
		}
	}
	return list
}

// channelsLast says whether a tensor of the DLC has its channels behind height and width.
func (l *layouts) channelsLast(name string, depth int) (last, told bool) {
	t := l.g.Tensor(name)
	if t == nil || depth > len(l.g.Nodes) {
		return false, false
	}
	switch t.AxisFormat {
	case formatChannelLast:
		return true, true
	case formatAsInModel:
		return false, true
	}
	k, made := l.g.producer[name]
	if !made {
		return l.inputLast(t)
	}
	n := l.g.Nodes[k]
	if slices.Contains(imageOperators, n.Type) {
		return true, true
	}
	if len(n.Inputs) == 0 || n.Type == "Reshape" {
		return false, false
	}
	if n.Type == "Transpose" {
		order, ok := l.g.file.Ints(n, "perm")
		before, told := l.channelsLast(n.Inputs[0], depth+1)
		switch {
		case !ok || !told:
			return false, false
		case before && slices.Equal(order, channelFirst(len(order))):
			return false, true
		case !before && slices.Equal(order, channelLast(len(order))):
			return true, true
		}
		return false, false
	}
	for _, in := range n.Inputs {
		if from := l.g.Tensor(in); from != nil && from.Location != dlc.Static && len(from.Shape) == len(t.Shape) {
			return l.channelsLast(in, depth+1)
		}
	}
	return false, false
}

// inputLast tells an input of the graph by its shape against the model's.
func (l *layouts) inputLast(t *dlc.Tensor) (last, told bool) {
	name := l.taken[t.Name]
	shape, known := l.Shape(name)
	if name == "" || !known || len(shape) != len(t.Shape) || len(shape) < 3 {
		return false, false
	}
	ours := make([]int, len(shape))
	for i, d := range shape {
		ours[i] = int(d)
	}
	same := slices.Equal(ours, t.Shape)
	moved := make([]int, len(ours))
	for i, axis := range channelLast(len(ours)) {
		moved[i] = ours[axis]
	}
	behind := slices.Equal(moved, t.Shape)
	return behind, same != behind
}

// describe finds layouts, what was added, what is missing.
func (a *aligner) describe() {
	order := &layouts{a.Float, a.g, a.taken}
	for _, pairs := range []map[string]Pairing{a.out.Pairs, a.out.Inputs} {
		for name, p := range pairs {
			if p.Tensor != "" {
				p.Layout, p.Unknown = order.layout(name, a.g.Tensor(p.Tensor))
				pairs[name] = p
			}
		}
	}
	a.leftovers()
	for _, name := range a.Layers {
		if _, ok := a.out.Pairs[name]; !ok && !a.Constant(name) {
			a.out.Missing = append(a.out.Missing, name)
		}
	}
	for i := range a.g.Tensors {
		t := &a.g.Tensors[i]
		if t.Location == dlc.Static || a.taken[t.Name] != "" {
			continue
		}
		var c Copy
		for _, from := range a.g.sources(t.Name)[1:] {
			if c.Of = a.taken[from]; c.Of != "" {
				break
			}
		}
		if c.Of == "" {
			c.Of = a.becomesPaired(t.Name)
		}
		if c.Of != "" {
			c.Layout, c.Unknown = order.layout(c.Of, t)
		}
		a.out.Added[t.Name] = c
	}
}

// becomesPaired follows the operators behind a tensor that copy it, to one that belongs to a layer.
func (a *aligner) becomesPaired(name string) string {
	for range a.g.Nodes {
		next := ""
		for _, k := range a.g.consumers[name] {
			n := a.g.Nodes[k]
			if slices.Contains(copying, n.Type) && len(n.Outputs) == 1 {
				next = n.Outputs[0]
			}
		}
		if next == "" {
			return ""
		}
		if a.taken[next] != "" {
			return a.taken[next]
		}
		name = next
	}
	return ""
}
