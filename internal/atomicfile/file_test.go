package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestAFileIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub", "f")
	put := func(text string, err error) func(*os.File) error {
		return func(f *os.File) error {
			if _, e := f.WriteString(text); e != nil {
				return e
			}
			return err
		}
	}
	holds := func(want string) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil || len(entries) != 1 {
			t.Errorf("%v %v", entries, err)
		}
	}
	if err := Write(path, put("one", nil)); err != nil {
		t.Fatal(err)
	}
	holds("one")
	broken := errors.New("broken")
	if err := Write(path, put("half", broken)); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	holds("one")
	d, err := Begin(path, put("two", nil))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "one" {
		t.Errorf("before it is committed: %q %v", got, err)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	holds("two")
	if d, err = Begin(path, put("three", nil)); err != nil {
		t.Fatal(err)
	}
	d.Discard()
	holds("two")
	if err := Write(filepath.Join(path, "below a file"), put("", nil)); err == nil {
		t.Error("a file below a file")
	}
}
