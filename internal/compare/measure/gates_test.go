package measure

import (
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

func TestAGateSaysWhenThreadsMayTurnItAround(t *testing.T) {
	t.Parallel()
	for value, turns := range map[float64]bool{19.9999: true, 19.991: true, 19.98: false, 3: false} {
		l := &result.LayerResult{}
		l.Summary[metric.SQNR].Mean = metric.Defined(value)
		failed := Gates([]result.Threshold{{Metric: metric.SQNR, Value: 20}}, "y", l)
		if len(failed) != 1 || strings.Contains(failed[0], "threads") != turns {
			t.Errorf("%g dB: %q", value, failed)
		}
	}
}
