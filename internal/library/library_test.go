package library

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"quantcheck/internal/atomicfile"
)

func TestOnlyRegularFilesAreLibraries(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{dir, filepath.Join(dir, "none.so")} {
		for _, ask := range []func(string) (string, error){Guarded, Named} {
			if got, err := ask(path); err == nil {
				t.Errorf("%s: %s", path, got)
			}
		}
	}
	if _, err := Named(filepath.Join(dir, "none.so")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// pinned makes an installation of two files.
func pinned(t *testing.T) (dir string, pins []Pin) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{"a.so": "one", "sub/b.so": "two"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		sum, err := atomicfile.SHA256(path)
		if err != nil {
			t.Fatal(err)
		}
		pins = append(pins, Pin{name, sum})
	}
	return dir, pins
}

func TestInstalledFilesMustBeTheKnownOnes(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(dir, path string) error{
		"longer": func(_, path string) error { return os.WriteFile(path, []byte("one more"), 0o644) },
		"other contents, the same size and time": func(_, path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.WriteFile(path, []byte("eno"), 0o644), os.Chtimes(path, time.Time{}, info.ModTime()))
		},
		"another file, the same size and time": func(_, path string) error {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte("eno"), 0o644), os.Chtimes(path, time.Time{}, info.ModTime()))
		},
		"a damaged note and other contents": func(dir, path string) error {
			return errors.Join(os.WriteFile(filepath.Join(dir, record), []byte("{"), 0o644), os.WriteFile(path, []byte("eno"), 0o644))
		},
		"gone":   func(_, path string) error { return os.Remove(path) },
		"a link": func(_, path string) error { return errors.Join(os.Rename(path, path+"x"), os.Symlink(path+"x", path)) },
	} {
		dir, pins := pinned(t)
		for range 2 {
			if err := Pinned(dir, pins); err != nil {
				t.Fatal(err)
			}
		}
		if err := change(dir, filepath.Join(dir, "a.so")); err != nil {
			t.Fatal(err)
		}
		for range 2 { // what was refused is not noted as good
			if err := Pinned(dir, pins); err == nil {
				t.Errorf("%s: nothing is wrong", name)
			}
		}
	}
}

