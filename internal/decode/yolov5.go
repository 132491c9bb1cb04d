package decode

import (
	"fmt"
	"slices"
)

var yolov5 = Decoder{
	Name: "yolov5",
	Help: `rows [1,N,5+C] in pixels: centre, width, height, objectness, class scores, three anchors to a cell;
or raw maps [1,3·(5+C),H,W] or [1,3,H,W,5+C], one per scale. The score is objectness times class score.`,
	Source: "ultralytics/yolov5, models/yolo.py, Detect.forward; anchors of yolov5*.yaml",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		return anchored(shapes, s, anchorsV5, "; raw maps are read with YOLOv5's anchors, the decoder yolov7 has YOLOv7's")
	},
	decode: func(in []array, g *gather) error { return decodeAnchored(in, g, anchorsV5) },
}

// anchorsV5 are those of YOLOv5's models with three scales, in pixels.
var anchorsV5 = [][][2]float64{
	{{10, 13}, {16, 30}, {33, 23}},
	{{30, 61}, {62, 45}, {59, 119}},
	{{116, 90}, {156, 198}, {373, 326}},
}

// anchoredMap is one raw scale: the channels of an anchor lie together.
type anchoredMap struct {
	plane
	five bool // [1,anchors,H,W,5+C]
}

// at gives the 5 + C channels of an anchor in a cell.
func (m anchoredMap) at(in []array, anchor, anchors, y, x int) vector {
	if m.five {
		return vector{in[m.output].values, ((anchor*m.h+y)*m.w + x) * m.c, 1, m.c}
	}
	n := m.c / anchors
	return m.plane.at(in, y, x).part(anchor*n, (anchor+1)*n)
}

// anchoredMaps finds the raw scales.
func anchoredMaps(shapes []Shape, s Settings, anchors int) ([]anchoredMap, bool) {
	flat := planes(shapes, s, func(c int, cuts []int) bool {
		return c%anchors == 0 && s.classes(c/anchors-5) && !slices.ContainsFunc(cuts, func(at int) bool { return at%(c/anchors) != 0 })
	})
	maps := make([]anchoredMap, len(flat))
	for i, p := range flat {
		maps[i] = anchoredMap{plane: p}
	}
	if len(maps) == 0 {
		four := make([]Shape, len(shapes)) // [1,a,H,W,c] looked at as [1,c,H,W]
		for i, shape := range shapes {
			if d := shape.Dims; len(d) == 5 && d[0] == 1 && d[1] == int64(anchors) {
				four[i].Dims = []int64{1, d[4], d[2], d[3]}
				for _, c := range shape.joints {
					switch c.axis {
					case 4:
						c.axis = 1
					case 1: // anchors
						continue
					}
					four[i].joints = append(four[i].joints, c)
				}
			}
		}
		flat = nil
		for _, p := range planes(four, s, func(c int, cuts []int) bool { return s.classes(c-5) && columnsFit(cuts, 5, true) }) {
			if !p.nhwc {
				flat = append(flat, p)
				maps = append(maps, anchoredMap{p, true})
			}
		}
	}
	for _, p := range flat {
		if p.c != flat[0].c {
			return nil, false
		}
	}
	return maps, pyramid(flat, s)
}

// anchorsOf gives the anchors of the settings, or else the decoder's own.
func (s Settings) anchorsOf(own [][][2]float64) [][][2]float64 {
	if len(s.Anchors) > 0 {
		return s.Anchors
	}
	return own
}

// anchored says whether the shapes are YOLOv5's or YOLOv7's.
func anchored(shapes []Shape, s Settings, own [][][2]float64, raw string) (bool, string) {
	anchors := s.anchorsOf(own)
	n := len(anchors[0])
	if maps, ok := anchoredMaps(shapes, s, n); ok {
		strides := make([]int, len(maps))
		for i, m := range maps {
			strides[i] = m.stride
		}
		if len(maps) != len(anchors) {
			return false, fmt.Sprintf("raw maps on strides %s need anchors for each: %d scales are known", ints(strides), len(anchors))
		}
		if len(s.Anchors) > 0 {
			raw = ""
		}
		return true, fmt.Sprintf("%d maps of %d·(5 + C) channels on strides %s%s", len(maps), n, ints(strides), raw)
	}
	if r, strides, ok := findRows(shapes, s, layout{lead: 5, anchors: n}); ok {
		return true, fmt.Sprintf("%d rows of %d numbers: %d anchors to each cell of strides %s, 5 + %s", r.n, r.c, n, ints(strides), classCount(r.c-5))
	}
	return false, fmt.Sprintf("no rows [1,N,5+C] with %d rows to each cell of a %d×%d input, %s, nor maps of %d·(5 + C) channels", n, s.Width, s.Height, s.wanted(), n)
}

// decodeAnchored reads raw maps or decoded rows.
func decodeAnchored(in []array, g *gather, own [][][2]float64) error {
	shapes := shapesOf(in)
	anchors := g.s.anchorsOf(own)
	n := len(anchors[0])
	maps, ok := anchoredMaps(shapes, g.s, n)
	if !ok {
		return decodeRows(in, g)
	}
	if len(maps) != len(anchors) {
		return fmt.Errorf("%d raw maps need anchors for %d scales, not %d", len(maps), len(maps), len(anchors))
	}
	if len(g.s.Anchors) == 0 {
		g.note("raw maps are read with the decoder's own anchors")
		g.s.Anchors = anchors
	}
	raw := g.sigmoids("values of the maps", func(yield func(vector) bool) {
		for _, m := range maps {
			if !yield(vector{in[m.output].values, 0, 1, len(in[m.output].values)}) {
				return
			}
		}
	})
	g.s.Strides = nil
	for scale, m := range maps {
		g.read[m.output] = true
		g.s.Strides = append(g.s.Strides, m.stride)
		for anchor, size := range anchors[scale] {
			for i := range m.h * m.w {
				y, x := i/m.w, i%m.w
				v := m.at(in, anchor, n, y, x)
				g.s.Classes = v.n - 5
				if !g.score(v.part(5, v.n), raw, probability(v.at(4), raw)) {
					continue
				}
				var t [4]float64
				for k := range t {
					t[k] = 2 * probability(v.at(k), raw)
				}
				stride := float64(m.stride)
				g.addCenter((t[0]-0.5+float64(x))*stride, (t[1]-0.5+float64(y))*stride, t[2]*t[2]*size[0], t[3]*t[3]*size[1])
			}
		}
	}
	return nil
}

// decodeRows reads rows whose boxes are in pixels already: centre, width, height, objectness, class scores.
func decodeRows(in []array, g *gather) error {
	r, _, ok := findRows(shapesOf(in), g.s, layout{lead: 5, named: true})
	if !ok {
		return fmt.Errorf("no output is [1,N,5+C], %s, nor are there raw maps; the outputs are %v", g.s.wanted(), shapesOf(in))
	}
	g.read[r.output] = true
	logits := g.sigmoids("objectness and class scores", r.all(in, 4, r.c))
	g.s.Classes = r.c - 5
	multiply := g.s.Objectness.or(true)
	for i := range r.n {
		v := r.at(in, i)
		factor := 1.0
		if multiply {
			factor = probability(v.at(4), logits)
		}
		if g.score(v.part(5, v.n), logits, factor) {
			g.addCenter(v.at(0), v.at(1), v.at(2), v.at(3))
		}
	}
	return nil
}
