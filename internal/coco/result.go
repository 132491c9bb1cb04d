package coco

import (
	"fmt"
	"slices"
)

// Result is what an evaluation found out.
type Result struct {
	Params   Params   // as evaluated: MaxDets sorted
	Problems Problems // of the dataset and the detections
	// Stats are the twelve numbers of pycocotools' summarize, in its order (StatNames); −1 where there is no ground
	// truth. As there, the first is of 100 detections and −1 if MaxDets has no 100; the others are of MaxDets[2], recall
	// also of MaxDets[0] and [1], and −1 where those, an area range or a threshold is missing.
	Stats [12]float64

	categories                []Category
	truths                    []int     // [K], in the main area range
	precision, scores, recall []float64 // [K][A][M][T], the first two with [R] behind it
}

// StatNames name Result.Stats.
var StatNames = [12]string{
	"AP", "AP50", "AP75", "APsmall", "APmedium", "APlarge", "AR1", "AR10", "AR100", "ARsmall", "ARmedium", "ARlarge",
}

// CategoryResult is what one category reaches over all areas, with the greatest of MaxDets.
type CategoryResult struct {
	Category
	Truths   int     // objects that count; crowds do not
	AP, AP50 float64 // −1 without any, AP50 also if 0.5 is no threshold
}

// CurvePoint is precision at a recall, and the score from which on detections reach it. Beyond the greatest recall
// precision and score are 0.
type CurvePoint struct{ Recall, Precision, Score float64 }

func (r *Result) allocate(categories int) {
	p := &r.Params
	r.truths = make([]int, categories)
	n := categories * len(p.AreaRanges) * len(p.MaxDets) * len(p.IoUs)
	r.recall = make([]float64, n)
	r.precision = make([]float64, n*len(p.Recalls))
	r.scores = make([]float64, n*len(p.Recalls))
}

func (r *Result) at(t, k, a, m int) int {
	p := &r.Params
	return ((k*len(p.AreaRanges)+a)*len(p.MaxDets)+m)*len(p.IoUs) + t
}

// curveAt gives the places of one curve.
func (r *Result) curveAt(t, k, a, m int) (recall *float64, precision, scores []float64) {
	at, n := r.at(t, k, a, m), len(r.Params.Recalls)
	return &r.recall[at], r.precision[at*n : (at+1)*n], r.scores[at*n : (at+1)*n]
}

// nothingAt says that there is no ground truth for a curve.
func (r *Result) nothingAt(t, k, a, m int) {
	recall, precision, scores := r.curveAt(t, k, a, m)
	*recall = -1
	for i := range precision {
		precision[i], scores[i] = -1, -1
	}
}

// Shape gives the lengths of pycocotools' five axes: IoU thresholds, recalls, categories (1 without UseCats), area
// ranges, numbers of detections.
func (r *Result) Shape() (t, rec, k, a, m int) {
	p := &r.Params
	return len(p.IoUs), len(p.Recalls), len(r.categories), len(p.AreaRanges), len(p.MaxDets)
}

// Precision is pycocotools' eval['precision'][t, rec, k, a, m]: −1 without ground truth, 0 beyond the greatest recall.
func (r *Result) Precision(t, rec, k, a, m int) float64 {
	return r.precision[r.at(t, k, a, m)*len(r.Params.Recalls)+rec]
}

// Score is pycocotools' eval['scores'][t, rec, k, a, m].
func (r *Result) Score(t, rec, k, a, m int) float64 {
	return r.scores[r.at(t, k, a, m)*len(r.Params.Recalls)+rec]
}

// Recall is pycocotools' eval['recall'][t, k, a, m].
func (r *Result) Recall(t, k, a, m int) float64 { return r.recall[r.at(t, k, a, m)] }

// mainArea is the range labelled all, else the first one.
func (r *Result) mainArea() int {
	return max(0, slices.IndexFunc(r.Params.AreaRanges, func(a AreaRange) bool { return a.Label == "all" }))
}

