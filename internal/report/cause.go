package report

import (
	"fmt"
	"strings"

	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// causesShown is how many causes the terminal lists of a variant.
const causesShown = 3

// Causes says why a variant is not float, what was tried, and what to do; the surest cause first; the command of a fix is
// an entry of its own.
func Causes(run *result.Run, v *result.Variant) []string {
	if v.Verdict == nil {
		return nil
	}
	var list []string
	for i := range v.Verdict.Causes {
		if i == causesShown {
			break
		}
		c := &v.Verdict.Causes[i]
		lead := "Cause"
		if i > 0 {
			lead = "Also"
		}
		if c.Confidence < 0.6 {
			lead = map[string]string{"Cause": "Likely cause", "Also": "Perhaps"}[lead]
		}
		text := fmt.Sprintf("%s (%s): %s.", lead, c.Kind, Printable(c.Evidence))
		if fix := fixText(run, &c.Fix); fix != "" {
			text += " " + fix
		}
		list = append(list, text)
		if c.Fix.Command != "" {
			list = append(list, Printable(c.Fix.Command)) // a line of its own, to be copied
		}
	}
	return list
}

// fixText says what to do about a cause, and what a try gave.
func fixText(run *result.Run, f *result.Fix) string {
	if f.Text == "" {
		return ""
	}
	text := strings.ToUpper(f.Text[:1]) + f.Text[1:]
	t := f.Tried
	switch {
	case t == nil:
	case t.Failed != "":
		text += fmt.Sprintf(" (not measured: %s)", Printable(t.Failed))
	case t.Helps:
		text += fmt.Sprintf(": tried on %d samples, %s", t.Samples, change(t))
	case t.Before.OK && t.After.OK && t.After.V > t.Before.V:
		text += fmt.Sprintf(" (tried on %d samples, it brings little: %s)", t.Samples, change(t))
	default:
		text += fmt.Sprintf(" (tried on %d samples, it does not help: %s)", t.Samples, change(t))
	}
	if f.Variant != "" && !inRun(run, f.Variant) {
		text += fmt.Sprintf(" (--variant %s)", f.Variant)
	}
	return text + "."
}

// inRun says whether a variant stands in the run already.
func inRun(run *result.Run, text string) bool {
	for i := range run.Variants {
		if run.Variants[i].Spec.Text() == text {
			return true
		}
	}
	return false
}

func change(t *result.Try) string {
	if t.What == "SQNR" {
		return fmt.Sprintf("SQNR of the worst part %s → %s dB", number(t.Before), number(t.After))
	}
	return fmt.Sprintf("%s kept %s → %s", t.What, strings.TrimSuffix(verdict.Percent(t.Before.V), " %"), verdict.Percent(t.After.V))
}
