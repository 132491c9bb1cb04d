package coco

import "slices"

// epsilon is numpy's spacing(1), which pycocotools adds to the number of detections.
const epsilon = 0x1p-52

// accumulator turns matches into precision over recall. Precision falls wherever it is not a true positive that adds to
// recall, so only those are looked at.
type accumulator struct {
	matched   [][]matched // by the number of detections that count
	inside    []int32
	precision []float64 // at every true positive
	place     []int32
}

// matched is a detection that has a truth at some threshold.
type matched struct {
	tp, ignored uint64
	place       int32
	inside      int32 // detections inside the area range up to this one
	outside     bool  // this one's own area
}

// accumulate fills the result for the thresholds from … to−1.
func (w *worker) accumulate(k, from, to int) {
	for a, area := range w.e.p.AreaRanges {
		truths := 0
		for i := range w.truths {
			if t := &w.truths[i]; !t.crowd && !(t.area < area.Lo || t.area > area.Hi) {
				truths++
			}
		}
		if a == w.r.mainArea() {
			w.r.truths[k] = truths
		}
		if truths == 0 {
			for m := range w.e.p.MaxDets {
				for t := from; t < to; t++ {
					w.r.nothingAt(t, k, a, m)
				}
			}
			continue
		}
		w.acc.collect(w.order, area, w.e.p.MaxDets, w.tp[a], w.ignored[a])
		for m := range w.e.p.MaxDets {
			for t := from; t < to; t++ {
				recall, precision, scores := w.r.curveAt(t, k, a, m)
				*recall = w.acc.curve(m, t-from, truths, w.order, w.e.p.Recalls, precision, scores)
			}
		}
	}
}

// collect lists what is matched among the best detections of every image, for all limits.
func (c *accumulator) collect(order []ranked, area AreaRange, limits []int, tp, ignored []uint64) {
	if c.matched == nil {
		c.matched, c.inside = make([][]matched, len(limits)), make([]int32, len(limits))
	}
	for m := range limits {
		c.matched[m], c.inside[m] = c.matched[m][:0], 0
	}
	for place := range order {
		o := &order[place]
		outside := o.area < area.Lo || o.area > area.Hi
		match := tp[place]|ignored[place] != 0
		if outside && !match {
			continue
		}
		for m := len(limits) - 1; m >= 0 && int(o.rank) < limits[m]; m-- {
			if !outside {
				c.inside[m]++
			}
			if match {
				c.matched[m] = append(c.matched[m], matched{tp[place], ignored[place], int32(place), c.inside[m], outside})
			}
		}
	}
}

// curve writes precision and scores at the recalls, for the limit m and the bit t, and gives the
// greatest recall.
func (c *accumulator) curve(m, t, truths int, order []ranked, recalls, precision, scores []float64) float64 {
	clear(precision)
	clear(scores)
	c.precision, c.place = c.precision[:0], c.place[:0]
	count := 0 // of what is matched outside of the range and counts, less what is inside and does not
	for i := range c.matched[m] {
		d := &c.matched[m][i]
		switch {
		case d.tp>>t&1 != 0:
			if d.outside {
				count++
			}
			hits := float64(len(c.precision) + 1)
			c.precision = append(c.precision, hits/(float64(int(d.inside)+count)+epsilon))
			c.place = append(c.place, d.place)
		case d.ignored>>t&1 != 0 && !d.outside:
			count--
		}
	}
	for i := len(c.precision) - 1; i > 0; i-- {
		c.precision[i-1] = max(c.precision[i-1], c.precision[i])
	}
	hits := 0
	for i, r := range recalls {
		if r <= 0 {
			if len(order) == 0 {
				break
			}
			if len(c.precision) > 0 {
				precision[i] = c.precision[0]
			}
			scores[i] = order[0].score
			continue
		}
		for hits < len(c.precision) && float64(hits+1)/float64(truths) < r {
			hits++
		}
		if hits == len(c.precision) {
			break
		}
		precision[i], scores[i] = c.precision[hits], order[c.place[hits]].score
	}
	return float64(len(c.precision)) / float64(truths)
}

// sumOf adds as numpy does, so that means agree to the last bit: in eights, and halves of what is long.
func sumOf(x []float64) float64 {
	switch n := len(x); {
	case n < 8:
		s := 0.
		for _, v := range x {
			s += v
		}
		return s
	case n <= 128:
		r := [8]float64(x)
		i := 8
		for ; i+8 <= n; i += 8 {
			for j, v := range x[i : i+8] {
				r[j] += v
			}
		}
		s := ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]))
		for _, v := range x[i:] {
			s += v
		}
		return s
	default:
		half := n / 2
		half -= half % 8
		return sumOf(x[:half]) + sumOf(x[half:])
	}
}

// meanOf is the mean of what is not −1, which stands for nothing; −1 if nothing is left.
func meanOf(x []float64) float64 {
	x = slices.DeleteFunc(x, func(v float64) bool { return !(v > -1) })
	if len(x) == 0 {
		return -1
	}
	return sumOf(x) / float64(len(x))
}
