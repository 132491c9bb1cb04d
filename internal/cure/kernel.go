package cure

// blockRows is how many rows of a product are summed in single precision before the sums go into double precision.
const blockRows = 256

// addProductExact adds aᵀ·b to sum: sum[i·nb+j] += Σ_p a[p·na+i]·b[p·nb+j], all in double precision. It is the oracle of addProduct.
func addProductExact(sum []float64, a []float32, na int, b []float32, nb int) {
	for p := 0; (p+1)*na <= len(a); p++ {
		row, other := a[p*na:(p+1)*na], b[p*nb:(p+1)*nb]
		for i, v := range row {
			if v == 0 {
				continue
			}
			into := sum[i*nb : (i+1)*nb]
			for j, w := range other {
				into[j] += float64(v) * float64(w)
			}
		}
	}
}

// addSquareExact adds aᵀ·a to sum, of which the upper triangle is filled. It is the oracle of addSquare.
func addSquareExact(sum []float64, a []float32, n int) {
	for p := 0; (p+1)*n <= len(a); p++ {
		row := a[p*n : (p+1)*n]
		for i, v := range row {
			into := sum[i*n : (i+1)*n]
			for j := i; j < n; j++ {
				into[j] += float64(v) * float64(row[j])
			}
		}
	}
}

func dotExact(a, b []float64) float64 {
	b = b[:len(a)]
	sum := 0.0
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

func addScaledExact(y []float64, f float64, x []float64) {
	x = x[:len(y)]
	for i := range y {
		y[i] += f * x[i]
	}
}
