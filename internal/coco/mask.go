package coco

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// MaxPixels bounds the raster of a mask, so that areas fit 32 bits and a broken size does not claim memory.
const MaxPixels = 1 << 28

// Mask is a set of pixels of a raster, as lengths of runs: column by column from the top left, background and object in
// turns, background first (its run may be 0). The counts of a valid mask sum to H·W. Masks are values that nothing
// here changes; they may share counts.
type Mask struct {
	H, W   int
	Counts []uint32
}

func checkSize(h, w int) error {
	if h < 0 || w < 0 || h > 0 && w > MaxPixels/h {
		return fmt.Errorf("a mask of %d x %d pixels, which may have up to %d", h, w, MaxPixels)
	}
	return nil
}

func (m Mask) check() error {
	if err := checkSize(m.H, m.W); err != nil {
		return err
	}
	sum := uint64(0)
	for _, c := range m.Counts {
		sum += uint64(c)
	}
	if sum != uint64(m.H*m.W) {
		return fmt.Errorf("a mask of %d x %d pixels whose runs sum to %d", m.H, m.W, sum)
	}
	return nil
}

// ParseMask reads the compressed string of the COCO API: differences of runs from those two before, in groups of five
// bits, least first, the sixth says that more follow, plus 48. It allocates at most four bytes per byte of the string.
func ParseMask(s string, h, w int) (Mask, error) {
	m := Mask{H: h, W: w}
	if err := checkSize(h, w); err != nil {
		return m, err
	}
	runs := 0
	for i := range len(s) {
		if s[i] < 48 || s[i] > 48+63 {
			return m, fmt.Errorf("byte %d of the mask's string is %#x", i, s[i])
		}
		if (s[i]-48)&0x20 == 0 {
			runs++
		}
	}
	m.Counts = make([]uint32, 0, runs)
	for p := 0; p < len(s); {
		var x int64
		for k := 0; ; k += 5 {
			if p == len(s) || k > 30 {
				return m, errors.New("the mask's string ends, or goes on, within a run")
			}
			c := s[p] - 48
			p++
			x |= int64(c&0x1f) << k
			if c&0x20 == 0 {
				if c&0x10 != 0 {
					x |= -1 << (k + 5)
				}
				break
			}
		}
		if n := len(m.Counts); n > 2 {
			x += int64(m.Counts[n-2])
		}
		if x < 0 || x > MaxPixels {
			return m, fmt.Errorf("run %d of the mask's string has %d pixels", len(m.Counts), x)
		}
		m.Counts = append(m.Counts, uint32(x))
	}
	return m, m.check()
}

// String writes what ParseMask reads.
func (m Mask) String() string {
	s := make([]byte, 0, 2*len(m.Counts))
	for i, c := range m.Counts {
		x := int64(c)
		if i > 2 {
			x -= int64(m.Counts[i-2])
		}
		for {
			b := byte(x & 0x1f)
			x >>= 5
			if b&0x10 != 0 && x == -1 || b&0x10 == 0 && x == 0 {
				s = append(s, b+48)
				break
			}
			s = append(s, b|0x20+48)
		}
	}
	return string(s)
}

// Area is the number of the object's pixels.
func (m Mask) Area() int {
	area := 0
	for i := 1; i < len(m.Counts); i += 2 {
		area += int(m.Counts[i])
	}
	return area
}

// Box gives the least box around the object, zero for an empty one.
func (m Mask) Box() [4]float64 {
	x0, y0, x1, y1 := m.W, m.H, -1, -1
	at := 0
	for i, c := range m.Counts {
		first, last := at, at+int(c)-1
		at = last + 1
		if i%2 == 0 || c == 0 {
			continue
		}
		x0, x1 = min(x0, first/m.H), max(x1, last/m.H)
		if first/m.H < last/m.H { // across columns, so at the bottom of one and the top of the next
			y0, y1 = 0, m.H-1
		} else {
			y0, y1 = min(y0, first%m.H), max(y1, last%m.H)
		}
	}
	if x1 < 0 {
		return [4]float64{}
	}
	return [4]float64{float64(x0), float64(y0), float64(x1 - x0 + 1), float64(y1 - y0 + 1)}
}

// runs walks over the runs of a mask.
type runs struct {
	counts []uint32
	left   uint32
	object bool
}

func newRuns(m Mask) runs {
	if len(m.Counts) == 0 {
		return runs{}
	}
	return runs{counts: m.Counts[1:], left: m.Counts[0]}
}

// take goes n pixels on, n at most what is left of the run; a run that ends gives way to the next one, even if empty.
func (r *runs) take(n uint32) {
	r.left -= n
	if r.left == 0 && len(r.counts) > 0 {
		r.left, r.counts, r.object = r.counts[0], r.counts[1:], !r.object
	}
}

