package qdq

import (
	"testing"

	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

func TestOnlyValuesOffTheGridMove(t *testing.T) {
	steps := func(bits int, scales ...float64) []quant.Encoding {
		var list []quant.Encoding
		for _, s := range scales {
			list = append(list, quant.FromScale(bits, true, s, -1<<(bits-1)))
		}
		return list
	}
	for name, c := range map[string]struct {
		given  Given
		values []float32
		moved  int
	}{
		"on the grid":         {Given{Bits: 4, Encodings: steps(4, 0.1), Axis: -1}, []float32{float32(0.1) * 7, float32(0.1) * -8, 0, float32(0.1) * 3}, 0},
		"beside and beyond":   {Given{Bits: 4, Encodings: steps(4, 0.1), Axis: -1}, []float32{float32(0.1) * 8, 0.11, 0, float32(0.1) * 3}, 2},
		"by channels":         {Given{Bits: 8, Encodings: steps(8, 0.5, 0.25), Axis: -1}, []float32{0.5, -1.5, 0.25, 0.75}, 0},
		"by another's":        {Given{Bits: 8, Encodings: steps(8, 0.25, 0.5), Axis: -1}, []float32{0.5, -1.5, 0.25, 0.75}, 2},
		"more than 24 bits":   {Given{Bits: 32, Encodings: steps(32, 1e-7), Axis: -1}, []float32{100.00001, -3.3, 1e-7, 0}, 0},
		"too many for a bias": {Given{Bits: 32, Encodings: steps(32, 1e-7), Axis: -1}, []float32{1000, 0, 0, 0}, 1},
	} {
		n, err := c.given.Moved(tensor.Floats(c.values, 2, 2), 0)
		if err != nil || n != c.moved {
			t.Errorf("%s: %d move, want %d (%v)", name, n, c.moved, err)
		}
	}
	if _, err := (Given{Bits: 8, Encodings: steps(8, 1, 1, 1), Axis: -1}).Moved(tensor.Floats(make([]float32, 4), 2, 2), 0); err == nil {
		t.Error("three encodings were taken for two channels")
	}
}
