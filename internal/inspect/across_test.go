package inspect

import (
	"math"
	"testing"
)

// TestSpearman holds the rank correlation against values of scipy.stats.spearmanr.
func TestSpearman(t *testing.T) {
	for _, c := range []struct {
		x, y []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4, 5}, []float64{5, 6, 7, 8, 7}, 0.8207826816681233},
		{[]float64{1, 2, 3}, []float64{3, 2, 1}, -1},
		{[]float64{1, 1, 2, 2, 9}, []float64{1, 2, 1, 2, 3}, 5. / 9},
	} {
		if got := Spearman(c.x, c.y); !got.OK || math.Abs(got.V-c.want) > 1e-12 {
			t.Errorf("%v %v: %v, want %v", c.x, c.y, got, c.want)
		}
	}
	for _, x := range [][]float64{{}, {1, 2}, {3, 3, 3}} {
		if got := Spearman(x, x); got.OK {
			t.Errorf("%v: %v", x, got)
		}
	}
}

func TestKurtosis(t *testing.T) {
	// A uniform distribution over n points has −6(n²+1)/(5(n²−1)).
	bins := []int{4, 4, 4, 4, 4}
	if got := kurtosis(bins); !got.OK || math.Abs(got.V+6.*26/(5*24)) > 1e-12 {
		t.Errorf("%v", got)
	}
	if got := kurtosis([]int{0, 9, 0}); got.OK {
		t.Errorf("a constant: %v", got)
	}
}
