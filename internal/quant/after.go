package quant

import (
	"cmp"
	"math"
	"slices"
)

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
	heavy []int     // the bins, those first in which rounding costs most
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
		b.heavy = append(b.heavy, i)
	}
	slices.SortStableFunc(b.heavy, func(i, k int) int { return cmp.Compare(b.count[k]*b.slope[k], b.count[i]*b.slope[i]) })
	return b
}

// of is the mean squared error of f behind an encoding, or, if that is not under the limit, some value that is not either. Where a step is no
// wider than a few bins the rounding error is that of a uniform density, step²/12 · f'²; otherwise values stand at their bins' centres.
func (b *afterActivation) of(e Encoding, limit float64) float64 {
	b.table = b.table[:0]
	if e.Scale > 4*b.width && Levels(e.Bits) < 1<<10 {
		for range Levels(e.Bits) + 1 {
			b.table = append(b.table, math.NaN())
		}
	}
	least, greatest := b.f(e.Min), b.f(e.Max)
	if b.exceeds(e, least, greatest, limit) {
		return limit
	}
	sum := 0.0
	for i := range b.centre {
		sum += b.at(e, i, least, greatest)
	}
	return sum / b.total
}

// exceeds looks at bins in the order in which they can be expected to cost most, and says whether they alone cost as much as the limit, and
// more than sums in another order could differ by.
func (b *afterActivation) exceeds(e Encoding, least, greatest, limit float64) bool {
	if math.IsInf(limit, 1) {
		return false
	}
	bound := limit * b.total * (1 + 1e-9)
	from, to := b.search(e.Min), b.search(e.Max)
	sum := 0.0
	for i := range from {
		sum += b.at(e, i, least, greatest)
	}
	for i := to; i < len(b.centre); i++ {
		if b.centre[i] > e.Max {
			sum += b.at(e, i, least, greatest)
		}
	}
	for n, i := range b.heavy {
		if n%16 == 0 && sum > bound {
			return true
		}
		if x := b.centre[i]; x >= e.Min && x <= e.Max {
			sum += b.at(e, i, least, greatest)
		}
	}
	return sum > bound
}

// at is what an encoding costs in a bin; least and greatest are f at its ends.
func (b *afterActivation) at(e Encoding, i int, least, greatest float64) float64 {
	var d float64
	switch x := b.centre[i]; {
	case x < e.Min:
		d = b.value[i] - least
	case x > e.Max:
		d = b.value[i] - greatest
	case e.Scale <= 4*b.width:
		return b.count[i] * b.slope[i] * e.Scale * e.Scale / 12
	default:
		q := min(max(math.RoundToEven(x*(1/e.Scale))-float64(e.Offset), 0), float64(Levels(e.Bits)))
		d = b.value[i] - b.level(e, q)
	}
	return b.count[i] * d * d
}

// level is f at a level of an encoding.
func (b *afterActivation) level(e Encoding, q float64) float64 {
	if len(b.table) == 0 {
		return b.f((q + float64(e.Offset)) * e.Scale)
	}
	at := &b.table[int(q)]
	if math.IsNaN(*at) {
		*at = b.f(e.Dequantize(int(q)))
	}
	return *at
}
