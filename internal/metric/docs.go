package metric

import (
	"fmt"
	"strings"
)

// Markdown is the table of docs/metrics.md.
func Markdown() string {
	var text strings.Builder
	text.WriteString("| column | formula | better | no value when |\n|---|---|---|---|\n")
	for _, m := range All {
		better := "low"
		if m.HigherIsBetter {
			better = "high"
		}
		undefined := m.Undefined
		if undefined != "" {
			undefined += " "
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s | %s|\n", m.Key, m.Formula, better, undefined)
	}
	return text.String()
}
