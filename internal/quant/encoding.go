// Package quant is the arithmetic of affine quantization as SNPE, QNN and AIMET do it.
//
// An Encoding maps real numbers to integers: real = scale · (q + offset) with q in [0, 2^bits − 1] and offset ≤ 0, so
// that zero is always representable. A Range or a Histogram of observed values becomes an encoding through one of the
// calibrators (MinMax, Enhanced, Percentile, MSE).
package quant

import (
	"math"
)

// MinRange is the least width of an encoding's range (QNN; SNPE 1.x and AIMET use 0.01).
const MinRange = 1e-4

// Encoding is a quantized type: width, scale and offset. Min and Max are the real numbers of the least and the greatest
// integer.
type Encoding struct {
	Bits      int     `json:"bitwidth"`
	Symmetric bool    `json:"symmetric"`
	Min       float64 `json:"min"`
	Max       float64 `json:"max"`
	Scale     float64 `json:"scale"`
	Offset    int     `json:"offset"`
}

// Levels is the greatest integer of the width: 2^bits − 1.
func Levels(bits int) int { return 1<<bits - 1 }

// FromScale makes an encoding of a scale and an offset.
func FromScale(bits int, symmetric bool, scale float64, offset int) Encoding {
	return Encoding{
		Bits: bits, Symmetric: symmetric, Scale: scale, Offset: offset,
		Min: scale * float64(offset), Max: scale * float64(Levels(bits)+offset),
	}
}

// ZeroPoint is ONNX's zero point: −offset for unsigned storage, −offset − 2^(bits−1) for signed.
func (e Encoding) ZeroPoint(signed bool) int {
	if signed {
		return -e.Offset - 1<<(e.Bits-1)
	}
	return -e.Offset
}

// Quantize gives the integer for a real number: round half to even, then clamp, as QuantizeLinear does.
func (e Encoding) Quantize(x float64) int {
	q := math.RoundToEven(x/e.Scale) - float64(e.Offset)
	return int(min(max(q, 0), float64(Levels(e.Bits))))
}

// Dequantize gives the real number of an integer.
func (e Encoding) Dequantize(q int) float64 { return e.Scale * float64(q+e.Offset) }

// Fake quantizes and dequantizes.
func (e Encoding) Fake(x float64) float64 { return e.Dequantize(e.Quantize(x)) }

// Range is what was observed of a tensor's values. The zero Range has seen nothing.
type Range struct {
	Min, Max float64
	Seen     bool
}

// Add widens the range by [lo, hi].
func (r *Range) Add(lo, hi float64) {
	if !r.Seen {
		*r = Range{Min: lo, Max: hi, Seen: true}
		return
	}
	r.Min, r.Max = min(r.Min, lo), max(r.Max, hi)
}

// Union is the range that holds both.
func (r Range) Union(o Range) Range {
	if o.Seen {
		r.Add(o.Min, o.Max)
	}
	return r
}

// widened holds zero and is at least MinRange wide; the upper end is the one that moves.
func (r Range) widened() (lo, hi float64) {
	lo, hi = min(r.Min, 0), max(r.Max, 0)
	return lo, max(hi, lo+MinRange)
}

// MinMax is the encoding of the whole range (SNPE's "tf"). Asymmetric: scale = (max − min)/(2^bits − 1), shifted so
// that zero falls on an integer. Symmetric: the least scale that holds both ends with offset = −2^(bits−1), which is
// max(−min/2^(bits−1), max/(2^(bits−1) − 1)).
func MinMax(r Range, bits int, symmetric bool) Encoding {
	lo, hi := r.widened()
	n := float64(Levels(bits))
	if symmetric {
		return symmetricEncoding(max(-lo/float64(int(1)<<(bits-1)), hi/float64(Levels(bits)/2)), bits)
	}
	scale := (hi - lo) / n
	zero := min(max(math.Round(-lo/scale), 0), n)
	return FromScale(bits, false, scale, -int(zero))
}

func symmetricEncoding(scale float64, bits int) Encoding {
	return FromScale(bits, true, scale, -1<<(bits-1))
}
