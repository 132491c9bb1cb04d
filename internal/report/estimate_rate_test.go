package report

import (
	"strings"
	"testing"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
)

func TestRateBound(t *testing.T) {
	t.Parallel()
	for us, want := range map[int64]string{
		2: "500,000 inferences a second", 2000: "500 inferences a second", 150_000: "6.7 inferences a second",
		1_000_000: "1.0 inferences a second", 2_400_000: "25.0 inferences a minute", 600_000_000: "0.1 inferences a minute",
	} {
		if got := RateBound(us); got != "at most "+want {
			t.Errorf("%d µs: %s, want %s", us, got, want)
		}
	}
}

func TestAnEstimateOfLittleOfAGraphSaysNoRate(t *testing.T) {
	t.Parallel()
	x := &result.Estimated{Variant: "w8a8", Covered: 0.01, Estimate: &htpcost.Estimate{Figures: htpcost.Figures{Microseconds: 2, Cycles: 3000}}}
	if s := EstimateVerdict(x); strings.Contains(s, "a second") || !strings.Contains(s, "1.0 % of the model's operators") {
		t.Error(s)
	}
}
