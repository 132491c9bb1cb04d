package judged

import (
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

func TestTheScoreAndTheOutputsAreSaidBothWhereTheyDiffer(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		task  result.Task
		share float64
		held  metric.Value
		v     result.PointVerdict
		want  []string // nothing: nothing is said
	}{
		{"one word", result.Detection, 0.99, metric.Value{}, result.PointVerdict{Grade: result.Good}, nil},
		{"no verdict", result.Detection, 0.99, metric.Value{}, result.PointVerdict{Grade: result.Unknown}, nil},
		{"scores that are dead", result.Agreement, 0.999, metric.Value{}, result.PointVerdict{Grade: result.Bad, Basis: result.BySignal, SQNR: metric.Defined(0), Samples: 24},
			[]string{"By its score it is good (99.9 % of float's cos on 24 pictures)", "by its outputs bad on 24 pictures (0.0 dB at the worst part)", "trust the outputs"}},
		{"noise that labels bear", result.Detection, 0.985, metric.Defined(0.961), result.PointVerdict{Grade: result.Fair, Basis: result.ByDecisions, Kept: metric.Defined(0.93), Samples: 20},
			[]string{"98.5 % of float's cos on 24 pictures, 96.1 % on the 8 that were held out", "by its outputs fair on 20 pictures (93 % of the decisions are kept)", "trust the score"}},
	} {
		f := &result.Explored{Task: c.task, Column: result.Column{Key: "cos"}, Pictures: result.PictureCounts{Searched: 16, HeldOut: 8}}
		got := apart(f, &result.ExplorePoint{Scored: result.Scored{Share: metric.Defined(c.share), HeldShare: c.held}, Judged: &c.v})
		if (got == "") != (c.want == nil) {
			t.Errorf("%s: %q", c.name, got)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q does not say %q", c.name, got, w)
			}
		}
	}
}
