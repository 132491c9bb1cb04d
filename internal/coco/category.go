package coco

import (
	"math"
	"slices"
	"strconv"
)

// batch is how many IoU thresholds are matched together, one bit for each.
const batch = 64

// worker evaluates one category after the other; its slices are used again.
type worker struct {
	e        *evaluation
	r        *Result
	problems *Problems

	truths     []truth // by image
	truthStart []int32 // of every image in truths; and the end
	sorter     sorter
	masks      []Mask   // of the detections; empty where boxes are compared
	order      []ranked // detections that count, best first
	detStart   []int32  // of every image in byImage; and the end
	byImage    []int32  // places in order, by image, best first
	fill       []int32

	tp, ignored [][]uint64 // [area][place in order]: matched with a truth that counts, with an ignored one; a bit for every threshold
	cell        cell
	acc         accumulator
}

// truth is an object of the ground truth.
type truth struct {
	box   [4]float64
	area  float64
	mask  Mask
	image int32
	crowd bool
	zero  bool // its id is 0
}

// ranked is a detection's place among all of its category.
type ranked struct {
	score float64
	area  float64
	image int32
	rank  int32 // within its image, from 0
	index int32 // in the list of all detections
	mask  int32 // in the worker's masks
}

func newWorker(e *evaluation, r *Result) *worker {
	images := len(e.sizes)
	return &worker{
		e: e, r: r,
		truthStart: make([]int32, images+1), detStart: make([]int32, images+1), fill: make([]int32, images),
		tp: make([][]uint64, len(e.p.AreaRanges)), ignored: make([][]uint64, len(e.p.AreaRanges)),
	}
}

// category evaluates one category.
func (w *worker) category(k int) {
	w.loadTruths(w.e.truths.of(k))
	w.loadDetections(w.e.detections.of(k))
	w.rank()
	ious := w.e.p.IoUs
	for from := 0; from < len(ious); from += batch {
		to := min(from+batch, len(ious))
		w.match(ious[from:to])
		w.accumulate(k, from, to)
	}
}

// loadTruths gathers the ground truth, by image.
func (w *worker) loadTruths(members []member) {
	w.truths = w.truths[:0]
	masks := w.e.p.Type == Masks
	for _, m := range members {
		a := &w.e.gt.Annotations[m.index]
		o := truth{box: a.Box, area: a.Area, image: m.image, crowd: a.Crowd, zero: a.ID == 0 && !a.Missing.Has(FieldID)}
		if masks {
			var ok bool
			name := func() string { return "annotation " + strconv.FormatInt(a.ID, 10) }
			if o.mask, ok = w.mask(m.image, a.Segmentation, TruthMaskBroken, TruthMaskSize, name); !ok {
				continue
			}
			o.box = o.mask.Box()
		}
		switch {
		case !a.Missing.Has(FieldArea):
		case masks:
			o.area = float64(o.mask.Area())
		default:
			o.area = float64(o.box[2] * o.box[3])
		}
		w.truths = append(w.truths, o)
	}
	slices.SortStableFunc(w.truths, func(a, b truth) int { return int(a.image - b.image) })
	at := int32(0)
	for i := range w.truthStart {
		for int(at) < len(w.truths) && int(w.truths[at].image) < i {
			at++
		}
		w.truthStart[i] = at
	}
}

// mask makes the mask of an object in an image. Without ok there is none, and that is counted.
func (w *worker) mask(image int32, s *Segmentation, broken, size Kind, name func() string) (m Mask, ok bool) {
	pixels := w.e.sizes[image]
	m, err := s.Mask(pixels[0], pixels[1])
	if err == nil && s.Polygons != nil && pixels[0]*pixels[1] == 0 {
		err = errNoSize
	}
	if err != nil {
		w.problems.add(broken, func() string { return name() + ": " + err.Error() })
		return m, false
	}
	if m.H != pixels[0] || m.W != pixels[1] {
		w.problems.add(size, name)
	}
	return m, true
}

// loadDetections gathers the detections in their order.
func (w *worker) loadDetections(members []member) {
	w.order = slices.Grow(w.order[:0], len(members))
	w.masks = w.masks[:0]
	justBoxes := w.e.boxed && w.e.p.Type == Boxes
	for _, m := range members {
		a := &w.e.dt[m.index]
		o := ranked{score: a.Score, image: m.image, index: m.index, mask: int32(len(w.masks))}
		if !justBoxes {
			s := a.Segmentation
			if s == nil {
				s = rectangle(a.Box)
			}
			mask, ok := w.mask(m.image, s, MaskBroken, MaskSize, func() string { return "detection " + strconv.Itoa(int(m.index)) })
			if !ok {
				continue
			}
			w.masks = append(w.masks, mask)
		}
		if w.e.boxed {
			o.area = float64(a.Box[2] * a.Box[3])
		} else {
			o.area = float64(w.masks[o.mask].Area())
		}
		w.order = append(w.order, o)
	}
}

// box is what decides whether a detection can overlap a truth, and its overlap where boxes are compared.
func (w *worker) box(o *ranked) [4]float64 {
	a := &w.e.dt[o.index]
	if w.e.p.Type == Masks || a.Missing.Has(FieldBox) {
		return w.masks[o.mask].Box()
	}
	return a.Box
}

// rectangle is the polygon that pycocotools makes of a box.
func rectangle(b [4]float64) *Segmentation {
	x0, x1, y0, y1 := b[0], b[0]+b[2], b[1], b[1]+b[3]
	return &Segmentation{Polygons: [][]float64{{x0, y0, x0, y1, x1, y1, x1, y0}}}
}

// rank sorts the detections, best first, ties by image and then in their order, and keeps those that count: the best of
// every image.
func (w *worker) rank() {
	w.order = w.sorter.sort(w.order)
	limit := int32(min(w.e.p.MaxDets[len(w.e.p.MaxDets)-1], math.MaxInt32))
	clear(w.fill)
	n := 0
	for i := range w.order {
		o := &w.order[i]
		if o.rank = w.fill[o.image]; o.rank < limit {
			w.fill[o.image]++
			w.order[n] = *o
			n++
		}
	}
	w.order = w.order[:n]
	sum := int32(0)
	for i, count := range w.fill {
		w.detStart[i], w.fill[i] = sum, sum
		sum += count
	}
	w.detStart[len(w.fill)] = sum
	w.byImage = slices.Grow(w.byImage[:0], n)[:n]
	for place := range w.order {
		at := &w.fill[w.order[place].image]
		w.byImage[*at] = int32(place)
		*at++
	}
}

// match matches the detections of every image at the given thresholds, 64 at most.
func (w *worker) match(ious []float64) {
	for a := range w.tp {
		w.tp[a] = slices.Grow(w.tp[a][:0], len(w.order))[:len(w.order)]
		w.ignored[a] = slices.Grow(w.ignored[a][:0], len(w.order))[:len(w.order)]
		clear(w.tp[a])
		clear(w.ignored[a])
	}
	for i := range w.fill {
		truths := w.truths[w.truthStart[i]:w.truthStart[i+1]]
		places := w.byImage[w.detStart[i]:w.detStart[i+1]]
		if len(truths) == 0 || len(places) == 0 {
			continue
		}
		w.cell.measure(w, truths, places)
		for a, area := range w.e.p.AreaRanges {
			w.cell.match(area, ious, w.tp[a], w.ignored[a])
		}
	}
}
