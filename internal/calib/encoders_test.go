package calib

import (
	"math/rand/v2"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/variant"
)

// A calibrator that is listed is computed, and says what it needs: with less it gives what the range alone gives.
func TestEveryCalibratorIsComputed(t *testing.T) {
	if len(encoders) != len(variant.Calibrators) {
		t.Errorf("%d calibrators are listed, %d computed", len(variant.Calibrators), len(encoders))
	}
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 4096)
	for i := range values {
		values[i] = float32(r.NormFloat64()) // with 4 bits, tails are better cut off
	}
	lo, hi, _ := metric.MinMax(values)
	var h quant.Histogram
	h.Add(values, lo, hi)
	for _, c := range variant.Calibrators {
		if encoders[c.Name] == nil {
			t.Errorf("%s is not computed", c.Name)
			continue
		}
		if e := encode(&h, 4, false, c.Name, 99); (e != quant.MinMax(h.Range, 4, false)) != c.Histogram {
			t.Errorf("%s says that it needs a histogram: %t, and gives %+v", c.Name, c.Histogram, e)
		}
	}
}
