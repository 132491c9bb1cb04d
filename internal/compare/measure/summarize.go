package measure

import (
	"fmt"

	"quantcheck/internal/compare/judge"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/verdict"
)

// Conclude derives what depends on all samples of a session's run, and says why its variants are not float.
func Conclude(b *session.Session) {
	Summarize(b.Run)
	judge.FindCauses(b)
}

// Summarize derives what depends on all samples: spreads, counts, the first diverging layer and failed gates.
func Summarize(run *result.Run) {
	for i := range run.Variants {
		run.Variants[i].EngineErrors = verdict.EngineErrors(run, &run.Variants[i])
	}
	for i := range run.Variants {
		v := &run.Variants[i]
		session.CountStatuses(v)
		for k := range v.Layers {
			l := &v.Layers[k]
			if !l.HasMetrics() {
				continue
			}
			l.Summary = metric.Summarize(l.Samples)
			if run.Layers[k].Output {
				v.Failed = append(v.Failed, Gates(run.Spec.FailUnder, run.Layers[k].Name, l)...)
			}
		}
		v.Failed = append(v.Failed, judge.Gates(run, v)...)
		v.Diverges = diverges(run, v)
		for k, l := range v.Layers {
			if run.Layers[k].Output && !l.HasMetrics() && len(run.Spec.FailUnder) > 0 {
				v.Failed = append(v.Failed, fmt.Sprintf("%s has no value: %s", result.Named("output", run.Layers[k].Name), l.Reason))
			}
		}
	}
}

// diverges finds the first layer under the threshold whose error goes on: a calibrator may spend a layer's own SQNR where the activation
// behind it takes the error away, so that a layer counts only if it is an output, or one that is computed from it is under the threshold
// too. It is −1 if there is none.
func diverges(run *result.Run, v *result.Variant) int {
	under := make([]bool, len(v.Layers))
	compared, goesOn := make([]bool, len(v.Layers)), make([]bool, len(v.Layers)) // some layer that is computed from it is compared, is under
	for k := range v.Layers {
		sqnr := v.Layers[k].Summary[metric.SQNR].Mean
		there := v.Layers[k].HasMetrics() && sqnr.OK
		under[k] = there && sqnr.V < run.Spec.DivergeUnder
		for _, in := range run.Layers[k].Inputs {
			compared[in] = compared[in] || there
			goesOn[in] = goesOn[in] || under[k]
		}
	}
	for k := range under {
		if under[k] && (run.Layers[k].Output || !compared[k] || goesOn[k]) {
			return k
		}
	}
	return -1
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
			failed = append(failed, fmt.Sprintf("%s: %s is not defined", result.Named("output", name), info.Key))
		} else if got.V < t.Value {
			failed = append(failed, fmt.Sprintf("%s: %s %.4g is under %g%s", result.Named("output", name), info.Key, got.V, t.Value, result.NearThreshold(t.Metric, t.Value-got.V)))
		}
	}
	return failed
}
