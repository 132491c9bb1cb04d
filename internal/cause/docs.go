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

// MeansMarkdown is the table of what causes propose, and never propose, in docs/verdicts.md.
func MeansMarkdown() string {
	var b strings.Builder
	b.WriteString("| kind | name | proposed by |\n|---|---|---|\n")
	for _, of := range []struct {
		kind string
		list []Means
	}{{"recipe", Options}, {"pass", Passes}, {"command", Commands}} {
		for _, m := range of.list {
			by := "never: " + m.Never
			if m.Never == "" {
				by = "`" + strings.Join(m.By, "`, `") + "`"
			}
			fmt.Fprintf(&b, "| %s | `%s` | %s |\n", of.kind, m.Name, by)
		}
	}
	return b.String()
}
