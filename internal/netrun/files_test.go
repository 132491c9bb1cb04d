package netrun

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestFilesOfTensors(t *testing.T) {
	long := strings.Repeat("é", 300)
	for name, want := range map[string]string{
		"Identity": "Identity.raw", "/model.0/conv/Conv_output_0": "model.0/conv/Conv_output_0.raw", "a//b/": "a/b.raw", "input_ids:0": "input_ids:0.raw",
		"../../etc/passwd": "__/__/etc/passwd.raw", "./x": "_/x.raw", "": "_.raw", "/": "_.raw", "..": "__.raw", "a\x00b": "a_b.raw",
	} {
		if got := filePath(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
	a, b := filePath(long), filePath(long+"x")
	if len(a) > 255 || a == b || !strings.HasPrefix(a, "éé") || !strings.HasSuffix(a, ".raw") {
		t.Errorf("%d bytes: %q", len(a), a)
	}
	paths := map[string]string{"a/b.raw": "first"}
	for path, clash := range map[string]bool{"a/b.raw": true, "a/b.raw/c.raw": true, "a.raw": false, "a/c.raw": false, "a/b.raw.raw": false} {
		if _, got := clashes(paths, path); got != clash {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// No name leads out of the result's folder, and files are never longer than file systems take.
func FuzzFilePath(f *testing.F) {
	for _, s := range []string{"a/b", "../x", "/", "a/../../b", strings.Repeat("x", 400), "\x00", "é/."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		path := filePath(name)
		if !filepath.IsLocal(path) || filepath.Clean(path) != path || strings.Contains(path, "\x00") {
			t.Errorf("%q goes to %q", name, path)
		}
		for part := range strings.SplitSeq(path, "/") {
			if len(part) > 255 {
				t.Errorf("%q: a name of %d bytes", name, len(part))
			}
		}
	})
}
