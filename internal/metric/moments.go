package metric

import "math"

// Moments are sums over a pair of tensors x (the reference) and y; d = x − y.
type Moments struct {
	N                   int
	SumX, SumY          float64
	SumXX, SumYY, SumXY float64
	SumDD, SumD         float64 // of d² and of |d|
	VarX, VarY, CovXY   float64 // centred: n times variances and covariance
	MaxD                float32 // greatest |d|
	MinX, MaxX          float32
	MinY, MaxY          float32
	SameSign            int // elements for which x ≥ 0 and y ≥ 0 agree
}

// trustworthy says whether single-precision products were good enough: nothing overflowed, nothing vanished, and the
// centred sums did not lose their digits to cancellation.
func (m Moments) trustworthy() bool {
	sum := m.SumX + m.SumY + m.SumXX + m.SumYY + m.SumXY + m.SumDD + m.SumD
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return false
	}
	const tiny = 1e-24 // squares below lose digits
	n := float64(m.N)
	if (m.SumXX < tiny*n && (m.MinX != 0 || m.MaxX != 0)) || (m.SumYY < tiny*n && (m.MinY != 0 || m.MaxY != 0)) {
		return false
	}
	if m.SumDD < tiny*n && m.MaxD != 0 {
		return false
	}
	return m.VarX > 1e-3*m.SumXX && m.VarY > 1e-3*m.SumYY || m.SumXX == 0 || m.SumYY == 0
}

// centre derives the centred sums from the others.
func (m *Moments) centre() {
	n := float64(m.N)
	m.VarX = m.SumXX - m.SumX*m.SumX/n
	m.VarY = m.SumYY - m.SumY*m.SumY/n
	m.CovXY = m.SumXY - m.SumX*m.SumY/n
}

// momentsExact sums in double precision, the centred sums in a pass of their own. It is the oracle of the vector code.
func momentsExact(x, y []float32) Moments {
	m := Moments{N: len(x), MinX: x[0], MaxX: x[0], MinY: y[0], MaxY: y[0]}
	y = y[:len(x)]
	for i, a := range x {
		b := y[i]
		p, q := float64(a), float64(b)
		d := math.Abs(p - q)
		m.SumX += p
		m.SumY += q
		m.SumXX += p * p
		m.SumYY += q * q
		m.SumXY += p * q
		m.SumDD += d * d
		m.SumD += d
		m.MaxD = max(m.MaxD, float32(d))
		m.MinX, m.MaxX = min(m.MinX, a), max(m.MaxX, a)
		m.MinY, m.MaxY = min(m.MinY, b), max(m.MaxY, b)
		if (a >= 0) == (b >= 0) {
			m.SameSign++
		}
	}
	meanX, meanY := m.SumX/float64(m.N), m.SumY/float64(m.N)
	for i, a := range x {
		p, q := float64(a)-meanX, float64(y[i])-meanY
		m.VarX += p * p
		m.VarY += q * q
		m.CovXY += p * q
	}
	return m
}

// MinMax gives the least and the greatest finite value, and how many values are NaN or infinite. Without any finite
// value lo is greater than hi.
func MinMax(x []float32) (lo, hi float32, bad int) {
	lo, hi, ok := extremes(x)
	if ok {
		return lo, hi, 0
	}
	lo, hi = float32(math.Inf(1)), float32(math.Inf(-1))
	for _, v := range x {
		if d := v - v; d != 0 {
			bad++
			continue
		}
		lo, hi = min(lo, v), max(hi, v)
	}
	return lo, hi, bad
}
