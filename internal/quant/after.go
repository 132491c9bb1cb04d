package quant

import "math"

// MSEAfterActivation searches the range of least mean squared error of f(x), where f is the function that reads the tensor: values
// that f makes alike need no steps between them. SiLU leaves next to nothing of −10 and −100, so that a range that begins at −10
// has all its steps where they tell. Only the function's input is rounded. A function that is not finite on the observed values,
// and nil, give MSE.
//
// The ends are searched on a grid of 24 × 24 shrunk ends, then around the best one in three finer grids, and around what MSE takes.
func MSEAfterActivation(h *Histogram, bits int, symmetric bool, f func(x float64) float64) Encoding {
	plain := MSE(h, bits, symmetric)
	if h.counts == nil || f == nil {
		return plain
	}
	c := newAfterActivation(newCost(h), f)
	if c == nil {
		return plain
	}
	best, least := plain, c.of(plain, math.Inf(1))
	try := func(e Encoding) {
		if cost := c.of(e, least); cost < least {
			best, least = e, cost
		}
	}
	if symmetric {
		for _, e := range candidates(h.Range, bits, true) {
			try(e)
		}
		return best
	}
	lo, hi := h.Range.widened()
	at := func(from, to float64) Encoding {
		return MinMax(Range{Min: min(max(from, lo), 0), Max: max(min(to, hi), 0), Seen: true}, bits, false)
	}
	const steps = 24
	for i := range steps {
		for j := range steps {
			try(at(lo*float64(steps-i)/steps, hi*float64(steps-j)/steps))
		}
	}
	below, above := lo/steps, hi/steps
	for range 3 {
		below, above = below/3, above/3
		centre := best
		for i := -4; i <= 4; i++ {
			for j := -4; j <= 4; j++ {
				try(at(centre.Min+below*float64(i), centre.Max+above*float64(j)))
			}
		}
	}
	return best
}

// afterActivation tells what an encoding does to a function of a histogram's values.
type afterActivation struct {
	*cost
	f     func(float64) float64
	value []float64 // f at each centre
	slope []float64 // f'² there
	table []float64 // f at each level of one encoding, NaN where it is not computed yet
}

// newAfterActivation is nil if the function is not finite everywhere.
func newAfterActivation(c *cost, f func(float64) float64) *afterActivation {
	b := &afterActivation{cost: c, f: f, value: make([]float64, len(c.centre)), slope: make([]float64, len(c.centre))}
	for i, x := range c.centre {
		d := 1e-4 * math.Max(1, math.Abs(x))
		s := (f(x+d) - f(x-d)) / (2 * d)
		b.value[i], b.slope[i] = f(x), s*s
		if math.IsNaN(b.value[i]+b.slope[i]) || math.IsInf(b.value[i]+b.slope[i], 0) {
			return nil
		}
	}
	return b
}

// of is the mean squared error of f behind an encoding, or, if that is not under the limit, some value that is not either. Where a step is no
// wider than a few bins the rounding error is that of a uniform density, step²/12 · f'²; otherwise values stand at their bins' centres.
func (b *afterActivation) of(e Encoding, limit float64) float64 {
	sum := 0.0
	least, greatest := b.f(e.Min), b.f(e.Max)
	fine := e.Scale <= 4*b.width
	if b.table = b.table[:0]; !fine && Levels(e.Bits) < 1<<10 {
		for range Levels(e.Bits) + 1 {
			b.table = append(b.table, math.NaN())
		}
	}
	inverse, offset, levels := 1/e.Scale, float64(e.Offset), float64(Levels(e.Bits))
	for i, x := range b.centre {
		if i%beats == 0 && sum/b.total >= limit {
			break // all that is to come adds to it
		}
		var d float64
		switch {
		case x < e.Min:
			d = b.value[i] - least
		case x > e.Max:
			d = b.value[i] - greatest
		case fine:
			sum += b.count[i] * b.slope[i] * e.Scale * e.Scale / 12
			continue
		default:
			q := min(max(math.RoundToEven(x*inverse)-offset, 0), levels)
			d = b.value[i] - b.level(e, q, offset)
		}
		sum += b.count[i] * d * d
	}
	return sum / b.total
}

// level is f at a level of an encoding.
func (b *afterActivation) level(e Encoding, q, offset float64) float64 {
	if len(b.table) == 0 {
		return b.f((q + offset) * e.Scale)
	}
	at := &b.table[int(q)]
	if math.IsNaN(*at) {
		*at = b.f(e.Dequantize(int(q)))
	}
	return *at
}
