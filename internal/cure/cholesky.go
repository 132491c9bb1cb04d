package cure

import (
	"context"
	"math"
)

// factor is the lower triangle L of a symmetric positive definite matrix, L·Lᵀ, row by row.
type factor struct {
	n int
	l []float64
}

// cholesky factors a symmetric matrix of n rows, of which the lower triangle is read; its diagonal is raised by add. ok is false where the
// matrix is not positive definite in double precision, and when ctx has ended. (Golub & Van Loan, Matrix Computations, 4.2; row by row.)
func cholesky(ctx context.Context, s []float64, n int, add float64) (f factor, ok bool) {
	l := make([]float64, n*n)
	for i := range n {
		if i%64 == 0 && ctx.Err() != nil {
			return factor{}, false
		}
		row := l[i*n : (i+1)*n]
		for j := range i {
			row[j] = (s[i*n+j] - dot(row[:j], l[j*n:j*n+j])) / l[j*n+j]
		}
		d := s[i*n+i] + add - dot(row[:i], row[:i])
		if !(d > 0) || math.IsInf(d, 0) {
			return factor{}, false
		}
		row[i] = math.Sqrt(d)
	}
	return factor{n, l}, true
}

// solve replaces b by the solution x of L·Lᵀ·x = b.
func (f factor) solve(b []float64) {
	n := f.n
	for i := range n {
		row := f.l[i*n : i*n+i]
		b[i] = (b[i] - dot(row, b[:i])) / f.l[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		b[i] /= f.l[i*n+i]
		addScaled(b[:i], -b[i], f.l[i*n:i*n+i])
	}
}
