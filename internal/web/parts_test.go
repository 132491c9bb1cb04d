package web

import (
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// The page has the parts of the outputs, in the order of the verdict.
func TestThePageHasThePartsOfTheOutputs(t *testing.T) {
	spread := metric.Spread{Mean: metric.Defined(3), Min: metric.Defined(1), Max: metric.Defined(5)}
	r := &result.Run{Layers: []result.Layer{{Name: "y", Output: true}}, Variants: []result.Variant{{
		Diverges: -1, Counterpart: -1, Layers: make([]result.LayerResult, 1),
		Verdict: &result.Verdict{Grade: result.Bad, Parts: []result.OutputPart{
			{Channels: []int{4}, Source: "scores", Max: 0.9, SQNR: spread, Steps: metric.Defined(0.3), Dead: 1, Clipped: metric.Defined(0.1)}, {Source: "boxes", Max: 640},
		}},
	}}}
	d := describeVariant(r, &r.Variants[0])
	if len(d.Parts) != 2 || d.Parts[0].Name != "output y, channels 4 (from scores)" || d.Parts[1].Name != "output y (from boxes)" {
		t.Fatalf("%+v", d.Parts)
	}
	if p := d.Parts[0]; p.SQNR != num(metric.Defined(1)) || p.Mean != num(metric.Defined(3)) || p.Dead != some(1) || p.Steps != some(0.3) || p.Clipped != some(0.1) || p.Max != some(0.9) {
		t.Errorf("%+v", p)
	}
	r.Variants[0].Verdict = nil // a run that is older than verdicts
	if d := describeVariant(r, &r.Variants[0]); d.Parts == nil || len(d.Parts) != 0 {
		t.Errorf("%+v", d.Parts)
	}
}
