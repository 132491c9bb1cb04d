//go:build !goexperiment.simd || !amd64

package cure

// addProduct adds aᵀ·b to sum; a has na columns, b has nb, and both have the same number of rows.
func addProduct(sum []float64, a []float32, na int, b []float32, nb int) {
	addProductExact(sum, a, na, b, nb)
}

// addSquare adds aᵀ·a to sum, of which the upper triangle is filled; a has n columns.
func addSquare(sum []float64, a []float32, n int) { addSquareExact(sum, a, n) }

// dot is the sum of the products of two vectors of the same length.
func dot(a, b []float64) float64 { return dotExact(a, b) }

// addScaled adds f·x to y.
func addScaled(y []float64, f float64, x []float64) { addScaledExact(y, f, x) }
