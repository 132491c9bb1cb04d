package quant

import (
	"math"
)

// gamma weighs the saturation error against the rounding error (AIMET's tf_enhanced).
const gamma = 3

// Enhanced searches the encoding of least cost = rounding MSE + 3 · saturation MSE over a grid, as AIMET's tf_enhanced
// does: steps of 1/16 to 17/16 of the whole range's step with 21 offsets each, clipped to the observed range, and the
// whole range itself; symmetric: 101 scales from 1/100 to 101/100 of the greatest. Where the histogram still knows its
// values, the cost is that of the values, and the best candidate's neighbourhood is searched more finely.
func Enhanced(h *Histogram, bits int, symmetric bool) Encoding {
	return search(h, bits, symmetric, gamma)
}

func search(h *Histogram, bits int, symmetric bool, saturationWeight float64) Encoding {
	best := MinMax(h.Range, bits, symmetric)
	if h.counts == nil {
		return best
	}
	c := newCost(h)
	least := c.of(best, saturationWeight, math.Inf(1))
	for _, e := range candidates(h.Range, bits, symmetric) {
		if cost := c.of(e, saturationWeight, least); cost < least {
			best, least = e, cost
		}
	}
	if h.values != nil {
		for _, step := range []float64{1. / 400, 1. / 4000} {
			centre := best
			for i := -24; i <= 24; i++ {
				f := 1 + float64(i)*step
				e := symmetricEncoding(centre.Scale*f, bits)
				if !symmetric {
					e = MinMax(Range{Min: centre.Min * f, Max: centre.Max * f, Seen: true}, bits, false)
				}
				if cost := c.of(e, saturationWeight, least); cost < least {
					best, least = e, cost
				}
			}
		}
	}
	return best
}

func candidates(r Range, bits int, symmetric bool) []Encoding {
	lo, hi := r.widened()
	n := Levels(bits)
	var list []Encoding
	if symmetric {
		for i := 1; i <= 101; i++ {
			list = append(list, symmetricEncoding(MinMax(r, bits, true).Scale*float64(i)/100, bits))
		}
		return list
	}
	for i := 1; i <= 17; i++ {
		delta := (hi - lo) / float64(n) * float64(i) / 16
		for j := range 21 {
			offset := math.Round(-float64(n) * float64(j) / 20)
			from := max(delta*offset, lo)
			to := min(delta*(offset+float64(n)), hi)
			if to-from < MinRange {
				continue
			}
			list = append(list, MinMax(Range{Min: from, Max: to, Seen: true}, bits, false))
		}
	}
	return list
}

// MSE searches the range of least mean squared error over 128 × 128 pairs of shrunk ends.
func MSE(h *Histogram, bits int, symmetric bool) Encoding {
	if symmetric {
		return search(h, bits, true, 1)
	}
	best := MinMax(h.Range, bits, false)
	if h.counts == nil {
		return best
	}
	const steps = 128
	c := newCost(h)
	lo, hi := h.Range.widened()
	ends := func(end float64) int {
		if end == 0 {
			return 1
		}
		return steps
	}
	// The rounding error of a uniform density finds the neighbourhood in constant time a pair …
	near, least := Range{Min: lo, Max: hi, Seen: true}, math.Inf(1)
	for i := range ends(lo) {
		for j := range ends(hi) {
			r := Range{Min: lo * float64(steps-i) / steps, Max: hi * float64(steps-j) / steps, Seen: true}
			if cost := c.uniform(MinMax(r, bits, false)); cost < least {
				near, least = r, cost
			}
		}
	}
	// … and the exact error of the bins decides around it.
	least = c.of(best, 1, math.Inf(1))
	for i := -8; i <= 8; i++ {
		for j := -8; j <= 8; j++ {
			r := Range{
				Min: max(near.Min+lo*float64(i)/(4*steps), lo), Max: min(near.Max+hi*float64(j)/(4*steps), hi), Seen: true,
			}
			e := MinMax(r, bits, false)
			if cost := c.of(e, 1, least); cost < least {
				best, least = e, cost
			}
		}
	}
	return best
}

