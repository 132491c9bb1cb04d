// Docs writes the pages of docs that are made from the program itself, and the parts of others that are.
//
// A part stands in its page between two comments, `<!-- NAME, made by make docs -->` and `<!-- end -->`.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/cause"
	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/metric"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
)

// page is a file of docs: made as a whole, or some parts of it by their names.
type page struct {
	path  string
	whole func() string
	parts map[string]func() string
}

var pages = []page{
	{path: "docs/passes.md", whole: rewrite.Markdown},
	{path: "docs/checks.md", whole: checks.Markdown},
	{path: "docs/eval.md", parts: map[string]func() string{"decoders": decode.Markdown}},
	{path: "docs/input.md", parts: map[string]func() string{"keys": dataset.Markdown}},
	{path: "docs/quantization.md", parts: map[string]func() string{"calibrators": variant.Markdown}},
	{path: "docs/verdicts.md", parts: map[string]func() string{"causes": cause.Markdown, "advice": cause.MeansMarkdown, "decisions": verdict.Markdown}},
	{path: "docs/metrics.md", parts: map[string]func() string{"metrics": metric.Markdown}},
}

func main() {
	for _, p := range pages {
		text, err := p.text(".")
		if err == nil {
			err = os.WriteFile(p.path, []byte(text), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "docs:", err)
			os.Exit(1)
		}
	}
}

// text is what the page should say. The rest of a page that is made in parts is what stands in its file below root.
func (p page) text(root string) (string, error) {
	if p.whole != nil {
		return p.whole(), nil
	}
	data, err := os.ReadFile(filepath.Join(root, p.path))
	if err != nil {
		return "", err
	}
	text := string(data)
	for _, name := range slices.Sorted(maps.Keys(p.parts)) {
		begin := "<!-- " + name + ", made by make docs -->\n"
		before, rest, found := strings.Cut(text, begin)
		_, after, ended := strings.Cut(rest, "<!-- end -->\n")
		if !found || !ended {
			return "", fmt.Errorf("%s has no part %s", p.path, name)
		}
		text = before + begin + p.parts[name]() + "<!-- end -->\n" + after
	}
	return text, nil
}
