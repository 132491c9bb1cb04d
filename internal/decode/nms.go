package decode

import (
	"cmp"
	"slices"
)

// NMS keeps the best boxes of those that overlap: by descending score, a box is dropped if its IoU with a kept one is
// greater than iou; equal scores keep their order. Boxes of different classes do not suppress each other unless agnostic.
// At most most boxes are kept. The candidates are not changed; their scores must be finite.
func NMS(candidates []Detection, iou float64, agnostic bool, most int) []Detection {
	kept := []Detection{}
	rivals := map[int][]rectangle{} // class → what was kept of it
	for _, d := range best(candidates, len(candidates)) {
		if len(kept) >= most {
			break
		}
		class := d.Class
		if agnostic {
			class = 0
		}
		r := newRectangle(d.Box)
		if slices.ContainsFunc(rivals[class], func(other rectangle) bool { return r.iou(other) > iou }) {
			continue
		}
		rivals[class] = append(rivals[class], r)
		kept = append(kept, d)
	}
	return kept
}

// best gives the n candidates of the highest scores, sorted; equal scores keep their order.
func best(candidates []Detection, n int) []Detection {
	sorted := slices.Clone(candidates)
	slices.SortStableFunc(sorted, func(a, b Detection) int { return cmp.Compare(b.Score, a.Score) })
	return sorted[:min(n, len(sorted))]
}

// IoU is the area that two boxes share over the area that they cover together, in float64: right minus left, without the
// extra pixel of older tools. It is 0 if they cover none.
func IoU(a, b [4]float32) float64 { return newRectangle(a).iou(newRectangle(b)) }

type rectangle struct{ x1, y1, x2, y2, area float64 }

func newRectangle(b [4]float32) rectangle {
	r := rectangle{x1: float64(b[0]), y1: float64(b[1]), x2: float64(b[2]), y2: float64(b[3])}
	r.area = max(r.x2-r.x1, 0) * max(r.y2-r.y1, 0)
	return r
}

func (r rectangle) iou(o rectangle) float64 {
	w, h := min(r.x2, o.x2)-max(r.x1, o.x1), min(r.y2, o.y2)-max(r.y1, o.y1)
	if w <= 0 || h <= 0 {
		return 0
	}
	shared := w * h
	return shared / (r.area + o.area - shared)
}
