package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
)

func TestABenchmarkOfSeveralModels(t *testing.T) {
	t.Parallel()
	b := newBench(t, "qnn", "zoo_w8a8_per_channel.dlc")
	dir := t.TempDir()
	text := fmt.Sprintf("models:\n- {dlc: %s, name: one}\n- {dlc: nowhere.dlc, name: two}\n- {dlc: %s, name: three}\n", fixture.Path(t, "qnn", "zoo_w8a8_per_tensor.dlc"), fixture.Path(t, "qnn", "zoo_w8a16_per_channel.dlc"))
	file := filepath.Join(dir, "models.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.model = nil
	status, stdout, stderr := b.run(t, append([]string{"--file", file, "--no-emulate", "--steps", "throughput,info"}, zooInput...)...)
	if status != 2 || !strings.Contains(stderr, "two: open "+filepath.Join(dir, "nowhere.dlc")) || strings.Count(stdout, "throughput   ") != 2 {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	for _, name := range []string{"one", "three"} {
		if found := b.found(t, name); found.Throughput == nil || found.Layers != nil {
			t.Errorf("%s: %+v", name, found)
		}
	}
}

func TestWhatABenchmarkRefuses(t *testing.T) {
	t.Parallel()
	dlc, onnx, images := fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"), fixture.Path(t, "qnn", "zoo.onnx"), fixture.Path(t, "coco", "val")
	listed := t.TempDir()
	if status, _, stderr := run(t, "info", dlc, "--write", listed, "--name", "m"); status != 0 {
		t.Fatal(stderr)
	}
	list := filepath.Join(t.TempDir(), "models.yaml")
	if err := os.WriteFile(list, []byte("models:\n- {dlc: a.dlc, colour: red}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		says string
	}{
		{nil, "which model?"},
		{[]string{"--dlc", dlc, "--images", images}, "with which float model"},
		{[]string{"--dlc", dlc, "--onnx", onnx}, "on which pictures?"},
		{[]string{"--dlc", dlc, "--onnx", onnx, "--images", images, "--steps", "power"}, "there are layers, throughput, cycles, info"},
		{[]string{"--dlc", dlc, "--onnx", onnx, "--images", images, "--perf-profile", "fast"}, "sustained_high_performance"},
		{[]string{"--dlc", dlc, "--onnx", onnx, "--images", images, "--repeats", "0"}, "--repeats 0"},
		{[]string{"--dlc", dlc, "--onnx", onnx, "--images", images, "--variant", "d=device:adb:x@m.dlc"}, "the device is --device"},
		{[]string{"--dlc", onnx, "--onnx", onnx, "--images", images}, "zoo.onnx"},
		{[]string{"--dlc", filepath.Join(listed, "models_dlc", "m", "dlc-info-graph.txt"), "--onnx", onnx, "--images", images}, "is a listing of a DLC"},
		{[]string{"--file", list}, "colour"},
		{[]string{"--file", list, "--dlc", dlc}, "--file names the models"},
	} {
		status, _, stderr := run(t, append([]string{"benchmark", "--device", "local", "--device-dir", t.TempDir(), "--out", t.TempDir()}, row.args...)...)
		if status != 2 || !strings.Contains(stderr, row.says) {
			t.Errorf("%v: %d %s", row.args, status, stderr)
		}
	}
}
