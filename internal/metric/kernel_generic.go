//go:build !goexperiment.simd || !amd64

package metric

// Vectorized says which code the passes run in.
func Vectorized() bool { return false }

func moments(x, y []float32) Moments {
	return momentsExact(x, y)
}

func countAbove(x []float32, borders *[Bins - 1]float32) [Bins - 1]int64 {
	return countAboveExact(x, borders)
}

// extremes gives the least and the greatest value; ok is false if it cannot tell, as with NaN.
func extremes([]float32) (lo, hi float32, ok bool) { return 0, 0, false }
