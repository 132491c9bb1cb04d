package scratch

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/process"
)

// of is the name of a thing that another process made.
func of(id process.ID, kind string) string { return "quantcheck-" + kind + "-" + id.String() + "-x1" }

func ended(t *testing.T) process.ID {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	id := process.Self()
	id.PID = c.Process.Pid
	return id
}

// put makes a folder with a file in it, or a file if the name begins with a dot and "draft"; both are so old.
func put(t *testing.T, dir, name string, age time.Duration) {
	t.Helper()
	path := filepath.Join(dir, name)
	file := path
	if !strings.HasPrefix(name, ".quantcheck-draft") {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		file = filepath.Join(path, "in it")
	}
	if err := os.WriteFile(file, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{file, path} {
		when := time.Now().Add(-age)
		if err := os.Chtimes(p, when, when); err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyWhatNobodyNeedsIsSwept(t *testing.T) {
	t.Parallel()
	gone, self := ended(t), process.Self()
	away, before, again := self, self, self
	away.Host, before.Boot = "000000", "000000"
	again.Start++
	dir := t.TempDir()
	const week = 7 * 24 * time.Hour
	for _, row := range []struct {
		name string
		age  time.Duration
		left bool // it is a leftover
	}{
		{of(gone, "htp"), 0, true},
		{"." + of(gone, "run"), 0, true},
		{"." + of(gone, "draft"), 0, true},
		{"." + of(again, "draft"), 0, true},
		{of(before, "cpu"), 0, true},
		{of(self, "htp"), 2 * week, false},
		{"." + of(self, "draft"), 2 * week, false},
		{of(away, "htp"), week - time.Hour, false},
		{of(away, "dlc"), week + time.Hour, true},
		{".quantcheck-run-4711", week - time.Hour, false},
		{".quantcheck-run-815", week + time.Hour, true},
		{"quantcheck-htp-815", week + time.Hour, true},
		{".quantcheck-made-X", 2 * week, false}, // a device's
		{".quantcheck-lock", 2 * week, false},
		{"quantcheck-standin-0-abcdef", 2 * week, false},
		{"quantcheck-htp-815.txt", 2 * week, false},
		{of(gone, "htp") + ".bak", 2 * week, false},
		{"x" + of(gone, "htp"), 2 * week, false},
	} {
		sub := filepath.Join(dir, row.name)
		if err := os.Mkdir(sub, 0o700); err != nil {
			t.Fatal(err)
		}
		put(t, sub, row.name, row.age)
		removed, err := Sweep(sub)
		if err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
		_, err = os.Lstat(filepath.Join(sub, row.name))
		if is := os.IsNotExist(err); is != row.left || (len(removed) == 1) != row.left {
			t.Errorf("%s, %v old: removed is %v (%+v), want %v", row.name, row.age, is, removed, row.left)
		}
		if row.left && removed[0].Bytes != 5 {
			t.Errorf("%s: %d bytes", row.name, removed[0].Bytes)
		}
	}
}

// What a file in it did last counts, not the folder.
func TestAFolderIsAsYoungAsWhatIsInIt(t *testing.T) {
	t.Parallel()
	id := process.Self()
	id.Host = "000000"
	dir := t.TempDir()
	put(t, dir, of(id, "htp"), 30*24*time.Hour)
	now := time.Now()
	if err := os.Chtimes(filepath.Join(dir, of(id, "htp"), "in it"), now, now); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(dir); err != nil || len(removed) != 0 {
		t.Errorf("%+v %v", removed, err)
	}
}

func TestALinkWithSuchANameIsLeftAlone(t *testing.T) {
	t.Parallel()
	dir, theirs := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(theirs, "f"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, of(ended(t), "htp"))
	if err := os.Symlink(theirs, link); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(dir); err != nil || len(removed) != 0 {
		t.Errorf("%+v %v", removed, err)
	}
	// A link within a leftover goes, and what it leads to stays.
	folder := filepath.Join(dir, of(ended(t), "dlc"))
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(theirs, filepath.Join(folder, "l")); err != nil {
		t.Fatal(err)
	}
	if removed, err := Sweep(dir); err != nil || len(removed) != 1 {
		t.Errorf("%+v %v", removed, err)
	}
	if _, err := os.Stat(filepath.Join(theirs, "f")); err != nil {
		t.Error(err)
	}
}

func TestWhoeverMakesOneRemovesWhatWasLeftThere(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		make func(dir string) error
	}{
		{"a folder", func(dir string) error { _, err := Folder(dir, "htp"); return err }},
		{"a hidden folder", func(dir string) error { _, err := Hidden(dir, "run"); return err }},
		{"a file", func(dir string) error {
			f, err := File(dir, "draft", 0o666)
			if err != nil {
				return err
			}
			return f.Close()
		}},
	} {
		dir := t.TempDir()
		left := of(ended(t), "htp")
		put(t, dir, left, 0)
		for range 2 {
			if err := row.make(dir); err != nil {
				t.Fatalf("%s: %v", row.name, err)
			}
		}
		found, err := Find(dir)
		if err != nil || len(found) != 2 {
			t.Fatalf("%s: %+v %v", row.name, found, err)
		}
		for _, f := range found {
			if f.State != process.Running || f.PID != os.Getpid() || f.Left() {
				t.Errorf("%s: %+v", row.name, f)
			}
		}
		if slices.ContainsFunc(found, func(f Found) bool { return filepath.Base(f.Path) == left }) {
			t.Errorf("%s: %s is still there", row.name, left)
		}
	}
}
