package report

import (
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"

	"quantcheck/internal/result"
)

// Tried draws what the float model scores under the usual descriptions of its input, and says which fits.
func Tried(w io.Writer, t *result.TriedInputs) {
	best := t.Tried[0]
	var asked result.Tried
	for _, one := range t.Tried {
		if one.Asked {
			asked = one
		}
	}
	switch {
	case !best.Score.OK:
		fmt.Fprintf(w, "No description of the input gives a %s on these %d pictures.\n\n", t.Column.Key, t.Pictures)
	case best.Asked || asked.Score == best.Score:
		fmt.Fprintf(w, "The input is described well: %s %s on %d pictures, and none of the usual ways is better.\n\n", t.Column.Key, score(best.Score), t.Pictures)
	default:
		fmt.Fprintf(w, "Another description fits better on %d pictures: %s %s with %s, %s as given.\n\n", t.Pictures, t.Column.Key, score(best.Score), best.Flags, score(asked.Score))
	}
	list := NewTable(w)
	list.AppendHeader(table.Row{t.Column.Key, "input", "flags"})
	list.SetColumnConfigs(right(t.Column.Key))
	for _, one := range t.Tried {
		text := one.Input.String()
		if one.Failed != "" {
			text += ": " + Short(one.Failed, 80)
		}
		list.AppendRow(table.Row{score(one.Score), text, one.Flags})
	}
	list.Render()
}
