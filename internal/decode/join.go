package decode

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A head that was cut before its last Concats has one output for each of their inputs. Outputs that agree in all axes but one are joined
// along that axis, and the decoder is asked again:
//
//	[1,4,N], [1,C,N]                   → [1,4+C,N]
//	[1,N,4], [1,N,1], [1,N,C]          → [1,N,5+C]
//	[1,5+C,n1], [1,5+C,n2], [1,5+C,n3] → [1,5+C,N]
//
// Where the pieces meet is kept: rows of 4 + C take pieces that meet behind the four numbers of the box, and grids meet where one ends.
// So most wrong orders of the pieces are told by shapes.

// Join puts outputs together along an axis.
type Join struct {
	Axis int `json:"axis"`
	// Parts are positions in the list of outputs, in the order in which they are joined. The whole stands at the least of them in the list
	// for the next Join; the others are taken out.
	Parts []int `json:"parts"`
}

// part is where an output stands in a whole.
type part struct {
	output int   // its index in the model's list
	at     []int // by axis
	dims   []int64
}

// cut is a place where pieces of a whole meet: before the element at of an axis.
type cut struct{ axis, at int }

// cuts are the places along an axis, ascending.
func (s Shape) cuts(axis int) []int {
	var list []int
	for _, c := range s.joints {
		if c.axis == axis {
			list = append(list, c.at)
		}
	}
	return list
}

// whole says whether an output is not joined along an axis.
func (s Shape) whole(axis int) bool { return len(s.cuts(axis)) == 0 }

const (
	mostOrdered = 4    // pieces whose orders are all tried
	mostViews   = 4096 // ways to join the outputs that are looked at
	mostJoins   = 64   // in settled settings
)

// joinShapes does a Join on shapes. It says false if the parts do not agree.
func joinShapes(shapes []Shape, j Join) ([]Shape, bool) {
	if len(j.Parts) < 2 || j.Axis < 1 {
		return nil, false
	}
	for n, k := range j.Parts {
		if k < 0 || k >= len(shapes) || slices.Contains(j.Parts[:n], k) {
			return nil, false
		}
	}
	first := shapes[j.Parts[0]]
	if j.Axis >= len(first.Dims) {
		return nil, false
	}
	joined := Shape{Dims: slices.Clone(first.Dims)}
	joined.Dims[j.Axis] = 0
	var names []string
	for n, k := range j.Parts {
		s := shapes[k]
		if d, ok := known(s.Dims); !ok || len(d) != len(joined.Dims) {
			return nil, false
		}
		for axis, d := range s.Dims {
			if axis != j.Axis && d != joined.Dims[axis] {
				return nil, false
			}
		}
		begin := int(joined.Dims[j.Axis])
		if n > 0 {
			joined.joints = append(joined.joints, cut{j.Axis, begin})
		}
		for _, c := range s.joints {
			if c.axis == j.Axis {
				c.at += begin
			}
			joined.joints = append(joined.joints, c)
		}
		for _, p := range s.parts {
			p.at = slices.Clone(p.at)
			p.at[j.Axis] += begin
			joined.parts = append(joined.parts, p)
		}
		if joined.Dims[j.Axis] += s.Dims[j.Axis]; joined.Dims[j.Axis] > 1<<40 {
			return nil, false
		}
		names = append(names, s.Name)
	}
	joined.Name = strings.Join(names, "+")
	slices.SortFunc(joined.joints, func(a, b cut) int { return (a.axis-b.axis)*(1<<20) + min(max(a.at-b.at, -1), 1) })
	joined.joints = slices.Compact(joined.joints)
	place := slices.Min(j.Parts)
	var list []Shape
	for k, s := range shapes {
		switch {
		case k == place:
			list = append(list, joined)
		case !slices.Contains(j.Parts, k):
			list = append(list, s)
		}
	}
	return list, true
}

// leaves gives shapes their places among the outputs.
func leaves(shapes []Shape) []Shape {
	list := slices.Clone(shapes)
	for k := range list {
		list[k].joints = nil
		list[k].parts = []part{{k, make([]int, len(list[k].Dims)), list[k].Dims}}
	}
	return list
}

// joinArrays does a Join on values. shapes are those of in.
func joinArrays(in []array, shapes []Shape, joins []Join) ([]array, error) {
	for _, j := range joins {
		after, ok := joinShapes(shapes, j)
		if !ok {
			return nil, fmt.Errorf("the outputs %v are not those that were joined before", shapes)
		}
		place := slices.Min(j.Parts)
		whole := array{Shape: after[place], dims: make([]int, len(after[place].Dims))}
		n := 1
		for axis, d := range whole.Dims {
			whole.dims[axis] = int(d)
			n *= int(d)
		}
		whole.values = make([]float32, 0, n)
		outer := 1
		for _, d := range whole.dims[:j.Axis] {
			outer *= d
		}
		for o := range outer {
			for _, k := range j.Parts {
				size := len(in[k].values) / outer
				whole.values = append(whole.values, in[k].values[o*size:(o+1)*size]...)
			}
		}
		var list []array
		for k, a := range in {
			switch {
			case k == place:
				list = append(list, whole)
			case !slices.Contains(j.Parts, k):
				list = append(list, a)
			}
		}
		in, shapes = list, after
	}
	return in, nil
}

