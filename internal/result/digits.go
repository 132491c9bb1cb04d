package result

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/metric"
)

// ThreadBound is by how much the mean of a metric at a model's output may move when the same request is computed with another number
// of threads, as measured (docs/metrics.md); ok is false for metrics of which that is not known. ONNX Runtime divides the work of a
// convolution by the number of threads, and sums of single precision depend on how they are divided.
func ThreadBound(id metric.ID) (bound float64, ok bool) {
	switch id {
	case metric.SQNR:
		return 0.01, true // dB
	case metric.CosSim:
		return 1e-4, true
	}
	return 0, false
}

// NearThreshold goes behind a sentence that says that a metric at a model's output misses a threshold: that another number of threads may
// turn it around, where the metric misses it by no more than that moves it; else "".
func NearThreshold(id metric.ID, misses float64) string {
	if bound, ok := ThreadBound(id); ok && misses <= bound {
		return fmt.Sprintf(", by %.2g, which another number of threads may turn around", misses)
	}
	return ""
}

// OtherThreads says of results that stand side by side that they were computed with different numbers of threads, and how far that
// moves them; "" if they were not. A number of 0 is not known and does not count.
func OtherThreads(threads []int) string {
	list := slices.Clone(threads)
	slices.Sort(list)
	list = slices.DeleteFunc(slices.Compact(list), func(n int) bool { return n <= 0 })
	if len(list) < 2 {
		return ""
	}
	var texts []string
	for _, n := range list {
		texts = append(texts, strconv.Itoa(n))
	}
	last := len(texts) - 1
	sqnr, _ := ThreadBound(metric.SQNR)
	cos, _ := ThreadBound(metric.CosSim)
	return fmt.Sprintf("These results were computed with %s and %s threads: differences of up to %g dB of SQNR or %g of cosine at an output may come from that (docs/metrics.md); --threads makes them equal",
		strings.Join(texts[:last], ", "), texts[last], sqnr, cos)
}
