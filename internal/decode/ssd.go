package decode

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

var ssd = Decoder{
	Name: "ssd",
	Help: `boxes [1,N,4] and scores [1,N,1+C] with the background first: boxes as corners in 0..1, or as offsets from prior
boxes (centre, then logarithm of the size, each times its variance).`,
	Source: "arXiv 1512.02325; Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB, vision/utils/box_utils.py, fd_config.py",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		b, c, why := ssdOutputs(shapes, s)
		if why != "" {
			return false, why
		}
		return true, fmt.Sprintf("%d boxes in %q and their scores in %q, a background and %s", b.n, shapes[b.output].Name, shapes[c.output].Name, classCount(c.c-1))
	},
	decode: decodeSSD,
}

// withDefaults fills in what is not set: the priors that Ultra-Light-Fast-Generic-Face-Detector was trained with.
func (p Priors) withDefaults() Priors {
	if len(p.MinBoxes) == 0 {
		p.MinBoxes = [][]float64{{10, 16, 24}, {32, 48}, {64, 96}, {128, 192, 256}}
	}
	if p.CenterVariance == 0 {
		p.CenterVariance = 0.1
	}
	if p.SizeVariance == 0 {
		p.SizeVariance = 0.2
	}
	return p
}

// ssdOutputs finds the output of boxes and that of scores, or says why there are none.
func ssdOutputs(shapes []Shape, s Settings) (box, scores rows, why string) {
	why = fmt.Sprintf("no pair of outputs [1,N,4] and [1,N,1+C], %s", s.wanted())
	var pairs [][2]rows
	for i, a := range shapes {
		for j, b := range shapes {
			d, ok := known(a.Dims)
			e, also := known(b.Dims)
			if i != j && ok && also && len(d) == 3 && len(e) == 3 && d[0] == 1 && e[0] == 1 && d[1] == e[1] && d[2] == 4 && s.classes(e[2]-1) &&
				a.whole(2) && b.whole(2) && shrinking(a.cuts(1), d[1], false) && shrinking(b.cuts(1), d[1], false) {
				pairs = append(pairs, [2]rows{{i, d[1], 4, false}, {j, e[1], e[2], false}})
			}
		}
	}
	if len(pairs) > 1 && len(s.Outputs) > 0 { // they stand in the order of the description
		pairs = slices.DeleteFunc(pairs, func(p [2]rows) bool { return p[0].output > p[1].output })
	}
	if len(pairs) > 1 { // three classes and the background: the names decide
		pairs = slices.DeleteFunc(pairs, func(p [2]rows) bool {
			return !named(shapes[p[0].output].Name, "box", "loc", "reg") || named(shapes[p[1].output].Name, "box", "loc", "reg")
		})
		why = "more than one pair of outputs [1,N,4] and [1,N,1+C], and their names do not tell which is which"
	}
	if len(pairs) != 1 {
		return box, scores, why
	}
	return pairs[0][0], pairs[0][1], ""
}

func named(name string, parts ...string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(name, part) })
}

func decodeSSD(in []array, g *gather) error {
	box, scores, why := ssdOutputs(shapesOf(in), g.s)
	if why != "" {
		return fmt.Errorf("%s; the outputs are %v", why, shapesOf(in))
	}
	g.read[box.output], g.read[scores.output] = true, true
	g.s.Priors = g.s.Priors.withDefaults()
	g.s.Classes = scores.c - 1
	decoded, err := g.ssdDecoded(in, box)
	if err != nil {
		return err
	}
	var priors [][4]float64
	if !decoded {
		if priors, err = g.s.priors(box.n); err != nil {
			return err
		}
	}
	softmax := g.s.Sigmoid.or(false)
	if g.s.Sigmoid != Yes && g.s.Sigmoid != No {
		for v := range scores.all(in, 0, scores.c) {
			softmax = softmax || outside(v)
		}
		if softmax {
			g.note("class scores are not between 0 and 1: their softmax is taken")
		}
		g.s.Sigmoid = answer(softmax)
	}
	probabilities := make([]float32, scores.c)
	w, h := float64(g.s.Width), float64(g.s.Height)
	for i := range box.n {
		v := scores.at(in, i)
		if softmax {
			v = vector{softmaxOf(v, probabilities), 0, 1, v.n}
		}
		if !g.score(v.part(1, v.n), false, 1) {
			continue
		}
		b := box.at(in, i)
		if decoded {
			g.add(b.at(0)*w, b.at(1)*h, b.at(2)*w, b.at(3)*h)
			continue
		}
		p, c, z := priors[i], g.s.Priors.CenterVariance, g.s.Priors.SizeVariance
		g.addCenter((p[0]+b.at(0)*c*p[2])*w, (p[1]+b.at(1)*c*p[3])*h, p[2]*math.Exp(b.at(2)*z)*w, p[3]*math.Exp(b.at(3)*z)*h)
	}
	return nil
}

