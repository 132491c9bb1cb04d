// Package tensor holds n-dimensional values: a data type, a shape, and the numbers.
package tensor

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// DType is an element type; its numbers are those of ONNX's TensorProto.DataType.
type DType int32

// The element types that ONNX tensors have in practice.
const (
	Undefined DType = 0
	Float32   DType = 1
	Uint8     DType = 2
	Int8      DType = 3
	Uint16    DType = 4
	Int16     DType = 5
	Int32     DType = 6
	Int64     DType = 7
	String    DType = 8
	Bool      DType = 9
	Float16   DType = 10
	Float64   DType = 11
	Uint32    DType = 12
	Uint64    DType = 13
	BFloat16  DType = 16
	Uint4     DType = 21
	Int4      DType = 22
)

var dtypeNames = map[DType]string{
	Undefined: "undefined", Float32: "float32", Uint8: "uint8", Int8: "int8", Uint16: "uint16", Int16: "int16",
	Int32: "int32", Int64: "int64", String: "string", Bool: "bool", Float16: "float16", Float64: "float64",
	Uint32: "uint32", Uint64: "uint64", BFloat16: "bfloat16", Uint4: "uint4", Int4: "int4",
}

func (d DType) String() string {
	if name, ok := dtypeNames[d]; ok {
		return name
	}
	return fmt.Sprintf("dtype(%d)", int32(d))
}

// Bits is the width of one element, 0 for strings and unknown types.
func (d DType) Bits() int {
	switch d {
	case Float32, Int32, Uint32:
		return 32
	case Uint8, Int8, Bool:
		return 8
	case Uint16, Int16, Float16, BFloat16:
		return 16
	case Int64, Uint64, Float64:
		return 64
	case Uint4, Int4:
		return 4
	}
	return 0
}

// IsFloat says whether the type holds real numbers.
func (d DType) IsFloat() bool {
	return d == Float32 || d == Float16 || d == Float64 || d == BFloat16
}

// Tensor is a dense array in row-major order. The values of a Float32 tensor lie in F32 and Raw is nil;
// those of every other type lie in Raw, little-endian, 4-bit types packed low nibble first.
type Tensor struct {
	DType DType
	Shape []int64
	F32   []float32
	Raw   []byte
}

// Floats makes a Float32 tensor over the values, which it keeps.
func Floats(values []float32, shape ...int64) Tensor {
	return Tensor{DType: Float32, Shape: shape, F32: values}
}

// ErrTooLarge means that a shape's element count does not fit.
var ErrTooLarge = errors.New("tensor too large")

// Count is the number of elements of a shape; it fails on negative dimensions, and where the bits of the values would not fit an integer.
// A scalar's empty shape counts 1.
func Count(shape []int64) (int, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("dimension %d in shape %v", d, shape)
		}
		if d != 0 && n > math.MaxInt64/128/d {
			return 0, fmt.Errorf("shape %v: %w", shape, ErrTooLarge)
		}
		n *= d
	}
	return int(n), nil
}

// ByteSize is the storage of count elements of type d.
func ByteSize(d DType, count int) int { return (count*d.Bits() + 7) / 8 }

// Len is the number of elements, 0 if the shape is invalid.
func (t Tensor) Len() int {
	n, err := Count(t.Shape)
	if err != nil {
		return 0
	}
	return n
}

// Bytes is the size of the values in memory.
func (t Tensor) Bytes() int { return len(t.F32)*4 + len(t.Raw) }

// Clone copies the values.
func (t Tensor) Clone() Tensor {
	c := t
	c.Shape = append([]int64(nil), t.Shape...)
	c.F32 = append([]float32(nil), t.F32...)
	c.Raw = append([]byte(nil), t.Raw...)
	return c
}

