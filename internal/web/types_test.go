package web_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
)

// dataOf takes the data out of a page, as JSON.
func dataOf(t *testing.T, page []byte) []byte {
	t.Helper()
	found := regexp.MustCompile(`id="data"[^>]*>([^<]*)<`).FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no data")
	}
	packed, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(found[1])))
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// compile runs the TypeScript compiler over data that is declared to be a Page; it gives the compiler's complaints.
func compile(t *testing.T, data ...[]byte) string {
	t.Helper()
	ui := filepath.Join(fixture.Root(), "ui")
	tsc := filepath.Join(ui, "node_modules", ".bin", "tsc")
	if _, err := os.Stat(tsc); err != nil {
		t.Skipf("SKIPPED FOR WANT OF THE PAGE'S TOOLS: %v; run make deps", err)
	}
	source := fmt.Appendf(nil, "import type { Page } from %q\n", filepath.Join(ui, "src", "data"))
	for i, one := range data {
		source = fmt.Appendf(source, "export const page%d: Page = %s\n", i, one)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "page.ts"), source, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), tsc, "--noEmit", "--strict", "--target", "es2023", "--module", "esnext", "--moduleResolution", "bundler", "page.ts")
	cmd.Dir = dir
	said, err := cmd.CombinedOutput()
	if err != nil && len(said) == 0 {
		t.Fatal(err)
	}
	lines := strings.Split(string(source), "\n")
	return regexp.MustCompile(`page\.ts\((\d+),(\d+)\)`).ReplaceAllStringFunc(string(said), func(place string) string {
		var line, column int
		if _, err := fmt.Sscanf(place, "page.ts(%d,%d)", &line, &column); err != nil {
			t.Fatal(err)
		}
		text := []rune(lines[line-1])[max(column-60, 0):]
		return string(text[:min(len(text), 120)])
	})
}

// The generated types promise what reflection cannot know: that no list is missing, and which strings there are. Data of every
// kind, whole and with as little as possible, is held against them by the compiler that checks the page.
func TestThePagesDataFitsItsTypes(t *testing.T) {
	t.Parallel()
	scenes := paintScenes(t, 3)
	run := invent(1, 30, 3)
	onBoard, benchmark := onDevice()
	full := web.Content{
		Runs: []*result.Run{run, onBoard}, Cycles: []*result.Cycles{profile("profiled", 4)},
		Evaluations:  []*result.Evaluation{detect(2, scenes, []string{"a", "b", "c"}, 2), segment(t, 3, scenes, result.Segmentation, t.TempDir())},
		Estimates:    []*result.Estimated{inventEstimate(4, "w8a8-0", run, 50)},
		Explorations: []*result.Explored{inventExploration()}, Benchmarks: []*result.Benchmark{benchmark}, Problems: []string{"a problem"},
	}
	recipe := variant.Spec{Kind: variant.Recipe}
	least := web.Content{
		Runs:   []*result.Run{{Layers: []result.Layer{{}}, Variants: []result.Variant{{Counterpart: -1, Counts: map[result.Status]int{}, Layers: []result.LayerResult{{Status: result.Fused}}}}}},
		Cycles: []*result.Cycles{{}}, Evaluations: []*result.Evaluation{{Task: result.Agreement}, {Task: result.Depth, Models: []result.EvalModel{{}}, Pictures: []result.EvalPicture{{}}}},
		Estimates: []*result.Estimated{{Estimate: &htpcost.Estimate{}}}, Explorations: []*result.Explored{{Task: result.Depth, Spec: result.ExploreSpec{Scoring: result.Scoring{Task: result.Depth}}, Recipe: recipe, Verdict: result.OutOfReach, PriceUnit: result.BitOpsUnit, Points: []result.ExplorePoint{{Recipe: recipe}}}}, Benchmarks: []*result.Benchmark{{}},
	}
	data := [][]byte{dataOf(t, buildContent(t, full)), dataOf(t, buildContent(t, least)), dataOf(t, buildContent(t, web.Content{}))}
	if said := compile(t, data...); said != "" {
		t.Error(said)
	}
	broken := [][]byte{
		bytes.Replace(data[2], []byte(`"tool"`), []byte(`"tools"`), 1),            // an unknown field
		bytes.Replace(data[2], []byte(`"runs":[]`), []byte(`"runs":null`), 1),     // a missing list
		bytes.Replace(data[1], []byte(`"task":"depth"`), []byte(`"task":"d"`), 1), // an unknown task
	}
	if said := compile(t, broken...); strings.Count(said, "error TS") != len(broken) {
		t.Errorf("of %d broken pages the compiler says: %s", len(broken), said)
	}
}
