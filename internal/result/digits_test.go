package result

import (
	"math"
	"strings"
	"testing"

	"quantcheck/internal/metric"
)

func TestResultsOfOtherThreadCountsAreSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		threads []int
		has     string
	}{
		{nil, ""}, {[]int{4}, ""}, {[]int{4, 4, 4}, ""}, {[]int{0, 4}, ""}, {[]int{8, 2, 8}, "with 2 and 8 threads"}, {[]int{16, 2, 4}, "with 2, 4 and 16 threads"},
	} {
		got := OtherThreads(c.threads)
		if (got == "") != (c.has == "") || !strings.Contains(got, c.has) {
			t.Errorf("%v: %q", c.threads, got)
		}
	}
}

func TestAThresholdThatIsMissedByLittleIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		id     metric.ID
		misses float64
		near   bool
	}{
		{metric.SQNR, 0.009, true}, {metric.SQNR, 0.011, false}, {metric.CosSim, 0.00009, true}, {metric.CosSim, 0.001, false}, {metric.MSE, 0, false}, {metric.SQNR, math.NaN(), false}, {metric.SQNR, math.Inf(1), false},
	} {
		if got := NearThreshold(c.id, c.misses); strings.Contains(got, "threads may turn around") != c.near || (got == "") == c.near {
			t.Errorf("%v: %q", c, got)
		}
	}
}
