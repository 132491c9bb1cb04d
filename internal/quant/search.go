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
		from := lo * float64(steps-i) / steps
		half := max(hi-from, MinRange) / float64(Levels(bits)) / 2 // an encoding is moved by half a step at most
		if c.below(from-half) > c.certainly(least) {
			break // what is cut off costs more already, and grows
		}
		for j := range ends(hi) {
			r := Range{Min: from, Max: hi * float64(steps-j) / steps, Seen: true}
			if c.above(max(r.Max, from+MinRange)+half) > c.certainly(least) {
				break
			}
			if cost := c.uniform(MinMax(r, bits, false)); cost < least {
				near, least = r, cost
			}
		}
	}
	// … and the exact error of the bins decides around it.
	least = c.of(best, 1, math.Inf(1))
	bound := math.Nextafter(c.of(MinMax(near, bits, false), 1, math.Inf(1)), math.Inf(1)) // the best one costs less
	for i := -8; i <= 8; i++ {
		for j := -8; j <= 8; j++ {
			r := Range{
				Min: max(near.Min+lo*float64(i)/(4*steps), lo), Max: min(near.Max+hi*float64(j)/(4*steps), hi), Seen: true,
			}
			e := MinMax(r, bits, false)
			if cost := c.of(e, 1, min(least, bound)); cost < min(least, bound) {
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
	// The centres in parts of equal width, 1/parts, from lowest on: before[k] of them lie in parts before part k.
	lowest, parts float64
	before        []int
}

func newCost(h *Histogram) *cost {
	c := &cost{width: h.Width(), total: float64(h.Count())}
	most := len(h.counts)
	if h.values != nil {
		c.width, most = 0, len(h.values)
	}
	room := make([]float64, 5*most+3)
	take := func(n int) []float64 {
		list := room[:0:n]
		room = room[n:]
		return list
	}
	c.centre, c.count = take(most), take(most)
	c.n, c.sum, c.squares = append(take(most+1), 0), append(take(most+1), 0), append(take(most+1), 0)
	h.each(func(x, n float64) {
		c.centre, c.count = append(c.centre, x), append(c.count, n)
		last := len(c.n) - 1
		c.n = append(c.n, c.n[last]+n)
		c.sum = append(c.sum, c.sum[last]+n*x)
		c.squares = append(c.squares, c.squares[last]+n*x*x)
	})
	c.divide()
	return c
}

// beats is after how many bins a search looks whether a candidate can still be the best.
const beats = 32

// even rounds a number of at most 2^51 half to even when it is added and taken away again: at this size a float64 holds integers only.
const even = 3 << 51

// of is the mean squared rounding error plus weight times the mean squared saturation error, or, if that is not under the limit, some value
// that is not either. Values stand at their bins' centres where a step is wide against a bin; else the rounding error is that of a uniform density, step²/12.
// Values that are known exactly are bins of no width. The two errors are summed apart, each in the order of the values.
func (c *cost) of(e Encoding, weight, limit float64) float64 {
	from, to := c.search(e.Min), c.behind(e.Max)
	rounding, saturation := 0.0, 0.0
	for i, x := range c.centre[:from] {
		saturation += c.count[i] * (e.Min - x) * (e.Min - x)
	}
	count := c.count[to:]
	for i, x := range c.centre[to:] {
		saturation += count[i] * (x - e.Max) * (x - e.Max)
	}
	fine, inverse := e.Scale <= 4*c.width, 1/e.Scale
	if !fine && c.exceeds(from, to, e.Scale, (limit*c.total-weight*saturation)*(1+1e-9)) {
		return limit
	}
	for from < to && (rounding+weight*saturation)/c.total < limit { // all that is to come adds to it
		next := min(from+beats, to)
		centre, count := c.centre[from:next], c.count[from:next]
		if from = next; fine {
			for _, n := range count {
				rounding += n * e.Scale * e.Scale / 12
			}
			continue
		}
		count = count[:len(centre)]
		for i, x := range centre {
			q := float64(x*inverse) + even - even // within the levels, as x is within the range
			d := x - q*e.Scale
			rounding += count[i] * d * d
		}
	}
	return (rounding + weight*saturation) / c.total
}

// exceeds says whether the rounding error of the bins from one to before another is over a bound. It sums four at a time, which is faster than in
// order, and gives the last digits another value.
func (c *cost) exceeds(from, to int, scale, bound float64) bool {
	if math.IsInf(bound, 1) {
		return false
	}
	inverse := 1 / scale
	var a, b, d, f float64
	for from < to && a+b+d+f <= bound {
		next := min(from+beats, to)
		x, n := c.centre[from:next], c.count[from:next]
		from = next
		n = n[:len(x)]
		for len(x) >= 4 && len(n) >= 4 {
			p := x[0] - (float64(x[0]*inverse)+even-even)*scale
			q := x[1] - (float64(x[1]*inverse)+even-even)*scale
			r := x[2] - (float64(x[2]*inverse)+even-even)*scale
			s := x[3] - (float64(x[3]*inverse)+even-even)*scale
			a, b, d, f = a+n[0]*p*p, b+n[1]*q*q, d+n[2]*r*r, f+n[3]*s*s
			x, n = x[4:], n[4:]
		}
		for i, v := range x {
			p := v - (float64(v*inverse)+even-even)*scale
			a += n[i] * p * p
		}
	}
	return a+b+d+f > bound
}

// uniform is the mean squared error with the rounding error of a uniform density, from the running sums alone.
func (c *cost) uniform(e Encoding) float64 {
	from, to := c.search(e.Min), c.search(e.Max)
	return ((c.n[to]-c.n[from])*e.Scale*e.Scale/12 + c.under(e.Min, from) + c.over(e.Max, to)) / c.total
}

// below and above are the squared errors of what an end cuts off, from the running sums.
func (c *cost) below(end float64) float64 { return c.under(end, c.search(end)) }
func (c *cost) above(end float64) float64 { return c.over(end, c.search(end)) }

// under is below, where so many bins are.
func (c *cost) under(end float64, bins int) float64 {
	return c.squares[bins] - 2*end*c.sum[bins] + end*end*c.n[bins]
}

// over is above, where so many bins are not.
func (c *cost) over(end float64, bins int) float64 {
	last := len(c.centre)
	n, sum, squares := c.n[last]-c.n[bins], c.sum[last]-c.sum[bins], c.squares[last]-c.squares[bins]
	return squares - 2*end*sum + end*end*n
}

// certainly is a sum of squared errors beyond which a mean is greater than least, however its terms were rounded.
func (c *cost) certainly(least float64) float64 {
	return least*c.total*(1+1e-9) + 1e-11*c.squares[len(c.centre)]
}

// search is the number of bins whose centre is less than x.
func (c *cost) search(x float64) int {
	lo, hi := c.between(x)
	for lo < hi {
		if mid := (lo + hi) / 2; c.centre[mid] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// behind is the number of bins whose centre is not greater than x.
func (c *cost) behind(x float64) int {
	i := c.search(x)
	for i < len(c.centre) && c.centre[i] == x {
		i++
	}
	return i
}

// cells is in how many parts of equal width the centres are divided.
const cells = 256

// divide counts the centres in the parts.
func (c *cost) divide() {
	if len(c.centre) == 0 || c.centre[0] == c.centre[len(c.centre)-1] {
		return // every value lies outside or at the end
	}
	c.lowest = c.centre[0]
	c.parts = cells / (c.centre[len(c.centre)-1] - c.lowest)
	for i, x := range c.centre {
		for k := c.part(x); len(c.before) <= k; {
			c.before = append(c.before, i)
		}
	}
}

// part is the part that a value between the first and the last centre is in. It never falls as x rises, so that centres in parts before that of x
// are less than x, and those in parts behind it are greater.
func (c *cost) part(x float64) int { return int((x - c.lowest) * c.parts) }

// between gives bounds of search.
func (c *cost) between(x float64) (lo, hi int) {
	last := len(c.centre) - 1
	switch {
	case last < 0 || x <= c.centre[0]:
		return 0, 0
	case x > c.centre[last]:
		return last + 1, last + 1
	}
	k := c.part(x)
	if lo = c.before[k]; k+1 < len(c.before) {
		return lo, c.before[k+1]
	}
	return lo, last + 1
}
