package dataset

import (
	"os"
	"path/filepath"
	"reflect"
	"syscall"
	"testing"

	"quantcheck/internal/tensor"
)

func TestNpyShapes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, shape := range map[string][]int64{"a.npy": {1, 7}, "b.npy": {2, 3, 5}} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		n, _ := tensor.Count(shape)
		if err := tensor.WriteNpy(f, tensor.Floats(make([]float32, n), shape...)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	text := filepath.Join(dir, "samples.txt")
	if err := os.WriteFile(text, []byte("ids:=a.npy mask:=b.npy\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]map[string][]int64{
		text:                            {"ids": {1, 7}, "mask": {2, 3, 5}},
		filepath.Join(dir, "a.npy"):     {"x": {1, 7}},
		filepath.Join(dir, "none.npy"):  {},
		"":                              {},
		filepath.Join(dir, "other.jpg"): {},
	} {
		if got := NpyShapes(path, "x"); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}

// A list that comes through a pipe can be read once: it is left to whoever reads the samples.
func TestNpyShapesLeavePipesAlone(t *testing.T) {
	list := filepath.Join(t.TempDir(), "list.txt")
	if err := syscall.Mkfifo(list, 0o600); err != nil {
		t.Skip("no named pipes: ", err)
	}
	if got := NpyShapes(list, "x"); len(got) > 0 { // it would wait for ever
		t.Error(got)
	}
}
