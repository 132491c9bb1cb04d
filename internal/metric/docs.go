package metric

import "fmt"

// Markdown is the table of docs/metrics.md.
func Markdown() string {
	text := "| column | formula | better | no value when |\n|---|---|---|---|\n"
	for _, m := range All {
		better := "low"
		if m.HigherIsBetter {
			better = "high"
		}
		undefined := m.Undefined
		if undefined != "" {
			undefined += " "
		}
		text += fmt.Sprintf("| `%s` | %s | %s | %s|\n", m.Key, m.Formula, better, undefined)
	}
	return text
}
