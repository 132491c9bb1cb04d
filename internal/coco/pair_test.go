package coco

import (
	"slices"
	"testing"
)

// A pair of one class comes before a nearer one of two; each box is in one pair, and boxes far apart are in none.
func TestPairBoxes(t *testing.T) {
	a := [][4]float64{{0, 0, 10, 10}, {100, 0, 10, 10}, {300, 0, 10, 10}}
	b := [][4]float64{{0, 0, 10, 10}, {1, 0, 10, 10}, {102, 0, 10, 10}}
	got := PairBoxes(a, b, func(i, k int) bool { return i != 0 || k != 0 })
	var pairs [][2]int
	for _, p := range got {
		pairs = append(pairs, [2]int{p.A, p.B})
	}
	if !slices.Equal(pairs, [][2]int{{0, 1}, {1, 2}}) || !got[0].Same || got[1].IoU >= SamePlace {
		t.Errorf("%+v", got)
	}
}
