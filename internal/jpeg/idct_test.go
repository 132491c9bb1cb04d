package jpeg

import (
	"math"
	"math/rand/v2"
	"testing"
)

// slowInverse is the inverse DCT by its definition (T.81, A.3.3).
func slowInverse(in *[64]int16) (out [64]float64) {
	scale := func(k int) float64 {
		if k == 0 {
			return math.Sqrt2 / 4
		}
		return 0.5
	}
	for i := range out {
		for k, c := range in {
			u, v := k%8, k/8
			out[i] += scale(u) * scale(v) * float64(c) *
				math.Cos(float64((2*(i%8)+1)*u)*math.Pi/16) * math.Cos(float64((2*(i/8)+1)*v)*math.Pi/16)
		}
		out[i] = min(max(out[i]+128, 0), 255)
	}
	return out
}

// sparse makes a block whose coefficients lie among the first of the zigzag sequence.
func sparse(r *rand.Rand, among, magnitude int) (block [64]int16, mask uint64) {
	block[0], mask = int16(r.IntN(1600)-800), 1
	for k := 1; k < among; k++ {
		if r.IntN(3) > 0 {
			place := natural[k]
			block[place] = int16(r.IntN(2*magnitude+1) - magnitude)
			mask |= 1 << place
		}
	}
	return block, mask
}

func TestInverseIsTheDCTToOneStep(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	worst := 0.0
	for i := range 4000 {
		block, mask := sparse(r, 1+i%64, 1+i%97)
		want := slowInverse(&block)
		var out [64]uint8
		inverse(&block, mask, out[:], 8)
		for j := range out {
			worst = max(worst, math.Abs(float64(out[j])-want[j]))
		}
		if block != [64]int16{} {
			t.Fatal("the block is not zero afterwards")
		}
	}
	if worst > 1 {
		t.Errorf("up to %.3f away", worst)
	}
}

func TestShortcutsChangeNoSample(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 20000 {
		block, mask := sparse(r, 1+i%64, 1+i%300)
		if i%3 == 0 { // a line of coefficients only
			keep := []uint64{0x0101010101010101, 0xff, 0x0f0f0f0f, 0x0f0f0f0f0f0f0f0f}[i/3%4]
			mask &= keep
			for k := range block {
				if keep>>k&1 == 0 {
					block[k] = 0
				}
			}
		}
		full := block
		var a, b [64]uint8
		inverse(&block, mask, a[:], 8)
		inverse(&full, math.MaxUint64, b[:], 8)
		if a != b {
			t.Fatalf("mask %x: %v and %v", mask, a, b)
		}
	}
}
