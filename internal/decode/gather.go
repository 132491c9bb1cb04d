package decode

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/tensor"
)

// array is an output that was checked: its values fill its dimensions.
type array struct {
	Shape  // what Fits would have seen
	dims   []int
	values []float32
}

func shapesOf(in []array) []Shape {
	shapes := make([]Shape, len(in))
	for i, a := range in {
		shapes[i] = a.Shape
	}
	return shapes
}

func read(outs []Output) ([]array, error) {
	in := make([]array, len(outs))
	for i, o := range outs {
		n, err := tensor.Count(o.Tensor.Shape)
		if err != nil {
			return nil, fmt.Errorf("output %q: %w", o.Name, err)
		}
		values, ok := o.Tensor.AsFloat32()
		switch {
		case !ok:
			return nil, fmt.Errorf("output %q holds %s values, which are no numbers to decode", o.Name, o.Tensor.DType)
		case len(values) != n:
			return nil, fmt.Errorf("output %q has %d values where its shape %v has %d", o.Name, len(values), o.Tensor.Shape, n)
		}
		in[i] = array{Shape: Shape{Name: o.Name, Dims: o.Tensor.Shape}, values: values, dims: make([]int, len(o.Tensor.Shape))}
		for k, d := range o.Tensor.Shape {
			in[i].dims[k] = int(d)
		}
	}
	return in, nil
}

// vector is n values of an array that lie step apart: the channels of a cell, the columns of a row.
type vector struct {
	values        []float32
	base, step, n int
}

func (v vector) at(k int) float64 { return float64(v.values[v.base+k*v.step]) }

// part is the vector's elements from (inclusive) to to (exclusive).
func (v vector) part(from, to int) vector {
	return vector{v.values, v.base + from*v.step, v.step, to - from}
}

// label is one class of a candidate with its score.
type label struct {
	class int
	score float64
}

// gather collects candidates and bounds their number.
type gather struct {
	s      Settings // as they are settled
	list   []Detection
	labels []label // of the candidate at hand
	read   map[int]bool
	out    Candidates
}

func newGather(s Settings) *gather { return &gather{s: s, read: map[int]bool{}} }

func (g *gather) note(format string, args ...any) {
	g.out.Notes = append(g.out.Notes, fmt.Sprintf(format, args...))
}

// sigmoids settles whether scores still need their sigmoid. each gives the vectors of scores.
func (g *gather) sigmoids(what string, each func(yield func(vector) bool)) bool {
	needed := g.s.Sigmoid.or(false)
	if g.s.Sigmoid != Yes && g.s.Sigmoid != No {
		for v := range each {
			if outside(v) {
				needed = true
				break
			}
		}
		if needed {
			g.note("%s are not between 0 and 1: their sigmoid is taken", what)
		}
	}
	g.s.Sigmoid = answer(needed)
	return needed
}

// outside says whether a value cannot be a probability, with room for what quantization adds.
func outside(v vector) bool {
	for k := range v.n {
		if x := v.at(k); x < -0.1 || x > 1.1 {
			return true
		}
	}
	return false
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

// score finds the labels of a candidate: the classes whose factor·score is greater than the confidence, or the best of
// them. Without any it says false. Candidates that are not finite are counted.
func (g *gather) score(scores vector, logits bool, factor float64) bool {
	g.labels = g.labels[:0]
	sum, top := factor, -1
	highest := math.Inf(-1)
	for k := range scores.n {
		x := scores.at(k)
		sum += x
		if x > highest {
			highest, top = x, k
		}
	}
	if !finite(sum) {
		g.out.NotFinite++
		return false
	}
	consider := func(k int) {
		x := scores.at(k)
		if logits {
			x = sigmoid(x)
		}
		switch x *= factor; {
		case !(x > g.s.Confidence):
		case x > math.MaxFloat32:
			g.out.NotFinite++
		default:
			g.labels = append(g.labels, label{k, x})
		}
	}
	switch {
	case top < 0:
	case !g.s.MultiLabel:
		consider(top)
	default:
		for k := range scores.n {
			consider(k)
		}
	}
	return len(g.labels) > 0
}

func finite(x float64) bool { return x-x == 0 }

// add keeps the candidate at hand with its box: left, top, right, bottom in pixels.
func (g *gather) add(x1, y1, x2, y2 float64) {
	if by := g.s.boxScale(); by != 1 {
		x1, y1, x2, y2 = x1*by, y1*by, x2*by, y2*by
	}
	box := [4]float32{float32(x1), float32(y1), float32(x2), float32(y2)}
	for _, v := range box {
		if !finite(float64(v)) {
			g.out.NotFinite++
			return
		}
	}
	if box[2] < box[0] || box[3] < box[1] {
		g.out.Inverted++
		return
	}
	for _, l := range g.labels {
		g.list = append(g.list, Detection{Box: box, Score: float32(l.score), Class: l.class})
	}
	if len(g.list) > 4*g.s.PreNMS {
		g.cut()
	}
}

// addCenter is add for a centre, a width and a height.
func (g *gather) addCenter(cx, cy, w, h float64) { g.add(cx-w/2, cy-h/2, cx+w/2, cy+h/2) }

// cut leaves the best candidates.
func (g *gather) cut() {
	if n := len(g.list) - g.s.PreNMS; n > 0 {
		g.out.Cut += n
		g.list = best(g.list, g.s.PreNMS)
	}
}

// finish gives what was gathered. unread are outputs that were left out before.
func (g *gather) finish(in []array, unread []string) *Candidates {
	g.cut()
	g.out.List = g.list
	g.out.Settled = g.s
	for i, a := range in {
		if !g.read[i] {
			unread = append(unread, a.String())
		}
	}
	if len(unread) > 0 {
		g.note("outputs that were not read: %s", strings.Join(unread, ", "))
	}
	g.out.Notes = slices.Clip(g.out.Notes)
	return &g.out
}
