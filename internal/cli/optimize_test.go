package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
)

func TestOptimizeProvesEveryPass(t *testing.T) {
	t.Parallel()
	models := map[string]string{
		fixture.Path(t, "models", "faces.onnx"):                          "fold-batchnorm",
		fixture.Path(t, "models", "onnx_light", "light_shufflenet.onnx"): "fold-batchnorm",
		stemModel(t, 64): "focus-to-conv",
	}
	for name, want := range map[string]string{"version-RFB-320.onnx": "fold-batchnorm", "squeezenet_tensor_input.onnx": "remove-identity"} {
		if path, ok := fixture.Also(t, "models", name); ok {
			models[path] = want
		}
	}
	for path, want := range models {
		out := filepath.Join(t.TempDir(), "out.onnx")
		status, stdout, stderr := run(t, "optimize", "--no-htp", path, "-o", out, "--json")
		if status != 0 {
			t.Fatalf("%s: %d %s", path, status, stderr)
		}
		var s struct {
			Passes []struct {
				Name       string
				Changes    []string
				Difference float64
				Undone     string
			}
			Before, After    struct{ Nodes int }
			Seconds, Proving float64
		}
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatal(err)
		}
		found := want == ""
		for _, p := range s.Passes {
			if p.Undone != "" || p.Difference > 1e-4 {
				t.Errorf("%s: %s moves by %g: %s", path, p.Name, p.Difference, p.Undone)
			}
			found = found || p.Name == want && len(p.Changes) > 0
		}
		if !found || s.After.Nodes > s.Before.Nodes {
			t.Errorf("%s: %s", path, stdout)
		}
		own := s.Seconds - s.Proving
		t.Logf("%s: %.2f s besides the proof", filepath.Base(path), own)
		if own > 20 { // 0.1 s on a quiet machine without the race detector
			t.Errorf("%s: %.2f s besides the proof", path, own)
		}
		// What was written is a whole model, and nothing is left to do.
		m, err := onnx.Load(out)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range m.Graph().GetOutput() {
			if _, _, ok := onnx.TypeOf(o); !ok && o.GetType() == nil && !strings.Contains(path, "squeezenet_tensor") {
				t.Errorf("%s: the output %s has no type", path, o.GetName())
			}
		}
		status, stdout, stderr = run(t, "optimize", "--no-htp", out, "-o", out, "--overwrite", "--json")
		if status != 0 {
			t.Fatalf("%s again: %d %s", path, status, stderr)
		}
		if err := json.Unmarshal([]byte(stdout), &s); err != nil {
			t.Fatal(err)
		}
		for _, p := range s.Passes {
			if len(p.Changes) > 0 {
				t.Errorf("%s: a second run finds %s %v", path, p.Name, p.Changes)
			}
		}
	}
}

// TestAStemWithUnlikeChannelsHoldsWithEightBits shows what split-gates and mse-out are for: a first Conv like yolox_nano's.
func TestAStemWithUnlikeChannelsHoldsWithEightBits(t *testing.T) {
	t.Parallel()
	dir, model, images := t.TempDir(), stemModel(t, 64), pictures(t, 6)
	kept := func(model string) map[string]float64 {
		e := evaluate(t, model, "--task", "agreement", "--data", images, "--scale", "255",
			"--variant", "w8a8,mse", "--variant", "w8a8,mse-out", "--variant", "w8a16", "--out", t.TempDir(), "--json")
		list := map[string]float64{}
		for _, m := range e.Models {
			list[m.Name] = m.Agree.SQNR.V
		}
		return list
	}
	split := filepath.Join(dir, "split.onnx")
	status, stdout, stderr := run(t, "optimize", model, "-o", split, "--also", "split-gates", "--also", "focus-to-conv", "--images", images, "--scale", "255")
	if status != 0 || !strings.Contains(stdout, "split-gates                1 places") || !strings.Contains(stdout, "focus-to-conv              1 places") {
		t.Fatalf("%d %s %s", status, stdout, stderr)
	}
	before, after := kept(model), kept(split)
	if best := before["w8a8-mse"]; after["w8a8-mse-out"] < best+3 || after["w8a8-mse-out"] < (best+before["w8a16"])/2 {
		t.Errorf("before %v dB, after %v dB", before, after)
	}
	status, stdout, stderr = run(t, "optimize", model, "-o", split, "--also", "split-gates")
	if status != 0 || !strings.Contains(stdout, "left: stem (Conv): what ranges its channels have is not known: give samples (--verify-on)") {
		t.Errorf("without samples: %d %s %s", status, stdout, stderr)
	}
}

