package cause

import (
	"fmt"
	"strings"
)

// Markdown is the table of the causes in docs/verdicts.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| cause | what it is | what is looked for | what helps |\n|---|---|---|---|\n")
	for _, c := range All {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.Kind, c.Title, c.Evidence, c.Remedy)
	}
	return b.String()
}