// view is a way to look at the outputs.
type view struct {
	joins  []Join
	shapes []Shape
}

// key tells views apart: what stands where, not by which steps it came there.
func (v view) key() string {
	var wholes []string
	for _, s := range v.shapes {
		if len(s.parts) < 2 {
			continue
		}
		parts := slices.SortedFunc(slices.Values(s.parts), func(a, b part) int { return a.output - b.output })
		var text []byte
		for _, p := range parts {
			text = strconv.AppendInt(text, int64(p.output), 10)
			for _, at := range p.at {
				text = strconv.AppendInt(append(text, ' '), int64(at), 10)
			}
			text = append(text, ',')
		}
		wholes = append(wholes, string(text))
	}
	slices.Sort(wholes)
	return strings.Join(wholes, ";")
}

// order is a way in which the pieces of a group are put together.
type order int

const (
	listed   order = iota // as the model lists them
	shuffled              // all of them in another order
	some                  // a part of them, or all
)

// views gives the ways to join outputs, of one rank and along one or two axes: two Concats, of columns and of scales.
func views(shapes []Shape, how order) []view {
	start := view{shapes: leaves(shapes)}
	seen := map[string]bool{start.key(): true}
	var all []view
	for rank := 3; rank <= 5; rank++ {
		level := []view{start}
		for range 2 {
			var next []view
			for _, v := range level {
				for axis := 1; axis < rank && len(all)+len(next) < mostViews; axis++ {
					for _, w := range v.along(rank, axis, how) {
						if key := w.key(); !seen[key] {
							seen[key] = true
							next = append(next, w)
						}
					}
				}
			}
			all, level = append(all, next...), next
		}
	}
	return all[:min(len(all), mostViews)]
}

// along joins all groups of outputs of a rank that agree in all axes but one.
func (v view) along(rank, axis int, how order) []view {
	groups := map[string][]int{}
	var keys []string
	for k, s := range v.shapes {
		d, ok := known(s.Dims)
		if !ok || len(d) != rank || d[0] != 1 {
			continue
		}
		d[axis] = 0
		key := fmt.Sprint(d)
		if groups[key] == nil {
			keys = append(keys, key)
		}
		groups[key] = append(groups[key], k)
	}
	keys = slices.DeleteFunc(keys, func(k string) bool { return len(groups[k]) < 2 })
	if len(keys) == 0 {
		return nil
	}
	var sizes []int
	for _, k := range keys {
		sizes = append(sizes, len(groups[k]))
	}
	slices.Sort(sizes)
	var list []view
	for _, size := range slices.Compact(sizes) {
		for _, o := range orders(size, how) {
			if w, ok := v.join(axis, keys, groups, size, o); ok {
				list = append(list, w)
			}
		}
		if how == listed {
			break
		}
	}
	return list
}

// orders gives the orders of pieces, as positions in the list of them by descending size; nil stands for the model's own.
func orders(n int, how order) [][]int {
	if how == listed {
		return [][]int{nil}
	}
	down := make([]int, n)
	for i := range down {
		down[i] = i
	}
	if n > mostOrdered {
		up := slices.Clone(down)
		slices.Reverse(up)
		return [][]int{down, up}
	}
	var list [][]int
	var extend func(begun []int)
	extend = func(begun []int) {
		if len(begun) == n || len(begun) >= 2 && how == some {
			list = append(list, slices.Clone(begun))
		}
		for i := range n {
			if !slices.Contains(begun, i) {
				extend(append(slices.Clone(begun), i))
			}
		}
	}
	extend(nil)
	return list
}

// join puts the groups together: those of a size in an order, the others by descending size.
func (v view) join(axis int, keys []string, groups map[string][]int, size int, order []int) (view, bool) {
	w := view{joins: slices.Clone(v.joins), shapes: v.shapes}
	id := func(s Shape) int { return s.parts[0].output } // positions move with each Join, this does not
	var todo [][]int
	for _, key := range keys {
		group := slices.Clone(groups[key])
		if order != nil {
			slices.SortStableFunc(group, func(a, b int) int {
				return int(min(max(v.shapes[b].Dims[axis]-v.shapes[a].Dims[axis], -1), 1))
			})
			if len(group) == size {
				chosen := make([]int, len(order))
				for i, k := range order {
					chosen[i] = group[k]
				}
				group = chosen
			}
		}
		pieces := make([]int, len(group))
		for i, k := range group {
			pieces[i] = id(v.shapes[k])
		}
		todo = append(todo, pieces)
	}
	for _, pieces := range todo {
		j := Join{Axis: axis}
		for _, p := range pieces {
			j.Parts = append(j.Parts, slices.IndexFunc(w.shapes, func(s Shape) bool { return slices.ContainsFunc(s.parts, func(q part) bool { return q.output == p }) }))
		}
		var ok bool
		if w.shapes, ok = joinShapes(w.shapes, j); !ok {
			return view{}, false
		}
		w.joins = append(w.joins, j)
	}
	return w, len(w.joins) <= mostJoins
}

