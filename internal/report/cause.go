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
		if fix := fixText(run, v, &c.Fix); fix != "" {
			text += " " + fix
		}
		list = append(list, text)
		if c.Fix.Command != "" {
			list = append(list, Printable(c.Fix.Command)) // a line of its own, to be copied
		}
	}
	return list
}

// fixText says what to do about a cause, and what a try gave: a sentence each. A recipe that was tried and does not help is not proposed.
func fixText(run *result.Run, v *result.Variant, f *result.Fix) string {
	if f.Text == "" {
		return ""
	}
	text := strings.ToUpper(f.Text[:1]) + f.Text[1:]
	recipe, t := "", f.Tried
	switch there := inRun(run, f.Variant); {
	case there != nil && there != v:
		return text + fmt.Sprintf(". %s stands in this run and is %s.", there.Spec.Name, verdict.Of(run, there).Grade)
	case f.Variant != "" && there == nil:
		recipe = "--variant " + f.Variant
	}
	who := recipe
	if who == "" {
		who = "This"
	}
	switch {
	case t != nil && t.Failed == "" && !t.Helps && t.Before.OK && t.After.OK && t.After.V > t.Before.V:
		return text + fmt.Sprintf(". %s brings little on %d samples: %s.", who, t.Samples, change(t))
	case t != nil && t.Failed == "" && !t.Helps:
		return text + fmt.Sprintf(". %s does not help on %d samples: %s.", who, t.Samples, change(t))
	}
	if recipe != "" {
		text += ": " + recipe
	}
	switch {
	case t == nil:
	case t.Failed != "":
		text += fmt.Sprintf(". This was not tried: %s", Printable(t.Failed))
	default:
		text += fmt.Sprintf(". Tried on %d samples: %s", t.Samples, change(t))
	}
	return text + "."
}

// inRun is the variant of a run that is written so; nil if there is none.
func inRun(run *result.Run, text string) *result.Variant {
	for i := range run.Variants {
		if text != "" && run.Variants[i].Spec.Text() == text {
			return &run.Variants[i]
		}
	}
	return nil
}

func change(t *result.Try) string {
	switch {
	case t.What == "SQNR" && !t.Before.OK:
		return fmt.Sprintf("no finite output → SQNR of the worst part %s dB", number(t.After))
	case t.What == "SQNR":
		return fmt.Sprintf("SQNR of the worst part %s → %s dB", number(t.Before), number(t.After))
	}
	return fmt.Sprintf("%s kept %s → %s", t.What, strings.TrimSuffix(verdict.Percent(t.Before.V), " %"), verdict.Percent(t.After.V))
}
