package measure

import (
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

const histogramBins = 40

// histogram counts the values of a layer in the float model and in the variant, of which none need be finite; nil if float has no finite ones.
func histogram(ref, got tensor.Tensor, e *result.Coding) *result.Histogram {
	x, _ := ref.AsFloat32()
	y, _ := got.AsFloat32()
	loX, hiX, _ := metric.MinMax(x)
	loY, hiY, _ := metric.MinMax(y)
	if loX > hiX {
		return nil
	}
	if loY > hiY {
		loY, hiY = loX, hiX
	}
	h := &result.Histogram{Min: float64(min(loX, loY)), Max: float64(max(hiX, hiY))}
	h.Float, h.Variant = count(x, h.Min, h.Max), count(y, h.Min, h.Max)
	if e != nil {
		h.Clipped = metric.Defined(clipped(x, float64(loX), float64(hiX), e))
	}
	return h
}

// count puts values into equal bins over [lo, hi]; values that are not finite are left out.
func count(x []float32, lo, hi float64) []int {
	bins := make([]int, histogramBins)
	if hi <= lo {
		bins[histogramBins/2] = len(x)
		return bins
	}
	scale, from := float32(histogramBins/(hi-lo)), float32(lo)
	for _, v := range x {
		if i := int((v - from) * scale); v-v == 0 && i >= 0 {
			bins[min(i, histogramBins-1)]++
		}
	}
	return bins
}

// clipped is the share of the values, which lie between least and greatest, that are outside of an encoding. Half a step beyond its ends is
// rounding, not clipping.
func clipped(x []float32, least, greatest float64, e *result.Coding) float64 {
	low, high := e.Min-e.Scale/2, e.Max+e.Scale/2
	if least >= low && greatest <= high || len(x) == 0 {
		return 0
	}
	n, lo, hi := 0, float32(low), float32(high)
	for _, v := range x {
		if v < lo || v > hi {
			n++
		}
	}
	return float64(n) / float64(len(x))
}

// concludeClipped says of each layer how much of its float values lies outside of its encoding, over so many samples.
func (v *compared) concludeClipped(samples int) {
	for k := range v.Result.Layers {
		l := &v.Result.Layers[k]
		if l.Encoding == nil || !l.HasMetrics() || samples == 0 {
			continue
		}
		c := result.Clipping{Worst: -1}
		for n, share := range v.clipped[k][:samples] {
			c.Share += share / float64(samples)
			if share > c.Most {
				c.Most, c.Worst = share, n
			}
		}
		if c.Worst >= 0 {
			l.Clipped = &c
		}
	}
}
