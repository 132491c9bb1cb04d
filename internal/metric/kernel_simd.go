//go:build goexperiment.simd && amd64

package metric

import (
	"math"
	"simd/archsimd"
)

var vectorized = archsimd.X86.AVX2() && archsimd.X86.FMA()

// Vectorized says which code the passes run in.
func Vectorized() bool { return vectorized }

// block is how many elements are summed in single precision before the sums go into double precision: 64 per lane. Two
// blocks lie in the first cache together.
const block = 512

// sums are the lanes of seven sums over a block and before: of x, y, x², y², xy, d², |d|.
type sums [7]archsimd.Float64x4

// ends are the lanes of the extremes, and the count, down from zero, of elements whose signs differ.
type ends struct {
	minX, maxX, minY, maxY, maxD archsimd.Float32x8
	differ                       archsimd.Int32x8
}

// moments sums in single precision within blocks and in double precision over them.
func moments(x, y []float32) Moments {
	if !vectorized || len(x) < 8 {
		return momentsExact(x, y)
	}
	y = y[:len(x)]
	m := Moments{N: len(x)}
	whole := len(x) &^ 7
	var s sums
	var e ends
	e.minX, e.minY = archsimd.LoadFloat32x8Slice(x), archsimd.LoadFloat32x8Slice(y)
	e.maxX, e.maxY = e.minX, e.minY
	for from := 0; from < whole; from += block {
		to := min(from+block, whole)
		addSums(&s, x[from:to], y[from:to])
		widenEnds(&e, x[from:to], y[from:to])
	}
	m.SumX, m.SumY = total(s[0]), total(s[1])
	m.SumXX, m.SumYY, m.SumXY = total(s[2]), total(s[3]), total(s[4])
	m.SumDD, m.SumD = total(s[5]), total(s[6])
	m.MinX, m.MinY = least(e.minX), least(e.minY)
	m.MaxX, m.MaxY, m.MaxD = greatest(e.maxX), greatest(e.maxY), greatest(e.maxD)
	m.SameSign = whole
	var lanes [8]int32
	e.differ.Store(&lanes)
	archsimd.ClearAVXUpperBits()
	for _, n := range lanes {
		m.SameSign += int(n)
	}
	if whole < len(x) {
		m.merge(momentsExact(x[whole:], y[whole:]))
	}
	m.centre()
	return m
}

// addSums and widenEnds are two loops over one block, since together their sums do not fit the registers.
func addSums(s *sums, x, y []float32) {
	y = y[:len(x)]
	magnitude := archsimd.BroadcastInt32x8(math.MaxInt32)
	var sx, sy, sxx, syy, sxy, sdd, sd archsimd.Float32x8
	for i := 0; i < len(x)-7 && i < len(y)-7; i += 8 {
		a, b := archsimd.LoadFloat32x8((*[8]float32)(x[i:i+8])), archsimd.LoadFloat32x8((*[8]float32)(y[i:i+8]))
		d := a.Sub(b)
		sx, sy = sx.Add(a), sy.Add(b)
		sxx, syy, sxy = a.MulAdd(a, sxx), b.MulAdd(b, syy), a.MulAdd(b, sxy)
		sdd, sd = d.MulAdd(d, sdd), sd.Add(d.AsInt32x8().And(magnitude).AsFloat32x8())
	}
	s[0], s[1] = addTo(s[0], sx), addTo(s[1], sy)
	s[2], s[3], s[4] = addTo(s[2], sxx), addTo(s[3], syy), addTo(s[4], sxy)
	s[5], s[6] = addTo(s[5], sdd), addTo(s[6], sd)
}

func widenEnds(e *ends, x, y []float32) {
	y = y[:len(x)]
	magnitude := archsimd.BroadcastInt32x8(math.MaxInt32)
	var zero archsimd.Float32x8
	minX, maxX, minY, maxY, maxD, differ := e.minX, e.maxX, e.minY, e.maxY, e.maxD, e.differ
	for i := 0; i < len(x)-7 && i < len(y)-7; i += 8 {
		a, b := archsimd.LoadFloat32x8((*[8]float32)(x[i:i+8])), archsimd.LoadFloat32x8((*[8]float32)(y[i:i+8]))
		maxD = maxD.Max(a.Sub(b).AsInt32x8().And(magnitude).AsFloat32x8())
		minX, maxX, minY, maxY = minX.Min(a), maxX.Max(a), minY.Min(b), maxY.Max(b)
		differ = differ.Add(a.GreaterEqual(zero).ToInt32x8().Xor(b.GreaterEqual(zero).ToInt32x8()))
	}
	e.minX, e.maxX, e.minY, e.maxY, e.maxD, e.differ = minX, maxX, minY, maxY, maxD, differ
}

// merge adds the sums of other elements; the centred sums are left alone.
func (m *Moments) merge(o Moments) {
	m.SumX += o.SumX
	m.SumY += o.SumY
	m.SumXX += o.SumXX
	m.SumYY += o.SumYY
	m.SumXY += o.SumXY
	m.SumDD += o.SumDD
	m.SumD += o.SumD
	m.MaxD = max(m.MaxD, o.MaxD)
	m.MinX, m.MaxX = min(m.MinX, o.MinX), max(m.MaxX, o.MaxX)
	m.MinY, m.MaxY = min(m.MinY, o.MinY), max(m.MaxY, o.MaxY)
	m.SameSign += o.SameSign
}

