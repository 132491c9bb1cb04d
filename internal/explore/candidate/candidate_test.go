package candidate

import (
	"testing"

	"quantcheck/internal/metric"
)

func TestTheShareOfFloatsScoreIsMoreWhereItIsBetter(t *testing.T) {
	t.Parallel()
	v := metric.Defined
	for _, tt := range []struct {
		name   string
		p      Pair
		higher bool
		want   metric.Value
	}{
		{"half of the score", Pair{v(0.4), v(0.2)}, true, v(0.5)},
		{"twice the error", Pair{v(0.4), v(0.8)}, false, v(0.5)},
		{"float scores nothing", Pair{v(0), v(0.2)}, true, metric.Value{}},
		{"no score", Pair{v(0.4), metric.Value{}}, true, metric.Value{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.p.Share(tt.higher); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
