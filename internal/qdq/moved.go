package qdq

import (
	"math"

	"quantcheck/internal/tensor"
)

// OnGrid quantizes and dequantizes a constant as given, in single precision; operator is the axis of the channels in the operator that takes the
// constant, −1 if it has none.
func (g Given) OnGrid(values tensor.Tensor, operator int) (tensor.Tensor, error) {
	axis, err := g.AxisIn(values.Shape, operator)
	if err != nil {
		return tensor.Tensor{}, err
	}
	inner := inner(values.Shape, axis)
	return g.fake(values, func(i int) int { return i / inner % len(g.Encodings) }), nil
}

// Moved counts the values of a constant that OnGrid changes. Integers of more than 24 bits are not told apart in single precision: of those of
// 32 bits, a change of the last place does not count.
func (g Given) Moved(values tensor.Tensor, operator int) (int, error) {
	on, err := g.OnGrid(values, operator)
	if err != nil {
		return 0, err
	}
	moved := 0
	for i, v := range values.F32 {
		w := on.F32[i]
		if v == w || g.Bits == 32 && math.Abs(float64(v-w)) <= math.Abs(float64(v))*0x1p-22 {
			continue
		}
		moved++
	}
	return moved, nil
}
