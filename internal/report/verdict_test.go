package report

import (
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func spreadOf(v float64) metric.Spread {
	return metric.Spread{Mean: metric.Defined(v), Min: metric.Defined(v), Max: metric.Defined(v)}
}

// judgedRun has one variant with this verdict.
func judgedRun(t *testing.T, d *result.Verdict) *result.Run {
	t.Helper()
	spec, err := variant.Parse("w8a8")
	if err != nil {
		t.Fatal(err)
	}
	return &result.Run{
		Spec: result.CheckSpec{DivergeUnder: 20}, Layers: []result.Layer{{Name: "y", Output: true}}, Samples: []result.Sample{{Name: "a.png"}, {Name: "b.png"}},
		Variants: []result.Variant{{Spec: spec, Diverges: -1, Counterpart: -1, Layers: make([]result.LayerResult, 1), Verdict: d}},
	}
}

func TestAVerdictSaysWhatWhereAndHowMuch(t *testing.T) {
	part := result.OutputPart{Channels: []int{4, 5}, Source: "scores", Min: 0, Max: 0.3, SQNR: spreadOf(0), Steps: metric.Defined(0.2), Dead: 1, Clipped: metric.Defined(0.25)}
	for _, c := range []struct {
		d            *result.Verdict
		says, leaves []string
	}{
		{&result.Verdict{Grade: result.Bad, Basis: result.BySignal, Parts: []result.OutputPart{part}},
			[]string{"w8a8 is bad: output y, channels 4–5 (from scores): SQNR 0.0000 dB", "100 % of its values are constant", "is 0.2000 steps", "25 % of its float values lie outside", "judged by SQNR alone"}, nil},
		{&result.Verdict{Grade: result.Good, Basis: result.ByDecisions, Decisions: []result.Decision{{Kind: "boxes", Kept: 9.9, Of: 10, Boxes: 12, Moved: 1, Worst: 1}}, Parts: []result.OutputPart{{SQNR: spreadOf(14)}}},
			[]string{"w8a8 is good: 99 % of the boxes agree with float's (12 boxes: 1 moved), fewest on b.png", "SQNR 14.00 dB"}, []string{"judged by SQNR"}},
		{&result.Verdict{Grade: result.Good, Basis: result.BySignal, Coverage: &result.Coverage{Operators: 1, OperatorsOf: 151}, Parts: []result.OutputPart{{SQNR: spreadOf(55)}}},
			[]string{"w8a8 quantizes 1 of 151 operators, so it says little of a quantized model. w8a8 is good"}, nil},
		{&result.Verdict{Grade: result.Unknown, Basis: result.ByNothing}, []string{"w8a8 cannot be judged"}, nil},
	} {
		run := judgedRun(t, c.d)
		text := Verdict(run, &run.Variants[0])
		for _, want := range c.says {
			if !strings.Contains(text, want) {
				t.Errorf("%q is not in %q", want, text)
			}
		}
		for _, not := range c.leaves {
			if strings.Contains(text, not) {
				t.Errorf("%q is in %q", not, text)
			}
		}
	}
}

func TestCausesSayWhatWasTried(t *testing.T) {
	d := &result.Verdict{Grade: result.Bad, Causes: []result.Cause{
		{Kind: "unlike-ranges", Evidence: "e", Confidence: 0.9, Fix: result.Fix{Text: "split it", Command: "quantcheck optimize m.onnx -o n.onnx --pass split-output", Tried: &result.Try{Samples: 4, What: "SQNR", Before: metric.Defined(0), After: metric.Defined(31), Helps: true}}},
		{Kind: "few-bits", Evidence: "f", Confidence: 0.4, Fix: result.Fix{Text: "widen it", Variant: "w8a16", Tried: &result.Try{Samples: 4, What: "boxes", Before: metric.Defined(0.5), After: metric.Defined(0.5)}}},
		{Kind: "engine-error", Evidence: "g", Confidence: 0.4, Fix: result.Fix{Text: "wait", Variant: "w8a8", Tried: &result.Try{Failed: "no room"}}},
	}}
	run := judgedRun(t, d)
	widened := run.Variants[0]
	widened.Spec, widened.Verdict = variant.Spec{Kind: variant.Recipe, WeightBits: 8, ActBits: 16, PerChannel: true, Calibrator: variant.TF, BiasBits: 32, Name: "w8a16"}, &result.Verdict{Grade: result.Good}
	both := *run
	both.Variants = append(slices.Clone(run.Variants), widened)
	if got, want := Causes(&both, &both.Variants[0])[2], "Perhaps (few-bits): f. Widen it. w8a16 stands in this run and is good."; got != want {
		t.Errorf("%s, not %s", got, want)
	}
	got := strings.Join(Causes(run, &run.Variants[0]), "\n")
	for _, want := range []string{
		"Cause (unlike-ranges): e. Split it. Tried on 4 samples: SQNR of the worst part 0.0000 → 31.00 dB.\nquantcheck optimize m.onnx -o n.onnx --pass split-output\n",
		"Perhaps (few-bits): f. Widen it. --variant w8a16 does not help on 4 samples: boxes kept 50 → 50 %.",
		"Perhaps (engine-error): g. Wait. This was not tried: no room.", // what stands in the run is not proposed
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
