package qnnworker

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"quantcheck/internal/dlc"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// types are the element types of a DLC's tensors as they stand in memory and in files. 4-bit values take a byte each.
var types = map[dlc.DType]tensor.DType{
	0x008: tensor.Int8, 0x016: tensor.Int16, 0x032: tensor.Int32, 0x064: tensor.Int64, 0x108: tensor.Uint8, 0x116: tensor.Uint16, 0x132: tensor.Uint32, 0x164: tensor.Uint64,
	0x216: tensor.Float16, 0x232: tensor.Float32, 0x304: tensor.Int8, 0x308: tensor.Int8, 0x316: tensor.Int16, 0x332: tensor.Int32,
	0x404: tensor.Uint8, 0x408: tensor.Uint8, 0x416: tensor.Uint16, 0x432: tensor.Uint32, 0x508: tensor.Bool,
}

// Stored is the type in which a tensor's elements lie in memory.
func Stored(d dlc.DType) (tensor.DType, bool) {
	s, ok := types[d]
	return s, ok
}

// grid is a tensor's encoding, if it is one of 8 or 16 bits for the whole tensor.
func grid(t *dlc.Tensor) (quant.Grid, bool) {
	e := t.Encoding
	if e == nil || e.Axis >= 0 || len(e.Scale) != 1 || len(e.Offset) != 1 || !t.DType.Quantized() || t.DType.Bits() != 8 && t.DType.Bits() != 16 {
		return quant.Grid{}, false
	}
	g := quant.Grid{DType: types[t.DType], Scale: e.Scale[0], Zero: -e.Offset[0]}
	return g, g.Known()
}

// Encode turns numbers, in the tensor's own order of axes, into what the tensor holds: on the grid of its encoding by
// float32 division and rounding half to even, clamped; as float16 rounded to even; into integers only what is one.
func Encode(t *dlc.Tensor, x tensor.Tensor) ([]byte, error) {
	stored, known := Stored(t.DType)
	if !known || int64(x.Len()) != t.Elements() {
		return nil, fmt.Errorf("%d numbers for %s %v", x.Len(), t.DType, t.Shape)
	}
	raw := make([]byte, t.Bytes())
	if t.DType.Quantized() {
		g, ok := grid(t)
		values, numbers := x.AsFloat32()
		if !ok || !numbers {
			return nil, fmt.Errorf("real numbers cannot be put into %s without an encoding of 8 or 16 bits", t.DType)
		}
		g.Quantize(raw, values)
		return raw, nil
	}
	if stored == x.DType {
		return x.LittleEndian(), nil
	}
	switch stored {
	case tensor.Float32, tensor.Float16:
		values, ok := x.AsFloat32()
		if !ok {
			return nil, fmt.Errorf("%s cannot become %s", x.DType, t.DType)
		}
		for i, v := range values {
			if stored == tensor.Float32 {
				binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
			} else {
				binary.LittleEndian.PutUint16(raw[2*i:], tensor.FloatToHalf(v))
			}
		}
		return raw, nil
	}
	ints, ok := x.Ints()
	if !ok {
		var err error
		if ints, err = whole(x); err != nil {
			return nil, err
		}
	}
	least, greatest := int64(math.MinInt64), int64(math.MaxInt64)
	switch bits := stored.Bits(); {
	case stored == tensor.Bool:
		least, greatest = 0, 1
	case stored == tensor.Uint64:
		least = 0
	case stored == tensor.Int64:
	case t.DType.Signed():
		least, greatest = -1<<(bits-1), 1<<(bits-1)-1
	default:
		least, greatest = 0, 1<<bits-1
	}
	width := stored.Bits() / 8
	for i, n := range ints {
		if n < least || n > greatest {
			return nil, fmt.Errorf("%d does not fit %s", n, t.DType)
		}
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		copy(raw[i*width:], b[:width])
	}
	return raw, nil
}

// whole gives real numbers that are integers.
func whole(x tensor.Tensor) ([]int64, error) {
	values, ok := x.AsFloat32()
	if !ok {
		return nil, fmt.Errorf("%s holds no numbers", x.DType)
	}
	ints := make([]int64, len(values))
	for i, v := range values {
		if v != float32(math.Trunc(float64(v))) || v < -1<<62 || v > 1<<62 {
			return nil, fmt.Errorf("%g is no integer", v)
		}
		ints[i] = int64(v)
	}
	return ints, nil
}

// Decode gives a tensor's values as real numbers, from what it holds: real = scale · (q + offset) in float32, integers and
// booleans as numbers. The order of axes stays.
func Decode(t *dlc.Tensor, raw []byte) (tensor.Tensor, error) {
	stored, known := Stored(t.DType)
	if !known {
		return tensor.Tensor{}, fmt.Errorf("values of type %s are no numbers", t.DType)
	}
	count := t.Elements()
	if int64(len(raw)) != t.Bytes() {
		return tensor.Tensor{}, fmt.Errorf("%d bytes for %s %v", len(raw), t.DType, t.Shape)
	}
	if g, ok := grid(t); ok {
		values := make([]float32, count)
		g.Dequantize(values, raw)
		return tensor.Floats(values, count), nil
	}
	x, err := tensor.FromLittleEndian(stored, []int64{count}, raw)
	if err != nil {
		return tensor.Tensor{}, err
	}
	if !t.DType.Quantized() {
		values, ok := x.AsFloat32()
		if !ok {
			return tensor.Tensor{}, fmt.Errorf("values of type %s are no numbers", t.DType)
		}
		return tensor.Floats(values, count), nil
	}
	e := t.Encoding
	if e == nil || e.Axis >= 0 || len(e.Scale) != 1 || len(e.Offset) != 1 {
		return tensor.Tensor{}, errors.New("the DLC has no encoding for the whole of it")
	}
	ints, _ := x.Ints()
	values := make([]float32, count)
	for i, q := range ints {
		values[i] = float32(float64(e.Scale[0]) * float64(q+int64(e.Offset[0])))
	}
	return tensor.Floats(values, count), nil
}
