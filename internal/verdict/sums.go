package verdict

import (
	"math"

	"quantcheck/internal/metric"
	"quantcheck/internal/resume"
)

// Sums compares one output over any number of samples, channel by channel, in little memory: nothing is kept by sample, and the Concats that
// make the output are not looked for. The zero value has no channels; the first Add says how many there are.
type Sums struct {
	dims  []int64
	cells []cell
}

// layout is how the output's elements lie.
func (s *Sums) layout() *layout {
	l := &layout{sources: []string{""}, channels: 1, inner: 1}
	if axis := channelAxis(s.dims); axis >= 0 {
		l.channels = int(s.dims[axis])
		for _, d := range s.dims[axis+1:] {
			l.inner *= int(d)
		}
	}
	return l
}

// Add takes one sample: x of the float model, y of the variant, of equal length and of the shape dims. A sample of another shape than the
// first is left out.
func (s *Sums) Add(x, y []float32, dims []int64) {
	if s.cells == nil {
		s.dims = append([]int64{}, dims...)
	}
	l := s.layout()
	if len(x) != len(y) || int64(len(x)) != elements(s.dims) || elements(dims) != elements(s.dims) {
		return
	}
	got := l.measure(x, y, nil)
	if s.cells == nil {
		s.cells = got
		return
	}
	for k := range got {
		s.cells[k].add(&got[k])
	}
}

// Worst is the part of the output that is furthest from float: channels whose ranges are alike. SQNR (dB) and cosine are those of all
// samples together; channels is nil, and the values undefined, if the output has one part.
func (s *Sums) Worst() (sqnr, cosine metric.Value, channels []int) {
	ranges := make([]float64, len(s.cells))
	for c := range s.cells {
		if w := &s.cells[c]; w.n > w.notFinite {
			ranges[c] = max(math.Abs(w.minX), math.Abs(w.maxX))
		}
	}
	list := groups(ranges, unlike)
	if len(list) < 2 {
		return metric.Value{}, metric.Value{}, nil
	}
	for _, g := range list {
		sum := empty()
		for _, c := range g {
			sum.add(&s.cells[c])
		}
		if v := sum.values(0); v != nil && (!sqnr.OK || v[metric.SQNR].V < sqnr.V) {
			sqnr, cosine, channels = v[metric.SQNR], v[metric.CosSim], g
		}
	}
	return sqnr, cosine, channels
}

// Code writes the sums, or reads them back.
func (s *Sums) Code(x *resume.Coder) {
	resume.Slice(x, &s.dims, x.Int64)
	resume.Slice(x, &s.cells, func(c *cell) { c.code(x) })
	if x.Reading() && x.Err() == nil {
		n := elements(s.dims)
		x.Need(s.cells == nil || n > 0 && len(s.cells) == s.layout().cells(), "sums of other channels")
	}
}