// AsFloat32 gives the values as float32: the tensor's own slice if it has that type, else a converted copy.
// ok is false for types that hold no real or integer numbers.
func (t Tensor) AsFloat32() (values []float32, ok bool) {
	if t.DType == Float32 {
		return t.F32, true
	}
	n := t.Len()
	if len(t.Raw) < ByteSize(t.DType, n) {
		return nil, false
	}
	le := binary.LittleEndian
	get := map[DType]func(i int) float32{
		Float16:  func(i int) float32 { return HalfToFloat(le.Uint16(t.Raw[2*i:])) },
		BFloat16: func(i int) float32 { return math.Float32frombits(uint32(le.Uint16(t.Raw[2*i:])) << 16) },
		Float64:  func(i int) float32 { return float32(math.Float64frombits(le.Uint64(t.Raw[8*i:]))) },
		Uint8:    func(i int) float32 { return float32(t.Raw[i]) },
		Int8:     func(i int) float32 { return float32(int8(t.Raw[i])) },
		Bool:     func(i int) float32 { return float32(t.Raw[i]) },
		Uint16:   func(i int) float32 { return float32(le.Uint16(t.Raw[2*i:])) },
		Int16:    func(i int) float32 { return float32(int16(le.Uint16(t.Raw[2*i:]))) },
		Int32:    func(i int) float32 { return float32(int32(le.Uint32(t.Raw[4*i:]))) },
		Uint32:   func(i int) float32 { return float32(le.Uint32(t.Raw[4*i:])) },
		Int64:    func(i int) float32 { return float32(int64(le.Uint64(t.Raw[8*i:]))) },
		Uint64:   func(i int) float32 { return float32(le.Uint64(t.Raw[8*i:])) },
		Uint4:    func(i int) float32 { return float32(t.Raw[i/2] >> (4 * (i % 2)) & 15) },
		Int4:     func(i int) float32 { return float32(int8(t.Raw[i/2]>>(4*(i%2))<<4) >> 4) },
	}[t.DType]
	if get == nil {
		return nil, false
	}
	values = make([]float32, n)
	for i := range values {
		values[i] = get(i)
	}
	return values, true
}

// Ints gives the values of an integer tensor; ok is false for other types.
func (t Tensor) Ints() (values []int64, ok bool) {
	n := t.Len()
	if t.DType.IsFloat() || t.DType == String || len(t.Raw) < ByteSize(t.DType, n) {
		return nil, false
	}
	le := binary.LittleEndian
	values = make([]int64, n)
	for i := range values {
		switch t.DType {
		case Int64, Uint64:
			values[i] = int64(le.Uint64(t.Raw[8*i:]))
		case Int32:
			values[i] = int64(int32(le.Uint32(t.Raw[4*i:])))
		case Uint32:
			values[i] = int64(le.Uint32(t.Raw[4*i:]))
		case Uint16:
			values[i] = int64(le.Uint16(t.Raw[2*i:]))
		case Int16:
			values[i] = int64(int16(le.Uint16(t.Raw[2*i:])))
		case Uint8, Bool:
			values[i] = int64(t.Raw[i])
		case Int8:
			values[i] = int64(int8(t.Raw[i]))
		case Uint4:
			values[i] = int64(t.Raw[i/2] >> (4 * (i % 2)) & 15)
		case Int4:
			values[i] = int64(int8(t.Raw[i/2]>>(4*(i%2))<<4) >> 4)
		default:
			return nil, false
		}
	}
	return values, true
}

// LittleEndian gives the values as they stand in a file: a new slice for Float32, Raw itself else.
func (t Tensor) LittleEndian() []byte {
	if t.DType != Float32 {
		return t.Raw
	}
	raw := make([]byte, 4*len(t.F32))
	for i, v := range t.F32 {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return raw
}

// FromLittleEndian reads values as they stand in a file. The length must fit the shape exactly.
func FromLittleEndian(d DType, shape []int64, raw []byte) (Tensor, error) {
	n, err := Count(shape)
	if err != nil {
		return Tensor{}, err
	}
	if d.Bits() == 0 {
		return Tensor{}, fmt.Errorf("no fixed width for %s values", d)
	}
	if want := ByteSize(d, n); len(raw) != want {
		return Tensor{}, fmt.Errorf("%d bytes where %s%v has %d", len(raw), d, shape, want)
	}
	t := Tensor{DType: d, Shape: append([]int64(nil), shape...)}
	if d != Float32 {
		t.Raw = raw
		return t, nil
	}
	t.F32 = make([]float32, n)
	for i := range t.F32 {
		t.F32[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
	return t, nil
}
