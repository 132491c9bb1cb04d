package cli

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
)

// ended is a command line to which something happens, and what it comes to when nothing does.
type ended struct {
	name string
	args []string
	// results says that its results go to the database, and numbers that it prints them as JSON.
	results, numbers bool

	took    time.Duration
	printed string // numbersIn it
}

// accidents are the commands of a workspace to which something happens. They run in the workspace as their working folder, with a
// folder for temporary files of their own.
type accidents struct {
	commands []*ended
	sums     map[string][32]byte // of the files whose bytes are always the same
	by       map[string]*ended   // which command writes each of them
	size     int64               // of all files that they write
}

// known are the accidents of the tests' process: the tests run one after another.
var known *accidents

// newAccidents runs every command once to its end, for the first test that asks.
func newAccidents(t *testing.T) *accidents {
	t.Helper()
	if known != nil {
		return known
	}
	fixture.Library(t)
	model, images := fixture.Path(t, "qnn", "zoo.onnx"), filepath.Join(filepath.Dir(buildProgram(t)), "pictures")
	if err := os.CopyFS(images, os.DirFS(pictures(t, 6))); err != nil {
		t.Fatal(err)
	}
	same := []string{"--scale", "255", "--threads", "1"}
	often := []string{"--json", "--keep-every", "10ms"}
	a := &accidents{sums: map[string][32]byte{}, by: map[string]*ended{}}
	add := func(results, numbers bool, args ...string) {
		a.commands = append(a.commands, &ended{name: args[0], args: args, results: results, numbers: numbers})
	}
	with := func(args []string, more ...[]string) []string {
		for _, m := range more {
			args = append(args, m...)
		}
		return args
	}
	add(true, true, with([]string{"check", model, "--images", images, "--name", "k", "--variant", "w8a8", "--variant", "w8a16", "--save-model", "--save-tensors", "--encodings", "e.json"}, same, often)...)
	add(true, true, with([]string{"eval", model, "--task", "agreement", "--data", images, "--name", "k", "--variant", "w8a8"}, same, often)...)
	add(false, false, with([]string{"optimize", model, "-o", "better.onnx", "--images", images}, same)...)
	add(false, false, with([]string{"quantize", model, "--images", images, "-o", "q.onnx", "--encodings", "q.json"}, same)...)
	add(true, false, with([]string{"explore", model, "--images", images, "--engine", "cpu", "--name", "x", "--variant", "w8a8"}, same)...)
	if _, err := qnn.Find(""); err == nil {
		add(true, true, with([]string{"check", model, "--images", images, "--limit", "2", "--name", "h", "--variant", "w8a8@htp"}, same, often)...)
		add(true, false, "estimate", model, "--out", ".", "--name", "t")
	} else {
		t.Logf("the commands that need the emulator were not tried: %v", err)
	}
	out, tmp := t.TempDir(), t.TempDir()
	for _, c := range a.commands {
		cmd, stdout, stderr := a.process(t, c, out, tmp)
		began := time.Now()
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s undisturbed: %v %s", c.name, err, stderr)
		}
		c.took, c.printed = time.Since(began), numbersIn(stdout)
		for _, name := range files(t, out) {
			if a.by[name] == nil {
				a.by[name] = c
			}
		}
	}
	for _, name := range files(t, out) {
		data, err := os.ReadFile(filepath.Join(out, name))
		if err != nil {
			t.Fatal(err)
		}
		a.size += int64(len(data))
		if same := filepath.Dir(name) != "results"; same {
			a.sums[name] = sha256.Sum256(data)
		}
	}
	if len(a.sums) < 20 {
		t.Fatalf("undisturbed runs wrote %d files", len(a.sums))
	}
	a.sound(t, out, t.Errorf)
	for _, dir := range []string{out, tmp} {
		if left := leftBehind(t, dir, false); len(left) > 0 {
			t.Fatalf("undisturbed runs left %v", left)
		}
	}
	known = a
	return a
}

// process prepares a run of a command in a workspace.
func (a *accidents) process(t *testing.T, c *ended, out, tmp string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	t.Helper()
	cmd, stdout, stderr = inProcess(t, c.args...), new(bytes.Buffer), new(bytes.Buffer)
	cmd.Dir, cmd.Env = out, append(os.Environ(), "TMPDIR="+tmp)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.WaitDelay = 5 * time.Second // a process that it started may live on and have its streams
	return cmd, stdout, stderr
}

