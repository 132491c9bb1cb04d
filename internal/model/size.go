package model

import (
	"os"

	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

// WeightBytes is what a model's constants take: those with an encoding at its width, floats at floatBits, or at their own
// width if that is 0.
func WeightBytes(m *onnx.Model, params []result.Param, floatBits int) int64 {
	width := map[string]int{}
	for _, p := range params {
		width[p.Tensor] = p.Encodings[0].Bits
	}
	bits := int64(0)
	for _, t := range m.Graph().GetInitializer() {
		n, err := tensor.Count(t.GetDims())
		if err != nil {
			continue
		}
		d := tensor.DType(t.GetDataType())
		w := d.Bits()
		if coded, ok := width[t.GetName()]; ok {
			w = coded
		} else if d.IsFloat() && floatBits > 0 {
			w = floatBits
		}
		bits += int64(n) * int64(w)
	}
	return (bits + 7) / 8
}

// FileBytes is a file's size, 0 if it is gone.
func FileBytes(path string) int64 {
	info, err := os.Stat(path)
	if err != nil {
		return 0
	}
	return info.Size()
}
