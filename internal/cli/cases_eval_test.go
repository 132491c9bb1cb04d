package cli

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
)

// evaluated runs eval with --json.
func evaluated(t *testing.T, args ...string) *result.Evaluation {
	t.Helper()
	status, stdout, stderr := run(t, append([]string{"eval", "--task", "detection", "--json", "--out", t.TempDir()}, args...)...)
	var e result.Evaluation
	if err := json.Unmarshal([]byte(stdout), &e); status != exitDone || err != nil {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	return &e
}

// TestDetectorsOfTheCasesAreRead reads a head that was cut, and a set whose ids are not in the model's order.
func TestDetectorsOfTheCasesAreRead(t *testing.T) {
	cases := filepath.Join(fixture.Root(), "..", "shared", "cases")
	if _, err := os.Stat(filepath.Join(cases, "c12_gaps.json")); err != nil {
		t.Skip("SKIPPED FOR WANT OF FIXTURES: no cases")
	}
	for _, row := range []struct{ model, data, says string }{
		{"c01_yolov8_cut_head.onnx", "c12_det/instances.json", "a cut head"},
		{"c12_ultralytics_names.onnx", "c12_gaps.json", "names in the model's metadata"},
		{"c12_yolov8.onnx", "c12_gaps.json", "neither names nor numbers"},
	} {
		e := evaluated(t, filepath.Join(cases, row.model), "--data", filepath.Join(cases, filepath.FromSlash(row.data)), "--images", filepath.Join(cases, "c12_det", "images"), "--scale", "255", "--variant", "fp16")
		if got := e.Models[0].Scores[0]; !got.OK || math.Abs(got.V-0.9814) > 5e-5 || !strings.Contains(e.Reading, row.says) {
			t.Errorf("%s: mAP %v, read as %s", row.model, got, e.Reading)
		}
	}
}

// TestAnInputThatTheFloatModelDeniesIsSaid feeds a detector that takes BGR in letterboxes stretched RGB in 0..1.
func TestAnInputThatTheFloatModelDeniesIsSaid(t *testing.T) {
	model := yoloxNano(t)
	args := []string{"eval", model[0], "--task", "detection", "--data", fixture.Path(t, "coco", "instances.json"), "--images", fixture.Path(t, "coco", "val"), "--limit", "6", "--variant", "fp16", "--scale", "255", "--out", t.TempDir()}
	status, stdout, stderr := run(t, args...)
	if status != exitDone || !strings.Contains(stdout, "The float model itself sees next to nothing (mAP 0.0") || !strings.Contains(stdout, "--try-inputs") {
		t.Errorf("status %d: %s %s", status, stdout, stderr)
	}
}