// Percentile cuts (100 − p) percent of the values off each end; both ends still hold zero. p = 100 is MinMax.
func Percentile(h *Histogram, bits int, symmetric bool, p float64) Encoding {
	if h.counts == nil || p >= 100 {
		return MinMax(h.Range, bits, symmetric)
	}
	total := float64(h.Count())
	tail := total * (100 - p) / 100
	w := h.Width()
	below, r := 0.0, h.Range
	zeroBin := -h.first // values of exactly zero belong to the bin that begins at zero
	cumulative := func(i int) float64 {
		n := float64(h.counts[i])
		if i == zeroBin {
			n += float64(h.Zeros)
		}
		return n
	}
	for i := range h.counts {
		if below+cumulative(i) > tail {
			r.Min = max(r.Min, float64(h.first+i)*w)
			break
		}
		below += cumulative(i)
	}
	above := 0.0
	for i := len(h.counts) - 1; i >= 0; i-- {
		if above+cumulative(i) > tail {
			r.Max = min(r.Max, float64(h.first+i+1)*w)
			break
		}
		above += cumulative(i)
	}
	return MinMax(r, bits, symmetric)
}

// cost tells what an encoding does to the values of a histogram.
type cost struct {
	width         float64
	centre, count []float64
	// Running sums over the bins in order, entry i for the bins before i: of counts, of values, of squares.
	n, sum, squares []float64
	total           float64
}

func newCost(h *Histogram) *cost {
	c := &cost{width: h.Width(), n: []float64{0}, sum: []float64{0}, squares: []float64{0}, total: float64(h.Count())}
	if h.values != nil {
		c.width = 0
	}
	h.each(func(x, n float64) {
		c.centre, c.count = append(c.centre, x), append(c.count, n)
		last := len(c.n) - 1
		c.n = append(c.n, c.n[last]+n)
		c.sum = append(c.sum, c.sum[last]+n*x)
		c.squares = append(c.squares, c.squares[last]+n*x*x)
	})
	return c
}

// beats is after how many bins a search looks whether a candidate can still be the best.
const beats = 32

// of is the mean squared rounding error plus weight times the mean squared saturation error, or, if that is not under the limit, some value
// that is not either. Values stand at their bins' centres where a step is wide against a bin; else the rounding error is that of a uniform density, step²/12.
// Values that are known exactly are bins of no width.
func (c *cost) of(e Encoding, weight, limit float64) float64 {
	rounding, saturation := 0.0, 0.0
	fine := e.Scale <= 4*c.width
	inverse, offset, levels := 1/e.Scale, float64(e.Offset), float64(Levels(e.Bits))
	for i, x := range c.centre {
		if i%beats == 0 && (rounding+weight*saturation)/c.total >= limit {
			break // all that is to come adds to it
		}
		switch {
		case x < e.Min:
			saturation += c.count[i] * (e.Min - x) * (e.Min - x)
		case x > e.Max:
			saturation += c.count[i] * (x - e.Max) * (x - e.Max)
		case fine:
			rounding += c.count[i] * e.Scale * e.Scale / 12
		default:
			q := min(max(math.RoundToEven(x*inverse), offset), levels+offset)
			d := x - q*e.Scale
			rounding += c.count[i] * d * d
		}
	}
	return (rounding + weight*saturation) / c.total
}

// uniform is the mean squared error with the rounding error of a uniform density, from the running sums alone.
func (c *cost) uniform(e Encoding) float64 {
	from, to := c.search(e.Min), c.search(e.Max)
	last := len(c.centre)
	below := c.squares[from] - 2*e.Min*c.sum[from] + e.Min*e.Min*c.n[from]
	n, sum, squares := c.n[last]-c.n[to], c.sum[last]-c.sum[to], c.squares[last]-c.squares[to]
	above := squares - 2*e.Max*sum + e.Max*e.Max*n
	return ((c.n[to]-c.n[from])*e.Scale*e.Scale/12 + below + above) / c.total
}

// search is the number of bins whose centre is less than x.
func (c *cost) search(x float64) int {
	lo, hi := 0, len(c.centre)
	for lo < hi {
		if mid := (lo + hi) / 2; c.centre[mid] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}
