package web_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"quantcheck/internal/inspect"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
)

// fillStore puts one of everything into a workspace's database and closes it.
func fillStore(t testing.TB, folder workspace.Folder, scenes []scene) {
	t.Helper()
	db, err := workspace.OpenStore(context.Background(), folder)
	if err != nil {
		t.Fatal(err)
	}
	run, other := invent(1, 12, 2), invent(2, 8, 1)
	list := []error{
		db.Runs.Add(context.Background(), run), db.Runs.Add(context.Background(), other),
		db.Evaluations.Add(context.Background(), detect(1, scenes, []string{"a", "b", "c"}, 2)), db.Evaluations.Add(context.Background(), detect(2, scenes, []string{"a", "b", "c"}, 1)),
		db.Explorations.Add(context.Background(), inventExploration()), db.Estimates.Add(context.Background(), inventEstimate(1, "w8a8-0", run, 40)),
		db.Models.Put(context.Background(), &result.ModelFile{Name: "m.dlc", Layers: []result.ModelLayer{{Tensor: "t", Layer: "t", Shape: []int64{1}, Encoding: &result.ModelEncoding{Bits: 8, Scale: 0.1}}}}),
		db.Close(),
	}
	for _, err := range list {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// readAll does with a workspace's database what report, stats, layers, lint and the page do with it, and gives what was said of
// damage. It fails if something panics.
func readAll(t testing.TB, folder workspace.Folder) (said []string, c web.Content) {
	t.Helper()
	ctx := context.Background()
	db, err := workspace.OpenExisting(ctx, folder)
	if err != nil {
		return []string{err.Error()}, c
	}
	defer db.Close()
	note := func(problems []string, err error) {
		if err != nil {
			said = append(said, err.Error())
		}
		said = append(said, problems...)
	}
	ids, err := db.Runs.Numbers(ctx)
	note(nil, err)
	for _, id := range ids {
		run, err := db.Runs.Read(ctx, id)
		note(nil, err)
		if err == nil {
			c.Runs = append(c.Runs, run)
			note(run.Warnings, nil)
		}
	}
	var problems []string
	c.Evaluations, problems, err = db.Evaluations.All(ctx)
	note(problems, err)
	c.Estimates, problems, err = db.Estimates.All(ctx)
	note(problems, err)
	c.Explorations, problems, err = db.Explorations.All(ctx)
	note(problems, err)
	models, problems, err := db.Models.All(ctx)
	note(problems, err)
	for _, run := range c.Runs {
		report.Terminal(io.Discard, run)
		note(nil, report.JSON(io.Discard, run))
		for i := range run.Variants {
			report.Similarities(run, &run.Variants[i])
		}
		checks.Look(&checks.Subject{Run: run})
		run.Missing()
	}
	for _, e := range c.Evaluations {
		report.Evaluation(io.Discard, e)
	}
	if n := len(c.Evaluations); n > 0 {
		report.Statistics(io.Discard, c.Evaluations)
		report.SeedStatistics(c.Evaluations[n-1].Task, c.Evaluations)
	}
	for _, e := range c.Estimates {
		report.Estimate(io.Discard, e, "")
	}
	for _, x := range c.Explorations {
		report.Explored(io.Discard, x)
	}
	report.Across(io.Discard, inspect.Compare(c.Runs, models), 20)
	_, err = web.Build(c)
	note(nil, err)
	return said, c
}

// mutate opens a database without the program and changes it.
func mutate(t testing.TB, folder workspace.Folder, statement string, args ...any) error {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+folder.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = db.ExecContext(context.Background(), statement, args...)
	return err
}

// odd are values that a cell may hold in a file that is damaged or not ours.
var odd = []any{nil, -1, 0, 7, 1 << 20, int64(-1) << 63, int64(1)<<62 + 1, 0.5, -1e308, 1e308, "", "x", "NaN", "{}", "[]", "null", "[null]", "[{}]", "[[]]", "[-1, 99999]", `{"models": [null]}`, []byte{0xff, 0, 1}, strings.Repeat("[", 20000)}

// cells lists every column of every table.
func cells(t testing.TB, folder workspace.Folder) (list [][2]string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+folder.Database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := db.QueryContext(context.Background(), "SELECT m.name, c.name FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var c [2]string
		if err := rows.Scan(&c[0], &c[1]); err != nil {
			t.Fatal(err)
		}
		list = append(list, c)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestOneDamagedRowIsNamedAndTheRestIsShown damages one row at a time.
func TestOneDamagedRowIsNamedAndTheRestIsShown(t *testing.T) {
	t.Parallel()
	scenes := paintScenes(t, 2)
	for name, c := range map[string]struct {
		statement, says       string
		runs, evaluations     int
		estimates, explorings int
	}{
		"a worst sample that is none":   {"UPDATE metrics SET worst = 99 WHERE run = 1 AND variant = 0 AND layer = 3 AND metric = 'MSE' AND scope = 'accumulated'", "1 row of the table metrics left out: layer 3 of variant 0, accumulated, MSE: the worst sample is number 99 of 3", 2, 2, 1, 1},
		"a layer that is none":          {"UPDATE metrics SET layer = 99 WHERE run = 1 AND variant = 0 AND layer = 3 AND metric = 'MSE' AND scope = 'accumulated'", "there is no layer 99 of variant 0", 2, 2, 1, 1},
		"a sample that is none":         {"UPDATE sample_metrics SET sample = -4 WHERE run = 1 AND variant = 0 AND layer = 3 AND sample = 0 AND scope = 'accumulated'", "sample -4 of 3", 2, 2, 1, 1},
		"a layer before itself":         {"UPDATE layers SET inputs = '[5, 11]' WHERE run = 1 AND number = 5", "is computed from layer 5", 2, 2, 1, 1},
		"a place of divergence":         {"UPDATE variants SET diverges = 12 WHERE run = 1 AND number = 0", "w8a8-0 diverges at layer 12", 2, 2, 1, 1},
		"a twin that is itself":         {"UPDATE variants SET twin = 1 WHERE run = 1 AND number = 1", "w8a8-1 has the twin 1", 2, 2, 1, 1},
		"a status":                      {"UPDATE layer_results SET status = 'great' WHERE run = 1 AND variant = 0 AND layer = 2", "the status \"great\"", 2, 2, 1, 1},
		"a histogram":                   {"UPDATE layer_results SET histogram = '{\"float\": [1], \"variant\": []}' WHERE run = 1 AND variant = 0 AND layer = 2", "histograms of 1 and 0 bins", 2, 2, 1, 1},
		"a layer that is missing":       {"DELETE FROM layers WHERE run = 1 AND number = 4", "layer 5 comes after 4", 1, 2, 1, 1},
		"a result that is missing":      {"DELETE FROM layer_results WHERE run = 1 AND variant = 0 AND layer = 4", "the row of layer 4 of w8a8-0 is missing", 2, 2, 1, 1},
		"a run's JSON":                  {"UPDATE runs SET model = '[' WHERE id = 1", "run 1 of", 1, 2, 1, 1},
		"an evaluation without columns": {"UPDATE evaluations SET result = json_set(result, '$.columns', json('[]')) WHERE id = 1", "evaluation 1 of", 2, 1, 1, 1},
		"a box's class":                 {"UPDATE evaluations SET result = json_set(result, '$.pictures[0].truth[0].class', 12) WHERE id = 1", "a box of class 12, of which there are 3", 2, 1, 1, 1},
		"a start that is none":          {"UPDATE explorations SET result = json_set(result, '$.start', -1) WHERE id = 1", "the start number -1", 2, 2, 1, 0},
		"an estimate":                   {"UPDATE estimates SET timeline = x'00' WHERE id = 1", "estimate 1 of", 2, 2, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := workspace.Folder(t.TempDir())
			fillStore(t, folder, scenes)
			if err := mutate(t, folder, c.statement); err != nil {
				t.Fatal(err)
			}
			said, content := readAll(t, folder)
			if !strings.Contains(strings.Join(said, "\n"), c.says) {
				t.Errorf("no %q in\n%.3000s", c.says, strings.Join(said, "\n"))
			}
			if len(content.Runs) != c.runs || len(content.Evaluations) != c.evaluations || len(content.Estimates) != c.estimates || len(content.Explorations) != c.explorings {
				t.Errorf("%d runs, %d evaluations, %d estimates, %d explorations are read", len(content.Runs), len(content.Evaluations), len(content.Estimates), len(content.Explorations))
			}
		})
	}
}

// TestNoCellMakesItPanic puts every odd value into every column, in one row and in all.
func TestNoCellMakesItPanic(t *testing.T) {
	t.Parallel()
	whole := workspace.Folder(t.TempDir())
	fillStore(t, whole, paintScenes(t, 1))
	image, err := os.ReadFile(whole.Database())
	if err != nil {
		t.Fatal(err)
	}
	if said, _ := readAll(t, whole); len(said) != 2 { // the warnings of the runs themselves
		t.Fatalf("a database that is whole is said to be damaged: %q", said)
	}
	columns := cells(t, whole)
	if len(columns) < 100 {
		t.Fatalf("%d columns", len(columns))
	}
	r := rand.New(rand.NewPCG(1, 1))
	folder := workspace.Folder(t.TempDir())
	if err := os.MkdirAll(filepath.Dir(folder.Database()), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range columns {
		for i := range odd {
			if r.IntN(16) > 0 { // a sixteenth of them; FuzzACell tries all
				continue
			}
			tryCell(t, folder, image, c, odd[i], r.IntN(2) == 0)
		}
	}
}

// tryCell sets a column of some rows in a database, and reads it.
func tryCell(t testing.TB, folder workspace.Folder, image []byte, column [2]string, value any, all bool) {
	t.Helper()
	for _, end := range []string{"-wal", "-shm", "-journal"} {
		_ = os.Remove(folder.Database() + end)
	}
	if err := os.WriteFile(folder.Database(), image, 0o600); err != nil {
		t.Fatal(err)
	}
	where := " LIMIT 1"
	statement := fmt.Sprintf("UPDATE OR IGNORE %s SET %s = ?", column[0], column[1])
	if !all {
		statement += fmt.Sprintf(" WHERE %s = (SELECT %s FROM %s%s)", column[1], column[1], column[0], where)
	}
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("%s with %.60s: %v\n%s", statement, fmt.Sprint(value), p, debug.Stack())
		}
	}()
	if mutate(t, folder, statement, value) != nil {
		return // the database itself refuses it
	}
	readAll(t, folder)
}

func FuzzACell(f *testing.F) {
	whole := workspace.Folder(f.TempDir())
	fillStore(f, whole, nil)
	image, err := os.ReadFile(whole.Database())
	if err != nil {
		f.Fatal(err)
	}
	columns := cells(f, whole)
	f.Add(uint16(3), "[]", int64(0), 0.0, uint8(0))
	f.Add(uint16(40), "", int64(-1), 1e300, uint8(1))
	folder := workspace.Folder(f.TempDir())
	if err := os.MkdirAll(filepath.Dir(folder.Database()), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, column uint16, text string, number int64, float float64, kind uint8) {
		value := []any{text, number, float, []byte(text), nil}[kind%5]
		tryCell(t, folder, image, columns[int(column)%len(columns)], value, kind&64 != 0)
	})
}

func FuzzADatabasesBytes(f *testing.F) {
	whole := workspace.Folder(f.TempDir())
	fillStore(f, whole, nil)
	image, err := os.ReadFile(whole.Database())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(100), []byte{0xff, 0xff}, uint32(5000), []byte{0})
	folder := workspace.Folder(f.TempDir())
	if err := os.MkdirAll(filepath.Dir(folder.Database()), 0o755); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at uint32, a []byte, then uint32, b []byte) {
		data := append([]byte{}, image...)
		copy(data[int(at)%len(data):], a)
		copy(data[int(then)%len(data):], b)
		for _, end := range []string{"-wal", "-shm", "-journal"} {
			_ = os.Remove(folder.Database() + end)
		}
		if err := os.WriteFile(folder.Database(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		readAll(t, folder)
	})
}
