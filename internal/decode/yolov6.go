package decode

import "fmt"

var yolov6 = Decoder{
	Name: "yolov6",
	Help: `maps [1,5+C,H,W], one per scale: four distances in cells, a confidence that repeats the best class score or is 1,
class scores (the seed tool's 85 channels; Luxonis' exports of YOLOv6, YOLOv8 and later have this form); without the
confidence; with distances in 17 bins; distances and classes apart; or rows [1,N,5+C] in pixels, one to a cell.
The score is the class score; in rows, where it is 1, the confidence is multiplied with it.`,
	Source: "meituan/YOLOv6, yolov6/models/heads and yolov6/assigners/anchor_generator.py (cell offset 0.5); luxonis/tools, DetectV6R3",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		list, why := heads(shapes, s, distancesV6)
		if list != nil {
			return true, describe(list)
		}
		if ok, row := rowPerCell(shapes, s); ok {
			return true, row + " in pixels"
		}
		return false, why + ", nor rows [1,N,5+C] with one row to each cell"
	},
	decode: func(in []array, g *gather) error {
		list, why := heads(shapesOf(in), g.s, distancesV6)
		if list == nil {
			if err := decodeRows(in, g); err != nil {
				return fmt.Errorf("%s; %w", why, err)
			}
			return nil
		}
		decodeHeads(in, g, list)
		return nil
	},
}

// distancesV6: reg_max is 16, so there are 17 bins; the small models have none.
var distancesV6 = family{bins: 17, plain: true}

// rowPerCell says whether an output is [1,N,5+C] with one row to each cell.
func rowPerCell(shapes []Shape, s Settings) (bool, string) {
	r, strides, ok := findRows(shapes, s, layout{lead: 5, anchors: 1})
	return ok, fmt.Sprintf("%d rows of %d numbers: one to each cell of strides %s, 5 + %s", r.n, r.c, ints(strides), classCount(r.c-5))
}
