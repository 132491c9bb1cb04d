package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"quantcheck/internal/inspect"
	"quantcheck/internal/metric"
)

// Across draws the layers of a workspace over all its variants and model files, most of them first, and what their error
// goes with.
func Across(w io.Writer, a *inspect.Across, most int) {
	fmt.Fprintf(w, "%d layers in %d variants and model files: %s\n\n", len(a.Layers), len(a.Sources), Short(strings.Join(a.Sources, ", "), 200))
	t := NewTable(w)
	t.AppendHeader(table.Row{"", "layer", "op", "problem in", "worst dB", "spread", "ranges"})
	t.SetColumnConfigs(right("", "worst dB", "spread"))
	for i, l := range a.Layers {
		if i == most {
			break
		}
		spread := number(l.Spread)
		if l.Spread.OK {
			spread += "×"
		}
		t.AppendRow(table.Row{l.Depth, Short(l.Name, 44), l.Op, fmt.Sprintf("%d of %d", l.Problems, l.Measured), number(l.Worst), spread, ranges(l.Places)})
	}
	t.Render()
	if len(a.Layers) > most {
		fmt.Fprintf(w, "… and %d more: --limit, --json\n", len(a.Layers)-most)
	}
	fmt.Fprintf(w, "\nA layer is problematic where it has less than %g dB, alone if that was measured, else accumulated. Spread: widest range by the narrowest.\n", a.Under)
	var list []string
	for _, c := range a.Correlations {
		if c.Rho.OK {
			list = append(list, fmt.Sprintf("%s %+.2f (%d)", c.With, c.Rho.V, c.Count))
		}
	}
	if len(list) > 0 {
		fmt.Fprintf(w, "SQNR goes with (Spearman's rank correlation, in brackets the pairs of layer and variant): %s.\n", strings.Join(list, ", "))
	}
	if a.OperatorShare.OK {
		var worst []string
		for i, o := range a.Operators {
			if i == 6 {
				break
			}
			worst = append(worst, fmt.Sprintf("%s %s dB (%d, worst %s)", o.Op, number(metric.Defined(o.Mean)), o.Count, number(metric.Defined(o.Worst))))
		}
		fmt.Fprintf(w, "The type of operator explains %.0f %% of its variance; means, lowest first: %s.\n", 100*a.OperatorShare.V, strings.Join(worst, ", "))
	}
}

// ranges lists a layer's encodings, equal ones once.
func ranges(places []inspect.Place) string {
	var list []string
	seen := map[string]bool{}
	for _, p := range places {
		if p.Encoding == nil {
			continue
		}
		text := fmt.Sprintf("%d bit %.4g…%.4g", p.Encoding.Bits, p.Encoding.Min, p.Encoding.Max)
		if !seen[text] {
			seen[text] = true
			list = append(list, text)
		}
	}
	return Short(strings.Join(list, ", "), 90)
}

// AcrossLayer draws one layer in all its places.
func AcrossLayer(w io.Writer, a *inspect.Across, l *inspect.AcrossLayer) {
	fmt.Fprintf(w, "%s (%s, number %d)\n\n", Printable(l.Name), l.Op, l.Depth)
	t := NewTable(w)
	t.AppendHeader(table.Row{"in", "tensor", "bits", "min", "max", "scale", "SQNR dB", "alone", "kurtosis"})
	t.SetColumnConfigs(right("bits", "min", "max", "scale", "SQNR dB", "kurtosis"))
	for _, p := range l.Places {
		row := table.Row{Short(a.Sources[p.Source], 40), Short(p.Tensor, 50), "–", "–", "–", "–", number(p.Error), map[bool]string{true: "yes", false: "no"}[p.Alone], number(p.Kurtosis)}
		if e := p.Encoding; e != nil {
			row[2], row[3], row[4], row[5] = e.Bits, fmt.Sprintf("%.5g", e.Min), fmt.Sprintf("%.5g", e.Max), fmt.Sprintf("%.5g", e.Scale)
		}
		if !p.Error.OK {
			row[7] = "not measured"
		}
		t.AppendRow(row)
	}
	t.Render()
}
