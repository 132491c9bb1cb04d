package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/tensor"
)

// tinyModel writes a model of a few nodes over pictures of 8 by 8, and such pictures.
func tinyModel(t *testing.T, nodes ...*onnxpb.NodeProto) (model, images string) {
	t.Helper()
	dir := t.TempDir()
	model, images = filepath.Join(dir, "m.onnx"), fixture.Pictures(t, 6)
	weights := make([]float32, 3*3*3*3)
	for i := range weights {
		weights[i] = float32(i%7) - 3
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: nodes, Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", tensor.Floats(weights, 3, 3, 3, 3))},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	b, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: g})
	if err == nil {
		err = os.WriteFile(model, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return model, images
}

func conv() *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String("Conv"), Name: proto.String("first"), Input: []string{"x", "w"}, Output: []string{"c"}}
}

func TestAModelThatCrashesTheLibraryIsOneSentence(t *testing.T) {
	t.Parallel()
	fixture.Runtime(t)
	model, images := tinyModel(t, conv(), &onnxpb.NodeProto{
		OpType: proto.String("Resize"), Name: proto.String("guilty"), Input: []string{"c", "", "c"}, Output: []string{"y"},
		Attribute: []*onnxpb.AttributeProto{{Name: proto.String("mode"), Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte("nearest")}},
	})
	for _, args := range [][]string{
		{"check", model, "--images", images, "--out", t.TempDir()},
		{"eval", model, "--task", "agreement", "--data", images, "--out", t.TempDir()},
		{"quantize", model, "--images", images, "-o", filepath.Join(t.TempDir(), "q.onnx")},
	} {
		status, _, stderr := run(t, args...)
		if status != exitFailed || strings.Count(stderr, "guilty (Resize)") != 1 || strings.Contains(stderr, "goroutine") {
			t.Errorf("%s: status %d: %s", args[0], status, stderr)
		}
	}
}

func TestTensorsComeBackToTheSharedMemory(t *testing.T) {
	fixture.Runtime(t)
	model, images := tinyModel(t, conv(), &onnxpb.NodeProto{OpType: proto.String("Relu"), Name: proto.String("r"), Input: []string{"c"}, Output: []string{"y"}})
	before := cpu.Left()
	for _, args := range [][]string{
		{"check", model, "--images", images, "--out", t.TempDir()},
		{"eval", model, "--task", "agreement", "--data", images, "--out", t.TempDir()},
		{"explore", model, "--images", images, "--engine", "cpu", "--budget", "1s", "--target", "0.999999", "--out", t.TempDir()},
		{"quantize", model, "--images", images, "-o", filepath.Join(t.TempDir(), "q.onnx")},
		{"optimize", model, "--images", images, "-o", filepath.Join(t.TempDir(), "o.onnx")},
	} {
		status, _, stderr := run(t, args...)
		if left := cpu.Left() - before; left != 0 || status != exitDone && status != exitNo {
			t.Errorf("%s: status %d, %d bytes are still lent: %s", args[0], status, left, stderr)
			before = cpu.Left()
		}
	}
}

func TestTheBoundOnMemoryFollowsTheMachine(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		gib  int64
		want int
	}{{64, 32 << 10}, {2, 1 << 10}, {1, 1 << 10}, {1 << 32, mostMemory}} {
		if got := defaultMemory(hostinfo.Memory{Bytes: c.gib << 30}, true); got != c.want {
			t.Errorf("of %d GiB: %d MiB, want %d", c.gib, got, c.want)
		}
	}
	if got := defaultMemory(hostinfo.Memory{}, false); got != unknownMemory {
		t.Error(got)
	}
}
