package decode

import (
	"fmt"
	"slices"
	"strings"
)

// A detector's outputs are maps, one per scale, of channels over the cells of a grid, or rows, one per cell and anchor,
// the finest grid first, each grid row by row.

// commonStrides are what detectors divide their input by.
var commonStrides = []int{4, 8, 16, 32, 64, 128}

// strideSets are the scales that detectors with rows have.
var strideSets = [][]int{{8, 16, 32}, {8, 16, 32, 64}, {16, 32}, {4, 8, 16, 32}}

// cells is the number of cells along a side: a part of a cell is one.
func cells(side, stride int) int { return (side + stride - 1) / stride }

// plane is one output as a map.
type plane struct {
	output  int // its index
	c, h, w int
	nhwc    bool
	stride  int
}

// at gives the channels of a cell.
func (p plane) at(in []array, y, x int) vector {
	values := in[p.output].values
	if p.nhwc {
		return vector{values, (y*p.w + x) * p.c, 1, p.c}
	}
	return vector{values, y*p.w + x, p.h * p.w, p.c}
}

// known gives dimensions as ints if all are, and within reason.
func known(dims []int64) ([]int, bool) {
	list := make([]int, len(dims))
	for i, d := range dims {
		if d < 1 || d > 1<<40 {
			return nil, false
		}
		list[i] = int(d)
	}
	return list, true
}

// stride tells a grid's stride: the one that leaves so many cells of the input.
func (s Settings) stride(h, w int) (int, bool) {
	strides := s.Strides
	if len(strides) == 0 {
		strides = commonStrides
	}
	for _, stride := range strides {
		if cells(s.Height, stride) == h && cells(s.Width, stride) == w {
			return stride, true
		}
	}
	return 0, false
}

// planes finds the outputs that are maps of an accepted number of channels over a grid of the input, by ascending
// stride. NCHW is tried before NHWC.
func planes(shapes []Shape, s Settings, accept func(c int) bool) []plane {
	var list []plane
	for i, shape := range shapes {
		d, ok := known(shape.Dims)
		if !ok || len(d) != 4 || d[0] != 1 {
			continue
		}
		for _, p := range []plane{{i, d[1], d[2], d[3], false, 0}, {i, d[3], d[1], d[2], true, 0}} {
			if p.stride, ok = s.stride(p.h, p.w); ok && accept(p.c) {
				list = append(list, p)
				break
			}
		}
	}
	slices.SortStableFunc(list, func(a, b plane) int { return a.stride - b.stride })
	return list
}

// pyramid says whether the planes are one per scale: those of the settings, or at least two.
func pyramid(list []plane, s Settings) bool {
	for i := 1; i < len(list); i++ {
		if list[i].stride == list[i-1].stride {
			return false
		}
	}
	if len(s.Strides) > 0 {
		return len(list) == len(s.Strides)
	}
	return len(list) >= 2
}

func stridesOf(list []plane) []int {
	strides := make([]int, len(list))
	for i, p := range list {
		strides[i] = p.stride
	}
	return strides
}

// rows is one output [1,n,c], or [1,c,n] if turned.
type rows struct {
	output int
	n, c   int
	turned bool
}

func (r rows) at(in []array, i int) vector {
	if r.turned {
		return vector{in[r.output].values, i, r.n, r.c}
	}
	return vector{in[r.output].values, i * r.c, 1, r.c}
}

// all yields a part of the columns of every row.
func (r rows) all(in []array, from, to int) func(func(vector) bool) {
	return func(yield func(vector) bool) {
		for i := range r.n {
			if !yield(r.at(in, i).part(from, to)) {
				return
			}
		}
	}
}

// all yields a part of the channels of every cell.
func (p plane) all(in []array, from, to int) func(func(vector) bool) {
	return func(yield func(vector) bool) {
		for i := range p.h * p.w {
			if !yield(p.at(in, i/p.w, i%p.w).part(from, to)) {
				return
			}
		}
	}
}

// findRows gives the first output that accept takes, as [1,n,c] or as [1,c,n].
func findRows(shapes []Shape, accept func(n, c int, turned bool) bool) (rows, bool) {
	for i, shape := range shapes {
		d, ok := known(shape.Dims)
		if !ok || len(d) != 3 || d[0] != 1 {
			continue
		}
		switch {
		case accept(d[1], d[2], false):
			return rows{i, d[1], d[2], false}, true
		case accept(d[2], d[1], true):
			return rows{i, d[2], d[1], true}, true
		}
	}
	return rows{}, false
}

// scales tells the strides whose grids have n rows together, anchors rows to a cell.
func (s Settings) scales(n, anchors int) ([]int, bool) {
	sets := strideSets
	if len(s.Strides) > 0 {
		sets = [][]int{s.Strides}
	}
	for _, set := range sets {
		sum := 0
		for _, stride := range set {
			sum += cells(s.Width, stride) * cells(s.Height, stride)
		}
		if sum*anchors == n {
			return set, true
		}
	}
	return nil, false
}

// classes says whether a number of class scores is what the settings say, or any if they say nothing.
func (s Settings) classes(n int) bool {
	return n > 0 && n <= maxClasses && (s.Classes == 0 || s.Classes == n)
}

// wanted describes the class scores that the settings ask for.
func (s Settings) wanted() string {
	if s.Classes == 0 {
		return "C classes"
	}
	return fmt.Sprintf("C = %d classes", s.Classes)
}

func classCount(n int) string {
	if n == 1 {
		return "1 class"
	}
	return fmt.Sprintf("%d classes", n)
}

// ints writes numbers for people: 8, 16, 32.
func ints(numbers []int) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(numbers), " ", ", "), "[]")
}
