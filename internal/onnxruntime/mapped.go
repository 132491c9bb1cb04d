package onnxruntime

import (
	"unsafe"

	"quantcheck/internal/tensor"
)

// Mapped gives bytes of foreign memory, such as a mapped file, as float32 values, with the capacity of the bytes.
func Mapped(memory []byte) []float32 {
	if cap(memory) < 4 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(unsafe.SliceData(memory))), cap(memory)/4)[:len(memory)/4]
}

// Bytes gives a tensor's values as the bytes they are in memory.
func Bytes(t tensor.Tensor) []byte {
	if t.DType != tensor.Float32 {
		return t.Raw
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(t.F32))), 4*len(t.F32))
}

// Offset says where bytes lie within a piece of memory; ok is false if they do not lie there whole.
func Offset(memory, bytes []byte) (at int, ok bool) {
	base, from := uintptr(unsafe.Pointer(unsafe.SliceData(memory))), uintptr(unsafe.Pointer(unsafe.SliceData(bytes)))
	if from < base || from-base > uintptr(len(memory)) || uintptr(len(bytes)) > uintptr(len(memory))-(from-base) {
		return 0, false
	}
	return int(from - base), true
}
