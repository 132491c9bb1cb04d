package report

import (
	"fmt"
	"math"
	"strings"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// fewQuantized is the share of the model under which a verdict begins with how little has encodings.
const fewQuantized = 0.9

// Verdict says what a variant did to the model: how much of it is quantized if that is little, whether the outputs mean the same, which part
// is worst, and the first layer under the threshold.
func Verdict(run *result.Run, v *result.Variant) string {
	d := verdict.Of(run, v)
	text := []string{Judged(run, v)}
	if s := d.Scored; s != nil {
		text = append(text, scoredText(run, v.Spec.Name, d, s))
	}
	if s := firstLayer(run, v); s != "" && !equal(d) {
		text = append(text, s)
	}
	return strings.Join(text, " ")
}

// Judged says what a variant's outputs are worth, and nothing of what lies inside of it.
func Judged(run *result.Run, v *result.Variant) string {
	d := verdict.Of(run, v)
	var text []string
	if s := covered(v.Spec.Name, d.Coverage); s != "" && (d.Basis != result.ByNothing || run.NonFinite == nil) {
		text = append(text, s)
	}
	switch {
	case d.Basis == result.ByNothing:
		text = append(text, fmt.Sprintf("%s cannot be judged: %s.", v.Spec.Name, uncomparable(run, d)))
	case equal(d):
		text = append(text, fmt.Sprintf("%s is good: its outputs equal float's on every sample.", v.Spec.Name))
	default:
		text = append(text, fmt.Sprintf("%s is %s: %s.", v.Spec.Name, d.Grade, strings.Join(judged(run, d), "; ")))
		if n := run.NonFinite; n != nil && n.Blamed() {
			text = append(text, fmt.Sprintf("That is of the values that are finite in float: on %d of %d samples others are not.", len(n.Samples), len(run.Samples)))
		}
	}
	return strings.Join(text, " ")
}

// uncomparable says why no output could be judged.
func uncomparable(run *result.Run, d *result.Verdict) string {
	if p := verdict.Worst(d); p != nil && len(d.Undecided) > 0 {
		return fmt.Sprintf("on these samples neither the float model nor the variant finds any %s, so that it is not known what an SQNR of %s dB in %s means", strings.Join(d.Undecided, " or "), number(p.SQNR.Min), PartText(run, p))
	}
	if run.NonFinite == nil {
		return "no output could be compared"
	}
	text := fmt.Sprintf("the float model's own outputs are not finite on %d of %d samples", len(run.NonFinite.Samples), len(run.Samples))
	if !run.NonFinite.Blamed() { // no cause says where they come from
		text += ". " + Printable(strings.TrimSuffix(strings.Join(run.NonFinite.Sentences(run), " "), "."))
	}
	return text
}

// covered says how little of the model has encodings; "" if it is 90 % or more.
func covered(name string, c *result.Coverage) string {
	if c == nil || c.Share() >= fewQuantized {
		return ""
	}
	text := fmt.Sprintf("%s quantizes %d of %d operators", name, c.Operators, c.OperatorsOf)
	if c.MultiplyAddOf > 0 {
		text += fmt.Sprintf(" and %.0f %% of the multiply-adds", 100*float64(c.MultiplyAdds)/float64(c.MultiplyAddOf))
	}
	return text + ", so it says little of a quantized model."
}

// equal says whether every part of every output is float's.
func equal(d *result.Verdict) bool {
	for _, p := range d.Parts {
		if p.SQNR.Min.OK && !math.IsInf(p.SQNR.Min.V, 1) {
			return false
		}
	}
	return len(d.Parts) > 0
}

// judged lists decisions, and the worst part of an output.
func judged(run *result.Run, d *result.Verdict) []string {
	var list []string
	for i := range d.Decisions {
		list = append(list, DecisionText(run, &d.Decisions[i]))
	}
	p := verdict.Worst(d)
	if p == nil {
		return list
	}
	part := PartText(run, p) + ": SQNR " + number(p.SQNR.Min) + " dB"
	if len(run.Samples) > 1 && p.SQNR.Worst >= 0 && p.SQNR.Worst < len(run.Samples) {
		part += fmt.Sprintf(" on the worst of %d samples, %s (average %s)", len(run.Samples), Short(run.Samples[p.SQNR.Worst].Name, 30), number(p.Over()))
	}
	if p.Dead > 0 {
		part += fmt.Sprintf(", %.0f %% of its values are constant where float's are not", 100*p.Dead)
	}
	if p.Steps.OK && p.Steps.V < fewSteps {
		part += fmt.Sprintf(", its range of %s…%s is %s steps of the output's encoding", short(p.Min), short(p.Max), number(p.Steps))
	}
	if p.Clipped.OK && p.Clipped.V > 0.001 {
		part += fmt.Sprintf(", %.2g %% of its float values lie outside of the output's encoding", 100*p.Clipped.V)
	}
	switch {
	case d.Basis == result.BySignal && len(d.Undecided) > 0:
		part += fmt.Sprintf(" (judged by SQNR alone: neither the float model nor the variant finds any %s on these samples)", strings.Join(d.Undecided, " or "))
	case d.Basis == result.BySignal:
		part += " (judged by SQNR alone: no output is recognised as boxes, classes, masks or the like)"
	}
	return append(list, part)
}

// fewSteps is how many steps of an encoding a range has at least that is resolved well.
const fewSteps = 32

func short(v float64) string { return number(metric.Defined(v)) }

// DecisionText says how many decisions of a kind are kept.
func DecisionText(run *result.Run, d *result.Decision) string {
	text := fmt.Sprintf("%s %s", verdict.Percent(d.Share().V), verdict.KindOf(d.Kind).Kept)
	if d.Kind == "boxes" {
		var more []string
		for _, n := range []struct {
			count int
			text  string
		}{{d.Moved, "moved"}, {d.Lost, "lost"}, {d.New, "new"}, {d.Other, "of another class"}} {
			if n.count > 0 {
				more = append(more, fmt.Sprintf("%d %s", n.count, n.text))
			}
		}
		text += fmt.Sprintf(" (%d boxes", d.Boxes)
		if len(more) > 0 {
			text += ": " + strings.Join(more, ", ")
		}
		text += ")"
	}
	if d.Worst >= 0 && d.Worst < len(run.Samples) && len(run.Samples) > 1 && d.Kept < d.Of {
		text += ", fewest on " + Short(run.Samples[d.Worst].Name, 30)
	}
	if d.Few {
		text += fmt.Sprintf(": too few to show 98 %% (%.0f–%.0f %% is possible), so the signal counts too; take %.0f times as many samples", 100*d.Low, 100*d.High, max(math.Ceil(float64(d.Wanted)/d.Number), 2))
	}
	return text
}

// PartText names a part of an output.
func PartText(run *result.Run, p *result.OutputPart) string {
	name := result.Named("output", Short(run.Layers[p.Layer].Name, 40))
	return verdict.PartName(name, p, func(s string) string { return Short(s, 60) })
}

// firstLayer says which layer is the first under the threshold, and whether it introduces the error.
func firstLayer(run *result.Run, v *result.Variant) string {
	d := v.Diverges
	if d < 0 && v.Counts[result.Compared] == 0 {
		return "" // no layer was compared
	}
	if d < 0 || d >= len(run.Layers) {
		return fmt.Sprintf("No layer is under %g dB.", run.Spec.DivergeUnder)
	}
	return fmt.Sprintf("The first layer under %g dB is %s (%s, number %d of %d): %s%s.",
		run.Spec.DivergeUnder, Printable(run.Layers[d].Name), run.Layers[d].Op, d+1, len(run.Layers), decibels(v.Layers[d].Summary[metric.SQNR]), origin(v))
}

// scoredText says what an evaluation found of the variant, and why the two may differ.
func scoredText(run *result.Run, name string, d *result.Verdict, s *result.EvalScore) string {
	text := fmt.Sprintf("eval scored %s: %s of float's %s (%s).", name, verdict.Percent(s.Kept), s.Metric, s.Grade)
	if s.Grade != d.Grade && d.Grade != result.Unknown {
		text += fmt.Sprintf(" The words differ since the score comes from the evaluation's pictures, this verdict from %d samples", len(run.Samples))
		if s.Calibration != run.Spec.Calib {
			text += " and from another calibration"
		}
		text += "; trust the score."
	}
	return text
}
