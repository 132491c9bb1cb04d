package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/floattwin"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

func TestAQuantizedModelGetsItsFloatTwin(t *testing.T) {
	t.Parallel()
	float, images, dir := smallModel(t, nil), pictures(t, 2), t.TempDir()
	quantized, twin, encodings := filepath.Join(dir, "q.onnx"), filepath.Join(dir, "float.onnx"), filepath.Join(dir, "e.json")
	if status, _, stderr := run(t, "quantize", float, "--calib", images, "--scale", "255", "-o", quantized); status != 0 {
		t.Fatal(stderr)
	}
	status, stdout, stderr := run(t, "strip", quantized, "-o", twin, "--encodings", encodings, "--encodings-version", "1.0.0")
	if status != 0 || !strings.Contains(stdout, "was          QDQ: ") || !strings.Contains(stdout, "dequantized") || !strings.Contains(stdout, "SQNR of the quantized model") || strings.Contains(stdout, "stays") || strings.Contains(stdout, "put back") {
		t.Fatalf("%d %s%s", status, stdout, stderr)
	}
	m, err := onnx.Load(twin)
	if err != nil || floattwin.Find(m) != nil {
		t.Errorf("the twin: %v, %v", floattwin.Find(m), err)
	}
	var asked struct {
		Activations []struct{ Name string } `json:"activation_encodings"`
		Params      []struct{ Name string } `json:"param_encodings"`
	}
	data, err := os.ReadFile(encodings)
	if err == nil {
		err = json.Unmarshal(data, &asked)
	}
	if err != nil || len(asked.Activations) < 2 || len(asked.Params) < 1 {
		t.Errorf("encodings: %v %+v", err, asked)
	}

	status, stdout, stderr = run(t, "check", twin, "--images", images, "--scale", "255", "--variant", "mine="+quantized, "--out", dir, "--no-try", "--json")
	a := checked(t, stdout)
	if status != 0 {
		t.Fatal(stderr)
	}
	status, stdout, stderr = run(t, "check", quantized, "--images", images, "--scale", "255", "--out", dir, "--no-try", "--json")
	if status != 0 {
		t.Fatal(stderr)
	}
	b := checked(t, stdout)
	if len(b.Variants) != 1 || b.Variants[0].Spec.Name != "as-it-is" || !strings.Contains(strings.Join(b.Warnings, "\n"), "its float twin") {
		t.Errorf("a quantized model alone: %+v, %q", b.Variants, b.Warnings)
	}
	if len(a.Layers) != len(b.Layers) {
		t.Errorf("the twin that was written has %d layers, the one that check makes %d", len(a.Layers), len(b.Layers))
	}

	for _, command := range [][]string{
		{"quantize", quantized, "--calib", images, "-o", filepath.Join(dir, "again.onnx")}, {"explore", quantized, "--images", images, "--out", dir, "--task", "agreement"},
	} {
		status, _, stderr := run(t, command...)
		if status != exitUsage || !strings.Contains(stderr, "already quantized (QDQ: ") || !strings.Contains(stderr, "quantcheck strip "+quantized) {
			t.Errorf("%s: %d %s", command[0], status, stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "again.onnx")); err == nil {
		t.Error("quantize wrote a model that it refused")
	}
	for _, command := range [][]string{
		{"info", quantized}, {"lint", quantized, "--no-htp"}, {"optimize", quantized, "-o", filepath.Join(dir, "o.onnx")},
	} {
		status, stdout, stderr := run(t, command...)
		if text := stdout + stderr; status != 0 || !strings.Contains(text, "QDQ: ") || !strings.Contains(text, "quantcheck strip "+quantized) {
			t.Errorf("%s: %d %s", command[0], status, text)
		}
	}
	if status, _, stderr := run(t, "strip", float, "-o", filepath.Join(dir, "x.onnx")); status != exitUsage || !strings.Contains(stderr, "is not quantized") {
		t.Errorf("a float model: %d %s", status, stderr)
	}
}

func TestAModelThatNothingCanLoadIsNotWritten(t *testing.T) {
	t.Parallel()
	// It loads as it is read, but what it declares of its output is not what it makes.
	broken := smallModel(t, func(m *onnxpb.ModelProto) {
		g := m.GetGraph()
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Name: proto.String("bad"), Input: []string{"no-such-type", "s"}, Output: []string{"d"}})
		g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: proto.String("s"), DataType: proto.Int32(1), FloatData: []float32{1}}, &onnxpb.TensorProto{Name: proto.String("no-such-type"), Dims: []int64{1}, DataType: proto.Int32(3), Int32Data: []int32{1}})
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("NoSuchOperator"), Name: proto.String("unknown"), Input: []string{"d"}, Output: []string{"extra"}})
		g.Output = append(g.Output, &onnxpb.ValueInfoProto{Name: proto.String("extra")})
	})
	out := filepath.Join(t.TempDir(), "float.onnx")
	status, _, stderr := run(t, "strip", broken, "-o", out)
	if status != exitFailed || !strings.Contains(stderr, "nothing was written") || !strings.Contains(stderr, "NoSuchOperator") {
		t.Errorf("%d %s", status, stderr)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the file is there all the same")
	}
}
