package quant

import (
	"encoding/binary"
	"math"

	"quantcheck/internal/tensor"
)

// Grid is an encoding as ONNX stores it: real = Scale · (q − Zero) with q of an integer type of 8 or 16 bits.
type Grid struct {
	DType tensor.DType `json:"dtype"`
	Scale float32      `json:"scale"`
	Zero  int32        `json:"zero"`
}

// Known says whether the grid's type can be stored.
func (g Grid) Known() bool {
	switch g.DType {
	case tensor.Uint8, tensor.Int8, tensor.Uint16, tensor.Int16:
		return g.Scale > 0
	}
	return false
}

func (g Grid) limits() (least, greatest float32) {
	switch g.DType {
	case tensor.Int8:
		return math.MinInt8, math.MaxInt8
	case tensor.Uint16:
		return 0, math.MaxUint16
	case tensor.Int16:
		return math.MinInt16, math.MaxInt16
	}
	return 0, math.MaxUint8
}

// Quantize writes the integers of real numbers into raw, as ONNX's QuantizeLinear does: the quotient in float32, rounded
// half to even, plus the zero point, clamped. NaN becomes the least integer.
func (g Grid) Quantize(raw []byte, values []float32) {
	least, greatest := g.limits()
	zero := float32(g.Zero)
	wide := g.DType.Bits() == 16
	for i, v := range values {
		q := float32(math.RoundToEven(float64(v/g.Scale))) + zero
		if !(q >= least) {
			q = least
		} else if q > greatest {
			q = greatest
		}
		if wide {
			binary.LittleEndian.PutUint16(raw[2*i:], uint16(int32(q)))
		} else {
			raw[i] = byte(int32(q))
		}
	}
}

// Dequantize writes the real numbers of raw into values.
func (g Grid) Dequantize(values []float32, raw []byte) {
	switch g.DType {
	case tensor.Uint8, tensor.Int8:
		var table [256]float32
		for q := range table {
			n := int32(q)
			if g.DType == tensor.Int8 {
				n = int32(int8(q))
			}
			table[q] = float32(n-g.Zero) * g.Scale
		}
		raw = raw[:len(values)]
		for i, q := range raw {
			values[i] = table[q]
		}
	case tensor.Uint16:
		for i := range values {
			values[i] = float32(int32(binary.LittleEndian.Uint16(raw[2*i:]))-g.Zero) * g.Scale
		}
	case tensor.Int16:
		for i := range values {
			values[i] = float32(int32(int16(binary.LittleEndian.Uint16(raw[2*i:])))-g.Zero) * g.Scale
		}
	}
}
