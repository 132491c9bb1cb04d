package coco

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// Type says what of an annotation is compared.
type Type int

// Boxes or masks.
const (
	Boxes Type = iota
	Masks
)

// AreaRange is a range of areas in square pixels, both ends included. Objects and detections outside are ignored.
type AreaRange struct {
	Label  string
	Lo, Hi float64
}

// Params says what is evaluated. DefaultParams gives those of COCO.
type Params struct {
	Type       Type
	IoUs       []float64   // thresholds, in any order
	Recalls    []float64   // where precision is read off, ascending
	AreaRanges []AreaRange // with different labels
	MaxDets    []int       // detections per image and category (per image without UseCats) that count: the best ones; sorted if they are not
	UseCats    bool        // false: categories do not matter, all are one
	Images     []int64     // nil: all
	Categories []int64     // nil: all
	Strict     bool        // refuse any problem with a *ProblemsError instead of counting it
	Parallel   int         // goroutines; 0 stands for GOMAXPROCS
}

// DefaultParams are those of the COCO benchmark.
func DefaultParams(t Type) Params {
	p := Params{
		Type: t,
		AreaRanges: []AreaRange{
			{"all", 0, 1e5 * 1e5}, {"small", 0, 32 * 32}, {"medium", 32 * 32, 96 * 96}, {"large", 96 * 96, 1e5 * 1e5},
		},
		MaxDets: []int{1, 10, 100},
		UseCats: true,
	}
	p.IoUs = linspace(.5, .95, 10)
	p.Recalls = linspace(0, 1, 101)
	return p
}

// linspace gives numpy's numbers, to the last bit.
func linspace(from, to float64, n int) []float64 {
	x := make([]float64, n)
	step := (to - from) / float64(n-1)
	for i := range x {
		x[i] = float64(float64(i)*step) + from
	}
	x[n-1] = to
	return x
}

func (p *Params) check() error {
	switch {
	case p.Type != Boxes && p.Type != Masks:
		return fmt.Errorf("type %d is neither boxes nor masks", p.Type)
	case len(p.IoUs) == 0 || len(p.Recalls) == 0 || len(p.AreaRanges) == 0 || len(p.MaxDets) == 0:
		return errors.New("IoU thresholds, recalls, area ranges and numbers of detections are all needed")
	case !slices.IsSorted(p.Recalls):
		return errors.New("the recalls do not ascend")
	}
	for _, v := range slices.Concat(p.IoUs, p.Recalls) {
		if math.IsNaN(v) {
			return errors.New("a threshold is NaN")
		}
	}
	for i, a := range p.AreaRanges {
		if !(a.Lo <= a.Hi) {
			return fmt.Errorf("area range %q is %g to %g", a.Label, a.Lo, a.Hi)
		}
		if slices.ContainsFunc(p.AreaRanges[:i], func(b AreaRange) bool { return a.Label == b.Label }) {
			return fmt.Errorf("two area ranges %q", a.Label)
		}
	}
	p.MaxDets = slices.Sorted(slices.Values(p.MaxDets))
	for i, n := range p.MaxDets {
		if n < 1 || i > 0 && n == p.MaxDets[i-1] {
			return fmt.Errorf("numbers of detections %v are not different positive ones", p.MaxDets)
		}
	}
	return nil
}
