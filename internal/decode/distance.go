package decode

import (
	"fmt"
	"math"
	"slices"
)

// Heads without anchors tell, for the middle of each cell, how far the box reaches to the left, up, right and down, in
// cells: x1 = (x + 0.5 − l)·stride, x2 = (x + 0.5 + r)·stride. With distribution focal loss (DFL) a distance is the
// expectation of a softmax over bins 0, 1, … (arXiv 2006.04388).

// head is one scale of such a detector.
type head struct {
	stride     int
	reg, cls   plane // the same if one output holds both
	bins       int   // 0: the distances themselves
	from       int   // the first class channel
	confidence bool  // the channel before that repeats the best class score, or is 1
	classes    int
	where      string // for people
}

// family says which distances a decoder claims.
type family struct {
	bins  int
	plain bool
}

// heads finds the scales of a family, or says why there are none. Distances and classes apart come first: the classes
// alone would pass for both together.
func heads(shapes []Shape, s Settings, f family) ([]head, string) {
	for _, bins := range f.separate() {
		if list, ok := separate(shapes, s, bins); ok {
			return list, ""
		}
	}
	for _, joined := range f.joined(s) {
		maps := planes(shapes, s, func(c int, cuts []int) bool {
			return s.classes(c-joined.from) && joined.accept(c) && joined.meets(cuts, s)
		})
		if !pyramid(maps, s) || slices.ContainsFunc(maps, func(p plane) bool { return p.c != maps[0].c }) {
			continue
		}
		list := make([]head, len(maps))
		for i, p := range maps {
			list[i] = head{stride: p.stride, reg: p, cls: p, bins: joined.bins, from: joined.from, confidence: joined.confidence, classes: p.c - joined.from}
			list[i].where = fmt.Sprintf("maps of %d channels", p.c)
		}
		return list, ""
	}
	forms := fmt.Sprintf("4·%d + C", f.bins)
	if f.plain {
		forms = "5 + C, 4 + C or " + forms
	}
	return nil, fmt.Sprintf("no maps [1,c,H,W] on two or more grids of a %d×%d input with c = %s, %s, nor both apart", s.Width, s.Height, forms, s.wanted())
}

// form is a way to put distances and classes into one map.
type form struct {
	bins, from int
	confidence bool
	accept     func(c int) bool
}

// meets says whether pieces of such maps meet where they may.
func (f form) meets(cuts []int, s Settings) bool {
	if f.bins > 0 {
		return len(cuts) == 0 || slices.Equal(cuts, []int{f.from})
	}
	return columnsFit(cuts, f.from, s.Classes > 0)
}

// joined lists the forms, the likelier first: without a number of classes, COCO's 80.
func (f family) joined(s Settings) []form {
	any80 := func(from int) func(int) bool { return func(c int) bool { return c == from+80 } }
	anything := func(int) bool { return true }
	dfl := form{f.bins, 4 * f.bins, false, anything}
	if !f.plain {
		return []form{dfl}
	}
	with := form{0, 5, true, anything}
	without := form{0, 4, false, anything}
	if s.Classes > 0 {
		return []form{with, without, dfl}
	}
	with80, without80, dfl80 := with, without, dfl
	with80.accept, without80.accept, dfl80.accept = any80(5), any80(4), any80(dfl.from)
	return []form{with80, without80, dfl80, with}
}

func (f family) separate() []int {
	if f.plain {
		return []int{0, f.bins}
	}
	return []int{f.bins}
}

// separate finds pairs of maps, one of distances and one of classes, on each grid.
func separate(shapes []Shape, s Settings, bins int) ([]head, bool) {
	width := 4 * max(bins, 1)
	reg := planes(shapes, s, func(c int, cuts []int) bool { return c == width && len(cuts) == 0 })
	cls := planes(shapes, s, func(c int, cuts []int) bool { return c != width && s.classes(c) && len(cuts) == 0 })
	if s.Classes == width {
		reg, cls = twins(shapes, reg)
	}
	if !pyramid(reg, s) || !pyramid(cls, s) || !slices.Equal(stridesOf(reg), stridesOf(cls)) {
		return nil, false
	}
	list := make([]head, len(reg))
	for i := range reg {
		if cls[i].c != cls[0].c {
			return nil, false
		}
		list[i] = head{stride: reg[i].stride, reg: reg[i], cls: cls[i], bins: bins, classes: cls[i].c}
		list[i].where = fmt.Sprintf("pairs of maps of %d and %d channels", reg[i].c, cls[i].c)
	}
	return list, true
}

