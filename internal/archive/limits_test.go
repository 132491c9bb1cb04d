package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ulikunitz/xz"
)

// zeros yields as many zeros as are asked for.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// bomb packs config.json, and a member of so many zeros in front of it or behind.
func bomb(t *testing.T, ending, member string, size int64, front bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bomb"+ending)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var packed io.WriteCloser = f
	switch ending {
	case ".tar.gz":
		packed, err = gzip.NewWriterLevel(f, gzip.BestSpeed)
	case ".tar.xz":
		packed, err = xz.NewWriter(f)
	}
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(packed)
	add := func(name string, size int64, r io.Reader) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, r, size); err != nil {
			t.Fatal(err)
		}
	}
	if front {
		add(member, size, zeros{})
	}
	add("config.json", int64(len(config)), strings.NewReader(config))
	if !front {
		add(member, size, zeros{})
	}
	if err := errors.Join(w.Close(), packed.Close()); err != nil {
		t.Fatal(err)
	}
	_ = f.Close() // that of an archive that is not packed is closed already
	return path
}

func TestAnArchiveThatUnpacksToFarMoreThanItsSizeIsRefused(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{
		"the model":                    bomb(t, ".tar.gz", "m.onnx", 80<<20, false),
		"what is passed over in front": bomb(t, ".tar.gz", "other", 80<<20, true),
		"weights, xz":                  bomb(t, ".tar.xz", "m.onnx.data", 70<<20, false),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "model")
			a, err := Open(path)
			if err == nil {
				_, err = a.Extract(t.Context(), dir)
			}
			if err == nil || !strings.Contains(err.Error(), "100 times its own size") {
				t.Errorf("%v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if left, _ := filepath.Glob(filepath.Join(dir, ".*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
	if a, err := Open(bomb(t, ".tar.gz", "m.onnx", 20<<20, false)); err != nil {
		t.Error(err)
	} else if _, err := a.Extract(t.Context(), t.TempDir()); err != nil {
		t.Errorf("20 MiB of zeros are refused: %v", err)
	}
}

// TestASparseMemberIsBoundedToo unpacks holes, which take no bytes of the archive.
func TestASparseMemberIsBoundedToo(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "config.json", Mode: 0o644, Size: int64(len(config)), Typeflag: tar.TypeReg}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, config); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	b.Write(sparse(t, "m.onnx", 1<<40))
	b.Write(make([]byte, 1024))
	path := filepath.Join(t.TempDir(), "sparse.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Extract(t.Context(), t.TempDir()); err == nil || !strings.Contains(err.Error(), "unpacks to more than") {
		t.Errorf("%v", err)
	}
}

// sparse is a member in PAX's sparse format 1.0 that is one hole.
func sparse(t *testing.T, name string, size int64) []byte {
	t.Helper()
	content := make([]byte, 512)
	copy(content, "1\n"+itoa(size)+"\n0\n") // a list of one piece of 0 bytes at the end
	var b bytes.Buffer
	records := record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0") + record("GNU.sparse.name", name) + record("GNU.sparse.realsize", itoa(size))
	for _, m := range []struct {
		flag byte
		data []byte
	}{{tar.TypeXHeader, []byte(records)}, {tar.TypeReg, content}} {
		h := make([]byte, 512)
		copy(h, "x")
		copy(h[100:], "0000644\x000000000\x000000000\x00")
		copy(h[124:], pad(int64(len(m.data)))+"\x0000000000000\x00        ")
		h[156] = m.flag
		copy(h[257:], "ustar\x0000")
		sum := int64(0)
		for _, c := range h {
			sum += int64(c)
		}
		copy(h[148:], pad(sum)[5:]+"\x00 ")
		b.Write(h)
		b.Write(m.data)
		b.Write(make([]byte, (512-len(m.data)%512)%512))
	}
	return b.Bytes()
}

func record(key, value string) string {
	body := " " + key + "=" + value + "\n"
	n := len(body) + 2
	return itoa(int64(n)) + body
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// pad is a number as tar's headers have it.
func pad(n int64) string { return fmt.Sprintf("%011o", n) }

func TestNothingIsLeftOfAnInterruptedArchive(t *testing.T) {
	t.Parallel()
	a, err := Open(bomb(t, ".tar", "m.onnx", 60<<20, false))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Millisecond)
	defer cancel()
	dir := t.TempDir()
	if _, err := a.Extract(ctx, dir); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}
