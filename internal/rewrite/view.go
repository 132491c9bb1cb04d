package rewrite

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// place is where a channel of a view begins in its source: a channel, a row and a column.
type place struct{ channel, y, x int64 }

// view says that a tensor [N,J,height,width] only moves values of another, from [N,C,H,W]:
//
//	view[n,j,y,x] = from[n, at[j].channel, at[j].y + y·stepY, at[j].x + x·stepX]
type view struct {
	from          string
	shape         []int64 // of from: NCHW, all known
	at            []place // by the view's channel
	stepY, stepX  int64
	height, width int64
	nodes         []int // operators from the source to the view, each once, sorted
}

// most bounds what a view may hold: channels of a model's claimed shapes are no reason to allocate. farthest bounds the
// operators on its way.
const (
	most     = 1 << 14
	farthest = 1 << 10
)

// viewer follows operators that only move values (Slice, Split, Gather, Concat, SpaceToDepth, and Reshape, Transpose, Reshape)
// back to where the values come from.
type viewer struct {
	f    *facts
	stop map[string]bool  // tensors that are taken as sources
	seen map[string]*view // nil: nothing is known of the tensor
}

// viewOf gives the view that a tensor is. tight is the one that reaches back the farthest without a tensor on the way that
// somebody else uses or that is a graph output: its operators can go. wide is the one that does not mind. Both are nil if
// the tensor is no view.
func (f *facts) viewOf(name string) (tight, wide *view, err error) {
	stop := map[string]bool{}
	for {
		r := viewer{f: f, stop: stop, seen: f.seen}
		if len(stop) > 0 {
			r.seen = map[string]*view{}
		}
		v, err := r.see(name)
		if err != nil || v == nil || len(v.nodes) == 0 {
			return nil, wide, err
		}
		if wide == nil {
			wide = v
		}
		shared := f.shared(name, v.nodes)
		if len(shared) == 0 {
			return v, wide, nil
		}
		for _, t := range shared {
			stop[t] = true
		}
	}
}

// shared gives the outputs of those nodes that somebody besides the nodes needs; name may be used by anyone.
func (f *facts) shared(name string, nodes []int) []string {
	var list []string
	outside := func(user int) bool { _, inside := slices.BinarySearch(nodes, user); return !inside }
	for _, k := range nodes {
		outs := f.x.Nodes[k].GetOutput()
		if slices.ContainsFunc(outs, func(out string) bool {
			return out != name && (f.x.Output[out] || slices.ContainsFunc(f.x.Consumers[out], outside))
		}) {
			list = append(list, outs...)
		}
	}
	return list
}

// see gives the view that a tensor is, at least of itself; nil if its shape is not known.
func (r *viewer) see(name string) (*view, error) {
	if v, ok := r.seen[name]; ok {
		return v, nil
	}
	v, err := r.through(name)
	if err != nil {
		return nil, err
	}
	if v != nil && len(v.nodes) > farthest {
		v = nil
	}
	shape, known := r.f.shapes(name)
	if v == nil && known && len(shape) == 4 && shape[1] <= most && r.f.x.Initializer[name] == nil && !slices.ContainsFunc(shape, func(d int64) bool { return d < 1 }) {
		v = &view{from: name, shape: shape, stepY: 1, stepX: 1, height: shape[2], width: shape[3]}
		for c := range shape[1] {
			v.at = append(v.at, place{channel: c})
		}
	}
	r.seen[name] = v
	return v, nil
}

// through gives the view by the operator that makes a tensor; nil if that does more than move values.
func (r *viewer) through(name string) (*view, error) {
	i, made := r.f.x.Producer[name]
	if !made || r.stop[name] {
		return nil, nil
	}
	n := r.f.x.Nodes[i]
	if n.GetDomain() != "" || len(n.GetInput()) == 0 {
		return nil, nil
	}
	switch n.GetOpType() {
	case "Reshape":
		return r.reshaped(i, n)
	case "Concat":
		return r.joined(i, n)
	case "Slice", "Split", "Gather", "SpaceToDepth":
	default:
		return nil, nil
	}
	of, err := r.see(n.GetInput()[0])
	if err != nil || of == nil {
		return nil, err
	}
	v := *of
	v.nodes = united(of.nodes, []int{i})
	ok := false
	switch n.GetOpType() {
	case "Slice":
		ok, err = r.cut(n, of, &v)
	case "Split":
		ok = r.part(n, name, of, &v)
	case "Gather":
		ok, err = r.gathered(n, of, &v)
	case "SpaceToDepth":
		b := onnx.AttrInt(n, "blocksize", 0)
		ok = of.unshuffled(&v, b, b, []int64{0, 1, 2})
	}
	if err != nil || !ok {
		return nil, err
	}
	return &v, nil
}

