package metric

import "math"

// Bins is the number of bins of the histograms that DKL compares.
const Bins = 10

// edges are the borders of equal bins over [lo, hi], in single precision as numpy.histogram has them for float32 data;
// a range of no width is widened by a half on both sides.
func edges(lo, hi float32) [Bins + 1]float32 {
	if lo == hi {
		lo, hi = lo-0.5, hi+0.5
	}
	var e [Bins + 1]float32
	step := (hi - lo) / Bins
	for i := range e {
		e[i] = float32(float32(i)*step) + lo
	}
	e[Bins] = hi
	return e
}

// bins counts values in equal bins over [lo, hi], which must hold them all.
func bins(x []float32, lo, hi float32) [Bins]int64 {
	e := edges(lo, hi)
	var inner [Bins - 1]float32
	copy(inner[:], e[1:Bins])
	above := countAbove(x, &inner)
	var counts [Bins]int64
	previous := int64(len(x))
	for i := range counts {
		next := int64(0)
		if i < Bins-1 {
			next = above[i]
		}
		counts[i] = previous - next
		previous = next
	}
	return counts
}

// divergence is Σ p ln(p/q) of the two density histograms, each over its own range; empty bins get the density 1e-10
// and both are normalised to 1 (scipy.stats.entropy over numpy.histogram, as the seed has it).
func divergence(x, y [Bins]int64, minX, maxX, minY, maxY float32) float64 {
	p, q := density(x, minX, maxX), density(y, minY, maxY)
	sum := 0.0
	for i := range p {
		sum += p[i] * math.Log(p[i]/q[i])
	}
	return sum
}

func density(counts [Bins]int64, lo, hi float32) [Bins]float64 {
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	e := edges(lo, hi)
	var p [Bins]float64
	sum := 0.0
	for i, n := range counts {
		p[i] = float64(n) / float64(e[i+1]-e[i]) / float64(total)
		if n == 0 {
			p[i] = 1e-10
		}
		sum += p[i]
	}
	for i := range p {
		p[i] /= sum
	}
	return p
}

// countAboveExact counts, for each border, the values at or above it.
func countAboveExact(x []float32, borders *[Bins - 1]float32) [Bins - 1]int64 {
	var n [Bins - 1]int64
	for _, v := range x {
		for k, b := range borders {
			if v >= b {
				n[k]++
			}
		}
	}
	return n
}
