package quant

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A search leaves a candidate as soon as it cannot be the best: what it decides must not depend on that.
func TestACandidateThatIsLeftIsNotUnderTheLimit(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 5))
	left := 0
	for n := range 60 {
		var h Histogram
		values := make([]float32, 20+r.IntN(4000))
		for i := range values {
			values[i] = float32(r.NormFloat64() * math.Exp(4*r.NormFloat64()/3))
		}
		lo, hi := values[0], values[0]
		for _, v := range values {
			lo, hi = min(lo, v), max(hi, v)
		}
		h.Add(values, lo, hi)
		c := newCost(&h)
		after := newAfterActivation(c, func(x float64) float64 { return x / (1 + math.Exp(-x)) })
		for range 40 {
			bits := []int{4, 8, 16}[r.IntN(3)]
			e := MinMax(Range{Min: float64(lo) * r.Float64(), Max: float64(hi) * r.Float64(), Seen: true}, bits, n%4 == 0)
			for name, of := range map[string]func(limit float64) float64{
				"after": func(limit float64) float64 { return after.of(e, limit) },
				"mse":   func(limit float64) float64 { return c.of(e, 1, limit) },
				"gamma": func(limit float64) float64 { return c.of(e, gamma, limit) },
			} {
				whole := of(math.Inf(1))
				limit := whole * 2 * r.Float64()
				switch got := of(limit); {
				case whole < limit && got != whole:
					t.Fatalf("%s: %v is under the limit %v, and %v is said", name, whole, limit, got)
				case whole >= limit && got < limit:
					t.Fatalf("%s: %v is not under the limit %v, but %v is said", name, whole, limit, got)
				case got != whole:
					left++
				}
			}
		}
	}
	if left == 0 {
		t.Error("no candidate was left early")
	}
}
