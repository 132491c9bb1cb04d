package judge

import (
	"fmt"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// Gates checks the parts of outputs against the thresholds of the metrics that parts have: a part that is lost hardly moves the
// metrics of the whole.
func Gates(run *result.Run, v *result.Variant) []string {
	if v.Verdict == nil {
		return nil
	}
	var failed []string
	for i := range v.Verdict.Parts {
		p := &v.Verdict.Parts[i]
		if p.Source == "" && p.Channels == nil {
			continue // it is the whole output
		}
		for _, t := range run.Spec.FailUnder {
			got, ok := map[metric.ID]metric.Value{metric.SQNR: p.SQNR.Mean, metric.CosSim: p.Cos.Mean}[t.Metric]
			if !ok || !got.OK || got.V >= t.Value {
				continue
			}
			name := verdict.PartName(result.Named("output", run.Layers[p.Layer].Name), p, func(s string) string { return s })
			failed = append(failed, fmt.Sprintf("%s: %s %.4g is under %g%s", name, metric.All[t.Metric].Key, got.V, t.Value, result.NearThreshold(t.Metric, t.Value-got.V)))
		}
	}
	return failed
}