// twins tells apart maps of as many classes as distances: by their names if those tell, else the distances come first, as
// in the projects' heads.
func twins(shapes []Shape, maps []plane) (reg, cls []plane) {
	isClass := func(p plane) bool { return named(shapes[p.output].Name, "cls", "class", "score", "conf") }
	for i := 1; i < len(maps); i += 2 {
		first, second := maps[i-1], maps[i]
		if isClass(first) && !isClass(second) {
			first, second = second, first
		}
		reg, cls = append(reg, first), append(cls, second)
	}
	return reg, cls
}

// describe says what was found.
func describe(list []head) string {
	strides := make([]int, len(list))
	for i, h := range list {
		strides[i] = h.stride
	}
	kind := "4 distances"
	switch h := list[0]; {
	case h.bins > 0:
		kind = fmt.Sprintf("4 distances in %d bins", h.bins)
	case h.confidence:
		kind = "4 distances, a confidence"
	}
	return fmt.Sprintf("%d %s on strides %s: %s and %s", len(list), list[0].where, ints(strides), kind, classCount(list[0].classes))
}

// decodeHeads reads every cell.
func decodeHeads(in []array, g *gather, list []head) {
	scores := func(yield func(vector) bool) {
		for _, h := range list {
			for v := range h.cls.all(in, h.from, h.from+h.classes) {
				if !yield(v) {
					return
				}
			}
		}
	}
	logits := g.sigmoids("class scores", scores)
	multiply := list[0].confidence && g.s.Objectness.or(false)
	if list[0].confidence && !multiply {
		g.checkConfidence(in, list, logits)
	}
	g.s.Classes = list[0].classes
	g.s.Strides = nil
	for _, h := range list {
		g.s.Strides = append(g.s.Strides, h.stride)
		g.read[h.reg.output], g.read[h.cls.output] = true, true
		for i := range h.reg.h * h.reg.w {
			y, x := i/h.reg.w, i%h.reg.w
			channels := h.cls.at(in, y, x)
			factor := 1.0
			if multiply {
				factor = probability(channels.at(h.from-1), logits)
			}
			if !g.score(channels.part(h.from, h.from+h.classes), logits, factor) {
				continue
			}
			d := h.distances(h.reg.at(in, y, x))
			cx, cy, stride := float64(x)+0.5, float64(y)+0.5, float64(h.stride)
			g.add((cx-d[0])*stride, (cy-d[1])*stride, (cx+d[2])*stride, (cy+d[3])*stride)
		}
	}
}

func probability(x float64, logit bool) float64 {
	if logit {
		return sigmoid(x)
	}
	return x
}

// checkConfidence warns if the channel before the classes is neither 1 nor the best class score.
func (g *gather) checkConfidence(in []array, list []head, logits bool) {
	odd, all := 0, 0
	for _, h := range list {
		for v := range h.cls.all(in, h.from-1, h.from+h.classes) {
			top := 0.0
			for k := 1; k < v.n; k++ {
				top = max(top, probability(v.at(k), logits))
			}
			c := v.at(0)
			if all++; math.Abs(c-1) > 0.1 && math.Abs(probability(c, logits)-top) > 0.1 {
				odd++
			}
		}
	}
	if 10*odd > all {
		g.note("the channel before the class scores is neither 1 nor the best of them in %d of %d cells; it is not multiplied with them unless objectness is yes", odd, all)
	}
}

// distances reads left, up, right, down in cells.
func (h head) distances(v vector) [4]float64 {
	var d [4]float64
	for side := range d {
		if h.bins == 0 {
			d[side] = v.at(side)
			continue
		}
		d[side] = expectation(v.part(side*h.bins, (side+1)*h.bins))
	}
	return d
}

// expectation is Σ k·softmax(v)_k.
func expectation(v vector) float64 {
	top := v.at(0)
	for k := range v.n {
		top = max(top, v.at(k))
	}
	sum, weighted := 0.0, 0.0
	for k := range v.n {
		e := math.Exp(v.at(k) - top)
		sum += e
		weighted += float64(k) * e
	}
	return weighted / sum
}
