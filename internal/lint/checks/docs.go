package checks

import (
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/rewrite"
)

// Markdown is the page of docs about the checks, made from the checks themselves.
func Markdown() string {
	var b strings.Builder
	b.WriteString(`# Checks of quantcheck lint

Made from the checks' own documentation by ` + "`make docs`" + `; ` + "`quantcheck lint --explain ID`" + ` prints one. QC1xxx look at the graph, QC2xxx at
quantization, QC3xxx at layout and preprocessing, QC4xxx at device and speed. The findings that are numbered are the seed
tool's, measured on RVC4 cameras.

    quantcheck lint model.onnx                 the graph and the weights; the HTP is asked which operators it refuses
    quantcheck lint model.dlc                  what the converter was told
    quantcheck lint WORKSPACE                  the last run: encodings, histograms, inputs; and its model
    quantcheck lint model.onnx --estimate      what each finding costs on the DSP by the compiler's estimate, the dearest first
    quantcheck lint model.onnx --fix -o out.onnx --fail-on warning --sarif
`)
	for _, c := range All {
		pass := ""
		switch {
		case slices.Contains(rewrite.Doubtful(), c.Pass):
			pass = fmt.Sprintf(" (`quantcheck optimize --keep-faster`: %s, where the estimate says that it pays; with `--estimate` lint says so)", c.Pass)
		case c.Pass != "":
			pass = fmt.Sprintf(" (`quantcheck optimize --pass %s`, or `lint --fix`)", c.Pass)
		}
		fmt.Fprintf(&b, "\n## %s %s\n%s. %s\n\n**Why** %s\n\n**Fix** %s%s.\n", c.ID, c.Title, strings.ToUpper(string(c.Severity[:1]))+string(c.Severity[1:]), c.What, c.Why, c.Fix, pass)
	}
	return b.String()
}
