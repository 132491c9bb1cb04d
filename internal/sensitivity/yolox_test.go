package sensitivity_test

import (
	"path/filepath"
	"slices"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/tensor"
)

// pictures reads fixture pictures as a model takes them.
func pictures(t *testing.T, m *onnx.Model, d dataset.Description, n int) []map[string]tensor.Tensor {
	t.Helper()
	m, _, err := onnx.FixInputs(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	in := m.Inputs()[0]
	_, shape, _ := onnx.TypeOf(in)
	l := dataset.Loader{Inputs: []dataset.Input{{Name: in.GetName(), DType: tensor.Float32, Shape: shape}}, Description: d, Cache: dataset.NewCache(1 << 20)}
	files, err := filepath.Glob(filepath.Join(fixture.Path(t, "coco", "val"), "*.jpg"))
	if err != nil || len(files) < n {
		t.Fatalf("%d pictures, %v", len(files), err)
	}
	slices.Sort(files)
	var samples []map[string]tensor.Tensor
	for _, f := range files[:n] {
		s, err := l.Load(dataset.Source{Name: f, Files: map[string]string{in.GetName(): f}})
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s.Inputs)
	}
	return samples
}

func yolox(t *testing.T, n int) *bench {
	t.Helper()
	return detector(t, fixture.Path(t, "models", "yolox_nano.onnx"), n)
}

func detector(t *testing.T, path string, n int) *bench {
	t.Helper()
	m, err := onnx.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	d := dataset.Default()
	d.InputColor, d.Resize, d.PadValue, d.PadPosition = "bgr", "letterbox", 114, "bottom-right"
	return prepare(t, m, pictures(t, m, d, n))
}