func addTo(sum archsimd.Float64x4, v archsimd.Float32x8) archsimd.Float64x4 {
	return sum.Add(v.GetLo().ConvertToFloat64().Add(v.GetHi().ConvertToFloat64()))
}

func total(v archsimd.Float64x4) float64 {
	var lanes [4]float64
	v.Store(&lanes)
	return lanes[0] + lanes[1] + lanes[2] + lanes[3]
}

func least(v archsimd.Float32x8) float32 {
	var l [8]float32
	v.Store(&l)
	return min(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7])
}

func greatest(v archsimd.Float32x8) float32 {
	var l [8]float32
	v.Store(&l)
	return max(l[0], l[1], l[2], l[3], l[4], l[5], l[6], l[7])
}

// countAbove counts, for each border, the values at or above it: nine compares per value, no division, no index.
func countAbove(x []float32, borders *[Bins - 1]float32) [Bins - 1]int64 {
	if !vectorized || len(x) < 8 {
		return countAboveExact(x, borders)
	}
	whole := len(x) &^ 7
	rest := countAboveExact(x[whole:], borders)
	var n [Bins - 1]int64
	for k := range n {
		n[k] = rest[k]
	}
	for from := 0; from < whole; from += 4 * block {
		part := x[from:min(from+4*block, whole)]
		addAbove5(part, (*[5]float32)(borders[:5]), n[:5])
		addAbove4(part, (*[4]float32)(borders[5:]), n[5:])
	}
	archsimd.ClearAVXUpperBits()
	return n
}

// addAbove5 and addAbove4 share the borders: nine of them and nine counters would not fit the registers, so a block in
// the first cache is read twice. Lanes count down from zero.
func addAbove5(x []float32, borders *[5]float32, n []int64) {
	e0, e1, e2 := archsimd.BroadcastFloat32x8(borders[0]), archsimd.BroadcastFloat32x8(borders[1]), archsimd.BroadcastFloat32x8(borders[2])
	e3, e4 := archsimd.BroadcastFloat32x8(borders[3]), archsimd.BroadcastFloat32x8(borders[4])
	var c0, c1, c2, c3, c4 archsimd.Int32x8
	for i := 0; i < len(x)-7; i += 8 {
		v := archsimd.LoadFloat32x8((*[8]float32)(x[i : i+8]))
		c0, c1, c2 = c0.Add(v.GreaterEqual(e0).ToInt32x8()), c1.Add(v.GreaterEqual(e1).ToInt32x8()), c2.Add(v.GreaterEqual(e2).ToInt32x8())
		c3, c4 = c3.Add(v.GreaterEqual(e3).ToInt32x8()), c4.Add(v.GreaterEqual(e4).ToInt32x8())
	}
	n[0], n[1], n[2], n[3], n[4] = n[0]-laneSum(c0), n[1]-laneSum(c1), n[2]-laneSum(c2), n[3]-laneSum(c3), n[4]-laneSum(c4)
}

func addAbove4(x []float32, borders *[4]float32, n []int64) {
	e0, e1 := archsimd.BroadcastFloat32x8(borders[0]), archsimd.BroadcastFloat32x8(borders[1])
	e2, e3 := archsimd.BroadcastFloat32x8(borders[2]), archsimd.BroadcastFloat32x8(borders[3])
	var c0, c1, c2, c3 archsimd.Int32x8
	for i := 0; i < len(x)-7; i += 8 {
		v := archsimd.LoadFloat32x8((*[8]float32)(x[i : i+8]))
		c0, c1 = c0.Add(v.GreaterEqual(e0).ToInt32x8()), c1.Add(v.GreaterEqual(e1).ToInt32x8())
		c2, c3 = c2.Add(v.GreaterEqual(e2).ToInt32x8()), c3.Add(v.GreaterEqual(e3).ToInt32x8())
	}
	n[0], n[1], n[2], n[3] = n[0]-laneSum(c0), n[1]-laneSum(c1), n[2]-laneSum(c2), n[3]-laneSum(c3)
}

func laneSum(v archsimd.Int32x8) int64 {
	var l [8]int32
	v.Store(&l)
	return int64(l[0]) + int64(l[1]) + int64(l[2]) + int64(l[3]) + int64(l[4]) + int64(l[5]) + int64(l[6]) + int64(l[7])
}

// extremes gives the least and the greatest value; ok is false if it cannot tell, as with NaN or infinities.
func extremes(x []float32) (lo, hi float32, ok bool) {
	if !vectorized || len(x) < 8 {
		return 0, 0, false
	}
	whole := len(x) &^ 7
	minX := archsimd.LoadFloat32x8Slice(x)
	maxX := minX
	sum := archsimd.BroadcastFloat32x8(0) // becomes NaN with the first value that is not finite: 0 · x is 0 else
	zero := sum
	for part := x[:whole]; len(part) >= 8; part = part[8:] {
		v := archsimd.LoadFloat32x8Slice(part)
		minX, maxX = minX.Min(v), maxX.Max(v)
		sum = v.MulAdd(zero, sum)
	}
	var lanes [8]float32
	sum.Store(&lanes)
	lo, hi = least(minX), greatest(maxX)
	archsimd.ClearAVXUpperBits()
	check := float32(0)
	for _, l := range lanes {
		check += l
	}
	for _, v := range x[whole:] {
		lo, hi = min(lo, v), max(hi, v)
		check += v * 0
	}
	return lo, hi, check == 0
}