func united(a, b []int) []int {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}

// joined is a Concat of channels of one source.
func (r *viewer) joined(i int, n *onnxpb.NodeProto) (*view, error) {
	if axis := onnx.AttrInt(n, "axis", 1); axis != 1 && axis != -3 {
		return nil, nil
	}
	var v view
	for k, in := range n.GetInput() {
		part, err := r.see(in)
		if err != nil || part == nil {
			return nil, err
		}
		if k == 0 {
			v = *part
			v.at, v.nodes = slices.Clone(part.at), united(part.nodes, []int{i})
			continue
		}
		if len(v.nodes) > farthest || part.from != v.from || part.stepY != v.stepY || part.stepX != v.stepX || part.height != v.height || part.width != v.width || len(v.at)+len(part.at) > most {
			return nil, nil
		}
		v.at, v.nodes = append(v.at, part.at...), united(v.nodes, part.nodes)
	}
	return &v, nil
}

// part is an output of a Split along the channels; the outputs' shapes say how it splits.
func (r *viewer) part(n *onnxpb.NodeProto, name string, of, v *view) bool {
	if axis := onnx.AttrInt(n, "axis", 0); axis != 1 && axis != -3 {
		return false
	}
	first, ok := int64(0), false
	for _, out := range n.GetOutput() {
		shape, known := r.f.shapes(out)
		if !known || len(shape) != 4 || shape[1] < 1 || shape[1] > int64(len(of.at))-first {
			return false
		}
		if out == name {
			v.at, ok = of.at[first:first+shape[1]], true
		}
		first += shape[1]
	}
	return ok && first == int64(len(of.at))
}

// gathered is a Gather of channels.
func (r *viewer) gathered(n *onnxpb.NodeProto, of, v *view) (bool, error) {
	if axis := onnx.AttrInt(n, "axis", 0); axis != 1 && axis != -3 || len(n.GetInput()) != 2 {
		return false, nil
	}
	indices, ok, err := r.f.ints(n.GetInput()[1])
	if err != nil || !ok || len(indices) == 0 || len(indices) > most || len(r.f.x.Initializer[n.GetInput()[1]].GetDims()) != 1 {
		return false, err
	}
	v.at = nil
	for _, c := range indices {
		if c < 0 {
			c += int64(len(of.at))
		}
		if c < 0 || c >= int64(len(of.at)) {
			return false, nil
		}
		v.at = append(v.at, of.at[c])
	}
	return true, nil
}

// unshuffled moves blocks of by·bx values to the channels. order says how the channels run, slowest first: 0 is the row in
// the block, 1 the column, 2 the channel.
func (v *view) unshuffled(to *view, by, bx int64, order []int64) bool {
	if by < 1 || bx < 1 || v.height%by != 0 || v.width%bx != 0 || by > most || bx > most || by*bx*int64(len(v.at)) > most || v.stepY*by > most || v.stepX*bx > most {
		return false
	}
	sizes := []int64{by, bx, int64(len(v.at))}
	to.stepY, to.stepX, to.height, to.width, to.at = v.stepY*by, v.stepX*bx, v.height/by, v.width/bx, nil
	for j := range by * bx * int64(len(v.at)) {
		var digit [3]int64
		for k := len(order) - 1; k >= 0; k-- {
			digit[order[k]] = j % sizes[order[k]]
			j /= sizes[order[k]]
		}
		p := v.at[digit[2]]
		to.at = append(to.at, place{p.channel, p.y + digit[0]*v.stepY, p.x + digit[1]*v.stepX})
	}
	return true
}

