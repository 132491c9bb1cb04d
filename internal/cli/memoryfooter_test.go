package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx/onnxpb"
)

func TestEveryCommandWithAnEngineSaysTheBoundOnMemory(t *testing.T) {
	t.Parallel()
	fixture.Runtime(t)
	first := conv()
	first.Output = []string{"y"}
	model, images := tinyModel(t, first, &onnxpb.NodeProto{OpType: proto.String("Relu"), Name: proto.String("unused"), Input: []string{"y"}, Output: []string{"z"}})
	for _, args := range [][]string{
		{"check", model, "--images", images, "--out", t.TempDir()},
		{"eval", model, "--task", "agreement", "--data", images, "--out", t.TempDir()},
		{"explore", model, "--engine", "cpu", "--images", images, "--out", t.TempDir(), "--target", "10%"},
		{"quantize", model, "--images", images, "-o", filepath.Join(t.TempDir(), "q.onnx")},
		{"optimize", model, "-o", filepath.Join(t.TempDir(), "o.onnx")},
		{"lint", model},
		{"info", model},
	} {
		for _, row := range []struct {
			memory []string
			says   string
		}{{nil, "; --memory sets another"}, {[]string{"--memory", "512MiB"}, "at most 0.5 GiB for tensors and ONNX Runtime (--memory)"}} {
			status, stdout, stderr := run(t, append(args[:len(args):len(args)], row.memory...)...)
			if strings.Count(stdout, row.says) != 1 {
				t.Errorf("%s %v: status %d, it does not say once %q: %s %s", args[0], row.memory, status, row.says, stdout, stderr)
			}
		}
	}
}