// describe says what was joined.
func (v view) describe() string {
	var list []string
	for _, s := range v.shapes {
		if len(s.parts) > 1 {
			list = append(list, s.String())
		}
	}
	return "a cut head, joined to " + strings.Join(list, " and ")
}

// columnsFit says whether pieces of rows or maps meet where those of a head do: behind the box, which has one piece, two (centre and
// size) or four, and behind the objectness, where lead is 5. sure says that the number of classes is known or the decoder was named: without, four
// numbers and a rest are 4 + C.
func columnsFit(cuts []int, lead int, sure bool) bool {
	if len(cuts) == 0 {
		return true
	}
	has := func(at int) bool { return slices.Contains(cuts, at) }
	if cuts[len(cuts)-1] > lead {
		return false
	}
	if !has(4) {
		return lead == 5 && len(cuts) == 1 && has(5)
	}
	inBox := 0
	for at := 1; at < 4; at++ {
		if has(at) {
			inBox++
		}
	}
	if inBox == 1 && !has(2) || inBox == 2 {
		return false
	}
	return lead == 4 || has(5) || sure || len(cuts) > 1
}

// rowsFit says whether pieces of rows meet where a grid ends; without grids, whether each is shorter than that before it.
func (s Settings) rowsFit(cuts []int, n, anchors int, strides []int) bool {
	if anchors == 0 {
		return shrinking(cuts, n, true)
	}
	ends := map[int]bool{}
	sum := 0
	for _, stride := range strides {
		sum += cells(s.Width, stride) * cells(s.Height, stride) * anchors
		ends[sum] = true
	}
	for _, at := range cuts {
		if !ends[at] {
			return false
		}
	}
	return true
}

// shrinking says whether each of the pieces of n rows is shorter than that before it, or, where that is not strict, no longer.
func shrinking(cuts []int, n int, strict bool) bool {
	before, size := 0, n+1
	for _, at := range append(slices.Clone(cuts), n) {
		if at-before > size || strict && at-before == size {
			return false
		}
		before, size = at, at-before
	}
	return true
}

// evidence says how well names and values of pieces go with their places. in are the outputs that were joined; nil: names alone.
func (v view) evidence(in []array, names []Shape) int {
	sum := 0
	for _, s := range v.shapes {
		if len(s.parts) < 2 {
			continue
		}
		axis := -1
		for _, c := range s.joints {
			if c.at == 4 || c.at == 5 {
				axis = c.axis
			}
		}
		if axis < 0 {
			continue
		}
		for _, p := range s.parts {
			begin, end := p.at[axis], p.at[axis]+int(p.dims[axis])
			name := names[p.output].Name
			ofBox, ofScore := named(name, "box", "loc", "reg"), named(name, "cls", "class", "score", "conf", "prob")
			inside := in != nil && !outside(vector{in[p.output].values, 0, 1, len(in[p.output].values)})
			switch {
			case end <= 4:
				sum += evident(ofBox, ofScore, in != nil && !inside)
			case begin >= 4:
				sum += evident(ofScore, ofBox, inside)
			}
		}
	}
	return sum
}

func evident(named, misnamed, values bool) int {
	sum := 0
	if named && !misnamed {
		sum += 2
	}
	if misnamed && !named {
		sum -= 2
	}
	if values {
		sum++
	}
	return sum
}

// pickOutputs leaves the outputs that the settings name, in that order. If none of them is there, as in a model whose head was cut, all are
// left and a note says so.
func pickOutputs(shapes []Shape, s Settings) (order []int, note string, err error) {
	names := make([]string, len(shapes))
	for k, shape := range shapes {
		order, names[k] = append(order, k), shape.Name
	}
	if len(s.Outputs) == 0 {
		return order, "", nil
	}
	var picked []int
	var missing []string
	for _, name := range s.Outputs {
		k := slices.Index(names, name)
		switch {
		case k < 0:
			missing = append(missing, name)
		case slices.Contains(picked, k):
			return nil, "", fmt.Errorf("the output %q is named twice", name)
		default:
			picked = append(picked, k)
		}
	}
	switch {
	case len(picked) == 0:
		return order, fmt.Sprintf("none of the outputs that the description names (%s) is there: all are read", strings.Join(s.Outputs, ", ")), nil
	case len(missing) > 0:
		return nil, "", fmt.Errorf("the description names outputs that are not there: %s; the outputs are %v", strings.Join(missing, ", "), shapes)
	}
	return picked, "", nil
}

func pickShapes(shapes []Shape, s Settings) ([]Shape, error) {
	order, _, err := pickOutputs(shapes, s)
	if err != nil {
		return nil, err
	}
	list := make([]Shape, len(order))
	for i, k := range order {
		list[i] = shapes[k]
	}
	return list, nil
}
