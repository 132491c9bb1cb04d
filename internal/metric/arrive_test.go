package metric_test

import (
	"bytes"
	"compress/gzip"
	"database/sql"
	"encoding/base64"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

// toyWorkspace names the variable that tells this test, built again with one metric more, which workspace to go on with.
const toyWorkspace = "QUANTCHECK_TOY_WORKSPACE"

// measuredRun is a run of one layer and one sample, where the value of metric i is i + 0.5.
func measuredRun(name string) *result.Run {
	var values metric.Values
	for i := range values {
		values[i] = metric.Defined(float64(i) + 0.5)
	}
	samples := []*metric.Values{&values}
	part := result.Part{Summary: metric.Summarize(samples), Samples: samples}
	layer := result.LayerResult{Status: result.Compared, Summary: part.Summary, Samples: samples, EmulationError: &result.EmulationError{Part: part, FractionOverOneStep: metric.Defined(0)}, Local: &result.Local{Full: part}}
	return &result.Run{
		Command: "check", Name: name, Samples: []result.Sample{{Name: "sample"}}, Spec: result.CheckSpec{LocalSamples: 1},
		Layers:   []result.Layer{{Name: "layer", Clean: "layer", Shape: []int64{1}, Inputs: []int{}}},
		Variants: []result.Variant{{Diverges: -1, FirstMismatchLayer: -1, Emulator: &result.Emulator{}, Layers: []result.LayerResult{layer}}},
	}
}

// Every metric of the registry is found in the database, in CSV, in the page's data and in docs.
func TestEveryMetricArrives(t *testing.T) {
	folder := workspace.Folder(t.TempDir())
	if dir := os.Getenv(toyWorkspace); dir != "" {
		folder = workspace.Folder(dir)
		if metric.Count != len(metric.All) || metric.All[metric.Count-1].Key != "Toy" {
			t.Fatal("this program has no toy")
		}
	}
	store, err := workspace.OpenStore(t.Context(), folder)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	ids, err := store.Runs.Numbers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range ids { // of a program with fewer metrics
		if old, err := store.Runs.Read(t.Context(), id); err != nil {
			t.Error(err)
		} else if v := old.Variants[0].Layers[0].Samples[0]; !v[metric.DKL].OK || v[metric.Count-1].OK {
			t.Errorf("run %d: %v", id, v)
		}
	}
	run := measuredRun("new")
	if err := store.Runs.Add(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	if run, err = store.Runs.Read(t.Context(), run.ID); err != nil {
		t.Fatal(err)
	}
	v := &run.Variants[0]
	table := similarities(t, run, v)
	shown := pageData(t, run)
	for i, m := range metric.All {
		want := float64(i) + 0.5
		if got := v.Layers[0].Samples[0][m.ID]; got.V != want || int(m.ID) != i {
			t.Errorf("%s: the database gives %v", m.Key, got)
		}
		if got := query(t, folder, m.Key, run.ID); got != want {
			t.Errorf("%s: SQL gives %v", m.Key, got)
		}
		for _, column := range []string{m.Key, m.Key + "_min", "Local_" + m.Key, "Twin_" + m.Key} {
			if got := table[column]; got != fmt.Sprint(want) {
				t.Errorf("%s: the CSV file has %q", column, got)
			}
		}
		if got := shown.Runs[0].Variants[0].Accumulated[m.Key].Mean; len(got) != 1 || got[0] != want || shown.Metrics[i].Key != m.Key {
			t.Errorf("%s: the page has %v", m.Key, got)
		}
		if !strings.Contains(metric.Markdown(), "| `"+m.Key+"` | "+m.Formula+" |") {
			t.Errorf("%s: docs do not have it", m.Key)
		}
	}
}

// similarities gives the one row of a similarity file by its columns.
func similarities(t *testing.T, run *result.Run, v *result.Variant) map[string]string {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(report.Similarities(run, v))).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	row := map[string]string{}
	for i, column := range rows[0] {
		row[column] = rows[1][i]
	}
	return row
}

// shownPage is what this test reads of the page's data.
type shownPage struct {
	Metrics []struct{ Key string }
	Runs    []struct {
		Variants []struct {
			Accumulated map[string]struct{ Mean []float64 }
		}
	}
}

func pageData(t *testing.T, run *result.Run) (shown shownPage) {
	t.Helper()
	page, err := web.Build(web.Content{Runs: []*result.Run{run}})
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`id="data"[^>]*>([^<]*)<`).FindSubmatch(page)
	if found == nil {
		t.Fatal("the page has no data")
	}
	z, err := gzip.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(bytes.TrimSpace(found[1]))))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewDecoder(z).Decode(&shown); err != nil {
		t.Fatal(err)
	}
	return shown
}

// query reads a metric of a run's one sample as somebody with SQL would.
func query(t *testing.T, f workspace.Folder, key string, run int64) (v float64) {
	t.Helper()
	db, err := sql.Open("sqlite", f.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRowContext(t.Context(), "SELECT "+key+" FROM sample_metrics WHERE run = ? AND scope = 'accumulated'", run).Scan(&v); err != nil {
		t.Error(err)
	}
	return v
}
