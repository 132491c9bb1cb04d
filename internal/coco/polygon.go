package coco

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	upsampling     = 5       // a polygon's outline is drawn on a raster that much finer
	maxCoordinate  = 1 << 20 // of a polygon, in pixels
	maxOutline     = 1 << 26 // points of an outline on the finer raster
	fewestInFirst  = 6       // numbers of the first polygon; the COCO API takes four for a box
	fewestInOthers = 2
)

// polygonsMask is the union of polygons as the COCO API draws them.
func polygonsMask(polygons [][]float64, h, w int) (Mask, error) {
	if len(polygons) == 0 {
		return Mask{}, errors.New("a segmentation without polygons")
	}
	masks := make([]Mask, len(polygons))
	for i, p := range polygons {
		if i == 0 && len(p) < fewestInFirst || len(p) < fewestInOthers {
			return Mask{}, fmt.Errorf("polygon %d has %d numbers", i, len(p))
		}
		m, err := FromPolygon(p, h, w)
		if err != nil {
			return Mask{}, fmt.Errorf("polygon %d: %w", i, err)
		}
		masks[i] = m
	}
	return Merge(masks...)
}

// FromPolygon draws one polygon x, y, x, y, … (pixels) as rleFrPoly of maskApi.c does, to the pixel: its corners are
// rounded on a raster five times finer, its outline goes from point to point there, and where it steps across the middle
// of a column of pixels a run begins or ends. A number without partner at the end is not used.
func FromPolygon(xy []float64, h, w int) (Mask, error) {
	if err := checkSize(h, w); err != nil {
		return Mask{}, err
	}
	corners, err := upsample(xy)
	if err != nil {
		return Mask{}, err
	}
	o := outline{h: h, w: w}
	for j := range len(corners) - 1 {
		o.edge(corners[j], corners[j+1])
	}
	o.borders = append(o.borders, uint32(h*w))
	return Mask{H: h, W: w, Counts: runsBetween(o.borders)}, nil
}

type point struct{ x, y int }

// upsample rounds the corners as C does, towards zero after adding ½, and repeats the first at the end.
func upsample(xy []float64) ([]point, error) {
	corners := make([]point, len(xy)/2, len(xy)/2+1)
	for j := range corners {
		x, y := xy[2*j], xy[2*j+1]
		if !(math.Abs(x) <= maxCoordinate && math.Abs(y) <= maxCoordinate) {
			return nil, fmt.Errorf("corner %d is at %g, %g", j, x, y)
		}
		corners[j] = point{int(float64(upsampling*x) + .5), int(float64(upsampling*y) + .5)}
	}
	if len(corners) == 0 {
		return nil, errors.New("no corner")
	}
	corners = append(corners, corners[0])
	length := 0
	for j := range len(corners) - 1 {
		a, b := corners[j], corners[j+1]
		length += max(abs(a.x-b.x), abs(a.y-b.y)) + 1
	}
	if length > maxOutline {
		return nil, fmt.Errorf("an outline of %d points, which may have up to %d", length, maxOutline)
	}
	return corners, nil
}

func abs(x int) int { return max(x, -x) }

// outline collects where runs begin and end, as pixels counted column by column. maskApi.c visits every point of an
// outline; here only steps from a point in the middle of a column to the one right of it are computed, which are all that
// leave a border.
type outline struct {
	h, w    int
	borders []uint32
}

// edge finds the borders between two corners. An edge has a point for every step along its longer direction, computed
// from the end where that begins, so that polygons that share an edge agree.
func (o *outline) edge(a, b point) {
	dx, dy := abs(b.x-a.x), abs(b.y-a.y)
	if dx >= dy && a.x > b.x || dx < dy && a.y > b.y {
		a, b = b, a
	}
	switch {
	case dx >= dy && dx > 0:
		slope := float64(b.y-a.y) / float64(dx)
		y := func(t int) int { return int(float64(a.y) + float64(slope*float64(t)) + .5) }
		for x := middle(a.x); x < b.x && x < upsampling*o.w; x += upsampling {
			t := x - a.x
			o.border(x, min(y(t), y(t+1)))
		}
	case dx > 0:
		slope := float64(b.x-a.x) / float64(dy)
		x := func(t int) int { return int(float64(a.x) + float64(slope*float64(t)) + .5) }
		left, right := min(x(0), x(dy)), max(x(0), x(dy))
		for c := middle(left); c < right && c < upsampling*o.w; c += upsampling {
			// The last point, from above, before the step between c and c+1. Where x falls it is still right of it.
			before := func(t int) bool { return (x(t) <= c) == (slope > 0) }
			t := min(max(int((float64(c-a.x)+.5)/slope), 0), dy-1)
			for t > 0 && !before(t) {
				t--
			}
			for t < dy-1 && before(t+1) {
				t++
			}
			o.border(c, a.y+t)
		}
	}
}

// middle is the first point from x on, and not left of the raster, that is the middle of a column of pixels.
func middle(x int) int {
	const half = upsampling / 2
	if x <= half {
		return half
	}
	return (x-half+upsampling-1)/upsampling*upsampling + half
}

// border adds a border in the column around x, at the finer raster's height y.
func (o *outline) border(x, y int) {
	row := math.Ceil(min(max((float64(y)+.5)/upsampling-.5, 0), float64(o.h)))
	o.borders = append(o.borders, uint32(x/upsampling*o.h+int(row)))
}

// runsBetween turns borders into runs; two borders at one place annihilate each other.
func runsBetween(borders []uint32) []uint32 {
	slices.Sort(borders)
	before := uint32(0)
	for i, b := range borders {
		borders[i] = b - before
		before = b
	}
	counts := make([]uint32, 1, len(borders))
	counts[0] = borders[0]
	for j := 1; j < len(borders); {
		if borders[j] > 0 {
			counts = append(counts, borders[j])
			j++
			continue
		}
		if j++; j < len(borders) {
			counts[len(counts)-1] += borders[j]
			j++
		}
	}
	return counts
}
