package cli

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// spoiled runs a command whose workspace becomes unusable while it computes. LIST in its arguments stands for the samples, which are named in
// a pipe: the command reads it when it has tried its workspace, and spoil is called then.
func spoiled(t *testing.T, out string, args []string, spoil func()) (status int, stdout, stderr string) {
	t.Helper()
	fixture.Runtime(t)
	images := pictures(t, 3)
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := syscall.Mkfifo(list, 0o600); err != nil {
		t.Skipf("no pipes with names here: %v", err)
	}
	for i, a := range args {
		args[i] = strings.ReplaceAll(a, "LIST", list)
	}
	var o, e bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- Run(t.Context(), append(args, "--out", out, "--threads", strconv.Itoa(fixture.Threads)), strings.NewReader(""), &o, &e)
	}()
	opened := make(chan *os.File, 1)
	go func() {
		f, err := os.OpenFile(list, os.O_WRONLY, 0) // when somebody reads
		if err != nil {
			t.Error(err)
		}
		opened <- f
	}()
	select {
	case status := <-ended:
		t.Fatalf("it ended before it read its samples: %d %s", status, &e)
	case f := <-opened:
		spoil()
		for i := range 3 {
			fmt.Fprintln(f, filepath.Join(images, "p"+strconv.Itoa(i)+".png"))
		}
		f.Close()
	}
	return <-ended, o.String(), e.String()
}

// replace puts a file in the place of the folder results.
func replace(t *testing.T, out string) {
	t.Helper()
	results := filepath.Join(out, "results")
	if err := os.Rename(results, results+"-before"); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if err := os.WriteFile(results, nil, 0o600); err != nil {
		t.Error(err)
	}
}

// putBack undoes replace.
func putBack(t *testing.T, out string) {
	t.Helper()
	results := filepath.Join(out, "results")
	if err := os.Remove(results); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(results+"-before", results); err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

// runImport runs the command that the error names.
func runImport(t *testing.T, out, stderr string) string {
	t.Helper()
	_, command, _ := strings.Cut(stderr, "quantcheck report ")
	words := strings.Fields(command)
	if len(words) < 3 || words[0] != out || words[1] != "--import" {
		t.Fatalf("the error names no command: %s", stderr)
	}
	status, stdout, said := run(t, append([]string{"report"}, words[:3]...)...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, said)
	}
	return stdout
}

