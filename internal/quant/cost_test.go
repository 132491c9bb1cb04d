package quant

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// plainCost is the definition of a cost, bin by bin.
func plainCost(c *cost, e Encoding, weight float64) float64 {
	rounding, saturation := 0.0, 0.0
	for i, x := range c.centre {
		switch {
		case x < e.Min:
			saturation += c.count[i] * (e.Min - x) * (e.Min - x)
		case x > e.Max:
			saturation += c.count[i] * (x - e.Max) * (x - e.Max)
		case e.Scale <= 4*c.width:
			rounding += c.count[i] * e.Scale * e.Scale / 12
		default:
			q := min(max(math.RoundToEven(x*(1/e.Scale)), float64(e.Offset)), float64(Levels(e.Bits)+e.Offset))
			d := x - q*e.Scale
			rounding += c.count[i] * d * d
		}
	}
	return (rounding + weight*saturation) / c.total
}

// shapes are values that histograms may meet: few, many, all alike, at steps, far apart, tiny.
var shapes = map[string]func(r *rand.Rand) []float32{
	"few":      func(r *rand.Rand) []float32 { return draw(1+r.IntN(9), func() float64 { return r.NormFloat64() }) },
	"many":     func(r *rand.Rand) []float32 { return draw(9000, func() float64 { return r.NormFloat64() + 1 }) },
	"alike":    func(*rand.Rand) []float32 { return draw(5, func() float64 { return 3 }) },
	"positive": func(r *rand.Rand) []float32 { return draw(5000, func() float64 { return math.Abs(r.NormFloat64()) }) },
	"negative": func(r *rand.Rand) []float32 { return draw(500, func() float64 { return -math.Exp(r.NormFloat64()) }) },
	"at steps": func(r *rand.Rand) []float32 { return draw(400, func() float64 { return float64(r.IntN(17)-8) / 2 }) },
	"far": func(r *rand.Rand) []float32 {
		return draw(6000, func() float64 { return math.Exp(6 * r.NormFloat64()) })
	},
	"huge": func(r *rand.Rand) []float32 { return draw(60, func() float64 { return 1e38 * r.NormFloat64() }) },
	"tiny": func(r *rand.Rand) []float32 { return draw(60, func() float64 { return 1e-30 * r.NormFloat64() }) },
}

func counted(list []float32) *Histogram {
	h := &Histogram{}
	h.Add(list, slices.Min(list), slices.Max(list))
	return h
}

func draw(n int, one func() float64) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(one())
	}
	return list
}

func TestACostIsThatOfItsDefinition(t *testing.T) {
	t.Parallel()
	for name, values := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(7, 11))
			for range 12 {
				list := values(r)
				h := counted(list)
				lo, hi := h.Range.Min, h.Range.Max
				c := newCost(h)
				for n := range 60 {
					e := MinMax(Range{Min: lo * r.Float64() * 1.1, Max: hi * r.Float64() * 1.1, Seen: true}, []int{4, 8, 16}[n%3], n%4 == 0)
					for _, weight := range []float64{1, gamma} {
						if got, want := c.of(e, weight, math.Inf(1)), plainCost(c, e, weight); got != want {
							t.Fatalf("%+v, weight %v: %v, not %v", e, weight, got, want)
						}
					}
					for _, x := range []float64{e.Min, e.Max, float64(list[r.IntN(len(list))])} {
						less, most := 0, 0
						for _, v := range c.centre {
							if v < x {
								less++
							}
							if v <= x {
								most++
							}
						}
						if a, b := c.search(x), c.behind(x); a != less || b != most {
							t.Fatalf("%v: %d less and %d not greater, not %d and %d", x, a, b, less, most)
						}
					}
				}
			}
		})
	}
}

// plainMSE is MSE without anything left out.
func plainMSE(h *Histogram, bits int) Encoding {
	const steps = 128
	best, c := MinMax(h.Range, bits, false), newCost(h)
	lo, hi := h.Range.widened()
	near, least := Range{Min: lo, Max: hi, Seen: true}, math.Inf(1)
	for i := range steps {
		for j := range steps {
			r := Range{Min: lo * float64(steps-i) / steps, Max: hi * float64(steps-j) / steps, Seen: true}
			if cost := c.uniform(MinMax(r, bits, false)); cost < least {
				near, least = r, cost
			}
		}
	}
	least = plainCost(c, best, 1)
	for i := -8; i <= 8; i++ {
		for j := -8; j <= 8; j++ {
			e := MinMax(Range{Min: max(near.Min+lo*float64(i)/(4*steps), lo), Max: min(near.Max+hi*float64(j)/(4*steps), hi), Seen: true}, bits, false)
			if cost := plainCost(c, e, 1); cost < least {
				best, least = e, cost
			}
		}
	}
	return best
}

func TestWhatASearchLeavesOutCannotWin(t *testing.T) {
	t.Parallel()
	for name, values := range shapes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(13, 17))
			for n := range 9 {
				h := counted(values(r))
				bits := []int{8, 8, 4, 16}[n%4]
				if got, want := MSE(h, bits, false), plainMSE(h, bits); got != want {
					t.Fatalf("%d bits: %+v, not %+v", bits, got, want)
				}
			}
		})
	}
}
