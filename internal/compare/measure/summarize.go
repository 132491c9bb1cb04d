package measure

import (
	"fmt"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
)

// Summarize derives what depends on all samples: spreads, counts, the first diverging layer and failed gates.
func Summarize(run *result.Run) {
	for i := range run.Variants {
		v := &run.Variants[i]
		session.CountStatuses(v)
		v.Diverges = -1
		for k := range v.Layers {
			l := &v.Layers[k]
			if !l.HasMetrics() {
				continue
			}
			l.Summary = metric.Summarize(l.Samples)
			if sqnr := l.Summary[metric.SQNR].Mean; v.Diverges < 0 && sqnr.OK && sqnr.V < run.Spec.DivergeUnder {
				v.Diverges = k
			}
			if run.Layers[k].Output {
				v.Failed = append(v.Failed, Gates(run.Spec.FailUnder, run.Layers[k].Name, l)...)
			}
		}
		for k, l := range v.Layers {
			if run.Layers[k].Output && !l.HasMetrics() && len(run.Spec.FailUnder) > 0 {
				v.Failed = append(v.Failed, fmt.Sprintf("output %s has no value: %s", run.Layers[k].Name, l.Reason))
			}
		}
	}
}

// Gates checks an output layer against the thresholds. Two zero tensors agree although their cosine is not defined.
func Gates(thresholds []result.Threshold, name string, l *result.LayerResult) []string {
	var failed []string
	for _, t := range thresholds {
		info, got := metric.All[t.Metric], l.Summary[t.Metric].Mean
		if !got.OK && l.Summary[metric.MSE].Max == metric.Defined(0) {
			continue
		}
		if !got.OK {
			failed = append(failed, fmt.Sprintf("output %s: %s is not defined", name, info.Key))
		} else if got.V < t.Value {
			failed = append(failed, fmt.Sprintf("output %s: %s %.4g is under %g%s", name, info.Key, got.V, t.Value, result.NearThreshold(t.Metric, t.Value-got.V)))
		}
	}
	return failed
}