// rowsOf are all rows of a workspace's database but for what differs from run to run: times and seconds.
func rowsOf(t *testing.T, out string) map[string][]string {
	t.Helper()
	db, err := sql.Open("sqlite", workspace.Folder(out).Database())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]string{}
	query := func(text string, row func(scan func(...any) error) error) {
		rows, err := db.QueryContext(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			if err := row(rows.Scan); err != nil {
				t.Fatal(err)
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	var tables []string
	query("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name", func(scan func(...any) error) error {
		var name string
		err := scan(&name)
		tables = append(tables, name)
		return err
	})
	for _, table := range tables {
		if table == "trials" { // their times are their own
			continue
		}
		var columns []string
		query("SELECT name FROM pragma_table_info('"+table+"')", func(scan func(...any) error) error {
			var name string
			err := scan(&name)
			if !slices.Contains([]string{"started", "seconds", "spec", "machine", "result", "model", "data"}, name) || name == "model" && table == "scores" {
				columns = append(columns, "quote("+name+")")
			}
			return err
		})
		query("SELECT "+strings.Join(columns, " || ' ' || ")+" FROM "+table+" ORDER BY 1", func(scan func(...any) error) error {
			var row string
			err := scan(&row)
			all[table] = append(all[table], row)
			return err
		})
	}
	return all
}

func TestWhatAWorkspaceDoesNotTakeIsPrintedAndKept(t *testing.T) {
	model := smallModel(t, nil)
	for _, row := range []struct {
		name    string
		args    []string
		printed string
		brought string
	}{
		{"check", []string{"check", model, "--images", "LIST", "--name", "it's", "--save-tensors", "--save-model", "--variant", "w8a8", "--variant", "fp16"}, "w8a8", "1 run,"},
		{"check as JSON", []string{"check", model, "--images", "LIST", "--json"}, `"variants"`, "1 run,"},
		{"eval", []string{"eval", model, "--task", "agreement", "--data", "LIST"}, "w8a8", "1 evaluation,"},
		{"explore", []string{"explore", model, "--images", "LIST", "--engine", "cpu", "--apply", "--variant", "w8a8"}, "w8a8", "1 exploration"},
	} {
		t.Run(row.name, func(t *testing.T) {
			temporary := t.TempDir()
			t.Setenv("TMPDIR", temporary)
			out := filepath.Join(t.TempDir(), "w")
			status, stdout, stderr := spoiled(t, out, slices.Clone(row.args), func() { replace(t, out) })
			if status != exitFailed || !strings.Contains(stdout, row.printed) || !strings.Contains(stderr, filepath.Join(out, "results")) {
				t.Fatalf("status %d, stdout %q, stderr %s", status, stdout, stderr)
			}
			if strings.HasSuffix(row.name, "JSON") && !json.Valid([]byte(stdout)) {
				t.Errorf("no JSON: %s", stdout)
			}
			putBack(t, out)
			if said := runImport(t, out, stderr); !strings.Contains(said, row.brought) {
				t.Errorf("it said %q", said)
			}
			kept, err := filepath.Glob(filepath.Join(temporary, "quantcheck-kept-*"))
			if err != nil || len(kept) != 1 {
				t.Fatalf("%v %v", kept, err)
			}
			status, again, stderr := run(t, "report", out, "--import", kept[0])
			if status != 0 || !strings.Contains(again, "(1 result there already)") {
				t.Errorf("once more: %d %q %s", status, again, stderr)
			}

			// What is there now is what a run leaves that nobody disturbed.
			images, alone := pictures(t, 3), filepath.Join(t.TempDir(), "w")
			args := slices.Clone(row.args)
			for i, a := range args {
				args[i] = strings.ReplaceAll(a, "LIST", images)
			}
			if status, _, stderr := run(t, append(args, "--out", alone)...); status != 0 {
				t.Fatal(stderr)
			}
			if diff := cmp.Diff(withoutPaths(rowsOf(t, alone), images), withoutPaths(rowsOf(t, out), images)); diff != "" {
				t.Errorf("the database: %s", diff)
			}
			if diff := cmp.Diff(files(t, alone), files(t, out)); diff != "" {
				t.Errorf("the files: %s", diff)
			}
		})
	}
}

// withoutPaths leaves the folders out of rows: every call of pictures makes another one.
func withoutPaths(rows map[string][]string, _ string) map[string][]string {
	for table, list := range rows {
		for i, row := range list {
			for _, word := range strings.Fields(row) {
				if at := strings.Index(word, "/"); at >= 0 {
					row = strings.ReplaceAll(row, word, filepath.Base(word))
				}
			}
			list[i] = row
		}
		slices.Sort(rows[table])
	}
	return rows
}

// TestAWorkspaceIsTriedBeforeTheWork gives a library that is not there: whoever comes to the point of needing it ends with another status.
func TestAWorkspaceIsTriedBeforeTheWork(t *testing.T) {
	t.Parallel()
	model, images := smallModel(t, nil), pictures(t, 1)
	file := func(t *testing.T, path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("a file"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	database := func(t *testing.T, out string, statements ...string) {
		t.Helper()
		s, err := workspace.OpenStore(t.Context(), workspace.Folder(out))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Runs.Add(t.Context(), &result.Run{Command: "check", Name: "x"}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", workspace.Folder(out).Database())
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := []string{"check", model, "--images", images}
	for _, row := range []struct {
		name   string
		args   []string
		spoil  func(t *testing.T, out string)
		status int
		want   string
	}{
		{"the workspace is a file", check, func(t *testing.T, out string) { file(t, out) }, exitUsage, "is a file"},
		{"a folder above it is a file", check, func(t *testing.T, out string) { file(t, filepath.Dir(out)) }, exitUsage, "not a directory"},
		{"results is a file", check, func(t *testing.T, out string) { file(t, filepath.Join(out, "results")) }, exitFailed, "not a folder"},
		{"similarities is a file", check, func(t *testing.T, out string) { file(t, filepath.Join(out, "results", "similarities")) }, exitFailed, "not a folder"},
		{"the page is a folder", check, func(t *testing.T, out string) { file(t, filepath.Join(out, "results", "report.html", "f")) }, exitFailed, "is a folder"},
		{"models_onnx is a file", append(check, "--save-model"), func(t *testing.T, out string) { file(t, filepath.Join(out, "models_onnx")) }, exitFailed, "not a folder"},
		{"the encodings' folder is a file", append(check, "--encodings", filepath.Join(model, "e.json")), nil, exitFailed, "not a folder"},
		{"a newer database", check, func(t *testing.T, out string) { database(t, out, "PRAGMA user_version = 99") }, exitFailed, "newer version"},
		{"a foreign database", check, func(t *testing.T, out string) { database(t, out, "DROP TABLE layers") }, exitFailed, "has no table layers"},
		{"a database that is none", check, func(t *testing.T, out string) { file(t, workspace.Folder(out).Database()) }, exitFailed, "move it away"},
		{"a damaged database", check, func(t *testing.T, out string) {
			database(t, out)
			path := workspace.Folder(out).Database()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for i := 2 * 4096; i < 5*4096; i++ {
				data[i] = 0xa5
			}
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}, exitFailed, "move it away"},
		{"eval", []string{"eval", model, "--task", "agreement", "--data", images}, func(t *testing.T, out string) { file(t, filepath.Join(out, "results")) }, exitFailed, "not a folder"},
		{"explore", []string{"explore", model, "--images", images}, func(t *testing.T, out string) { file(t, filepath.Join(out, "results")) }, exitFailed, "not a folder"},
		{"explore --apply", []string{"explore", model, "--images", images, "--apply"}, func(t *testing.T, out string) { file(t, filepath.Join(out, "models_dlc")) }, exitFailed, "not a folder"},
		{"estimate", []string{"estimate", model}, func(t *testing.T, out string) { file(t, filepath.Join(out, "results")) }, exitFailed, "not a folder"},
		{"benchmark", []string{"benchmark", "--dlc", model, "--onnx", model, "--image", filepath.Join(images, "p0.png"), "--device", "local"}, func(t *testing.T, out string) { file(t, filepath.Join(out, "models_dlc")) }, exitFailed, "not a folder"},
		{"quantize", []string{"quantize", model, "--images", images, "-o", filepath.Join(model, "o.onnx")}, nil, exitFailed, "not a folder"},
		{"optimize", []string{"optimize", model, "-o", filepath.Join(model, "o.onnx")}, nil, exitFailed, "not a folder"},
	} {
		t.Run(row.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "above", "w")
			args := append(slices.Clone(row.args), "--ort-lib", "nowhere.so")
			if row.spoil != nil {
				row.spoil(t, out)
			}
			if row.args[0] != "quantize" && row.args[0] != "optimize" {
				args = append(args, "--out", out)
			}
			before := files(t, filepath.Dir(out))
			var stdout, stderr bytes.Buffer
			status := Run(t.Context(), args, strings.NewReader(""), &stdout, &stderr)
			if status != row.status || !strings.Contains(stderr.String(), row.want) || stdout.Len() > 0 {
				t.Errorf("status %d, want %d; %q does not say %q", status, row.status, &stderr, row.want)
			}
			if after := files(t, filepath.Dir(out)); !slices.Equal(before, after) {
				t.Errorf("left behind: %v", after)
			}
		})
	}
}

// mounted mounts a small file system at a new folder; ok is false where that is not allowed.
func mounted(t *testing.T, flags uintptr, data string) (dir string, ok bool) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", flags, data); err != nil {
		t.Logf("not tried on a real disk, because mounting is not allowed: %v", err)
		return dir, false
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir, true
}

func TestDisksThatTakeNothingAreFoundBeforeTheWork(t *testing.T) {
	model, images := smallModel(t, nil), pictures(t, 1)
	if out, ok := mounted(t, syscall.MS_RDONLY, "size=1m"); ok {
		var stdout, stderr bytes.Buffer
		status := Run(t.Context(), []string{"check", model, "--images", images, "--out", out, "--ort-lib", "nowhere.so"}, strings.NewReader(""), &stdout, &stderr)
		if status != exitFailed || !strings.Contains(stderr.String(), "read-only file system") {
			t.Errorf("a read-only disk: %d %s", status, &stderr)
		}
	}
	if out, ok := mounted(t, 0, "size=200k"); ok {
		status, stdout, stderr := run(t, "check", model, "--images", images, "--out", out)
		if status != exitFailed || stdout != "" || !strings.Contains(stderr, "not enough free space") || !strings.Contains(stderr, " kB are free there") {
			t.Errorf("a small disk: %d %s", status, stderr)
		}
		if left := files(t, out); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// TestADiskThatIsFullInTheEndLosesNothing fills a real disk while the check computes.
func TestADiskThatIsFullInTheEndLosesNothing(t *testing.T) {
	out, ok := mounted(t, 0, "size=8m,nr_inodes=60")
	if !ok {
		return
	}
	t.Setenv("TMPDIR", t.TempDir())
	filler := filepath.Join(out, "filler")
	status, stdout, stderr := spoiled(t, out, []string{"check", smallModel(t, nil), "--images", "LIST"}, func() {
		err := os.Mkdir(filler, 0o700)
		for i := 0; err == nil; i++ { // the disk has bytes left, but no room for another file
			err = os.WriteFile(filepath.Join(filler, strconv.Itoa(i)), nil, 0o600)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			t.Error(err)
		}
	})
	if status != exitFailed || !strings.Contains(stdout, "w8a8") || !strings.Contains(stderr, "no space left on device") {
		t.Fatalf("status %d, stdout %q, stderr %s", status, stdout, stderr)
	}
	if err := os.RemoveAll(filler); err != nil {
		t.Fatal(err)
	}
	if said := runImport(t, out, stderr); !strings.Contains(said, "1 run,") {
		t.Errorf("it said %q", said)
	}
}