// A file that is noted is not read again: reading is what costs. Only the user's own note counts.
func TestANotedFileIsNotHashedAgain(t *testing.T) {
	t.Parallel()
	dir, pins := pinned(t)
	if err := Pinned(dir, pins); err != nil {
		t.Fatal(err)
	}
	noted, err := os.Stat(filepath.Join(dir, record))
	if err != nil {
		t.Fatal(err)
	}
	wrong := []Pin{{pins[0].Name, strings.Repeat("0", 64)}, pins[1]}
	var bad *MismatchError
	if err := Pinned(dir, wrong); !errors.As(err, &bad) {
		t.Errorf("a note of another sum was believed: %v", err)
	}
	if err := Pinned(dir, pins); err != nil {
		t.Error(err)
	}
	if now, err := os.Stat(filepath.Join(dir, record)); err != nil || !os.SameFile(noted, now) {
		t.Errorf("it was noted, and so hashed, once more: %v", err)
	}
	// A note that others may have written is not believed.
	forged, err := os.ReadFile(filepath.Join(dir, record))
	if err != nil {
		t.Fatal(err)
	}
	forged = bytes.ReplaceAll(forged, []byte(pins[0].SHA256), []byte(wrong[0].SHA256))
	if err := errors.Join(os.WriteFile(filepath.Join(dir, record), forged, 0o600), os.Chmod(filepath.Join(dir, record), 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := Pinned(dir, wrong); err != nil {
		t.Errorf("the user's own note: %v", err)
	}
	if err := os.Chmod(filepath.Join(dir, record), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Pinned(dir, wrong); !errors.As(err, &bad) {
		t.Errorf("everybody's note was believed: %v", err)
	}
	// Where nothing can be noted all is hashed, and well.
	if err := errors.Join(os.Remove(filepath.Join(dir, record)), os.Mkdir(filepath.Join(dir, record), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := Pinned(dir, pins); err != nil {
		t.Error(err)
	}
}

// metadata are the files of a wheel that pip reads.
var metadata = map[string]string{
	"METADATA": "Metadata-Version: 2.1\nName: planted\nVersion: 1.0\n",
	"WHEEL":    "Wheel-Version: 1.0\nGenerator: none\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	"RECORD":   "",
}

// packed writes a zip with files, of which a name that ends in @ is a link.
func packed(t *testing.T, path string, names ...string) {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		h := &zip.FileHeader{Name: strings.TrimSuffix(name, "@"), Method: zip.Deflate}
		h.SetMode(0o644)
		if strings.HasSuffix(name, "@") {
			h.SetMode(fs.ModeSymlink | 0o777)
		}
		w, err := z.CreateHeader(h)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Repeat("/etc", 250)
		if meta, ok := metadata[filepath.Base(name)]; ok {
			text = meta
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestUnpackingHasBounds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files []string
		ok    bool
	}{
		"two files":                {[]string{"p/a.so", "p/b.so"}, true},
		"what is not wanted":       {[]string{"p/a.so", "../q/x", "q/link@", "q/y", "q/z"}, true},
		"more than they should be": {[]string{"p/a.so", "p/b.so", "p/c.so"}, false},
		"a link":                   {[]string{"p/a.so@"}, false},
		"above the folder":         {[]string{"p/../../a.so"}, false},
		"twice":                    {[]string{"p/a.so", "p/a.so"}, false},
	} {
		root := t.TempDir()
		wheel, dir := filepath.Join(root, "w.whl"), filepath.Join(root, "in", "dir")
		packed(t, wheel, c.files...)
		err := Unpack(wheel, dir, 2000, func(name string) string {
			if strings.HasPrefix(name, "p/") {
				return name
			}
			return ""
		})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		for _, outside := range []string{filepath.Join(root, "a.so"), filepath.Join(root, "in", "a.so"), filepath.Join(root, "q"), filepath.Join(dir, "q")} {
			if _, err := os.Lstat(outside); err == nil {
				t.Errorf("%s: %s was written", name, outside)
			}
		}
	}
}

// python skips a test where there is no pip.
func python(t *testing.T) {
	t.Helper()
	if err := exec.CommandContext(t.Context(), "python3", "-I", "-m", "pip", "--version").Run(); err != nil {
		t.Skipf("SKIPPED FOR WANT OF pip: %v; install python3-pip", err)
	}
}

// wheelOf makes a wheel that pip takes, in a folder that pip is told to look into instead of its index.
func wheelOf(t *testing.T) Wheel {
	t.Helper()
	dir := t.TempDir()
	w := Wheel{Project: "planted", Version: "1.0", File: "planted-1.0-py3-none-any.whl", Python: "3.12", ABI: "cp312", Platform: "any", Elsewhere: "Elsewhere."}
	packed(t, filepath.Join(dir, w.File), "planted/__init__.py", "planted-1.0.dist-info/METADATA", "planted-1.0.dist-info/WHEEL", "planted-1.0.dist-info/RECORD")
	sum, err := atomicfile.SHA256(filepath.Join(dir, w.File))
	if err != nil {
		t.Fatal(err)
	}
	w.SHA256 = sum
	t.Setenv("PIP_FIND_LINKS", dir)
	t.Setenv("PIP_NO_INDEX", "1")
	t.Setenv("PIP_DEST", t.TempDir()) // and this is not heeded
	t.Setenv("PIP_NO_BINARY", ":all:")
	return w
}

func TestAWheelIsFetchedByItsHash(t *testing.T) {
	python(t)
	w := wheelOf(t)
	dir := t.TempDir()
	path, err := w.Fetch(t.Context(), dir, io.Discard)
	if err != nil || path != filepath.Join(dir, w.File) {
		t.Fatalf("%q %v", path, err)
	}
	w.SHA256 = strings.Repeat("0", 64)
	var said bytes.Buffer
	other := t.TempDir()
	if path, err := w.Fetch(t.Context(), other, &said); err == nil || !strings.Contains(err.Error(), w.Elsewhere) {
		t.Errorf("%q %v", path, err)
	}
	if !strings.Contains(said.String(), "hash") {
		t.Errorf("pip said %s", said.String())
	}
	if _, err := os.Stat(filepath.Join(other, w.File)); err == nil {
		t.Error("it is there all the same")
	}
}

// What lies in the working folder and what Python's variables name is not run.
func TestPipIsIsolated(t *testing.T) {
	python(t)
	w := wheelOf(t)
	planted, mark := t.TempDir(), filepath.Join(t.TempDir(), "was-run")
	for _, name := range []string{"pip.py", "sitecustomize.py", "usercustomize.py", "zipfile.py", "startup.py"} {
		if err := os.WriteFile(filepath.Join(planted, name), []byte("open("+"'"+mark+"', 'w').close()\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PYTHONPATH", planted)
	t.Setenv("PYTHONSTARTUP", filepath.Join(planted, "startup.py"))
	t.Chdir(planted)
	if _, err := w.Fetch(t.Context(), t.TempDir(), io.Discard); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("planted code was run")
	}
}

// A python3 in the working folder is not taken, whatever the PATH.
func TestPythonIsNotTakenFromTheWorkingFolder(t *testing.T) {
	dir, mark := t.TempDir(), filepath.Join(t.TempDir(), "was-run")
	if err := os.WriteFile(filepath.Join(dir, "python3"), []byte("#!/bin/sh\n: > "+mark+"\n"), 0o755); err != nil { //nolint:gosec // it is a program
		t.Fatal(err)
	}
	t.Setenv("PATH", ".")
	t.Chdir(dir)
	if _, err := (Wheel{}).Fetch(t.Context(), t.TempDir(), io.Discard); !errors.Is(err, exec.ErrDot) {
		t.Error(err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("it was run")
	}
}

func TestAnInterruptedFetchSaysSo(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Wheel{Project: "x", Version: "1"}).Fetch(ctx, t.TempDir(), io.Discard); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// A loose umask does not make what is installed writable for others.
func TestWhatIsUnpackedIsGuarded(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	root := t.TempDir()
	if err := os.Chmod(root, 0o700); err != nil {
		t.Fatal(err)
	}
	wheel, dir := filepath.Join(root, "w.whl"), filepath.Join(root, "cache", "quantcheck", "x-1.0")
	packed(t, wheel, "p/a.so")
	if err := errors.Join(os.MkdirAll(filepath.Join(root, "cache"), 0o700), os.Chmod(filepath.Dir(root), 0o700)); err != nil {
		t.Fatal(err)
	}
	stage, err := Stage(dir)
	if err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(stage, "unpacked")
	if err := Unpack(wheel, fresh, 2000, func(string) string { return "sub/a.so" }); err != nil {
		t.Fatal(err)
	}
	if err := atomicfile.ReplaceFolder(fresh, dir); err != nil {
		t.Fatal(err)
	}
	if _, err := Guarded(filepath.Join(dir, "sub", "a.so")); err != nil {
		t.Error(err)
	}
}
