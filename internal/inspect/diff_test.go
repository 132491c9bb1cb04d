package inspect

import (
	"testing"

	"quantcheck/internal/quant"
)

// An encoding of 32 bits has more steps than float32 has digits; one of 16 bits has not.
func TestWhatFloat32DoesNotTellApartIsEqual(t *testing.T) {
	encoding := func(bits int, most float64) quant.Encoding {
		scale := most / float64(int64(1)<<(bits-1)-1)
		return quant.Encoding{Bits: bits, Symmetric: true, Min: -most, Max: most, Scale: scale}
	}
	for _, c := range []struct {
		bits int
		want Kind
	}{{32, Equal}, {16, Narrowed}} {
		asked, held := encoding(c.bits, 14575), encoding(c.bits, 14575)
		held.Max -= asked.Scale * map[int]float64{32: 144, 16: 1}[c.bits]
		if kind, steps := grid(asked, held); kind != c.want {
			t.Errorf("%d bits: %s, %g steps", c.bits, kind, steps)
		}
	}
}
