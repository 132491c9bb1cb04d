package coco

import (
	"errors"
	"math"
	"runtime"
	"strconv"
	"sync/atomic"
)

// evaluation is one call of Evaluate. Nothing of it changes while categories are evaluated.
type evaluation struct {
	p                  Params
	gt                 *Dataset
	dt                 []Annotation
	images, categories lookup
	sizes              [][2]int // height and width of the chosen images
	boxed              bool     // detections have boxes, and their areas count
	truths, detections group
}

// Evaluate holds detections against ground truth. Neither is changed.
//
// As in pycocotools' loadRes the first detection (that has a box or a segmentation) decides what all are. If it has a box, areas of detections are
// those of their boxes, even where masks are compared, and a detection without segmentation is a rectangle. If it has
// none, areas are those of the masks, and so are boxes that are missing. For masks, an all-zero box beside a
// segmentation counts as none. Ids of detections do not matter; their order does, where scores are equal.
//
// The error is for params that make no sense, for images or categories asked for that are not there, and under Strict a
// *ProblemsError.
func Evaluate(gt *Dataset, dt []Annotation, p Params) (*Result, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if len(dt) > math.MaxInt32 || len(gt.Annotations) > math.MaxInt32 {
		return nil, errors.New("more annotations than 31 bits count")
	}
	if p.Parallel <= 0 {
		p.Parallel = runtime.GOMAXPROCS(0)
	}
	e := &evaluation{p: p, gt: gt, dt: dt, boxed: boxed(dt, p.Type)}
	r := &Result{Params: p}
	if err := e.choose(r); err != nil {
		return nil, err
	}
	classes := len(r.categories)
	e.truths = groupBy(len(gt.Annotations), classes, p.Parallel, e.placeTruth, &r.Problems)
	e.detections = groupBy(len(dt), classes, p.Parallel, e.placeDetection, &r.Problems)
	if !p.UseCats && classes > 0 {
		e.truths.start = []int{0, len(e.truths.members)}
		e.detections.start = []int{0, len(e.detections.members)}
		r.categories = []Category{{ID: -1, Name: "all"}}
	}
	r.allocate(len(r.categories))
	e.run(r)
	if p.Strict && len(r.Problems.List()) > 0 {
		return nil, &ProblemsError{r.Problems}
	}
	r.summarize()
	return r, nil
}

// boxed says whether detections are boxes.
func boxed(dt []Annotation, t Type) bool {
	for i := range dt {
		a := &dt[i]
		if a.Missing.Has(FieldBox) && a.Segmentation == nil {
			continue
		}
		return !a.Missing.Has(FieldBox) && !(t == Masks && a.Segmentation != nil && a.Box == [4]float64{})
	}
	return true
}

// choose fills images and categories, and finds what occurs twice.
func (e *evaluation) choose(r *Result) error {
	ids := make([]int64, len(e.gt.Images))
	sizes := make(map[int64][2]int, len(ids))
	for i, m := range e.gt.Images {
		if _, twice := sizes[m.ID]; twice {
			r.Problems.add(DuplicateImage, func() string { return "image " + strconv.FormatInt(m.ID, 10) })
		}
		ids[i], sizes[m.ID] = m.ID, [2]int{m.Height, m.Width}
	}
	chosen, err := choose("image", ids, e.p.Images, true)
	if err != nil {
		return err
	}
	e.images = newLookup(ids, chosen)
	for _, id := range chosen {
		e.sizes = append(e.sizes, sizes[id])
	}

	ids = make([]int64, len(e.gt.Categories))
	byID := map[int64]Category{}
	for i, c := range e.gt.Categories {
		if _, twice := byID[c.ID]; twice {
			r.Problems.add(DuplicateCategory, func() string { return "category " + strconv.FormatInt(c.ID, 10) })
		}
		ids[i], byID[c.ID] = c.ID, c
	}
	if chosen, err = choose("category", ids, e.p.Categories, e.p.UseCats); err != nil {
		return err
	}
	e.categories = newLookup(ids, chosen)
	for _, id := range chosen {
		r.categories = append(r.categories, byID[id])
	}

	seen := make(map[int64]struct{}, len(e.gt.Annotations))
	for i := range e.gt.Annotations {
		a := &e.gt.Annotations[i]
		if a.Missing.Has(FieldID) {
			continue
		}
		if _, twice := seen[a.ID]; twice {
			r.Problems.add(DuplicateAnnotation, func() string { return "annotation " + strconv.FormatInt(a.ID, 10) })
		}
		seen[a.ID] = struct{}{}
	}
	return nil
}

// run evaluates the categories side by side.
func (e *evaluation) run(r *Result) {
	n := len(r.categories)
	found := make([]Problems, n)
	var next atomic.Int64
	each(max(1, min(e.p.Parallel, n)), func(int) {
		w := newWorker(e, r)
		for k := int(next.Add(1) - 1); k < n; k = int(next.Add(1) - 1) {
			w.problems = &found[k]
			w.category(k)
		}
	})
	for k := range found {
		r.Problems.merge(&found[k])
	}
}
