//go:build unix

package library

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// put writes a library into a folder below a new one and gives its path, without links.
func put(t *testing.T) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "above", "folder", "lib.so")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("code"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// others is a group that is not the user's own, and a user that is another. Only root can give files to them.
const others = 54321

func TestWhatOthersMayChangeIsNotLoaded(t *testing.T) {
	t.Parallel()
	folder, above := filepath.Dir, func(p string) string { return filepath.Dir(filepath.Dir(p)) }
	self := func(p string) string { return p }
	for name, c := range map[string]struct {
		of             func(string) string // what is changed
		mode           os.FileMode
		uid, gid       int // −1: the user's
		guarded, named bool
	}{
		"all is the user's":                        {self, 0o644, -1, -1, true, true},
		"a program":                                {self, 0o755, -1, -1, true, true},
		"the user alone reads it":                  {self, 0o600, -1, -1, true, true},
		"everybody writes it":                      {self, 0o666, -1, -1, false, false},
		"everybody writes it and none reads it":    {self, 0o602, -1, -1, false, false},
		"everybody writes its folder":              {folder, 0o777, -1, -1, false, false},
		"everybody writes into it, renames theirs": {folder, os.ModeSticky | 0o777, -1, -1, true, true},
		"everybody writes above":                   {above, 0o777, -1, -1, false, true},
		"everybody writes above, renames theirs":   {above, os.ModeSticky | 0o777, -1, -1, true, true},
		"a group writes it":                        {self, 0o664, -1, others, false, true},
		"a group writes its folder":                {folder, 0o775, -1, others, false, true},
		"a group reads it":                         {self, 0o644, -1, others, true, true},
		"the user's own group writes it":           {self, 0o664, -1, -1, true, true},
		"it is another's":                          {self, 0o644, others, -1, false, true},
		"its folder is another's":                  {folder, 0o755, others, -1, false, true},
		"it is nobody's":                           {self, 0o644, unmapped, -1, false, true},
		"the folder above is nobody's":             {above, 0o755, unmapped, -1, true, true},
	} {
		path := put(t)
		if c.uid >= 0 || c.gid >= 0 {
			if os.Geteuid() != 0 {
				t.Logf("%s: only root can show it", name)
				continue
			}
			if err := os.Chown(c.of(path), c.uid, c.gid); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chmod(c.of(path), c.mode); err != nil {
			t.Fatal(err)
		}
		expect(t, name+", found", Guarded, path, c.of(path), c.guarded)
		expect(t, name+", named", Named, path, c.of(path), c.named)
	}
}

// expect asks one of both functions; the error names what others may change.
func expect(t *testing.T, name string, ask func(string) (string, error), path, changed string, want bool) {
	t.Helper()
	got, err := ask(path)
	if want {
		if err != nil || got != path {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		return
	}
	var bad *UnsafeError
	if !errors.As(err, &bad) || bad.Path != changed || bad.Library != path || bad.Do == "" {
		t.Errorf("%s: %v", name, err)
	}
}

func TestTheFileBehindALinkCounts(t *testing.T) {
	t.Parallel()
	path := put(t)
	link := filepath.Join(t.TempDir(), "lib.so")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []func(string) (string, error){Guarded, Named} {
		if got, err := ask(link); err != nil || got != path {
			t.Errorf("%q, %v", got, err)
		}
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, ask := range []func(string) (string, error){Guarded, Named} {
		var bad *UnsafeError
		if _, err := ask(link); !errors.As(err, &bad) || bad.Path != path {
			t.Errorf("%v", err)
		}
	}
}
