package decode

import (
	"fmt"
	"strings"
)

// Markdown is the table of decoders in docs/eval.md.
func Markdown() string {
	var text strings.Builder
	text.WriteString("| decoder | outputs | after |\n|---|---|---|\n")
	for _, d := range All {
		fmt.Fprintf(&text, "| `%s` | %s | %s |\n", d.Name, strings.Join(strings.Fields(d.Help), " "), d.Source)
	}
	return text.String()
}
