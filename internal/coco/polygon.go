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
// rounded on a raster five times finer, its outline is walked there, and where the outline steps across the middle of a
// column of pixels a run begins or ends. A number without partner at the end is not used.
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

// outline collects where runs begin and end, as pixels counted column by column.
type outline struct {
	h, w    int
	before  point
	begun   bool
	borders []uint32
}

// edge walks from a to b in steps of one along the longer direction. Edges are always computed from their lesser end, so
// that two polygons that share one agree.
func (o *outline) edge(a, b point) {
	dx, dy := abs(b.x-a.x), abs(a.y-b.y)
	flip := dx >= dy && a.x > b.x || dx < dy && a.y > b.y
	if flip {
		a, b = b, a
	}
	n, slope := dx, 0.
	switch {
	case dx >= dy && dx > 0:
		slope = float64(b.y-a.y) / float64(dx)
	case dx < dy:
		n, slope = dy, float64(b.x-a.x)/float64(dy)
	}
	for d := range n + 1 {
		t := d
		if flip {
			t = n - d
		}
		along := float64(slope * float64(t))
		if dx >= dy {
			o.step(point{t + a.x, int(float64(a.y) + along + .5)})
		} else {
			o.step(point{int(float64(a.x) + along + .5), t + a.y})
		}
	}
}

func (o *outline) step(p point) {
	q := o.before
	o.before = p
	if !o.begun {
		o.begun = true
		return
	}
	if p.x == q.x {
		return
	}
	column := p.x - 1
	if p.x < q.x {
		column = p.x
	}
	x := (float64(column)+.5)/upsampling - .5
	if math.Floor(x) != x || x < 0 || x > float64(o.w-1) {
		return
	}
	y := (float64(min(p.y, q.y))+.5)/upsampling - .5
	y = math.Ceil(min(max(y, 0), float64(o.h)))
	o.borders = append(o.borders, uint32(int(x)*o.h+int(y)))
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
