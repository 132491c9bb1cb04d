package quant_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// TestAGridIsItsEncoding holds the vectors' way against the single value's.
func TestAGridIsItsEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]int{8, 16}).Draw(t, "bits")
		signed := rapid.Bool().Draw(t, "signed")
		d := map[int][2]tensor.DType{8: {tensor.Uint8, tensor.Int8}, 16: {tensor.Uint16, tensor.Int16}}[bits][map[bool]int{true: 1}[signed]]
		scale := float32(math.Pow(2, float64(rapid.IntRange(-12, 3).Draw(t, "scale")))) // exact, so that both divide alike
		e := quant.FromScale(bits, false, float64(scale), -rapid.IntRange(0, quant.Levels(bits)).Draw(t, "offset"))
		g := quant.Grid{DType: d, Scale: scale, Zero: int32(e.ZeroPoint(signed))}
		x := rapid.SliceOfN(rapid.Float32Range(-1e6, 1e6), 1, 50).Draw(t, "x")
		raw := make([]byte, len(x)*bits/8)
		g.Quantize(raw, x)
		y := make([]float32, len(x))
		g.Dequantize(y, raw)
		for i := range x {
			if want := e.Fake(float64(x[i])); float64(y[i]) != want {
				t.Fatalf("%g becomes %g, want %g", x[i], y[i], want)
			}
		}
	})
}

func TestAGridTakesWhatIsNoNumber(t *testing.T) {
	g := quant.Grid{DType: tensor.Uint8, Scale: 1, Zero: 3}
	raw := make([]byte, 3)
	g.Quantize(raw, []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))})
	if raw[0] != 0 || raw[1] != 255 || raw[2] != 0 {
		t.Errorf("%v", raw)
	}
	if (quant.Grid{DType: tensor.Float32, Scale: 1}).Known() || (quant.Grid{DType: tensor.Uint8}).Known() {
		t.Error("no grid is known as one")
	}
}
