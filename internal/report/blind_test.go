package report

import (
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// TestAFloatModelThatSeesNothingComesFirst has scores from 0 to 1, and one that is an error.
func TestAFloatModelThatSeesNothingComesFirst(t *testing.T) {
	for _, row := range []struct {
		task   result.Task
		key    string
		higher bool
		score  float64
		blind  bool
	}{
		{result.Detection, "mAP", true, 0, true}, {result.Detection, "mAP", true, 0.0099, true}, {result.Detection, "mAP", true, 0.02, false},
		{result.Classification, "top1", true, 0, true}, {result.Depth, "RMSE", false, 0, false}, {result.Agreement, "SQNR", true, 0, false},
	} {
		e := &result.Evaluation{Task: row.task, Columns: []result.Column{{Key: row.key, Higher: row.higher}}, Models: []result.EvalModel{
			{Name: "float", Scores: []metric.Value{metric.Defined(row.score)}}, {Name: "v", Scores: []metric.Value{metric.Defined(row.score)}},
		}}
		if got := ScoreVerdict(e); strings.HasPrefix(got, "The float model itself sees next to nothing ("+row.key) != row.blind {
			t.Errorf("%s %g: %s", row.task, row.score, got)
		}
	}
}
