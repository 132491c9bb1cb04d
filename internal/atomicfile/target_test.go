//go:build unix

package atomicfile

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return info.Mode()
}

func TestAFileKeepsTheModeOfWhatItReplaces(t *testing.T) {
	t.Parallel()
	for _, m := range []os.FileMode{0o600, 0o640, 0o644, 0o666, 0o444, 0o755, 0o606} {
		path := filepath.Join(t.TempDir(), "f")
		must(t, os.WriteFile(path, nil, 0o600))
		must(t, os.Chmod(path, m))
		err := Write(path, func(f *os.File) error {
			if got := mode(t, f.Name()); got != 0o600 {
				t.Errorf("the draft of a file of mode %v has %v", m, got)
			}
			return nil
		})
		if got := mode(t, path); err != nil || got != m {
			t.Errorf("%v %v, want %v", got, err, m)
		}
	}
}

// The umask is the process's: this test is not parallel to others.
func TestANewFileGetsWhatTheUmaskLeaves(t *testing.T) { //nolint:paralleltest // see above
	for _, umask := range []int{0o022, 0o002, 0o077, 0o027} {
		before := syscall.Umask(umask)
		dir := filepath.Join(t.TempDir(), "d")
		err := WriteBytes(filepath.Join(dir, "f"), nil)
		put := PutUnsynced(filepath.Join(dir, "sub", "g"), Bytes(nil))
		syscall.Umask(before)
		must(t, err)
		must(t, put)
		for path, want := range map[string]os.FileMode{
			filepath.Join(dir, "f"): 0o666 &^ os.FileMode(umask), filepath.Join(dir, "sub", "g"): 0o666 &^ os.FileMode(umask),
			dir: os.ModeDir | 0o777&^os.FileMode(umask), filepath.Join(dir, "sub"): os.ModeDir | 0o777&^os.FileMode(umask),
		} {
			if got := mode(t, path); got != want {
				t.Errorf("umask %04o: %s has %v, want %v", umask, filepath.Base(path), got, want)
			}
		}
	}
}

func TestAFileKeepsTheOwnerOfWhatItReplaces(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(path, nil, 0o640))
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 4321
		must(t, os.Chown(path, uid, gid))
	}
	must(t, WriteBytes(path, []byte("x")))
	info, err := os.Stat(path)
	must(t, err)
	if s := info.Sys().(*syscall.Stat_t); int(s.Uid) != uid || int(s.Gid) != gid || info.Mode() != 0o640 {
		t.Errorf("%d:%d %v, want %d:%d", s.Uid, s.Gid, info.Mode(), uid, gid)
	}
}

func TestALinkStaysALink(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		make func(dir string) error // "link" leads to what is to be written
		want string                 // the file that is written, "" if that is an error
	}{
		{"to a file", func(d string) error { return os.Symlink("there", filepath.Join(d, "link")) }, "there"},
		{"to no file", func(d string) error { return os.Symlink("sub/new", filepath.Join(d, "link")) }, "sub/new"},
		{"to a link", func(d string) error {
			if err := os.Symlink("there", filepath.Join(d, "second")); err != nil {
				return err
			}
			return os.Symlink(filepath.Join(d, "second"), filepath.Join(d, "link"))
		}, "there"},
		{"upwards from a folder that is a link", func(d string) error {
			if err := os.MkdirAll(filepath.Join(d, "real", "deep"), 0o777); err != nil {
				return err
			}
			if err := os.Symlink(filepath.Join("real", "deep"), filepath.Join(d, "short")); err != nil {
				return err
			}
			return os.Symlink("short/../up", filepath.Join(d, "link"))
		}, "real/up"},
		{"to itself", func(d string) error { return os.Symlink("link", filepath.Join(d, "link")) }, ""},
	} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "there"), []byte("old"), 0o600))
		must(t, row.make(dir))
		err := WriteBytes(filepath.Join(dir, "link"), []byte("new"))
		if (err == nil) != (row.want != "") {
			t.Errorf("%s: %v", row.name, err)
		}
		if row.want != "" {
			if got, err := os.ReadFile(filepath.Join(dir, row.want)); err != nil || string(got) != "new" {
				t.Errorf("%s: %q %v", row.name, got, err)
			}
		}
		if mode(t, filepath.Join(dir, "link"))&os.ModeSymlink == 0 {
			t.Errorf("%s: the link is none any more", row.name)
		}
	}
}

func TestWhatIsNoFileIsWrittenToDirectly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "pipe")
	must(t, syscall.Mkfifo(pipe, 0o600))
	read := make(chan []byte)
	go func() {
		f, err := os.Open(pipe)
		if err != nil {
			t.Error(err)
			close(read)
			return
		}
		defer f.Close()
		b, _ := io.ReadAll(f)
		read <- b
	}()
	must(t, WriteBytes(pipe, []byte("text")))
	if b := <-read; !bytes.Equal(b, []byte("text")) {
		t.Errorf("%q", b)
	}
	if mode(t, pipe)&os.ModeNamedPipe == 0 {
		t.Error("the pipe is gone")
	}
	must(t, WriteBytes(os.DevNull, []byte("text")))
	if mode(t, os.DevNull)&os.ModeCharDevice == 0 {
		t.Error(os.DevNull + " is no device any more")
	}
	if err := WriteBytes(dir, nil); err == nil {
		t.Error("a folder was written to")
	}
}

// Another name of the file keeps what it had: nobody else's file is changed under them.
func TestAnotherHardLinkKeepsItsContent(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	must(t, os.WriteFile(a, []byte("old"), 0o600))
	must(t, os.Link(a, b))
	must(t, WriteBytes(a, []byte("new")))
	if got, err := os.ReadFile(b); err != nil || string(got) != "old" {
		t.Errorf("%q %v", got, err)
	}
}

func TestABatchIsAllOrNothingWhileItIsWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var b Batch
	must(t, b.WriteBytes(filepath.Join(dir, "a"), []byte("x")))
	if err := b.WriteBytes(filepath.Join(dir, "a", "below a file that is not there yet"), nil); err == nil {
		t.Log("a folder took the name") // then the commit fails
	}
	b.Discard()
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if !e.IsDir() {
			t.Errorf("%s is left", e.Name())
		}
	}
	must(t, b.Commit())
}
