package metric

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"quantcheck/internal/fixture"
)

func TestMetricsEqualNumPyAndScikitLearn(t *testing.T) {
	raw, err := os.ReadFile(fixture.Beside(t, "golden", "metrics.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name     string
		Ref, Got []float32
		Want     map[string]any
	}
	if err := json.Unmarshal(raw, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			pair, err := Measure(c.Ref, c.Got)
			if err != nil {
				t.Fatal(err)
			}
			values := pair.Values(0)
			for _, info := range All[:MeanSteps] {
				got := values[info.ID]
				switch want := c.Want[info.Key].(type) {
				case string:
					text := got.String()
					if text == "" && (want == "nan" || want == "undefined") || text == want {
						continue
					}
					t.Errorf("%s is %q, want %s", info.Key, text, want)
				case float64:
					if !got.OK || math.Abs(got.V-want) > 1e-6*math.Abs(want)+1e-12 {
						t.Errorf("%s is %s, want %v (off by %.2g)", info.Key, got, want, math.Abs(got.V-want)/math.Abs(want))
					}
				default:
					t.Errorf("%s: no expectation", info.Key)
				}
			}
		})
	}
	if len(cases) < 30 {
		t.Errorf("%d cases", len(cases))
	}
}

func drawPair(t *rapid.T) (x, y []float32) {
	n := rapid.IntRange(1, 3000).Draw(t, "n")
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
	scale := math.Pow(10, rapid.Float64Range(-12, 12).Draw(t, "scale"))
	shift := rapid.SampledFrom([]float64{0, 0, 1, 1000}).Draw(t, "shift") * scale
	noise := math.Pow(10, rapid.Float64Range(-8, 1).Draw(t, "noise"))
	x, y = make([]float32, n), make([]float32, n)
	for i := range x {
		v := rng.NormFloat64()*scale + shift
		if rng.IntN(4) == 0 {
			v = 0
		}
		x[i] = float32(v)
		y[i] = float32(v + rng.NormFloat64()*noise*scale)
	}
	return x, y
}

func TestVectorCodeEqualsTheOracle(t *testing.T) {
	t.Logf("vectorized: %v", Vectorized())
	rapid.Check(t, func(t *rapid.T) {
		x, y := drawPair(t)
		got, err := Measure(x, y)
		if err != nil {
			t.Fatal(err)
		}
		want := Pair{Moments: momentsExact(x, y)}
		want.RefBins = bins(x, want.MinX, want.MaxX)
		want.GotBins = bins(y, want.MinY, want.MaxY)
		if got.SameSign != want.SameSign || got.MaxD != want.MaxD || got.MinX != want.MinX || got.MaxX != want.MaxX ||
			got.MinY != want.MinY || got.MaxY != want.MaxY || got.RefBins != want.RefBins || got.GotBins != want.GotBins {
			t.Fatalf("exact sums differ:\n%+v\n%+v", got, want)
		}
		a, b := got.Values(0.5), want.Values(0.5)
		for i, info := range All {
			tolerance := 2e-6*math.Abs(b[i].V) + 1e-9
			switch info.ID {
			case SQNR:
				tolerance = 2e-5 // dB: 10·log10(1 + 5e-6)
			case CosSim, PearsonR:
				tolerance += 1e-7 // sums that cancel near 0
			}
			if a[i].OK != b[i].OK || a[i].OK && math.Abs(a[i].V-b[i].V) > tolerance {
				t.Fatalf("%s: %v, oracle %v", info.Key, a[i], b[i])
			}
		}
	})
}

func TestBordersAreCountedExactly(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x, _ := drawPair(t)
		lo, hi, bad := MinMax(x)
		exact := momentsExact(x, x)
		if lo != exact.MinX || hi != exact.MaxX || bad != 0 {
			t.Fatalf("range %g %g %d, want %g %g", lo, hi, bad, exact.MinX, exact.MaxX)
		}
		e := edges(lo, hi)
		var inner [Bins - 1]float32
		copy(inner[:], e[1:])
		if a, b := countAbove(x, &inner), countAboveExact(x, &inner); a != b {
			t.Fatalf("%v, want %v", a, b)
		}
		total := int64(0)
		for _, n := range bins(x, lo, hi) {
			total += n
		}
		if total != int64(len(x)) {
			t.Fatalf("%d of %d values counted", total, len(x))
		}
	})
}

