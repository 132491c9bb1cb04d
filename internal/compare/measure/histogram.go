package measure

import (
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

const histogramBins = 40

// histogram counts the values of a layer in the float model and in the variant; nil if there are no finite ones.
func histogram(ref, got tensor.Tensor, e *result.Coding) *result.Histogram {
	x, _ := ref.AsFloat32()
	y, _ := got.AsFloat32()
	loX, hiX, _ := metric.MinMax(x)
	loY, hiY, _ := metric.MinMax(y)
	if loX > hiX || loY > hiY {
		return nil
	}
	h := &result.Histogram{Min: float64(min(loX, loY)), Max: float64(max(hiX, hiY))}
	h.Float, h.Variant = count(x, h.Min, h.Max), count(y, h.Min, h.Max)
	if e != nil {
		// Half a step beyond the ends is rounding, not clipping.
		lo, hi := float32(e.Min-e.Scale/2), float32(e.Max+e.Scale/2)
		clipped := 0
		if loX < lo || hiX > hi {
			for _, v := range x {
				if v < lo || v > hi {
					clipped++
				}
			}
		}
		h.Clipped = metric.Defined(float64(clipped) / float64(len(x)))
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