// again runs every command that something happened to once more, to its end: what was interrupted goes on, to the numbers of undisturbed runs, and
// nothing is left.
func (a *accidents) again(t *testing.T, drawn map[*ended]bool, out, tmp string) (continued int) {
	t.Helper()
	for _, c := range a.commands {
		if !drawn[c] {
			continue
		}
		cmd, stdout, stderr := a.process(t, c, out, tmp)
		if err := cmd.Run(); err != nil {
			t.Fatalf("%s in the end: %v %s", c.name, err, stderr)
		}
		continued += strings.Count(stderr.String(), "continuing at ")
		a.same(c, stdout, t.Errorf)
	}
	a.sound(t, out, t.Errorf)
	for name := range a.sums {
		if !drawn[a.by[name]] {
			continue
		}
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
	for _, dir := range []string{out, tmp} {
		if left := leftBehind(t, dir, false); len(left) > 0 {
			t.Errorf("left behind in %s: %v", dir, left)
		}
	}
	if left := survivors(tmp); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
	return continued
}

// same compares what a run that has ended printed with what an undisturbed one does.
func (a *accidents) same(c *ended, stdout *bytes.Buffer, fail func(format string, args ...any)) {
	if got := numbersIn(stdout); c.numbers && got != c.printed {
		fail("%s: other numbers:\n%s", c.name, parting(c.printed, got))
	}
}

var ownNumbers = regexp.MustCompile(`(?m)^\s*"(id|memory_mib)": \d+,$`)

// numbersIn leaves out of what a run printed what may be another for every run: times, its number in the database, its bound on memory.
func numbersIn(stdout *bytes.Buffer) string {
	return ownNumbers.ReplaceAllString(withoutTimes(stdout.String()), "")
}

// leftBehind lists what a run should have removed: drafts, stages, locks, folders of workers, and, unless it may be continued, what it
// had computed.
func leftBehind(t *testing.T, dir string, unfinished bool) (left []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := strings.TrimPrefix(path, dir)
		if err == nil && name != "" && (strings.Contains(d.Name(), "quantcheck-") || strings.HasSuffix(name, ".tmp") || strings.HasSuffix(name, "-journal") ||
			d.Name() == "unfinished" && !unfinished) {
			left = append(left, name)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return left
}

// sound checks that whatever stands under a final name is whole, and gives how many results the database has.
func (a *accidents) sound(t *testing.T, out string, fail func(format string, args ...any)) int {
	t.Helper()
	for _, name := range files(t, out) {
		path := filepath.Join(out, name)
		if strings.Contains(name, "quantcheck-") || strings.Contains(name, "quantcheck.db") || filepath.Ext(name) == ".state" {
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			fail("%s: %v", name, err)
			continue
		}
		if want, ok := a.sums[name]; ok && sha256.Sum256(data) != want {
			fail("%s is another than an undisturbed run writes: %d bytes", name, len(data))
		}
		if err := wholeFile(path, data); err != nil {
			fail("%s: %v", name, err)
		}
	}
	return storedResults(t, filepath.Join(out, "results", "quantcheck.db"), fail)
}

// nothingLost checks a workspace after a command that may have been cut short: none of its processes lives, what stands there is whole, and
// no result is lost of those that were stored before. It gives how many are stored now.
func (a *accidents) nothingLost(t *testing.T, c *ended, out, tmp string, stored int, well bool, fail func(format string, args ...any)) int {
	t.Helper()
	if left := survivors(tmp); len(left) > 0 {
		fail("still running: %v", left)
	}
	now := a.sound(t, out, fail)
	if now < stored || well && c.results && now == stored {
		fail("%d results are stored, %d were before", now, stored)
	}
	return now
}

// wholeFile reads a file as those who use it would.
func wholeFile(path string, data []byte) error {
	if len(data) == 0 {
		return errors.New("it is empty")
	}
	switch filepath.Ext(path) {
	case ".json":
		if !json.Valid(data) {
			return errors.New("no JSON")
		}
	case ".csv":
		_, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
		return err
	case ".onnx":
		_, err := onnx.Load(path)
		return err
	case ".dlc":
		_, err := dlc.Open(path)
		return err
	case ".html":
		if !bytes.HasSuffix(bytes.TrimSpace(data), []byte("</html>")) {
			return errors.New("the page has no end")
		}
	}
	return nil
}

// storedResults checks the database and counts the results in it.
func storedResults(t *testing.T, path string, fail func(format string, args ...any)) (total int) {
	t.Helper()
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		fail("%v", err)
		return 0
	}
	defer db.Close()
	var verdict string
	if err := db.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
		fail("the database: %s %v", verdict, err)
	}
	for _, table := range []string{"runs", "evaluations", "explorations", "estimates"} {
		var n int
		err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM "+table).Scan(&n)
		if err != nil && !strings.Contains(err.Error(), "no such table") { // between the file and its first transaction
			fail("%v", err)
		}
		total += n
	}
	return total
}

// reporter makes a function that reports a failure of one draw.
func reporter(t *testing.T, format string, args ...any) func(format string, args ...any) {
	t.Helper()
	what := fmt.Sprintf(format, args...)
	return func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s: %s", what, fmt.Sprintf(format, args...))
	}
}
