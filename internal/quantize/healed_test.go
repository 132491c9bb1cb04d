package quantize

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// samples writes a model and a list of samples that fit it.
func samples(t *testing.T, m *onnx.Model) (model, list string) {
	t.Helper()
	dir := t.TempDir()
	data, err := m.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	model = filepath.Join(dir, "m.onnx")
	if err := os.WriteFile(model, data, 0o644); err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for _, name := range []string{"a.npy", "b.npy", "c.npy"} {
		v := make([]float32, 3*8*8)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := tensor.WriteNpy(f, tensor.Floats(v, 1, 3, 8, 8)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	list = filepath.Join(dir, "list.txt")
	if err := os.WriteFile(list, []byte("a.npy\nb.npy\nc.npy"), 0o644); err != nil {
		t.Fatal(err)
	}
	return model, list
}

// The float model of a healed recipe lies on the grids of the encodings, in every format; weights beside a grid are found.
func TestHealedWeightsSurviveTheirEncodings(t *testing.T) {
	t.Parallel()
	model, list := samples(t, fixture.Chain(16))
	for _, recipe := range []string{"w4a8,heal", "w4a16,per-tensor,heal", "w8a8,bias8,heal", "w4a8,small8:10,heal"} {
		specs, err := variant.ParseAll([]string{recipe})
		if err != nil {
			t.Fatal(err)
		}
		b, err := session.Open(context.Background(), fixture.Runtime(t), session.Options{Command: "quantize", Name: "m", Model: model, Input: dataset.Default(), SamplePath: list, MemoryMiB: 512}, specs, progress.Silent{}, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(b.Close)
		set, err := session.Samples(list, 0, b.Loader)
		if err != nil {
			t.Fatal(err)
		}
		if err := prepare.Build(context.Background(), b, set, b.Loader); err != nil {
			t.Fatal(err)
		}
		q := &Result{Run: b.Run, Float: b.Variants[0].Healed}
		if q.Float == nil {
			t.Fatalf("%s: there is no healed float model", recipe)
		}
		if err := q.unmoved(b, progress.Silent{}); err != nil {
			t.Errorf("%s: %v", recipe, err)
		}
		q.Float = b.Float.Base // not healed
		if err := q.unmoved(b, progress.Silent{}); err == nil || !strings.Contains(err.Error(), "move") {
			t.Errorf("%s: weights beside their grid are not found: %v", recipe, err)
		}
	}
}

func TestARecipeWithoutHealHasNoHealedFloatModel(t *testing.T) {
	t.Parallel()
	model, list := samples(t, fixture.Chain(8))
	q, err := Run(context.Background(), session.Engines{ORT: fixture.Runtime(t)}, Spec{Model: model, Name: "m", Calib: list, Recipe: "w8a8", Input: dataset.Default(), MemoryMiB: 512}, progress.Silent{})
	if err != nil || q.Float != nil || q.Run.Variants[0].Healing != nil {
		t.Errorf("%v, %v", err, q)
	}
}
