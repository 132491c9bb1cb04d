package publish

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// compared is a run of one layer and one sample.
func compared(name string) *result.Run {
	var values metric.Values
	for i := range values {
		values[i] = metric.Defined(float64(i) + 0.5)
	}
	samples := []*metric.Values{&values}
	layer := result.LayerResult{Status: result.Compared, Summary: metric.Summarize(samples), Samples: samples}
	return &result.Run{
		Command: "check", Name: name, Samples: []result.Sample{{Name: "sample"}}, Warnings: []string{}, Calibration: []result.Sample{},
		Layers:   []result.Layer{{Name: "layer", Clean: "layer", Shape: []int64{1}, Inputs: []int{}}},
		Variants: []result.Variant{{Diverges: -1, Counterpart: -1, FirstMismatchLayer: -1, Layers: []result.LayerResult{layer}}},
	}
}

// there fails unless all files exist and are not empty.
func there(t *testing.T, files []string) {
	t.Helper()
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Size() == 0 {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestARunIsStoredWithItsFilesAndItsPage(t *testing.T) {
	t.Parallel()
	folder := workspace.Folder(t.TempDir())
	run := compared("m")
	run.Variants[0].Spec.Name = "w8a8"
	files, err := Check(t.Context(), folder, workspace.NewStage(folder, run.Spec), run)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{folder.Report(), folder.Database(), folder.Similarities("m", "w8a8")}; !slices.Equal(files, want) {
		t.Errorf("%v, want %v", files, want)
	}
	there(t, files)
	db, err := workspace.OpenExisting(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	ids, err := db.Runs.Numbers(t.Context())
	if err != nil || len(ids) != 1 || run.ID != ids[0] {
		t.Fatalf("runs %v, the run has the number %d: %v", ids, run.ID, err)
	}
	stored, err := db.Runs.Read(t.Context(), ids[0])
	if err != nil || stored.Variants[0].Layers[0].Summary[metric.SQNR].Mean != run.Variants[0].Layers[0].Summary[metric.SQNR].Mean {
		t.Errorf("%v %+v", err, stored)
	}
	content, err := Page(t.Context(), folder, db, filepath.Join(t.TempDir(), "page.html"))
	if err != nil || len(content.Runs) != 1 || content.Runs[0].Name != "m" {
		t.Errorf("%v %+v", err, content.Runs)
	}
}

func TestResultsAreStoredThoughThePageCannotBeWritten(t *testing.T) {
	t.Parallel()
	folder := workspace.Folder(t.TempDir())
	if err := os.MkdirAll(filepath.Join(folder.Report(), "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := Check(t.Context(), folder, workspace.NewStage(folder, result.CheckSpec{}), compared("m"))
	var drawn *DrawnError
	if !errors.As(err, &drawn) || !strings.Contains(err.Error(), "quantcheck report "+string(folder)) || slices.Contains(files, folder.Report()) {
		t.Errorf("%v %v", files, err)
	}
	there(t, files)
	files, notes, err := Estimates(t.Context(), folder, []*result.Estimated{{Name: "m", Variant: "w8a8", Covered: 0.75, Estimate: &htpcost.Estimate{}}})
	if !errors.As(err, &drawn) || len(notes) > 0 || !slices.Equal(files, []string{folder.Database()}) {
		t.Errorf("%v %v %v", files, notes, err)
	}
	db, err := workspace.OpenExisting(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	list, problems, err := db.Estimates.All(t.Context())
	if err != nil || len(problems) > 0 || len(list) != 1 || list[0].Covered != 0.75 {
		t.Errorf("%v %v %v", list, problems, err)
	}
}

func TestAnEvaluationHasAFileForEachModelAndTheTables(t *testing.T) {
	t.Parallel()
	folder := workspace.Folder(t.TempDir())
	score := metric.Defined(0.5)
	e := &result.Evaluation{
		Name: "m", Task: result.Classification, Columns: []result.Column{{Key: "top-1"}}, Problems: []string{}, Warnings: []string{},
		Models: []result.EvalModel{{Name: "float", File: "m", Scores: []metric.Value{score}}, {Name: "w8a8", File: "m-w8a8", Scores: []metric.Value{score}}},
	}
	files, err := Evaluation(t.Context(), folder, folder, e)
	if err != nil {
		t.Fatal(err)
	}
	there(t, files)
	for _, want := range []string{folder.Report(), folder.Database(), folder.Results("m.json"), folder.Results("m-w8a8.json")} {
		if !slices.Contains(files, want) {
			t.Errorf("%s is not among %v", want, files)
		}
	}
	if files[0] != folder.Report() {
		t.Errorf("the page does not come first: %v", files)
	}
}
