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
// stride. NCHW is tried before NHWC. accept gets the places where pieces of the channels meet; maps whose pieces meet elsewhere are none.
func planes(shapes []Shape, s Settings, accept func(c int, cuts []int) bool) []plane {
	var list []plane
	for i, shape := range shapes {
		d, ok := known(shape.Dims)
		if !ok || len(d) != 4 || d[0] != 1 {
			continue
		}
		for _, p := range []plane{{i, d[1], d[2], d[3], false, 0}, {i, d[3], d[1], d[2], true, 0}} {
			channels := 1
			if p.nhwc {
				channels = 3
			}
			cuts := shape.cuts(channels)
			if p.stride, ok = s.stride(p.h, p.w); ok && len(cuts) == len(shape.joints) && accept(p.c, cuts) {
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

// layout is what rows of boxes look like.
type layout struct {
	lead    int  // columns in front of the class scores: 4, or 5 with objectness
	anchors int  // rows to a cell; 0: any number of rows
	named   bool // the decoder was chosen by its name
}

// findRows gives the first output that has a layout, and the strides of its grids. Rows of 4 + C are [1,n,c] or [1,c,n]; those of 5 + C
// are [1,n,c], and else, where that cannot be mistaken for the others, [1,c,n].
func findRows(shapes []Shape, s Settings, l layout) (rows, []int, bool) {
	directions := [][]bool{{false, true}}
	switch {
	case l.lead == 5:
		directions = [][]bool{{false}, {true}}
	case l.anchors == 0:
		directions = [][]bool{{true}}
	}
	for _, turned := range directions {
		for i, shape := range shapes {
			d, ok := known(shape.Dims)
			if !ok || len(d) != 3 || d[0] != 1 {
				continue
			}
			for _, t := range turned {
				r := rows{i, d[1], d[2], t}
				if t {
					r.n, r.c = r.c, r.n
				}
				if strides, ok := l.fits(shapes, s, r); ok {
					return r, strides, true
				}
			}
		}
	}
	return rows{}, nil, false
}

// fits says whether rows have the layout.
func (l layout) fits(shapes []Shape, s Settings, r rows) (strides []int, ok bool) {
	shape := shapes[r.output]
	across, down := 2, 1 // the axes of columns and rows
	if r.turned {
		across, down = 1, 2
	}
	if l.anchors > 0 {
		if strides, ok = s.scales(r.n, l.anchors); !ok {
			return nil, false
		}
	}
	cuts := shape.cuts(across)
	sure := s.Classes > 0
	switch {
	case !s.classes(r.c - l.lead), !columnsFit(cuts, l.lead, sure || l.named), !s.rowsFit(shape.cuts(down), r.n, l.anchors, strides):
		return nil, false
	case r.turned && l.lead == 5 && !sure && !slices.Contains(cuts, 5) && (!l.named || r.n <= r.c):
		return nil, false
	case r.turned && l.anchors == 0 && r.n <= r.c: // N is the greater
		return nil, false
	case !sure && len(cuts) == 0 && boxesApart(shapes, r, down):
		return nil, false
	}
	return strides, true
}

// boxesApart says whether another output has the boxes of these rows: as many of them, with five numbers at most. Then these are class
// scores of a head that was cut.
func boxesApart(shapes []Shape, r rows, down int) bool {
	for k, other := range shapes {
		d := other.Dims
		if k != r.output && len(d) == 3 && d[0] == 1 && d[down] == int64(r.n) && d[3-down] <= 5 && d[3-down] > 1 {
			return true
		}
	}
	return false
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
