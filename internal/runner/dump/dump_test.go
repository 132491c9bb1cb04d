package dump

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/runnertest"
)

// written makes Result_0 and Result_1 with two tensors of four values, as float32 or as the DLC's own bytes, and a runner's groups of them.
func written(t *testing.T, native bool) (dir string, groups [][]align.Tap) {
	t.Helper()
	dir = t.TempDir()
	encoding := &dlc.Encoding{Bits: 8, Axis: -1, Scale: []float32{0.5}, Offset: []int32{-2}}
	for n := range 2 {
		folder := filepath.Join(dir, "output", "Result_"+strconv.Itoa(n), "sub")
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		for k, name := range []string{"a", "b"} {
			var data []byte
			for i := range 4 {
				q := byte(10*n + 4*k + i)
				if native {
					data = append(data, q)
				} else {
					data = binary.LittleEndian.AppendUint32(data, math.Float32bits(0.5*(float32(q)-2)))
				}
			}
			if err := os.WriteFile(filepath.Join(folder, name+".raw"), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tap := func(name string) align.Tap {
		return align.Tap{Name: "layer " + name, Tensor: &dlc.Tensor{Name: "sub/" + name, Shape: []int{1, 2, 2}, DType: dlc.DType(0x408), Encoding: encoding}, Shape: []int64{1, 2, 2}, Layout: align.Layout{0, 2, 1}}
	}
	return dir, [][]align.Tap{{tap("a")}, nil, {tap("b")}}
}

func TestResultsAreReadAsTheyWereWritten(t *testing.T) {
	t.Parallel()
	for _, native := range []bool{false, true} {
		dir, groups := written(t, native)
		source, err := Open(dir)
		if err != nil || source.Samples() != 2 {
			t.Fatal(err)
		}
		r := New(source, groups)
		defer r.Close()
		runnertest.Conform(t, r, runner.Sample{Number: 0}, runner.Sample{Number: 1})
		f := r.Start(runner.Sample{Number: 1})
		defer f.Close()
		batch, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		// The integers 10 to 13, less 2, halved; the DLC's second and third axis are the layer's third and second.
		want := []float32{4, 5, 4.5, 5.5}
		for i, v := range batch.Taps[0].Tensor.F32 {
			if v != want[i] {
				t.Errorf("native %v: %v, want %v", native, batch.Taps[0].Tensor.F32, want)
				break
			}
		}
		batch.Release()
	}
}

func TestResultsThatAreNotThere(t *testing.T) {
	t.Parallel()
	if _, err := Open(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was opened")
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), "Result_0") {
		t.Error(err)
	}
	dir, groups := written(t, false)
	missing := groups[0][0]
	missing.Name, missing.Tensor = "layer c", &dlc.Tensor{Name: "c", Shape: missing.Tensor.Shape, DType: missing.Tensor.DType}
	if err := os.WriteFile(filepath.Join(dir, "output", "Result_0", "sub", "a.raw"), []byte{1, 2, 3}, 0o600); err != nil {
		t.Fatal(err)
	}
	source, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r := New(source, [][]align.Tap{{groups[0][0], groups[2][0], missing}})
	f := r.Start(runner.Sample{Number: 0})
	defer f.Close()
	batch, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	for i, bad := range []bool{true, false, true} { // too short, whole, missing
		if tap := batch.Taps[i]; (tap.Problem != "") != bad {
			t.Errorf("%s: problem %q", tap.Name, tap.Problem)
		}
	}
	late := r.Start(runner.Sample{Number: 7})
	defer late.Close()
	if _, err := late.Next(context.Background()); !errors.Is(err, runner.ErrSample) {
		t.Errorf("a sample without results: %v", err)
	}
}
