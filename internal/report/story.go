package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
)

// worstOutput finds the output layer of least SQNR, −1 if none has a value.
func worstOutput(run *result.Run, v *result.Variant) int {
	worst := -1
	for k := range run.Layers {
		if !run.Layers[k].Output || !v.Layers[k].HasMetrics() || !v.Layers[k].Summary[metric.SQNR].Mean.OK {
			continue
		}
		if worst < 0 || v.Layers[k].Summary[metric.SQNR].Mean.V < v.Layers[worst].Summary[metric.SQNR].Mean.V {
			worst = k
		}
	}
	return worst
}

// origin says in words where the first diverging layer's error comes from.
func origin(v *result.Variant) string {
	local := v.Layers[v.Diverges].Local
	switch {
	case v.Origin == result.InputDiffers:
		return "; the input differs already"
	case v.Origin == result.InputClipped:
		return "; the samples leave the input's calibrated range already"
	case v.Origin == result.Introduced && local != nil:
		return fmt.Sprintf("; this layer introduces the error: computed alone, on float inputs, it has %s", decibels(local.Full.Summary[metric.SQNR]))
	case v.Origin == result.Propagated && local != nil:
		return fmt.Sprintf("; earlier layers bring the error: computed alone, on float inputs, it has %s", decibels(local.Full.Summary[metric.SQNR]))
	}
	return ""
}

// decibels says a metric in dB over the samples: the mean of the samples' values, as tables and files have it, and the worst sample beside it where
// the two differ.
func decibels(s metric.Spread) string {
	mean, worst := number(s.Mean), number(s.Min)
	if !s.Min.OK || mean == worst {
		return mean + " dB"
	}
	return fmt.Sprintf("%s dB (on the worst sample %s)", mean, worst)
}

// Sources says which layers make most of the noise, and whether weights or activations do; "" if that was not measured.
func Sources(run *result.Run, v *result.Variant) string {
	list := Makers(v, 5)
	if len(list) == 0 {
		return ""
	}
	var names []string
	sum := 0.0
	for _, k := range list {
		share := v.Layers[k].Local.Share
		sum += share
		names = append(names, fmt.Sprintf("%s (%s, %.0f %%)", Short(run.Layers[k].Name, 50), run.Layers[k].Op, 100*share))
	}
	text := fmt.Sprintf("Of the noise that layers make when computed alone, %.0f %% comes from %s.", 100*sum, strings.Join(names, ", "))
	k := worstOutput(run, v)
	for _, w := range v.Whole {
		if w.Layer == k && w.WeightsOnly[metric.SQNR].Mean.OK && w.ActsOnly[metric.SQNR].Mean.OK {
			return text + fmt.Sprintf(" With only the weights quantized, %s has an SQNR of %s, with only the activations %s.",
				Printable(run.Layers[k].Name), decibels(w.WeightsOnly[metric.SQNR]), decibels(w.ActsOnly[metric.SQNR]))
		}
	}
	return text
}

// InputNotes says what is wrong with what the variant's first operators get.
func InputNotes(run *result.Run, v *result.Variant) []string {
	var notes []string
	for _, c := range v.InputChecks {
		switch {
		case c.ChannelsSwapped():
			notes = append(notes, fmt.Sprintf("INPUT DIFFERS: the first operator of %s gets %s with red and blue swapped (%s dB as it is, %s dB swapped)",
				v.Spec.Name, Printable(c.Input), number(c.SQNR), number(c.Swapped)))
		case c.Differs(run.Spec.DivergeUnder):
			notes = append(notes, fmt.Sprintf("INPUT DIFFERS: the first operator of %s gets something else than the sample for %s (%s dB)",
				v.Spec.Name, Printable(c.Input), number(c.SQNR)))
		}
	}
	return notes
}

// Makers lists the layers that make most noise alone, most first.
func Makers(v *result.Variant, most int) []int {
	var list []int
	for k, l := range v.Layers {
		if l.Local != nil && l.Local.Share > 0 {
			list = append(list, k)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(v.Layers[b].Local.Share, v.Layers[a].Local.Share) })
	return list[:min(most, len(list))]
}

// Worst lists the layers of least mean SQNR, worst first.
func Worst(v *result.Variant, most int) []int {
	var list []int
	for k, l := range v.Layers {
		if l.HasMetrics() && l.Summary[metric.SQNR].Mean.OK {
			list = append(list, k)
		}
	}
	slices.SortStableFunc(list, func(a, b int) int {
		return cmp.Compare(v.Layers[a].Summary[metric.SQNR].Mean.V, v.Layers[b].Summary[metric.SQNR].Mean.V)
	})
	return list[:min(most, len(list))]
}

// Tips says what to do next: the causes with what was tried, then what to look at.
func Tips(run *result.Run, v *result.Variant) []string {
	d := verdict.Of(run, v)
	if v.Spec.Kind != variant.Recipe || d.Grade == result.Good || d.Grade == result.Unknown {
		return Causes(run, v)
	}
	tips := Causes(run, v)
	if list := Makers(v, 5); len(list) > 0 && v.Layers[list[0]].Local.Share > 0.1 {
		tips = append(tips, fmt.Sprintf("Look at %s first: it makes %.0f %% of the noise that layers make when computed alone.", Short(run.Layers[list[0]].Name, 60), 100*v.Layers[list[0]].Local.Share))
	}
	if run.Spec.Calib == "" {
		tips = append(tips, "Calibrate on pictures of their own (--calib) before you trust small differences.")
	}
	return tips
}
