package quant

import (
	"math"

	"quantcheck/internal/resume"
)

// Code writes or reads a range.
func (r *Range) Code(c *resume.Coder) {
	c.Float64(&r.Min)
	c.Float64(&r.Max)
	c.Bool(&r.Seen)
	c.Need(r.Min <= r.Max && !math.IsInf(r.Min, 0) && !math.IsInf(r.Max, 0), "a range without order")
}

// Code writes or reads all that a histogram has counted.
func (h *Histogram) Code(c *resume.Coder) {
	h.Range.Code(c)
	c.Int64(&h.Zeros)
	c.Int(&h.exp)
	c.Int(&h.first)
	resume.Slice(c, &h.counts, c.Int64)
	resume.Slice(c, &h.values, c.Float32)
	c.Bool(&h.many)
	if !c.Reading() || c.Err() != nil {
		return
	}
	c.Need(h.exp > -1200 && h.exp < 1200 && len(h.counts) <= histogramBins+1 && len(h.values) <= keptValues && h.Zeros >= 0, "a histogram out of bounds")
	if h.counts != nil && c.Err() == nil {
		lo, hi := h.bin(min(h.Range.Min, 0)), h.bin(max(h.Range.Max, 0))
		c.Need(h.first == lo && len(h.counts) == hi-lo+1, "a histogram that does not cover its range")
	}
	for _, n := range h.counts {
		c.Need(n >= 0, "a histogram with a negative count")
	}
}
