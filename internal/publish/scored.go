package publish

import (
	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// scored puts beside each verdict what the latest evaluation of the same variant of the same model found, so that a check and an evaluation
// in one workspace are read together. Only scores count of which more is better.
func scored(run *result.Run, evaluations []*result.Evaluation) {
	for i := range run.Variants {
		v := &run.Variants[i]
		if v.Verdict == nil {
			continue
		}
		for _, e := range evaluations {
			if e.Model.SHA256 != run.Model.SHA256 || e.Task == result.Agreement || len(e.Columns) == 0 || !e.Columns[0].Higher || len(e.Models) == 0 {
				continue
			}
			float := e.Models[0].Scores[0]
			for _, m := range e.Models[1:] {
				if m.Spec == nil || !m.Spec.Equal(v.Spec) || !m.Scores[0].OK || !float.OK || float.V <= 0 {
					continue
				}
				kept := m.Scores[0].V / float.V
				v.Verdict.Scored = &result.EvalScore{Evaluation: e.ID, Metric: e.Columns[0].Key, Kept: kept, Grade: verdict.GradeOf(kept), Calibration: e.Spec.Calib}
			}
		}
	}
}