// reshaped is Reshape, Transpose, Reshape that moves blocks to the channels or shuffles channels:
//
//	[N,C,H,W] → [N,C,H/by,by,W/bx,bx] → (0, three of 1,3,5, 2, 4) → [N,C·by·bx,H/by,W/bx]
//	[N,C,H,W] → [N,C/g,g,H,W]         → (0,2,1,3,4)               → [N,C,H,W]
func (r *viewer) reshaped(i int, n *onnxpb.NodeProto) (*view, error) {
	k, made := r.f.x.Producer[n.GetInput()[0]]
	if !made || r.stop[n.GetInput()[0]] || r.f.x.Nodes[k].GetOpType() != "Transpose" || r.f.x.Nodes[k].GetDomain() != "" {
		return nil, nil
	}
	between := r.f.x.Nodes[k].GetInput()[0]
	first, made := r.f.x.Producer[between]
	if !made || r.stop[between] || r.f.x.Nodes[first].GetOpType() != "Reshape" || r.f.x.Nodes[first].GetDomain() != "" {
		return nil, nil
	}
	of, err := r.see(r.f.x.Nodes[first].GetInput()[0])
	if err != nil || of == nil {
		return nil, err
	}
	middle, known := r.f.shapes(between)
	last, also := r.f.shapes(n.GetOutput()[0])
	perm := onnx.Attr(r.f.x.Nodes[k], "perm").GetInts()
	if !known || !also || len(last) != 4 || len(middle) < 5 || len(perm) != len(middle) || middle[0] != of.shape[0] || slices.ContainsFunc(middle, func(d int64) bool { return d < 1 }) {
		return nil, nil
	}
	v := *of
	v.nodes = united(of.nodes, []int{first, k, i})
	switch {
	case len(middle) == 6 && middle[1] == int64(len(of.at)) && middle[2] == of.height/middle[3] && middle[4] == of.width/middle[5] && perm[0] == 0 && perm[4] == 2 && perm[5] == 4:
		var order []int64
		for _, axis := range perm[1:4] {
			at := slices.Index([]int64{3, 5, 1}, axis)
			if at < 0 {
				return nil, nil
			}
			order = append(order, int64(at))
		}
		if !of.unshuffled(&v, middle[3], middle[5], order) {
			return nil, nil
		}
	case slices.Equal(perm, []int64{0, 2, 1, 3, 4}) && middle[1] == int64(len(of.at))/middle[2] && middle[1]*middle[2] == int64(len(of.at)) && middle[3] == of.height && middle[4] == of.width:
		v.at = nil
		for j := range int64(len(of.at)) {
			v.at = append(v.at, of.at[j%middle[1]*middle[2]+j/middle[1]])
		}
	default:
		return nil, nil
	}
	if !slices.Equal(last, []int64{of.shape[0], int64(len(v.at)), v.height, v.width}) {
		return nil, nil
	}
	return &v, nil
}

// whole says whether a view is of the source's full size and only chooses channels.
func (v *view) whole() bool {
	return v.stepY == 1 && v.stepX == 1 && v.height == v.shape[2] && v.width == v.shape[3] && !slices.ContainsFunc(v.at, func(p place) bool { return p.x != 0 || p.y != 0 })
}

// inOrder says whether a view has each channel of its source once and in its order.
func (v *view) inOrder() bool {
	return int64(len(v.at)) == v.shape[1] && v.complete() && slices.IsSorted(v.channels())
}

// same says whether a view is its source.
func (v *view) same() bool { return v.whole() && v.inOrder() }

// complete says whether a view has every channel of its source.
func (v *view) complete() bool {
	seen := map[int64]bool{}
	for _, p := range v.at {
		seen[p.channel] = true
	}
	return int64(len(seen)) == v.shape[1]
}

// channels gives the source's channel for each of the view.
func (v *view) channels() []int {
	order := make([]int, len(v.at))
	for j, p := range v.at {
		order[j] = int(p.channel)
	}
	return order
}

// interleaved gives the kernel [O,C,step·kh,step·kw] on the source that does what weight [O,J,kh,kw] does on the view:
// W'[o, c, stepY·ky + y, stepX·kx + x] = Σ W[o,j,ky,kx] over the channels j that begin at (c, y, x). Offsets lie below the
// steps.
func (v *view) interleaved(weight []float32, shape []int64) ([]float64, []int64) {
	outputs, kh, kw := shape[0], shape[2], shape[3]
	to := []int64{outputs, v.shape[1], v.stepY * kh, v.stepX * kw}
	kernel := make([]float64, to[0]*to[1]*to[2]*to[3])
	e := 0
	for o := range outputs {
		for _, p := range v.at {
			for ky := range kh {
				for kx := range kw {
					kernel[((o*to[1]+p.channel)*to[2]+v.stepY*ky+p.y)*to[3]+v.stepX*kx+p.x] += float64(weight[e])
					e++
				}
			}
		}
	}
	return kernel, to
}
