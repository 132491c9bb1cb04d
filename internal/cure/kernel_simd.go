//go:build goexperiment.simd && amd64

package cure

import (
	"simd/archsimd"
)

var vectorized = archsimd.X86.AVX2() && archsimd.X86.FMA()

// A tile is what the kernel holds in registers: the products of 4 columns of a with 16 of b.
const (
	tileA = 4
	tileB = 16
)

// addProduct adds aᵀ·b to sum; a has na columns, b has nb, and both have the same number of rows. Blocks of rows are summed in single
// precision.
func addProduct(sum []float64, a []float32, na int, b []float32, nb int) {
	if !vectorized || na*nb < tileA*tileB {
		addProductExact(sum, a, na, b, nb)
		return
	}
	addTiles(sum, a, na, b, nb, false)
}

// addSquare adds aᵀ·a to sum, of which the upper triangle is filled, and some of what lies below; a has n columns.
func addSquare(sum []float64, a []float32, n int) {
	if !vectorized || n*n < tileA*tileB {
		addSquareExact(sum, a, n)
		return
	}
	addTiles(sum, a, n, a, n, true)
}

// addTiles adds the tiles of aᵀ·b to sum; upper leaves out those that lie below the diagonal.
func addTiles(sum []float64, a []float32, na int, b []float32, nb int, upper bool) {
	rows := len(b) / nb
	panelsA, panelsB := (na+tileA-1)/tileA, (nb+tileB-1)/tileB
	most := min(rows, blockRows)
	packedA, packedB := make([]float32, panelsA*tileA*most), make([]float32, panelsB*tileB*most)
	for from := 0; from < rows; from += blockRows {
		n := min(rows-from, blockRows)
		pack(packedA, a[from*na:(from+n)*na], na, n, tileA)
		pack(packedB, b[from*nb:(from+n)*nb], nb, n, tileB)
		for j := range panelsB {
			right := packedB[j*tileB*n : (j+1)*tileB*n]
			for i := range panelsA {
				if upper && i*tileA >= (j+1)*tileB {
					break
				}
				var tile [tileA][tileB]float32
				multiply(&tile, packedA[i*tileA*n:(i+1)*tileA*n], right)
				for r := range min(tileA, na-i*tileA) {
					into := sum[(i*tileA+r)*nb+j*tileB:]
					for c := range min(tileB, nb-j*tileB) {
						into[c] += float64(tile[r][c])
					}
				}
			}
		}
	}
	archsimd.ClearAVXUpperBits()
}

// pack divides n rows into panels of so many columns, one after the other; the last is filled up with zeros.
func pack(to, from []float32, columns, n, width int) {
	for start := 0; start < columns; start += width {
		w := min(width, columns-start)
		panel := to[start*n : (start+width)*n]
		for p := range n {
			row := panel[p*width : (p+1)*width]
			copy(row, from[p*columns+start:p*columns+start+w])
			clear(row[w:])
		}
	}
}

// multiply sums the products of two panels over their rows.
func multiply(tile *[tileA][tileB]float32, a, b []float32) {
	var s00, s01, s10, s11, s20, s21, s30, s31 archsimd.Float32x8
	for len(a) >= tileA && len(b) >= tileB {
		b0, b1 := archsimd.LoadFloat32x8((*[8]float32)(b[0:8])), archsimd.LoadFloat32x8((*[8]float32)(b[8:16]))
		a0, a1 := archsimd.BroadcastFloat32x8(a[0]), archsimd.BroadcastFloat32x8(a[1])
		s00, s01 = a0.MulAdd(b0, s00), a0.MulAdd(b1, s01)
		s10, s11 = a1.MulAdd(b0, s10), a1.MulAdd(b1, s11)
		a2, a3 := archsimd.BroadcastFloat32x8(a[2]), archsimd.BroadcastFloat32x8(a[3])
		s20, s21 = a2.MulAdd(b0, s20), a2.MulAdd(b1, s21)
		s30, s31 = a3.MulAdd(b0, s30), a3.MulAdd(b1, s31)
		a, b = a[tileA:], b[tileB:]
	}
	s00.Store((*[8]float32)(tile[0][0:8]))
	s01.Store((*[8]float32)(tile[0][8:16]))
	s10.Store((*[8]float32)(tile[1][0:8]))
	s11.Store((*[8]float32)(tile[1][8:16]))
	s20.Store((*[8]float32)(tile[2][0:8]))
	s21.Store((*[8]float32)(tile[2][8:16]))
	s30.Store((*[8]float32)(tile[3][0:8]))
	s31.Store((*[8]float32)(tile[3][8:16]))
}

// dot is the sum of the products of two vectors of the same length.
func dot(a, b []float64) float64 {
	if !vectorized || len(a) < 16 {
		return dotExact(a, b)
	}
	b = b[:len(a)]
	var s0, s1, s2, s3 archsimd.Float64x4
	for len(a) >= 16 && len(b) >= 16 {
		s0 = archsimd.LoadFloat64x4((*[4]float64)(a[0:4])).MulAdd(archsimd.LoadFloat64x4((*[4]float64)(b[0:4])), s0)
		s1 = archsimd.LoadFloat64x4((*[4]float64)(a[4:8])).MulAdd(archsimd.LoadFloat64x4((*[4]float64)(b[4:8])), s1)
		s2 = archsimd.LoadFloat64x4((*[4]float64)(a[8:12])).MulAdd(archsimd.LoadFloat64x4((*[4]float64)(b[8:12])), s2)
		s3 = archsimd.LoadFloat64x4((*[4]float64)(a[12:16])).MulAdd(archsimd.LoadFloat64x4((*[4]float64)(b[12:16])), s3)
		a, b = a[16:], b[16:]
	}
	var lanes [4]float64
	s0.Add(s1).Add(s2.Add(s3)).Store(&lanes)
	archsimd.ClearAVXUpperBits()
	return lanes[0] + lanes[1] + lanes[2] + lanes[3] + dotExact(a, b)
}

// addScaled adds f·x to y.
func addScaled(y []float64, f float64, x []float64) {
	if !vectorized || len(y) < 8 {
		addScaledExact(y, f, x)
		return
	}
	x = x[:len(y)]
	factor := archsimd.BroadcastFloat64x4(f)
	for len(x) >= 8 && len(y) >= 8 {
		factor.MulAdd(archsimd.LoadFloat64x4((*[4]float64)(x[0:4])), archsimd.LoadFloat64x4((*[4]float64)(y[0:4]))).Store((*[4]float64)(y[0:4]))
		factor.MulAdd(archsimd.LoadFloat64x4((*[4]float64)(x[4:8])), archsimd.LoadFloat64x4((*[4]float64)(y[4:8]))).Store((*[4]float64)(y[4:8]))
		x, y = x[8:], y[8:]
	}
	archsimd.ClearAVXUpperBits()
	addScaledExact(y, f, x)
}
