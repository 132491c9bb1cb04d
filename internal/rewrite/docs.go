package rewrite

import (
	"fmt"
	"strings"
)

// Markdown is the page of docs about the passes, made from the passes themselves.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Passes of quantcheck optimize

Made from the passes' own documentation by ` + "`make docs`" + `; ` + "`quantcheck optimize --explain NAME`" + ` prints one. They run in this order:

| pass | what it does | why it runs here |
|---|---|---|
`)
	for _, p := range All {
		off := ""
		if p.Off {
			off = " (only with `--pass`)"
		}
		fmt.Fprintf(&b, "| `%s` | %s%s | %s |\n", p.Name, p.Title, off, p.Order)
	}
	b.WriteString(`
After each pass the graph is checked, and the model before and after runs on samples (your own with ` + "`--verify-on`" + `, else seeded
random input): a pass whose outputs move by more than its tolerance, against their greatest magnitude, is undone and
reported. So is a pass whose model crashes ONNX Runtime, or takes more memory or time than it may, or whose constants take more than 1.1
times as much without having been asked for by name. The others stand.

By default passes do only what has never made a model slower by the HTP compiler's estimate; where the compiler is there, it estimates the model
before and behind all of them (for 45 s at most, not with ` + "`--no-htp`" + `), and if that is slower they run again, each held against the estimate.
` + "`--enable NAME`" + ` asks for a pass by name, ` + "`--keep-faster`" + ` keeps all that is faster.

Names of tensors that a pass does not touch stay, so layers still align. Constants that others use too are copied
before they are changed.
`)
	for _, p := range All {
		fmt.Fprintf(&b, "\n## %s\n%s. %s\n%s\nTolerance: %g.\n", p.Name, strings.ToUpper(p.Title[:1])+p.Title[1:], p.Why, p.Doc, p.Tolerance)
	}
	return b.String()
}
