package decode

import "fmt"

var yolov8 = Decoder{
	Name: "yolov8",
	Help: `[1,4+C,N] or [1,N,4+C] in pixels: centre, width, height, class scores, one box to a cell;
or raw maps [1,4·16+C,H,W], one per scale, with distances in 16 bins, also apart from the classes. YOLOv5u, YOLOv9, YOLO11
and YOLO12 have the same outputs.`,
	Source: "ultralytics/ultralytics, nn/modules/head.py, Detect; utils/tal.py, make_anchors and dist2bbox",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		list, why := heads(shapes, s, distancesV8)
		if list != nil {
			return true, describe(list)
		}
		if r, strides, ok := findRows(shapes, s, layout{lead: 4, anchors: 1}); ok {
			return true, fmt.Sprintf("%d boxes of 4 + %s: one to each cell of strides %s", r.n, classCount(r.c-4), ints(strides))
		}
		return false, why + ", nor [1,4+C,N] with one box to each cell"
	},
	decode: func(in []array, g *gather) error {
		shapes := shapesOf(in)
		if list, _ := heads(shapes, g.s, distancesV8); list != nil {
			decodeHeads(in, g, list)
			return nil
		}
		r, _, ok := findRows(shapes, g.s, layout{lead: 4, anchors: 1})
		if !ok { // grids that are not known
			r, _, ok = findRows(shapes, g.s, layout{lead: 4, named: true})
		}
		if !ok {
			return fmt.Errorf("no output is [1,4+C,N], %s, nor are there raw maps; the outputs are %v", g.s.wanted(), shapes)
		}
		g.read[r.output] = true
		logits := g.sigmoids("class scores", r.all(in, 4, r.c))
		g.s.Classes = r.c - 4
		for i := range r.n {
			v := r.at(in, i)
			if g.score(v.part(4, v.n), logits, 1) {
				g.addCenter(v.at(0), v.at(1), v.at(2), v.at(3))
			}
		}
		return nil
	},
}

// distancesV8: reg_max is 16, which here is the number of bins.
var distancesV8 = family{bins: 16}
