package publish

import (
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestAnEvaluationOfTheSameVariantStandsBesideItsVerdict(t *testing.T) {
	evaluation := func(id int64, sha, name string, float, score float64) *result.Evaluation {
		return &result.Evaluation{ID: id, Task: result.Detection, Model: result.Model{SHA256: sha}, Columns: []result.Column{{Key: "mAP", Higher: true}},
			Models: []result.EvalModel{{Name: "float", Scores: []metric.Value{metric.Defined(float)}}, {Name: name, Spec: &variant.Spec{Name: name}, Scores: []metric.Value{metric.Defined(score)}}}}
	}
	for _, c := range []struct {
		of   []*result.Evaluation
		want *result.EvalScore
	}{
		{nil, nil},
		{[]*result.Evaluation{evaluation(1, "other", "w8a8", 0.4, 0.2)}, nil},
		{[]*result.Evaluation{evaluation(1, "m", "w8a16", 0.4, 0.2)}, nil},
		{[]*result.Evaluation{evaluation(1, "m", "w8a8", 0, 0.2)}, nil},
		{[]*result.Evaluation{evaluation(1, "m", "w8a8", 0.4, 0.1), evaluation(2, "m", "w8a8", 0.4, 0.398)}, &result.EvalScore{Evaluation: 2, Metric: "mAP", Kept: 0.995, Grade: result.Good}},
	} {
		run := &result.Run{Model: result.Model{SHA256: "m"}, Variants: []result.Variant{{Spec: variant.Spec{Name: "w8a8"}, Verdict: &result.Verdict{}}}}
		scored(run, c.of)
		got := run.Variants[0].Verdict.Scored
		if (got == nil) != (c.want == nil) || got != nil && (got.Evaluation != c.want.Evaluation || got.Grade != c.want.Grade || got.Kept-c.want.Kept > 1e-9 || got.Metric != c.want.Metric) {
			t.Errorf("%+v, not %+v", got, c.want)
		}
	}
}