// ssdDecoded settles whether the boxes are corners: then nearly all are the right way round and near the picture. Of
// offsets about a quarter are.
func (g *gather) ssdDecoded(in []array, box rows) (bool, error) {
	o := g.s.Priors.Decoded
	if o == Yes || o == No {
		return o == Yes, nil
	}
	corners, all := 0, 0
	for v := range box.all(in, 0, 4) {
		x1, y1, x2, y2 := v.at(0), v.at(1), v.at(2), v.at(3)
		if !finite(x1 + y1 + x2 + y2) {
			continue
		}
		all++
		if x1 <= x2 && y1 <= y2 && min(x1, y1) > -2 && max(x2, y2) < 3 {
			corners++
		}
	}
	switch {
	case 100*corners >= 95*all:
		g.note("boxes are taken as corners in 0..1")
	case 100*corners <= 60*all:
		g.note("boxes are taken as offsets from prior boxes")
	default:
		return false, fmt.Errorf("%d of %d boxes could be corners: say whether they are decoded (priors: decoded: yes or no)", corners, all)
	}
	yes := 100*corners >= 95*all
	g.s.Priors.Decoded = answer(yes)
	return yes, nil
}

// priors makes the default boxes: centre, width, height in 0..1, for every cell one of each of its level's edges. The cells
// divide the input evenly, also where the last one is not whole: the centre is (x + 0.5) / cells.
func (s Settings) priors(n int) ([][4]float64, error) {
	strides := s.Strides
	if len(strides) == 0 {
		strides = []int{8, 16, 32, 64}
	}
	if len(strides) != len(s.Priors.MinBoxes) {
		return nil, fmt.Errorf("%d strides but prior boxes for %d levels", len(strides), len(s.Priors.MinBoxes))
	}
	count := 0
	for i, stride := range strides {
		count += cells(s.Width, stride) * cells(s.Height, stride) * len(s.Priors.MinBoxes[i])
	}
	if count != n {
		return nil, fmt.Errorf("%d boxes, but a %d×%d input has %d priors with strides %s and %v pixels", n, s.Width, s.Height, count, ints(strides), s.Priors.MinBoxes)
	}
	clamp := func(v float64) float64 { return min(max(v, 0), 1) }
	w, h := float64(s.Width), float64(s.Height)
	list := make([][4]float64, 0, count)
	for i, stride := range strides {
		across, down := cells(s.Width, stride), cells(s.Height, stride)
		for y := range down {
			for x := range across {
				cx, cy := (float64(x)+0.5)/float64(across), (float64(y)+0.5)/float64(down)
				for _, edge := range s.Priors.MinBoxes[i] {
					list = append(list, [4]float64{cx, cy, clamp(edge / w), clamp(edge / h)})
				}
			}
		}
	}
	return list, nil
}

// softmaxOf writes a vector's softmax.
func softmaxOf(v vector, out []float32) []float32 {
	top := v.at(0)
	for k := range v.n {
		top = max(top, v.at(k))
	}
	sum := 0.0
	for k := range v.n {
		sum += math.Exp(v.at(k) - top)
	}
	for k := range v.n {
		out[k] = float32(math.Exp(v.at(k)-top) / sum)
	}
	return out
}
