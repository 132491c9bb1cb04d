package trial

import (
	"math"
	"testing"
)

func TestTheJackknifesErrorIsThatOfAMean(t *testing.T) {
	t.Parallel()
	// Of a mean the delete-one jackknife is the standard error: 1, 2, 3, 4 have 0.6455.
	list := []float64{9.0 / 3, 8.0 / 3, 7.0 / 3, 6.0 / 3}
	if got := jackknife(list); math.Abs(got.V-0.6454972) > 1e-6 {
		t.Errorf("%v", got)
	}
	if got := jackknife([]float64{1}); got.OK {
		t.Errorf("one group has an error of %v", got)
	}
}
