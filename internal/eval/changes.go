package eval

import (
	"slices"

	"quantcheck/internal/coco"
	"quantcheck/internal/result"
)

// Two boxes are one object from this IoU on; over the second it has not moved.
const (
	sameObject = 0.5
	samePlace  = 0.75
)

// compareBoxes holds a variant's boxes against float's: the pairs of greatest IoU are one object each, of the same class
// if there is one. marked gets what became of each box, and float's lost ones behind them.
func compareBoxes(float, got []result.Box, marked *[]result.Box) result.Agree {
	type pair struct {
		f, g int
		iou  float64
		same bool
	}
	var pairs []pair
	for i, f := range float {
		for k, g := range got {
			if iou := coco.BoxIoU(corners(f), corners(g), false); iou >= sameObject {
				pairs = append(pairs, pair{i, k, iou, f.Class == g.Class})
			}
		}
	}
	slices.SortStableFunc(pairs, func(a, b pair) int {
		switch {
		case a.same != b.same:
			if a.same {
				return -1
			}
			return 1
		case a.iou > b.iou:
			return -1
		case a.iou < b.iou:
			return 1
		}
		return 0
	})
	var agree result.Agree
	usedF, usedG := make([]bool, len(float)), make([]bool, len(got))
	list := slices.Clone(got)
	for _, p := range pairs {
		if usedF[p.f] || usedG[p.g] {
			continue
		}
		usedF[p.f], usedG[p.g] = true, true
		switch {
		case !p.same:
			list[p.g].Change = result.OtherClass
			agree.Other++
		case p.iou < samePlace:
			list[p.g].Change = result.Moved
			agree.Moved++
		default:
			agree.Kept++
		}
	}
	for k := range list {
		if !usedG[k] {
			list[k].Change = result.New
			agree.New++
		}
	}
	for i, f := range float {
		if !usedF[i] {
			f.Change = result.Lost
			list = append(list, f)
			agree.Lost++
		}
	}
	*marked = list
	return agree
}

func corners(b result.Box) [4]float64 {
	return [4]float64{float64(b.X), float64(b.Y), float64(b.W), float64(b.H)}
}
