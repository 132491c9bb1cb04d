//go:build slow

package metric_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/workspace"
	"strings"
	"testing"
)

// A metric is one constant and one entry of the registry: with a toy put into the source so, everything has it, also a database that a
// program without it made.
func TestSlowAMetricIsOneEntryOfTheRegistry(t *testing.T) {
	t.Parallel()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("SKIPPED FOR WANT OF GO'S TOOL")
	}
	source := filepath.Join(fixture.Root(), "internal", "metric", "registry.go")
	data, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	const entry = `	{ID: Toy, Key: "Toy", Title: "a toy", Rank: 11, Formula: "1", of: func(*Pair, float64) Value { return Defined(1) }},` + "\n}\n\n// Gates"
	text := strings.Replace(string(data), "\tCount int = iota", "\tToy\n\tCount int = iota", 1)
	text = strings.Replace(text, "}\n\n// Gates", entry, 1)
	dir := t.TempDir()
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{source: filepath.Join(dir, "registry.go")}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"registry.go": []byte(text), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	folder := workspace.Folder(filepath.Join(dir, "workspace"))
	store, err := workspace.OpenStore(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Runs.Add(t.Context(), measuredRun("old")); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), goTool, "test", "-overlay", filepath.Join(dir, "overlay.json"), "-count=1", "-run", "^TestEveryMetricArrives$", ".")
	cmd.Env = append(os.Environ(), toyWorkspace+"="+string(folder))
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, said)
	}
	again, err := workspace.OpenStore(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if run, err := again.Runs.Read(t.Context(), 2); err != nil || run.Name != "new" || !run.Variants[0].Layers[0].Samples[0][metric.DKL].OK {
		t.Errorf("a program without the toy reads what one with it wrote: %v", err)
	}
}
