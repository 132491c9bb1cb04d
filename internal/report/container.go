package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/result"
)

// Container says, of a variant that was run from a DLC, which layers were found in it by which rule, which are fused or
// missing, which the converter renamed, and what it added; none for others.
func Container(run *result.Run, v *result.Variant) []string {
	c := v.Container
	if c == nil {
		return nil
	}
	found := 0
	var rules []string
	for _, rule := range slices.SortedFunc(maps.Keys(c.Rules), func(a, b string) int { return cmp.Or(cmp.Compare(c.Rules[b], c.Rules[a]), cmp.Compare(a, b)) }) {
		rules = append(rules, fmt.Sprintf("%d by %s", c.Rules[rule], rule))
		if !strings.HasPrefix(rule, "fused") {
			found += c.Rules[rule]
		}
	}
	text := fmt.Sprintf("%s, graph %s: %d layers found (%s), %d fused", c.Format, Short(c.Graph, 60), found, strings.Join(rules, ", "), v.Counts[result.Fused])
	text = strings.Replace(text, "by fused into the layer behind it", "fused into the layer behind", 1)
	lines := []string{text + "."}
	var renamed, fused []string
	for k, l := range v.Layers {
		switch name := run.Layers[k].Name; {
		case l.Status == result.Fused:
			fused = append(fused, name)
		case l.Rule != "" && l.Tap != "" && l.Tap != name:
			renamed = append(renamed, name+" → "+l.Tap)
		}
	}
	if len(renamed) > 0 {
		lines = append(lines, fmt.Sprintf("%d layers go by another name: %s.", len(renamed), Short(strings.Join(renamed, ", "), 300)))
	}
	if len(fused) > 0 {
		lines = append(lines, fmt.Sprintf("%d layers are fused into the one behind: %s.", len(fused), Short(strings.Join(fused, ", "), 300)))
	}
	if len(c.Missing) > 0 {
		lines = append(lines, fmt.Sprintf("%d layers are not in the DLC: %s.", len(c.Missing), Short(strings.Join(c.Missing, ", "), 300)))
	}
	if len(c.Added) > 0 {
		var list []string
		for _, a := range c.Added {
			of := "of unknown origin"
			if a.Of != "" {
				of = "a copy of " + a.Of
			}
			list = append(list, fmt.Sprintf("%s (%s)", a.Tensor, of))
		}
		lines = append(lines, fmt.Sprintf("%d tensors of the DLC are no layer of the model: %s.", len(c.Added), Short(strings.Join(list, ", "), 400)))
	}
	return lines
}