func TestOptimizeTurnsTheInputsColours(t *testing.T) {
	t.Parallel()
	model := smallModel(t, nil)
	out := filepath.Join(t.TempDir(), "bgr.onnx")
	status, stdout, stderr := run(t, "optimize", model, "-o", out, "--to-color", "bgr", "--images", pictures(t, 2))
	if status != 0 || !strings.Contains(stdout, "to-color") {
		t.Fatalf("%d %s %s", status, stdout, stderr)
	}
	weights := func(path string) []float32 {
		m, err := onnx.Load(path)
		if err != nil {
			t.Fatal(err)
		}
		w, err := m.Tensor(onnx.NewIndex(m).Initializer["w"])
		if err != nil {
			t.Fatal(err)
		}
		return w.F32
	}
	a, b := weights(model), weights(out)
	m, _ := onnx.Load(model)
	kernel := len(a) / int(onnx.NewIndex(m).Initializer["w"].GetDims()[0]) / 3
	for e := range a {
		c := e / kernel % 3
		if a[e] != b[e+(2-2*c)*kernel] {
			t.Fatalf("weight %d is not where it should be", e)
		}
	}
}

func TestOptimizeRefusesWhatIsWrong(t *testing.T) {
	t.Parallel()
	model := smallModel(t, nil)
	out := filepath.Join(t.TempDir(), "o.onnx")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"optimize", model, "-o", out, "--pass", "fold-batchnrom"}, "did you mean fold-batchnorm?"},
		{[]string{"optimize", model, "-o", out, "--skip", "nothing"}, "did you mean"},
		{[]string{"optimize", model, "-o", out, "--also", "split-gate"}, "did you mean split-gates?"},
		{[]string{"optimize", model, "-o", out, "--keep-output", "nothing"}, `no output "nothing"; it has`},
		{[]string{"optimize", "--explain", "equalise"}, "did you mean equalize?"},
		{[]string{"optimize", model, "-o", "o.txt"}, ".onnx"},
		{[]string{"optimize", model}, "-o OUT.onnx"},
		{[]string{"optimize", filepath.Join(t.TempDir(), "none.onnx"), "-o", out}, "none.onnx"},
	} {
		status, _, stderr := run(t, c.args...)
		if status != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: %d %s", c.args, status, stderr)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("something was written")
	}
	status, stdout, _ := run(t, "optimize", "--list")
	for _, p := range rewrite.All {
		if status != 0 || !strings.Contains(stdout, p.Name) {
			t.Errorf("%s is not listed", p.Name)
		}
	}
	if status, stdout, _ := run(t, "optimize", "--explain", "uniform-stride"); status != 0 || !strings.Contains(stdout, "gcd") {
		t.Errorf("%d %s", status, stdout)
	}
}

func TestAPaddedAdditionIsLeftAndSaid(t *testing.T) {
	t.Parallel()
	model := smallModel(t, func(p *onnxpb.ModelProto) {
		conv := p.Graph.Node[0]
		add := &onnxpb.NodeProto{OpType: proto.String("Add"), Name: proto.String("shift"), Input: []string{conv.Input[0], "a"}, Output: []string{"shifted"}}
		conv.Input[0] = "shifted"
		conv.Attribute = append(conv.Attribute, &onnxpb.AttributeProto{Name: proto.String("auto_pad"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte("SAME_UPPER")})
		for i := len(conv.Attribute) - 2; i >= 0; i-- {
			if conv.Attribute[i].GetName() == "pads" {
				conv.Attribute = append(conv.Attribute[:i], conv.Attribute[i+1:]...)
			}
		}
		p.Graph.Node = append([]*onnxpb.NodeProto{add}, p.Graph.Node...)
		p.Graph.Initializer = append(p.Graph.Initializer, onnx.TensorProto("a", tensor.Floats([]float32{2}, 1)))
	})
	status, stdout, stderr := run(t, "optimize", model, "-o", filepath.Join(t.TempDir(), "o.onnx"))
	if status != 0 || !strings.Contains(stdout, "left: shift (Add): the padding of") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
}