func TestUndefinedIsSaidNotInvented(t *testing.T) {
	zeros, ones := make([]float32, 20), make([]float32, 20)
	for i := range ones {
		ones[i] = 1
	}
	of := func(x, y []float32) Values {
		t.Helper()
		p, err := Measure(x, y)
		if err != nil {
			t.Fatal(err)
		}
		return p.Values(0)
	}
	if v := of(zeros, zeros); v[CosSim].OK || v[PearsonR].OK || v[SQNR].String() != "inf" || v[MSE] != Defined(0) || v[MeanSteps].OK {
		t.Errorf("two zero tensors: %v", v)
	}
	if v := of(ones, zeros); v[CosSim] != Defined(0) || v[PearsonR].OK || v[SQNR] != Defined(0) {
		t.Errorf("one zero tensor: %v", v)
	}
	if v := of(zeros, ones); v[CosSim] != Defined(0) || v[SQNR].String() != "-inf" {
		t.Errorf("zero reference: %v", v)
	}
	bad := append([]float32(nil), ones...)
	bad[3], bad[19] = float32(math.NaN()), float32(math.Inf(1))
	var nf *NotFiniteError
	if _, err := Measure(ones, bad); !errors.As(err, &nf) || nf.Got != 2 || nf.Ref != 0 {
		t.Errorf("NaN and infinity: %v", err)
	}
	if lo, hi, n := MinMax(bad); lo != 1 || hi != 1 || n != 2 {
		t.Errorf("range of finite values: %g %g, %d bad", lo, hi, n)
	}
	text, err := json.Marshal([]Value{{}, Defined(math.Inf(1)), Defined(0.25)})
	if err != nil || string(text) != `[null,"inf",0.25]` {
		t.Errorf("JSON %s %v", text, err)
	}
}

func TestSummaryNamesTheWorstSample(t *testing.T) {
	at := func(cos, mse float64) *Values {
		v := Values{}
		v[CosSim], v[MSE] = Defined(cos), Defined(mse)
		v[SQNR] = Defined(math.Inf(1))
		return &v
	}
	s := Summarize([]*Values{at(0.9, 3), nil, at(0.5, 1), at(0.7, 8)})
	if s[CosSim].Worst != 2 || s[CosSim].Min.V != 0.5 || s[CosSim].Max.V != 0.9 || math.Abs(s[CosSim].Mean.V-0.7) > 1e-12 {
		t.Errorf("cosine %+v", s[CosSim])
	}
	if s[MSE].Worst != 3 || s[MSE].Mean.V != 4 || s[SQNR].Mean.String() != "inf" || s[DKL].Worst != -1 || s[DKL].Mean.OK {
		t.Errorf("%+v", s)
	}
}

func BenchmarkKernel(b *testing.B) {
	for _, n := range []int{1 << 14, 1 << 18, 1 << 24} {
		x, y := make([]float32, n), make([]float32, n)
		for i := range x {
			x[i] = float32(i%1000) - 500
			y[i] = x[i] + float32(i%7)*0.1
		}
		size := strconv.Itoa(n)
		b.Run("moments/"+size, func(b *testing.B) {
			b.SetBytes(int64(8 * n))
			for b.Loop() {
				moments(x, y)
			}
		})
		b.Run("all/"+size, func(b *testing.B) {
			b.SetBytes(int64(8 * n))
			for b.Loop() {
				_, _ = Measure(x, y)
			}
		})
		b.Run("minmax/"+size, func(b *testing.B) {
			b.SetBytes(int64(4 * n))
			for b.Loop() {
				MinMax(x)
			}
		})
	}
}

// BenchmarkMemoryRead is what the kernel is measured against: how fast one core reads memory and does next to nothing
// with it.
func BenchmarkMemoryRead(b *testing.B) {
	x := make([]float32, 1<<26)
	for i := range x {
		x[i] = float32(i % 3)
	}
	b.SetBytes(int64(4 * len(x)))
	for b.Loop() {
		extremes(x)
	}
}

func TestTheRegistryIsWhole(t *testing.T) {
	ranks, keys := map[int]bool{}, map[string]bool{}
	for i, m := range All {
		if int(m.ID) != i || m.of == nil || m.Title == "" || m.Formula == "" || m.Rank < 1 || ranks[m.Rank] || keys[m.Key] || !regexp.MustCompile(`^[A-Za-z]+$`).MatchString(m.Key) {
			t.Errorf("%d: %+v", i, m)
		}
		ranks[m.Rank], keys[m.Key] = true, true
	}
	if len(All) != Count {
		t.Errorf("%d metrics, %d entries", Count, len(All))
	}
}

func TestDecibelsAreAveragedAsPower(t *testing.T) {
	t.Parallel()
	sqnr := func(list ...float64) []*Values {
		var samples []*Values
		for _, v := range list {
			var values Values
			values[SQNR] = Defined(v)
			samples = append(samples, &values)
		}
		return append(samples, nil, &Values{}) // no values, and none of this metric
	}
	for name, c := range map[string]struct {
		samples []float64
		want    float64
	}{
		"one":                {[]float64{33}, 33},
		"alike":              {[]float64{40, 40, 40}, 40},
		"72 and 22":          {[]float64{72, 22}, 22 + 10*math.Log10(2)},
		"one without noise":  {[]float64{math.Inf(1), 30}, 30 + 10*math.Log10(2)},
		"none with noise":    {[]float64{math.Inf(1), math.Inf(1)}, math.Inf(1)},
		"one without signal": {[]float64{math.Inf(-1), 30}, math.Inf(-1)},
	} {
		got := PowerAverage(sqnr(c.samples...), SQNR)
		if !got.OK || got.V != c.want && math.Abs(got.V-c.want) > 1e-4 {
			t.Errorf("%s: %v, want %g", name, got, c.want)
		}
		if least := slices.Min(c.samples); got.V < least-1e-9 {
			t.Errorf("%s: %v is under the worst sample's %g", name, got, least)
		}
	}
	if PowerAverage(sqnr(), SQNR).OK {
		t.Error("an average of nothing")
	}
}