// plain gives the same pixels without runs of none, but for the first one.
func (m Mask) plain() Mask {
	if len(m.Counts) == 0 || !slices.Contains(m.Counts[1:], 0) {
		return m
	}
	counts := slices.Clone(m.Counts[:1])
	joined := false // whether the next run is of the kind of the last one
	for _, c := range m.Counts[1:] {
		switch {
		case c == 0:
			joined = !joined
		case joined:
			counts[len(counts)-1] += c
			joined = false
		default:
			counts = append(counts, c)
		}
	}
	return Mask{m.H, m.W, counts}
}

// Merge is the union of masks of one size. Of no masks it is the empty mask of no size.
func Merge(masks ...Mask) (Mask, error) {
	if len(masks) == 0 {
		return Mask{}, nil
	}
	m := masks[0]
	for _, other := range masks[1:] {
		if m.H != other.H || m.W != other.W {
			return Mask{}, fmt.Errorf("masks of %d x %d and %d x %d pixels are not merged", m.H, m.W, other.H, other.W)
		}
		a, b := newRuns(m.plain()), newRuns(other.plain())
		counts := make([]uint32, 0, len(m.Counts)+len(other.Counts))
		run, object := uint32(0), false
		for left := true; left; {
			n := min(a.left, b.left)
			run += n
			a.take(n)
			b.take(n)
			left = a.left > 0 || b.left > 0
			if v := a.object || b.object; v != object || !left {
				counts = append(counts, run)
				run, object = 0, v
			}
		}
		m.Counts = counts
	}
	return m, nil
}

// IoU is the area of the intersection over that of the union, for crowds over that of got alone; −1 for masks of
// different sizes, as in the COCO API. As there, both masks end where both have a run of no pixels at one place behind
// their first; masks that are drawn or encoded here have none.
func IoU(ref, got Mask, crowd bool) float64 {
	if BoxIoU(ref.Box(), got.Box(), crowd) <= 0 {
		return 0
	}
	return overlap(ref, got, crowd)
}

// overlap is IoU for masks whose boxes overlap.
func overlap(ref, got Mask, crowd bool) float64 {
	if ref.H != got.H || ref.W != got.W {
		return -1
	}
	a, b := newRuns(got), newRuns(ref)
	both, either := uint32(0), uint32(0)
	for {
		n := min(a.left, b.left)
		if a.object || b.object {
			either += n
			if a.object && b.object {
				both += n
			}
		}
		a.take(n)
		b.take(n)
		if a.left == 0 && b.left == 0 {
			break
		}
	}
	switch {
	case both == 0:
		return 0
	case crowd:
		either = uint32(got.Area())
	}
	return float64(both) / float64(either)
}

// BoxIoU is the area of the intersection over that of the union of two boxes, for crowds over that of got alone.
func BoxIoU(ref, got [4]float64, crowd bool) float64 {
	w := math.Min(got[2]+got[0], ref[2]+ref[0]) - math.Max(got[0], ref[0])
	if w <= 0 {
		return 0
	}
	h := math.Min(got[3]+got[1], ref[3]+ref[1]) - math.Max(got[1], ref[1])
	if h <= 0 {
		return 0
	}
	i := float64(w * h) // conversions keep products from being fused with sums
	u := float64(got[2] * got[3])
	if !crowd {
		u = u + float64(ref[2]*ref[3]) - i
	}
	return i / u
}

// FromBitmap encodes a row-major bitmap of h·w pixels.
func FromBitmap(pixels []bool, h, w int) (Mask, error) {
	if err := checkSize(h, w); err != nil {
		return Mask{}, err
	}
	if len(pixels) != h*w {
		return Mask{}, fmt.Errorf("%d pixels of a mask of %d x %d", len(pixels), h, w)
	}
	m := Mask{H: h, W: w}
	run, object := uint32(0), false
	for x := range w {
		for y := range h {
			if pixels[y*w+x] != object {
				m.Counts = append(m.Counts, run)
				run, object = 0, !object
			}
			run++
		}
	}
	m.Counts = append(m.Counts, run)
	return m, nil
}

// Bitmap gives the mask's pixels, row-major. The error is for runs that do not fill the raster.
func (m Mask) Bitmap() ([]bool, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	pixels := make([]bool, m.H*m.W)
	at := 0
	for i, c := range m.Counts {
		if i%2 == 1 {
			for k := at; k < at+int(c); k++ {
				pixels[k%m.H*m.W+k/m.H] = true
			}
		}
		at += int(c)
	}
	return pixels, nil
}
