package coco

import (
	"cmp"
	"slices"
)

// Two boxes are one object from an IoU of SameObject on; from SamePlace on it has not moved.
const (
	SameObject = 0.5
	SamePlace  = 0.75
)

// Pair is one object that two lists of boxes have.
type Pair struct {
	A, B int // places in the lists
	IoU  float64
	Same bool // both have one class
}

// PairBoxes finds the objects that two lists of boxes (left, top, width, height) have in common: pairs of one class first, then by IoU, the
// greatest first; each box is in one pair at most. same says whether two boxes are of one class.
func PairBoxes(a, b [][4]float64, same func(i, k int) bool) []Pair {
	var all []Pair
	for i := range a {
		for k := range b {
			if iou := BoxIoU(a[i], b[k], false); iou >= SameObject {
				all = append(all, Pair{i, k, iou, same(i, k)})
			}
		}
	}
	slices.SortStableFunc(all, func(p, q Pair) int {
		if p.Same != q.Same {
			return map[bool]int{true: -1, false: 1}[p.Same]
		}
		return cmp.Compare(q.IoU, p.IoU)
	})
	usedA, usedB := make([]bool, len(a)), make([]bool, len(b))
	return slices.DeleteFunc(all, func(p Pair) bool {
		if usedA[p.A] || usedB[p.B] {
			return true
		}
		usedA[p.A], usedB[p.B] = true, true
		return false
	})
}