// Categories gives the results by category, in the order of the axis K.
func (r *Result) Categories() []CategoryResult {
	list := make([]CategoryResult, len(r.categories))
	last := len(r.Params.MaxDets) - 1
	half := slices.Index(r.Params.IoUs, .5)
	var all, at50 []float64
	for k, c := range r.categories {
		all, at50 = all[:0], at50[:0]
		for t := range r.Params.IoUs {
			at := r.at(t, k, r.mainArea(), last) * len(r.Params.Recalls)
			row := r.precision[at : at+len(r.Params.Recalls)]
			all = append(all, row...)
			if t == half {
				at50 = append(at50, row...)
			}
		}
		list[k] = CategoryResult{c, r.truths[k], meanOf(all), meanOf(at50)}
	}
	return list
}

// Curve gives the precision-recall curve of a category (by its id, −1 without UseCats) at one of the IoU thresholds, over
// all areas, with the greatest of MaxDets. Without ground truth it is nil.
func (r *Result) Curve(category int64, iou float64) ([]CurvePoint, error) {
	k := slices.IndexFunc(r.categories, func(c Category) bool { return c.ID == category })
	t := slices.Index(r.Params.IoUs, iou)
	if k < 0 || t < 0 {
		return nil, fmt.Errorf("category %d at IoU %g was not evaluated", category, iou)
	}
	if r.truths[k] == 0 {
		return nil, nil
	}
	points := make([]CurvePoint, len(r.Params.Recalls))
	for i, rec := range r.Params.Recalls {
		a, m := r.mainArea(), len(r.Params.MaxDets)-1
		points[i] = CurvePoint{rec, r.Precision(t, i, k, a, m), r.Score(t, i, k, a, m)}
	}
	return points, nil
}

func (r *Result) summarize() {
	third := -1
	if len(r.Params.MaxDets) > 2 {
		third = r.Params.MaxDets[2]
	}
	det := func(i int) int {
		if i < len(r.Params.MaxDets) {
			return r.Params.MaxDets[i]
		}
		return -1
	}
	r.Stats = [12]float64{
		r.meanPrecision(nil, "all", 100), r.meanPrecision(ptr(.5), "all", third), r.meanPrecision(ptr(.75), "all", third),
		r.meanPrecision(nil, "small", third), r.meanPrecision(nil, "medium", third), r.meanPrecision(nil, "large", third),
		r.meanRecall("all", det(0)), r.meanRecall("all", det(1)), r.meanRecall("all", det(2)),
		r.meanRecall("small", third), r.meanRecall("medium", third), r.meanRecall("large", third),
	}
}

func ptr(v float64) *float64 { return &v }

// axes finds an area range and a number of detections; a negative index if there is none.
func (r *Result) axes(label string, maxDet int) (a, m int) {
	return slices.IndexFunc(r.Params.AreaRanges, func(a AreaRange) bool { return a.Label == label }), slices.Index(r.Params.MaxDets, maxDet)
}

// meanPrecision is the mean at one threshold, or at all of them if iou is nil.
func (r *Result) meanPrecision(iou *float64, label string, maxDet int) float64 {
	a, m := r.axes(label, maxDet)
	if a < 0 || m < 0 {
		return -1
	}
	var all []float64
	for t, threshold := range r.Params.IoUs {
		if iou != nil && threshold != *iou {
			continue
		}
		for i := range r.Params.Recalls {
			for k := range r.categories {
				all = append(all, r.Precision(t, i, k, a, m))
			}
		}
	}
	return meanOf(all)
}

func (r *Result) meanRecall(label string, maxDet int) float64 {
	a, m := r.axes(label, maxDet)
	if a < 0 || m < 0 {
		return -1
	}
	var all []float64
	for t := range r.Params.IoUs {
		for k := range r.categories {
			all = append(all, r.Recall(t, k, a, m))
		}
	}
	return meanOf(all)
}
