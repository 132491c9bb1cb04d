package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/inspect"
)

func TestInfoShowsTheSameOfADLCAndItsModel(t *testing.T) {
	t.Parallel()
	view := func(path string) inspect.View {
		t.Helper()
		status, stdout, stderr := run(t, "info", path, "--json")
		var v inspect.View
		if err := json.Unmarshal([]byte(stdout), &v); status != 0 || err != nil {
			t.Fatalf("%s: %d %v %s", path, status, err, stderr)
		}
		return v
	}
	dlc, qdq, float := view(fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.dlc")), view(fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.onnx")), view(fixture.Path(t, "models", "yolox_nano.onnx"))
	if dlc.MACs != float.MACs || qdq.MACs != float.MACs || float.MACs < 500e6 {
		t.Errorf("multiply-adds %d, %d, %d", dlc.MACs, qdq.MACs, float.MACs)
	}
	if len(float.Layers) != 369 || len(qdq.Layers) != 369 || qdq.Operators["Conv"] != dlc.Operators["Conv2d"]+dlc.Operators["DepthWiseConv2d"] {
		t.Errorf("%d %d layers, %v, %v", len(float.Layers), len(qdq.Layers), qdq.Operators, dlc.Operators)
	}
	a, b := qdq.Outputs[0].Encoding, dlc.Outputs[0].Encoding
	if a == nil || b == nil || a.Offset != b.Offset || a.Scale-b.Scale > 1e-9 || b.Scale-a.Scale > 1e-9 {
		t.Errorf("%+v, %+v", a, b)
	}
	if float.Encoded != 0 || len(float.Unencoded) != 0 || qdq.Encoded < 500 {
		t.Errorf("%d and %d encodings", float.Encoded, qdq.Encoded)
	}
	pose, ok := fixture.Also(t, "dlc", "pose_landmark_lite_quantized.dlc")
	if !ok {
		return
	}
	status, stdout, _ := run(t, "info", pose, "--layers")
	for _, want := range []string{"DLC 4.0", "2.16.0.231027072756_64280", "input_1 uFxp_8 [1 256 3 256]", "352 tensors have one, 0 have none", "Conv2d 51", "174.23 M"} {
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%d: no %q", status, want)
		}
	}
	status, stdout, _ = run(t, "info", fixture.Beside(t, "dlc", "deeplabv3_hta_v1_0.dlc"))
	if status != 0 || !strings.Contains(stdout, "aip.metadata0 (200941 bytes)") || !strings.Contains(stdout, "does not tell its encodings") {
		t.Errorf("%d %s", status, stdout)
	}
}

func TestInfoRefusesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	junk := filepath.Join(t.TempDir(), "junk.dlc")
	if err := os.WriteFile(junk, []byte("PK"), 0o600); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		junk:                                   "not a DLC",
		filepath.Join(t.TempDir(), "none.dlc"): "none.dlc",
		"picture.png":                          "neither",
	}
	if old, ok := fixture.Also(t, "dlc", "monitoring_model-0b9f8060.dlc"); ok {
		refused[old] = "version 2"
	}
	for path, says := range refused {
		if status, _, stderr := run(t, "info", path); status != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%s: %d %s", path, status, stderr)
		}
	}
}
