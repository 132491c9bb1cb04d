package verdict

import (
	"fmt"
	"strings"
)

// Markdown is the table of the kinds of decisions in docs/verdicts.md.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| kind | an output is recognised if | a decision is kept if |\n|---|---|---|\n")
	for _, k := range Kinds {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", k.Name, k.Recognised, k.What)
	}
	return b.String()
}
