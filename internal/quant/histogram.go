package quant

import (
	"math"
	"slices"
)

// keptValues is how many values that are not zero a histogram keeps as they are, besides counting them.
const keptValues = 4096

// histogramBins bounds the number of bins; at least half of them lie within the observed range.
const histogramBins = 4096

// Histogram counts values in bins whose width is a power of two and whose edges are multiples of it. A value out of
// range doubles the width as often as needed, which merges pairs of bins exactly: so the counts do not depend on the
// order of the values, and two histograms merge without loss. Values that are exactly zero are counted apart, since
// every encoding represents them exactly. NaN and infinities are not counted.
type Histogram struct {
	Range  Range
	Zeros  int64
	exp    int // width = 2^exp
	first  int // index of counts[0]: its bin is [first·width, (first+1)·width)
	counts []int64
	values []float32 // all values that are not zero, sorted when they are read; nil once they are too many
	many   bool      // there were too many to keep
}

// Width is the width of a bin.
func (h *Histogram) Width() float64 { return math.Ldexp(1, h.exp) }

// Add counts values. lo and hi are their least and greatest finite values, which the caller knows already.
func (h *Histogram) Add(values []float32, lo, hi float32) {
	if lo > hi {
		return
	}
	h.Range.Add(float64(lo), float64(hi))
	h.keep(values)
	h.cover(min(h.Range.Min, 0), max(h.Range.Max, 0))
	if h.counts == nil { // nothing but zeros so far
		h.Zeros += int64(len(values))
		return
	}
	inverse := float32(math.Ldexp(1, -h.exp))
	if math.IsInf(float64(inverse), 0) || inverse == 0 {
		h.addSlow(values)
		return
	}
	first := h.first
	for _, v := range values {
		if v == 0 {
			h.Zeros++
			continue
		}
		x := v * inverse
		i := int(x)
		if x < 0 && float32(i) != x {
			i--
		}
		if i -= first; uint(i) < uint(len(h.counts)) {
			h.counts[i]++
		}
	}
}

// keep remembers the values while they are few.
func (h *Histogram) keep(values []float32) {
	for _, v := range values {
		if h.many {
			return
		}
		if v == 0 || v != v || math.IsInf(float64(v), 0) {
			continue
		}
		if len(h.values) == keptValues {
			h.values, h.many = nil, true
			return
		}
		h.values = append(h.values, v)
	}
}

// gateOne is what a value counts whose gate is 1 in a histogram of gated values.
const gateOne = 1 << 16

// AddGated counts values by how much of their error gets through a gate between −1 and 1 that they are multiplied by: each counts
// 2^16 · gate², rounded. lo and hi are their least and greatest finite values. A histogram holds gated values or others, not both.
func (h *Histogram) AddGated(values, gate []float32, lo, hi float32) {
	if lo > hi || len(values) != len(gate) {
		return
	}
	h.Range.Add(float64(lo), float64(hi))
	h.values, h.many = nil, true
	h.cover(min(h.Range.Min, 0), max(h.Range.Max, 0))
	for i, v := range values {
		n := int64(math.Round(min(float64(gate[i])*float64(gate[i]), 1) * gateOne)) // NaN: far below 0
		switch {
		case n <= 0:
		case v == 0:
			h.Zeros += n
		case len(h.counts) > 0:
			if at := h.bin(float64(v)) - h.first; at >= 0 && at < len(h.counts) {
				h.counts[at] += n
			}
		}
	}
}

func (h *Histogram) addSlow(values []float32) {
	for _, v := range values {
		if v == 0 {
			h.Zeros++
		} else if i := h.bin(float64(v)) - h.first; i >= 0 && i < len(h.counts) {
			h.counts[i]++
		}
	}
}

func (h *Histogram) bin(x float64) int { return int(math.Floor(math.Ldexp(x, -h.exp))) }

// cover makes room for [lo, hi] ∋ 0.
func (h *Histogram) cover(lo, hi float64) {
	if lo == 0 && hi == 0 {
		return
	}
	_, exp := math.Frexp((hi - lo) / (histogramBins - 2)) // width ≥ span/(bins−2)
	if h.counts != nil {
		exp = max(exp, h.exp)
	}
	old := *h
	h.exp = exp
	first, last := h.bin(lo), h.bin(hi)
	if old.counts != nil && old.exp == exp && first >= old.first && last < old.first+len(old.counts) {
		return
	}
	h.first, h.counts = first, make([]int64, last-first+1)
	h.take(&old)
}

// take adds the counts of a histogram whose bins are not wider.
func (h *Histogram) take(o *Histogram) {
	for i, n := range o.counts {
		if n != 0 {
			at := (o.first + i) >> (h.exp - o.exp)
			h.counts[at-h.first] += n
		}
	}
}

// Merge adds what another histogram has counted.
func (h *Histogram) Merge(o *Histogram) {
	if !o.Range.Seen {
		return
	}
	h.Range = h.Range.Union(o.Range)
	h.Zeros += o.Zeros
	h.keep(o.values)
	if o.many {
		h.values, h.many = nil, true
	}
	h.cover(min(h.Range.Min, 0), max(h.Range.Max, 0))
	if o.counts == nil {
		return
	}
	if o.exp > h.exp || h.counts == nil {
		old := *h
		h.exp = max(o.exp, h.exp)
		h.first = h.bin(min(h.Range.Min, 0))
		h.counts = make([]int64, h.bin(max(h.Range.Max, 0))-h.first+1)
		h.take(&old)
	}
	h.take(o)
}

// Count is the number of values, zeros included.
func (h *Histogram) Count() int64 {
	n := h.Zeros
	for _, c := range h.counts {
		n += c
	}
	return n
}

// each calls f in ascending order for every value that is not zero while they are known, else for every bin that has
// some: its centre, clipped to the observed range, and its count.
func (h *Histogram) each(f func(centre, count float64)) {
	if h.values != nil {
		slices.Sort(h.values)
		for _, v := range h.values {
			f(float64(v), 1)
		}
		return
	}
	w := h.Width()
	for i, n := range h.counts {
		if n != 0 {
			centre := (float64(h.first+i) + 0.5) * w
			f(min(max(centre, h.Range.Min), h.Range.Max), float64(n))
		}
	}
}
