package decode

import (
	"fmt"
	"math"
)

var yolox = Decoder{
	Name: "yolox",
	Help: `raw rows [1,N,5+C], one to a cell: offset of the centre and logarithm of the size, both in cells, objectness, class
scores. By name also maps [1,5+C,H,W], one per scale (YOLOv6 before its second release has them too).
The score is objectness times class score.`,
	Source: "Megvii-BaseDetection/YOLOX, yolox/models/yolo_head.py, decode_outputs; yolox/utils/demo_utils.py, demo_postprocess",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		ok, why := rowPerCell(shapes, s)
		if !ok {
			return false, fmt.Sprintf("no rows [1,N,5+C] with one row to each cell of a %d×%d input, %s", s.Width, s.Height, s.wanted())
		}
		return true, why + ", raw"
	},
	decode: func(in []array, g *gather) error {
		shapes := shapesOf(in)
		r, strides, ok := findRows(shapes, g.s, layout{lead: 5, anchors: 1, named: true})
		if !ok {
			return decodeRawMaps(in, g)
		}
		g.read[r.output] = true
		logits := g.sigmoids("objectness and class scores", r.all(in, 4, r.c))
		g.s.Strides, g.s.Classes = strides, r.c-5
		i := 0
		for _, stride := range strides {
			for y := range cells(g.s.Height, stride) {
				for x := range cells(g.s.Width, stride) {
					g.addRaw(r.at(in, i), logits, x, y, stride)
					i++
				}
			}
		}
		return nil
	},
}

// addRaw reads a cell: xy = (t + grid)·stride, wh = exp(t)·stride.
func (g *gather) addRaw(v vector, logits bool, x, y, stride int) {
	if !g.score(v.part(5, v.n), logits, probability(v.at(4), logits)) {
		return
	}
	s := float64(stride)
	g.addCenter((v.at(0)+float64(x))*s, (v.at(1)+float64(y))*s, math.Exp(v.at(2))*s, math.Exp(v.at(3))*s)
}

// decodeRawMaps reads the same numbers from one map per scale.
func decodeRawMaps(in []array, g *gather) error {
	maps := planes(shapesOf(in), g.s, func(c int, cuts []int) bool { return g.s.classes(c-5) && columnsFit(cuts, 5, true) })
	for _, p := range maps {
		if p.c != maps[0].c {
			maps = nil
			break
		}
	}
	if !pyramid(maps, g.s) {
		return fmt.Errorf("no rows [1,N,5+C] with one row to each cell of a %d×%d input, %s, nor such maps [1,5+C,H,W]; the outputs are %v",
			g.s.Width, g.s.Height, g.s.wanted(), shapesOf(in))
	}
	logits := g.sigmoids("objectness and class scores", func(yield func(vector) bool) {
		for _, p := range maps {
			for v := range p.all(in, 4, p.c) {
				if !yield(v) {
					return
				}
			}
		}
	})
	g.s.Strides, g.s.Classes = stridesOf(maps), maps[0].c-5
	for _, p := range maps {
		g.read[p.output] = true
		for i := range p.h * p.w {
			g.addRaw(p.at(in, i/p.w, i%p.w), logits, i%p.w, i/p.w, p.stride)
		}
	}
	return nil
}
