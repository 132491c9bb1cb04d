package qnnworker

import (
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/tensor"
)

func of(d dlc.DType, scale float32, offset int32, n int) *dlc.Tensor {
	t := &dlc.Tensor{Name: "x", DType: d, Shape: []int{n}}
	if scale > 0 {
		t.Encoding = &dlc.Encoding{Bits: d.Bits(), Axis: -1, Scale: []float32{scale}, Offset: []int32{offset}}
	}
	return t
}

func TestNumbersAreEncodedAndDecoded(t *testing.T) {
	for what, row := range map[string]struct {
		t    *dlc.Tensor
		in   []float32
		raw  []byte
		back []float32
	}{
		"8 bit, ties to even, clamped": {of(0x408, 0.5, -2, 6), []float32{0.25, 0.75, -1, -5, 500, float32(math.NaN())}, []byte{2, 4, 0, 0, 255, 0}, []float32{0, 1, -1, -1, 126.5, -1}},
		"signed 8 bit":                 {of(0x308, 1, 0, 3), []float32{-200, 1.5, 200}, []byte{0x80, 2, 0x7f}, []float32{-128, 2, 127}},
		"16 bit":                       {of(0x416, 0.25, -32768, 2), []float32{0, 1}, []byte{0, 0x80, 4, 0x80}, []float32{0, 1}},
		"half":                         {of(0x216, 0, 0, 2), []float32{1, 65536}, []byte{0, 0x3c, 0, 0x7c}, []float32{1, float32(math.Inf(1))}},
		"integers":                     {of(0x032, 0, 0, 2), []float32{-3, 70000}, []byte{0xfd, 0xff, 0xff, 0xff, 0x70, 0x11, 1, 0}, []float32{-3, 70000}},
		"booleans":                     {of(0x508, 0, 0, 2), []float32{1, 0}, []byte{1, 0}, []float32{1, 0}},
	} {
		raw, err := Encode(row.t, tensor.Floats(row.in, int64(len(row.in))))
		if err != nil || !slices.Equal(raw, row.raw) {
			t.Errorf("%s: %v %v", what, raw, err)
			continue
		}
		back, err := Decode(row.t, raw)
		if err != nil || !slices.Equal(back.F32, row.back) {
			t.Errorf("%s: back %v %v", what, back.F32, err)
		}
	}
	wide := of(0x332, 0.5, 0, 1) // a bias: not to be taken for float32
	if got, err := Decode(wide, binary.LittleEndian.AppendUint32(nil, 7)); err != nil || got.F32[0] != 3.5 {
		t.Errorf("%v %v", got, err)
	}
}

func TestWhatCannotBeEncodedIsSaid(t *testing.T) {
	for says, row := range map[string]struct {
		t *dlc.Tensor
		v float32
	}{
		"without an encoding": {of(0x408, 0, 0, 1), 1}, "2 numbers": {of(0x232, 0, 0, 1), 1},
		"no integer": {of(0x032, 0, 0, 1), 1.5}, "does not fit": {of(0x108, 0, 0, 1), 256},
	} {
		values := []float32{row.v}
		if says == "2 numbers" {
			values = append(values, 1)
		}
		if _, err := Encode(row.t, tensor.Floats(values, int64(len(values)))); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if _, err := Decode(of(0x408, 0, 0, 1), []byte{1}); err == nil {
		t.Error("integers without an encoding became numbers")
	}
	if _, err := Decode(of(0x232, 0, 0, 2), make([]byte, 4)); err == nil {
		t.Error("too few bytes")
	}
}
