package eval

import (
	"slices"

	"quantcheck/internal/coco"
	"quantcheck/internal/result"
)

// compareBoxes holds a variant's boxes against float's: the pairs of greatest IoU are one object each, of the same class
// if there is one. marked gets what became of each box, and float's lost ones behind them.
func compareBoxes(float, got []result.Box, marked *[]result.Box) result.Agree {
	var agree result.Agree
	usedF, usedG := make([]bool, len(float)), make([]bool, len(got))
	list := slices.Clone(got)
	for _, p := range coco.PairBoxes(corners(float), corners(got), func(f, g int) bool { return float[f].Class == got[g].Class }) {
		usedF[p.A], usedG[p.B] = true, true
		switch {
		case !p.Same:
			list[p.B].Change = result.OtherClass
			agree.Other++
		case p.IoU < coco.SamePlace:
			list[p.B].Change = result.Moved
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

func corners(list []result.Box) [][4]float64 {
	out := make([][4]float64, len(list))
	for i, b := range list {
		out[i] = [4]float64{float64(b.X), float64(b.Y), float64(b.W), float64(b.H)}
	}
	return out
}
