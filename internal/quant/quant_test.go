package quant

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	"pgregory.net/rapid"

	"quantcheck/internal/fixture"
)

type goldenEncodings struct {
	Tensors map[string][]float64
	Cases   []struct {
		Tensor, Scheme string
		Bits           int
		Symmetric      bool
		Want           struct{ Min, Max, Scale, Offset float64 }
	}
}

func observe(values []float64) *Histogram {
	h := &Histogram{}
	f := make([]float32, len(values))
	lo, hi := float32(math.Inf(1)), float32(math.Inf(-1))
	for i, v := range values {
		f[i] = float32(v)
		lo, hi = min(lo, f[i]), max(hi, f[i])
	}
	h.Add(f, lo, hi)
	return h
}

// trueCost is the cost on the values themselves.
func trueCost(values []float64, e Encoding) float64 {
	sum := 0.0
	for _, x := range values {
		switch {
		case x < e.Min:
			sum += gamma * (x - e.Min) * (x - e.Min)
		case x > e.Max:
			sum += gamma * (x - e.Max) * (x - e.Max)
		default:
			sum += (x - e.Fake(x)) * (x - e.Fake(x))
		}
	}
	return sum / float64(len(values))
}

func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance*max(math.Abs(a), math.Abs(b))+1e-12
}

func TestEncodingsEqualAIMET(t *testing.T) {
	raw, err := os.ReadFile(fixture.Beside(t, "golden", "encodings.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden goldenEncodings
	if err := json.Unmarshal(raw, &golden); err != nil {
		t.Fatal(err)
	}
	compared := map[string]int{}
	for _, c := range golden.Cases {
		values := golden.Tensors[c.Tensor]
		h := observe(values)
		if h.Range.Max-h.Range.Min <= MinRange {
			continue // AIMET keeps narrower ranges than SNPE
		}
		want := Encoding{Bits: c.Bits, Scale: c.Want.Scale, Offset: int(c.Want.Offset), Min: c.Want.Min, Max: c.Want.Max}
		compared[c.Scheme]++
		switch c.Scheme {
		case "min_max":
			got := MinMax(h.Range, c.Bits, c.Symmetric)
			if got.Offset != want.Offset || !near(got.Scale, want.Scale, 1e-6) || !near(got.Min, want.Min, 1e-6) || !near(got.Max, want.Max, 1e-6) {
				t.Errorf("%s %d bit symmetric=%v: got %+v, want %+v", c.Tensor, c.Bits, c.Symmetric, got, c.Want)
			}
		default:
			got := Enhanced(h, c.Bits, c.Symmetric)
			same := got.Offset == want.Offset && near(got.Scale, want.Scale, 1e-6)
			if a, b := trueCost(values, got), trueCost(values, want); !same && a > 1.02*b {
				t.Errorf("%s %s %d bit symmetric=%v: cost %g, AIMET's %g (%.3f)\n got %+v\nwant %+v", c.Tensor, c.Scheme, c.Bits, c.Symmetric, a, b, a/b, got, c.Want)
			}
		}
	}
	if len(compared) != 2 {
		t.Errorf("schemes compared: %v", compared)
	}
	t.Logf("compared %v of %d cases", compared, len(golden.Cases))
}

func TestDocumentedExample(t *testing.T) {
	// Qualcomm's documentation, "Quantized vs Non-Quantized Models".
	e := MinMax(Range{Min: -1.8, Max: 0.5, Seen: true}, 8, false)
	if !near(e.Min, -1.803922, 1e-6) || !near(e.Max, 0.496078, 1e-6) || !near(e.Scale, 0.00901961, 1e-6) {
		t.Errorf("%+v", e)
	}
	for i, x := range []float64{-1.8, -1.0, 0, 0.5} {
		if got := e.Quantize(x); got != []int{0, 89, 200, 255}[i] {
			t.Errorf("quantize %g: %d", x, got)
		}
	}
}

func TestRangesThatAreNarrowOrOneSided(t *testing.T) {
	for name, c := range map[string]struct {
		lo, hi, min, max float64
	}{
		"all zero":     {0, 0, 0, 1e-4},
		"all positive": {3, 10, 0, 10},
		"all negative": {-10, -3, -10, 0},
		"tiny":         {0, 1e-9, 0, 1e-4},
	} {
		t.Run(name, func(t *testing.T) {
			e := MinMax(Range{Min: c.lo, Max: c.hi, Seen: true}, 8, false)
			if !near(e.Min, c.min, 1e-9) || !near(e.Max, c.max, 1e-9) || e.Fake(0) != 0 {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestEncodingProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Range{Seen: true}
		r.Min = rapid.Float64Range(-1e6, 1e6).Draw(t, "min")
		r.Max = r.Min + rapid.Float64Range(0, 1e6).Draw(t, "width")
		bits := rapid.SampledFrom([]int{4, 8, 16}).Draw(t, "bits")
		e := MinMax(r, bits, rapid.Bool().Draw(t, "symmetric"))
		if e.Fake(0) != 0 {
			t.Fatalf("zero becomes %g: %+v", e.Fake(0), e)
		}
		x := rapid.Float64Range(min(r.Min, 0), max(r.Max, 0)).Draw(t, "x")
		if d := math.Abs(e.Fake(x) - x); d > e.Scale*(1+1e-9) {
			t.Fatalf("%g moves by %g, a step is %g", x, d, e.Scale)
		}
		if q := e.Quantize(x); e.Quantize(e.Dequantize(q)) != q {
			t.Fatalf("%d is not on the grid of %+v", q, e)
		}
	})
}

func TestHistogramDoesNotDependOnOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	values := make([]float64, 3000)
	for i := range values {
		values[i] = rng.NormFloat64() * math.Pow(10, float64(i/1000-1))
	}
	whole := observe(values)
	parts := &Histogram{}
	for _, from := range []int{2000, 0, 1000} {
		parts.Merge(observe(values[from : from+1000]))
	}
	if whole.Count() != 3000 || parts.Count() != 3000 || parts.exp != whole.exp || parts.first != whole.first {
		t.Fatalf("%d, %d values, widths 2^%d 2^%d", whole.Count(), parts.Count(), whole.exp, parts.exp)
	}
	for i := range whole.counts {
		if whole.counts[i] != parts.counts[i] {
			t.Fatalf("bin %d: %d and %d", i, whole.counts[i], parts.counts[i])
		}
	}
}

func TestCalibratorsCutOutliers(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	values := make([]float64, 100000)
	for i := range values {
		values[i] = rng.NormFloat64()
	}
	values[7] = 1000
	h := observe(values)
	mse := func(e Encoding) float64 {
		sum := 0.0
		for _, x := range values {
			sum += (x - e.Fake(x)) * (x - e.Fake(x))
		}
		return sum
	}
	if e := Percentile(h, 8, false, 99.99); e.Max > 6 || e.Min < -6 {
		t.Errorf("percentile keeps [%g, %g]", e.Min, e.Max)
	}
	if e := Percentile(h, 8, false, 100); e != MinMax(h.Range, 8, false) {
		t.Errorf("percentile 100 is %+v", e)
	}
	if mse(MSE(h, 8, false)) > mse(MinMax(h.Range, 8, false)) || mse(MSE(h, 8, true)) > mse(MinMax(h.Range, 8, true)) {
		t.Error("the MSE calibrator is worse than min-max")
	}
}
