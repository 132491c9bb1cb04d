package device

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"
	"testing"
)

// archive is a tar of files with these names, each holding its name.
func archive(t testing.TB, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o600, Size: int64(len(name))})
		if err == nil {
			_, err = io.WriteString(w, name)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// FuzzWalkTar feeds what a device might send: no file leads out of the folder, none is longer than was sent, and what is counted was read.
func FuzzWalkTar(f *testing.F) {
	one := archive(f, "Result_0/a.raw", "Result_0/b.raw")
	for _, seed := range [][]byte{
		nil, one, one[:700], append(bytes.Clone(one), archive(f, "Result_1/c.raw")...), archive(f, "../a"), archive(f, "/etc/passwd"), archive(f),
		append(bytes.Clone(one), "no tar"...), bytes.Replace(one, []byte("ustar"), []byte("u\x00\x00ar"), 1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files, sum := 0, int64(0)
		p, mine, err := walkTar(bytes.NewReader(data), func(name string, size int64, r io.Reader) error {
			if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") || name != path.Clean(name) {
				t.Errorf("%q leads out of the folder", name)
			}
			n, err := io.Copy(io.Discard, r)
			if err == nil && n != size {
				t.Errorf("%q has %d of %d bytes", name, n, size)
			}
			if err == nil {
				files, sum = files+1, sum+n
			}
			return err
		})
		if files != p.Files || sum != p.Bytes || mine {
			t.Errorf("%d files, %d bytes, counted %+v, mine %v", files, sum, p, mine)
		}
		if len(data) < 1024 && !errors.Is(err, io.ErrUnexpectedEOF) && err == nil {
			t.Error("a stream that is too short for a tar was taken for one")
		}
	})
}
