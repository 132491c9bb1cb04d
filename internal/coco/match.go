package coco

import (
	"errors"
	"slices"
)

var errNoSize = errors.New("polygons in an image without a size")

// cell matches the detections of one category in one image.
type cell struct {
	truths []truth
	places []int32   // of the detections, best first
	iou    []float64 // [detection][truth]
	best   []float64 // [detection]: the greatest of its row
	order  []int32   // truths, those that count first
	ignore []bool    // [truth]
	taken  []bool    // [truth]
}

// measure computes the IoUs of all pairs.
func (c *cell) measure(w *worker, truths []truth, places []int32) {
	c.truths, c.places = truths, places
	masks := w.e.p.Type == Masks
	c.iou, c.best = c.iou[:0], c.best[:0]
	for _, place := range places {
		d := &w.order[place]
		box := w.box(d)
		best := 0.
		for g := range truths {
			t := &truths[g]
			v := BoxIoU(t.box, box, t.crowd)
			if masks && v > 0 {
				v = overlap(t.mask, w.masks[d.mask], t.crowd)
			}
			c.iou = append(c.iou, v)
			best = max(best, v)
		}
		c.best = append(c.best, best)
	}
}

// match finds a truth for every detection at every threshold and sets the threshold's bit for those that have one: in tp
// if the truth counts, in ignored if not. The rules are those of COCOeval.evaluateImg: better detections choose first;
// each takes the truth with the greatest IoU of those left, the last one of equals, but an ignored truth only if no other
// one will do; crowds are never used up.
func (c *cell) match(area AreaRange, ious []float64, tp, ignored []uint64) {
	c.order, c.ignore = c.order[:0], c.ignore[:0]
	for g := range c.truths {
		t := &c.truths[g]
		ignore := t.crowd || t.area < area.Lo || t.area > area.Hi
		c.ignore = append(c.ignore, ignore)
		if !ignore {
			c.order = append(c.order, int32(g))
		}
	}
	for g, ignore := range c.ignore {
		if ignore {
			c.order = append(c.order, int32(g))
		}
	}
	n := len(c.truths)
	c.taken = slices.Grow(c.taken[:0], n)[:n]
	for t, threshold := range ious {
		threshold = min(threshold, 1-1e-10)
		clear(c.taken)
		for d, place := range c.places {
			if c.best[d] < threshold {
				continue
			}
			g := c.partner(c.iou[d*n:(d+1)*n], threshold)
			if g < 0 {
				continue
			}
			c.taken[g] = true
			switch {
			case c.ignore[g]:
				ignored[place] |= 1 << t
			case !c.truths[g].zero:
				tp[place] |= 1 << t
			}
		}
	}
}

// partner gives the truth that a detection takes, −1 for none.
func (c *cell) partner(iou []float64, threshold float64) int32 {
	found := int32(-1)
	for _, g := range c.order {
		switch {
		case c.taken[g] && !c.truths[g].crowd:
			continue
		case found >= 0 && !c.ignore[found] && c.ignore[g]:
			return found
		case iou[g] < threshold:
			continue
		}
		threshold, found = iou[g], g
	}
	return found
}
