package calib

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"quantcheck/internal/resume"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// observations are tensors of growing range, some with zeros and values that are not finite.
func observations(n int) []tensor.Tensor {
	r := rand.New(rand.NewPCG(1, 9))
	var list []tensor.Tensor
	for i := range n {
		v := make([]float32, 700)
		for k := range v {
			v[k] = float32(r.NormFloat64() * math.Pow(3, float64(i%7)))
			if k%50 == 0 {
				v[k] = 0
			}
		}
		v[i%700] = float32(math.Inf(1))
		list = append(list, tensor.Floats(v, 700))
	}
	return list
}

func observe(s *Statistics, list []tensor.Tensor) {
	for i, t := range list {
		s.Observe("a", t)
		s.Observe([]string{"b", "c"}[i%2], t)
		s.ObserveGated("a", t, tensor.Floats(make([]float32, 700), 700))
		s.ObserveGated("b", t, t)
	}
}

func TestStatisticsGoOnWhereOthersWere(t *testing.T) {
	t.Parallel()
	list := observations(12)
	for _, histograms := range []bool{false, true} {
		whole := NewStatistics(histograms)
		observe(whole, list)
		want := resume.NewWriter()
		whole.Code(want)
		for from := range len(list) / 2 {
			from *= 2
			first := NewStatistics(histograms)
			observe(first, list[:from])
			w := resume.NewWriter()
			first.Code(w)
			again := NewStatistics(histograms)
			r := resume.NewReader(w.Data())
			if again.Code(r); r.Close() != nil {
				t.Fatalf("from %d: %v", from, r.Err())
			}
			observe(again, list[from:])
			got := resume.NewWriter()
			if again.Code(got); !bytes.Equal(got.Data(), want.Data()) {
				t.Errorf("histograms %v, from %d: other statistics", histograms, from)
			}
			for _, c := range []variant.Calibrator{variant.TF, variant.MSE, variant.Enhanced, variant.MSEOut} {
				v := variant.Spec{ActBits: 8, Calibrator: c}
				if a, _ := whole.Activation("a", v); histograms || c == variant.TF {
					if b, ok := again.Activation("a", v); !ok || a != b {
						t.Errorf("from %d: %v: %v, want %v", from, c, b, a)
					}
				}
			}
		}
		other := NewStatistics(!histograms)
		r := resume.NewReader(want.Data())
		if other.Code(r); r.Close() == nil {
			t.Error("statistics of other calibrators are taken")
		}
	}
}

// What was read of any bytes can be added to and encoded.
func FuzzStatistics(f *testing.F) {
	list := observations(4)
	for _, n := range []int{0, 1, 3} {
		s := NewStatistics(true)
		observe(s, list[:n])
		w := resume.NewWriter()
		s.Code(w)
		f.Add(w.Data())
	}
	f.Fuzz(func(_ *testing.T, data []byte) {
		s := NewStatistics(true)
		r := resume.NewReader(data)
		if s.Code(r); r.Close() != nil {
			return
		}
		observe(s, list[:1])
		for _, c := range []variant.Calibrator{variant.TF, variant.Percentile} {
			s.Activation("a", variant.Spec{ActBits: 8, Calibrator: c, Percentile: 99})
		}
	})
}
