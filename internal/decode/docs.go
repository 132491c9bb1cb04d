package decode

import (
	"fmt"
	"strings"
)

// Markdown is the table of decoders in docs/eval.md.
func Markdown() string {
	text := "| decoder | outputs | after |\n|---|---|---|\n"
	for _, d := range All {
		text += fmt.Sprintf("| `%s` | %s | %s |\n", d.Name, strings.Join(strings.Fields(d.Help), " "), d.Source)
	}
	return text
}
