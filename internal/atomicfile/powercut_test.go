package atomicfile_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/atomicfile/powercut"
)

// Each way of writing, with the power cut after every single thing that it does to the disk: a path holds the whole of what it
// held before or of what it is to hold; and when the writer has returned, the latter.
func TestAFileIsWholeAfterAPowerCutAtAnyPoint(t *testing.T) { //nolint:paralleltest // there is one observer at a time
	long := strings.Repeat("new ", 1<<14)
	for _, row := range []struct {
		name  string
		write func(path func(string) string) error
		want  []string
	}{
		{"one", func(p func(string) string) error { return atomicfile.WriteBytes(p("a"), []byte(long)) }, []string{"a"}},
		{"one in folders that are made", func(p func(string) string) error { return atomicfile.WriteBytes(p("x/y/z/a"), []byte(long)) }, []string{"x/y/z/a"}},
		{"a batch", func(p func(string) string) error {
			var b atomicfile.Batch
			for i := range 40 {
				if err := b.WriteBytes(p(fmt.Sprintf("b/%d/f", i%7)+strconv.Itoa(i)), []byte(long)); err != nil {
					return err
				}
			}
			return b.Commit()
		}, []string{"b/0/f0", "b/4/f39"}},
		{"drafts of several goroutines in one new folder", func(p func(string) string) error {
			done := make(chan error)
			for i := range 8 {
				go func() { done <- atomicfile.WriteBytes(p(fmt.Sprintf("new/folder/%d", i)), []byte(long)) }()
			}
			for range 8 {
				if err := <-done; err != nil {
					return err
				}
			}
			return nil
		}, []string{"new/folder/0", "new/folder/7"}},
		{"a folder in the place of another", func(p func(string) string) error {
			for _, name := range []string{"stage/a", "stage/sub/b"} {
				if err := atomicfile.PutUnsynced(p(name), atomicfile.Bytes([]byte(long))); err != nil {
					return err
				}
			}
			return atomicfile.ReplaceFolder(p("stage"), p("folder"))
		}, []string{"folder/a", "folder/sub/b"}},
		{"a folder where none was", func(p func(string) string) error {
			if err := atomicfile.PutUnsynced(p("stage/a"), atomicfile.Bytes([]byte(long))); err != nil {
				return err
			}
			return atomicfile.ReplaceFolder(p("stage"), p("further/below"))
		}, []string{"further/below/a"}},
		{"through a link", func(p func(string) string) error {
			if err := os.Symlink("a", p("link")); err != nil {
				return err
			}
			return atomicfile.WriteBytes(p("link"), []byte(long))
		}, []string{"a"}},
	} {
		dir := t.TempDir()
		path := func(name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
		for _, name := range []string{"a", "folder/a", "folder/old"} {
			if err := os.MkdirAll(filepath.Dir(path(name)), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path(name), []byte("old"), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		var disk *powercut.Disk
		points := make(chan struct{}, 1<<16)
		disk, err := powercut.Watch(dir, func(op atomicfile.Op) {
			points <- struct{}{}
			for _, names := range []bool{false, true} {
				for name, content := range disk.After(names) {
					if ours := strings.Contains(name, ".quantcheck-") || strings.HasPrefix(name, "stage"); !ours && content != "old" && content != long {
						t.Errorf("%s: after %v (names %v), %s has %d bytes", row.name, op, names, name, len(content))
					}
				}
				if after := disk.After(names); after["folder/a"] == "" || (after["folder/a"] == long) == (after["folder/old"] == "old") {
					t.Errorf("%s: after %v (names %v), the folder is neither the old nor the new one", row.name, op, names)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		err = row.write(path)
		disk.Stop()
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		after := disk.After(false)
		for _, name := range row.want {
			if after[name] != long {
				t.Errorf("%s: the power cut took %s: %d bytes", row.name, name, len(after[name]))
			}
		}
		for name := range disk.After(true) {
			if strings.Contains(name, ".quantcheck-") || strings.HasPrefix(name, "stage/") {
				t.Errorf("%s: %s is left", row.name, name)
			}
		}
		if len(points) < 4 {
			t.Errorf("%s: only %d things were done", row.name, len(points))
		}
	}
}
