package rewrite_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/rewrite"
)

func TestUnknownPassesAreAnsweredWithTheNearest(t *testing.T) {
	if _, err := rewrite.Find("fold-batchnrom"); err == nil || !strings.Contains(err.Error(), "did you mean fold-batchnorm?") {
		t.Errorf("%v", err)
	}
}

func TestThePageOfDocsIsThePasses(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(fixture.Root(), "docs", "passes.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != rewrite.Markdown() {
		t.Error("docs/passes.md is not what the passes say: run make docs")
	}
}

func TestAllFixtureModelsGoThroughAllPasses(t *testing.T) {
	models := map[string]string{
		"qnn/zoo.onnx": "",
		"models/onnx_light/light_shufflenet.onnx": "models/onnx_light/light_shufflenet_output_0.pb",
		"models/onnx_light/light_squeezenet.onnx": "models/onnx_light/light_squeezenet_output_0.pb",
	}
	for _, name := range []string{"version-RFB-320.onnx", "squeezenet_tensor_input.onnx"} {
		if _, ok := fixture.Also(t, "models", name); ok {
			models["models/"+name] = ""
		}
	}
	throughAllPasses(t, models)
}

// throughAllPasses applies all passes to models and compares the outputs with those before, and with published ones where their file is named.
func throughAllPasses(t *testing.T, models map[string]string) {
	t.Helper()
	r := fixture.Runtime(t)
	for path, expected := range models {
		m, err := onnx.Load(fixture.Path(t, filepath.FromSlash(path)))
		if err != nil {
			t.Fatal(err)
		}
		if m, _, err = onnx.FixInputs(m, nil); err != nil {
			t.Fatal(err)
		}
		before := outputs(t, r, m)
		for i := range rewrite.All {
			if p := &rewrite.All[i]; !p.Off {
				m, _ = apply(t, p, m)
			}
		}
		after := outputs(t, r, m)
		near(t, before, after, 2e-4)
		if expected == "" {
			continue
		}
		data, err := os.ReadFile(fixture.Path(t, filepath.FromSlash(expected)))
		if err != nil {
			t.Fatal(err)
		}
		p := &onnxpb.TensorProto{}
		if err := proto.Unmarshal(data, p); err != nil {
			t.Fatal(err)
		}
		want, err := m.Tensor(p)
		if err != nil {
			t.Fatal(err)
		}
		near(t, map[string][]float32{m.Outputs()[0]: want.F32}, after, 1e-4)
	}
}
