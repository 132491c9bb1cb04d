package rewrite_test

import (
	"context"
	"math"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

func outputs(t *testing.T, r ort.Engine, m *onnx.Model) map[string][]float32 {
	t.Helper()
	got := map[string][]float32{}
	for name, x := range tensorsOf(t, r, m) {
		got[name] = x.F32
	}
	return got
}

func tensorsOf(t *testing.T, r ort.Engine, m *onnx.Model) map[string]tensor.Tensor {
	t.Helper()
	sample := map[string]tensor.Tensor{}
	for _, in := range m.Inputs() {
		_, shape, _ := onnx.TypeOf(in)
		n, _ := tensor.Count(shape)
		values := make([]float32, n)
		for i := range values {
			values[i] = float32((i*37)%255)/127 - 1
		}
		sample[in.GetName()] = tensor.Floats(values, shape...)
	}
	run, err := ort.New(r, m, ort.Options{Taps: m.Outputs()})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	inference := run.Start(runner.Sample{Inputs: sample})
	defer inference.Close()
	batch, err := inference.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	got := map[string]tensor.Tensor{}
	for _, tap := range batch.Taps {
		got[tap.Name] = tap.Tensor.Clone()
	}
	return got
}

func TestFoldBatchNormKeepsTheOutputs(t *testing.T) {
	r := fixture.Runtime(t)
	models := map[string]int{
		fixture.Path(t, "models", "onnx_light", "light_resnet50.onnx"):   53,
		fixture.Path(t, "models", "onnx_light", "light_shufflenet.onnx"): 49,
		fixture.Path(t, "models", "onnx_light", "light_squeezenet.onnx"): 0,
	}
	for name, want := range map[string]int{"version-RFB-320.onnx": 35, "squeezenet_tensor_input.onnx": 0} {
		if path, ok := fixture.Also(t, "models", name); ok {
			models[path] = want
		}
	}
	for path, want := range models {
		m, err := onnx.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err = onnx.FixInputs(m, nil); err != nil {
			t.Fatal(err)
		}
		if m, _, err = ort.FoldConstants(context.Background(), r, m); err != nil {
			t.Fatal(err)
		}
		after, folded, err := rewrite.FoldBatchNorm(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(folded) != want || len(after.Graph().GetNode()) != len(m.Graph().GetNode())-want {
			t.Errorf("%s: %d folded, want %d", path, len(folded), want)
		}
		if want == 0 {
			continue
		}
		a, b := outputs(t, r, m), outputs(t, r, after)
		for name := range a {
			for i := range a[name] {
				if d := math.Abs(float64(a[name][i] - b[name][i])); d > 1e-4*(1+math.Abs(float64(a[name][i]))) {
					t.Fatalf("%s: %s[%d] was %g, is %g", path, name, i, a[name][i], b[name][i])
				}
			}
		}
		if again, folded, err := rewrite.FoldBatchNorm(after); err != nil || len(folded) != 0 || again != after {
			t.Errorf("%s: folding twice changes the model again", path)
		}
	}
}
