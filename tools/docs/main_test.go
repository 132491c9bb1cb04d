package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/encodings"
	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestDocsSayWhatTheProgramDoes(t *testing.T) {
	t.Parallel()
	for _, p := range pages {
		want, err := p.text(fixture.Root())
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := os.ReadFile(filepath.Join(fixture.Root(), p.path))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not what the program says of itself: run make docs", p.path)
		}
	}
}

// Where a page tells of a registry's entries in its own words, it names them all.
func TestPagesNameEveryEntry(t *testing.T) {
	t.Parallel()
	named := map[string][]string{}              // by page
	for _, c := range variant.Calibrators[1:] { // the default needs no word
		named["README.md"] = append(named["README.md"], c.Written())
	}
	for _, s := range htpcost.SoCs {
		named["docs/estimate.md"] = append(named["docs/estimate.md"], s.Name)
	}
	for _, s := range result.Steps {
		named["docs/benchmark.md"] = append(named["docs/benchmark.md"], string(s))
	}
	for _, task := range result.Tasks {
		named["docs/eval.md"] = append(named["docs/eval.md"], string(task))
	}
	named["docs/dlc.md"] = encodings.Versions
	for _, m := range metric.Gates() {
		name, _, _ := strings.Cut(m.Gate, "=")
		named["docs/metrics.md"] = append(named["docs/metrics.md"], name+"=")
	}
	for page, entries := range named {
		text, err := os.ReadFile(filepath.Join(fixture.Root(), page))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			if !strings.Contains(strings.ToLower(string(text)), entry) {
				t.Errorf("%s does not name %s", page, entry)
			}
		}
	}
}
