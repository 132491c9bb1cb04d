package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// mostHealed is how many layers are named that healing brought most.
const mostHealed = 3

// Healed says of a healed recipe what its weights lost and lose of each layer's output, and what healing cost; none for others.
func Healed(v *result.Variant) []string {
	h := v.Healing
	if h == nil || len(h.Layers) == 0 {
		return nil
	}
	var before, after []float64
	channels, kept := 0, 0
	for _, l := range h.Layers {
		before, after = append(before, l.Before), append(after, l.After)
		channels, kept = channels+l.Channels, kept+l.Kept
	}
	lines := []string{fmt.Sprintf("healed: the weights of %d layers on %d samples in %.1f s; the median layer loses %s of its output's variance instead of %s; %d of %d channels stay as the recipe has them.",
		len(h.Layers), h.Samples, h.Seconds, percent(metric.Defined(median(after))), percent(metric.Defined(median(before))), kept, channels)}
	most := slices.SortedStableFunc(slices.Values(h.Layers), func(a, b result.HealedLayer) int {
		return cmp.Compare(b.Before-b.After, a.Before-a.After)
	})
	var names []string
	for _, l := range most[:min(len(most), mostHealed)] {
		names = append(names, fmt.Sprintf("%s (%s → %s)", Short(l.Name, 40), percent(metric.Defined(l.Before)), percent(metric.Defined(l.After))))
	}
	return append(lines, "healed most: "+strings.Join(names, ", ")+".")
}

// median is the middle of a list that is not empty, the lower one of two.
func median(list []float64) float64 {
	slices.Sort(list)
	return list[(len(list)-1)/2]
}
