package verdict

import (
	"quantcheck/internal/resume"
	"quantcheck/internal/tensor"
)

func floats(o *Output) tensor.Tensor { return tensor.Floats(o.X, o.Shape...) }

// squeeze leaves the axes out that have one entry.
func squeeze(dims []int64) []int64 {
	var list []int64
	for _, d := range dims {
		if d != 1 {
			list = append(list, d)
		}
	}
	return list
}

// smallest is the side from which on two axes can be a map.
const smallest = 8

// slimmest is how many times its width the height of a map without an axis of channels may be, or the other way round: the scores of 475
// anchors in 10 classes are no map.
const slimmest = 8

// settleMaps recognises outputs of [1, C, H, W], [1, H, W, C] and [1, H, W].
func settleMaps(_ *Plan, outs []Output) []reader {
	var list []reader
	for _, o := range outs {
		dims := o.Shape
		if len(dims) < 3 || dims[0] != 1 {
			continue
		}
		dims = dims[1:]
		channels, last := int64(1), false
		switch {
		case len(dims) == 3 && dims[0] <= 256 && dims[1] >= smallest && dims[2] >= smallest:
			channels = dims[0]
		case len(dims) == 3 && dims[2] <= 256 && dims[0] >= smallest && dims[1] >= smallest:
			channels, last = dims[2], true
		case len(dims) == 2 && dims[0] >= smallest && dims[1] >= smallest && max(dims[0], dims[1]) <= slimmest*min(dims[0], dims[1]):
		default:
			continue
		}
		switch {
		case channels >= 2 && (o.Made == "Softmax" || named(o.Name, "seg", "mask")):
			list = append(list, &classMap{one{o.Layer}, int(channels), last})
		case channels == 1 && named(o.Name, "depth", "disp"):
			list = append(list, &depth{one{o.Layer}})
		case channels == 1 && o.Made == "Sigmoid":
			list = append(list, &mask{one{o.Layer}})
		}
	}
	return list
}

// classMap is the class of each pixel.
type classMap struct {
	one
	Channels int
	Last     bool // channels are the last axis
}

func (m *classMap) kind() string { return "classes" }

func (m *classMap) code(x *resume.Coder) {
	m.one.code(x)
	x.Int(&m.Channels)
	x.Bool(&m.Last)
	x.Need(m.Channels > 1 && m.Channels <= 256, "a map of no classes")
}

func (m *classMap) classes(x []float32) []uint8 {
	pixels := len(x) / m.Channels
	list := make([]uint8, pixels)
	step, next := pixels, 1
	if m.Last {
		step, next = 1, m.Channels
	}
	for p := range list {
		best := x[p*next]
		for c := 1; c < m.Channels; c++ {
			if v := x[p*next+c*step]; v > best {
				best, list[p] = v, uint8(c)
			}
		}
	}
	return list
}

func (m *classMap) compare(float, got []Output) (counts, error) {
	x, y, err := m.pair(float, got)
	if err != nil {
		return counts{}, err
	}
	a, b := m.classes(x.X), m.classes(y.X)
	both, either, seen := make([]int, 256), make([]int, 256), make([]int, 256)
	for i := range a {
		seen[a[i]]++
		if either[a[i]]++; a[i] == b[i] {
			both[a[i]]++
		} else {
			either[b[i]]++
		}
	}
	var c counts
	for k := range m.Channels {
		if 1000*seen[k] >= len(a) { // a class of a few pixels says nothing
			c.of++
			c.kept += float64(both[k]) / float64(either[k])
		}
	}
	return c, nil
}

// mask is where something is.
type mask struct{ one }

func (m *mask) kind() string { return "mask" }

func (m *mask) compare(float, got []Output) (counts, error) {
	x, y, err := m.pair(float, got)
	if err != nil {
		return counts{}, err
	}
	both, either := 0, 0
	for i, v := range x.X {
		a, b := v > 0.5, y.X[i] > 0.5
		if a && b {
			both++
		}
		if a || b {
			either++
		}
	}
	if either == 0 {
		return counts{}, nil // nothing is there in either
	}
	return counts{of: 1, kept: float64(both) / float64(either)}, nil
}

// depth is how far away each pixel is.
type depth struct{ one }

func (d *depth) kind() string { return "depth" }

func (d *depth) compare(float, got []Output) (counts, error) {
	x, y, err := d.pair(float, got)
	if err != nil {
		return counts{}, err
	}
	within, of := 0, 0
	for i, v := range x.X {
		a, b := float64(v), float64(y.X[i])
		if !(a > 0) {
			continue
		}
		if of++; b > 0 && max(a/b, b/a) < 1.25 {
			within++
		}
	}
	if of == 0 {
		return counts{}, nil
	}
	return counts{of: 1, kept: float64(within) / float64(of)}, nil
}
