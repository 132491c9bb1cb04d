package coco

import (
	"cmp"
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

	truths     []object
	truthStart []int32 // of every image in truths, which are sorted by image; and the end
	dets       []object
	order      []ranked // detections that count, best first
	detStart   []int32  // of every image in byImage; and the end
	byImage    []int32  // places in order, by image, best first
	fill       []int32

	tp, ignored [][]uint64 // [area][place in order]: matched with a truth that counts, with an ignored one; a bit for every threshold
	cell        cell
	acc         accumulator
}

// object is a truth or a detection.
type object struct {
	box   [4]float64
	area  float64
	score float64
	mask  Mask
	image int32
	crowd bool
	zero  bool // a truth with id 0
}

// ranked is a detection's place among all of its category.
type ranked struct {
	score float64
	area  float64
	image int32
	det   int32 // in dets
	rank  int32 // within its image, from 0
}

func newWorker(e *evaluation, r *Result) *worker {
	images := len(e.sizes)
	w := &worker{
		e: e, r: r,
		truthStart: make([]int32, images+1), detStart: make([]int32, images+1), fill: make([]int32, images),
		tp: make([][]uint64, len(e.p.AreaRanges)), ignored: make([][]uint64, len(e.p.AreaRanges)),
	}
	return w
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
func (w *worker) loadTruths(index []int32) {
	w.truths = w.truths[:0]
	for _, i := range index {
		a := &w.e.gt.Annotations[i]
		o := object{box: a.Box, area: a.Area, image: w.e.images.index(a.ImageID), crowd: a.Crowd, zero: a.ID == 0 && !a.Missing.Has(FieldID)}
		if w.e.p.Type == Masks {
			name := func() string { return "annotation " + strconv.FormatInt(a.ID, 10) }
			if !w.load(&o, a.Segmentation, TruthMaskBroken, TruthMaskSize, name) {
				continue
			}
		}
		if a.Missing.Has(FieldArea) {
			o.area = float64(o.box[2] * o.box[3])
			if w.e.p.Type == Masks {
				o.area = float64(o.mask.Area())
			}
		}
		w.truths = append(w.truths, o)
	}
	slices.SortStableFunc(w.truths, func(a, b object) int { return cmp.Compare(a.image, b.image) })
	at := int32(0)
	for i := range w.truthStart {
		for int(at) < len(w.truths) && int(w.truths[at].image) < i {
			at++
		}
		w.truthStart[i] = at
	}
}

// load makes an object's mask and, for masks, its box.
func (w *worker) load(o *object, s *Segmentation, broken, size Kind, name func() string) bool {
	image := w.e.sizes[o.image]
	m, err := s.Mask(image[0], image[1])
	if err == nil && s.Polygons != nil && image[0]*image[1] == 0 {
		err = errNoSize
	}
	if err != nil {
		w.problems.add(broken, func() string { return name() + ": " + err.Error() })
		return false
	}
	if m.H != image[0] || m.W != image[1] {
		w.problems.add(size, name)
	}
	o.mask = m
	return true
}

// loadDetections gathers the detections in their order.
func (w *worker) loadDetections(index []int32) {
	w.dets = slices.Grow(w.dets[:0], len(index))
	for _, i := range index {
		a := &w.e.dt[i]
		w.dets = append(w.dets, object{box: a.Box, score: a.Score, image: w.e.images.index(a.ImageID)})
		o := &w.dets[len(w.dets)-1]
		if w.e.boxed && w.e.p.Type == Boxes {
			o.area = float64(o.box[2] * o.box[3])
			continue
		}
		s := a.Segmentation
		if s == nil {
			s = rectangle(o.box)
		}
		if !w.load(o, s, MaskBroken, MaskSize, func() string { return "detection " + strconv.Itoa(int(i)) }) {
			w.dets = w.dets[:len(w.dets)-1]
			continue
		}
		switch {
		case w.e.boxed:
			o.area = float64(o.box[2] * o.box[3])
		default:
			o.area = float64(o.mask.Area())
			if a.Missing.Has(FieldBox) {
				o.box = o.mask.Box()
			}
		}
	}
}

// rectangle is the polygon that pycocotools makes of a box.
func rectangle(b [4]float64) *Segmentation {
	x0, x1, y0, y1 := b[0], b[0]+b[2], b[1], b[1]+b[3]
	return &Segmentation{Polygons: [][]float64{{x0, y0, x0, y1, x1, y1, x1, y0}}}
}

// rank sorts the detections, best first, ties by image and then in their order, and lists those that count: the best of
// every image.
func (w *worker) rank() {
	w.order = w.order[:0]
	for i := range w.dets {
		o := &w.dets[i]
		w.order = append(w.order, ranked{score: o.score, area: o.area, image: o.image, det: int32(i)})
	}
	slices.SortFunc(w.order, func(a, b ranked) int {
		switch {
		case a.score > b.score:
			return -1
		case a.score < b.score:
			return 1
		case a.image != b.image:
			return int(a.image - b.image)
		}
		return int(a.det - b.det)
	})
	limit := int32(min(w.e.p.MaxDets[len(w.e.p.MaxDets)-1], math.MaxInt32))
	clear(w.fill)
	n := 0
	for _, o := range w.order {
		if o.rank = w.fill[o.image]; o.rank < limit {
			w.fill[o.image]++
			w.order[n] = o
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
