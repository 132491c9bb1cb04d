package workspace

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/result"
)

func TestAllBenchmarksOfAWorkspace(t *testing.T) {
	t.Parallel()
	f := Folder(filepath.Join(t.TempDir(), "[a] *")) // no pattern, but a folder's name
	if list, problems := ReadBenchmarks(f); len(list) > 0 || len(problems) > 0 {
		t.Errorf("of nothing: %v %v", list, problems)
	}
	at := time.Date(2026, 11, 24, 1, 2, 3, 0, time.UTC)
	for name, done := range map[string]time.Time{"late": at.Add(time.Hour), "early": at, "none": {}} {
		b := &result.Benchmark{Name: name, Steps: map[result.Step]*result.StepDone{result.StepInfo: nil}}
		if !done.IsZero() {
			b.Steps[result.StepLayers] = &result.StepDone{Finished: done}
		}
		if err := WriteJSON(f.Benchmark(name), b); err != nil {
			t.Fatal(err)
		}
	}
	for path, text := range map[string]string{"other/info.json": "{}", "damaged/benchmark.json": `{"name": `, "file": "no folder"} {
		if err := WriteFile(filepath.Join(string(f), "models_dlc", path), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(f.Benchmark("folder"), 0o777); err != nil {
		t.Fatal(err)
	}
	list, problems := ReadBenchmarks(f)
	var names []string
	for _, b := range list {
		names = append(names, b.Name)
	}
	if got := strings.Join(names, " "); got != "none early late" {
		t.Errorf("in the order of their last steps: %s", got)
	}
	if len(problems) != 2 || !strings.Contains(problems[0], "damaged") || !strings.Contains(problems[0], "remove it to begin anew") || !strings.Contains(problems[1], "not a file") {
		t.Errorf("problems: %q", problems)
	}
}
