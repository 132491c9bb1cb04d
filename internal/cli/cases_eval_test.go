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
	t.Parallel()
	cases, there := casesFolder()
	if !there {
		return // models that tests of the rooms make show it, too
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
	t.Parallel()
	model := fixture.Beside(t, "models", "yolox_nano.onnx") // trained weights: others see as little in right pictures
	args := []string{"eval", model, "--task", "detection", "--data", fixture.Beside(t, "coco", "instances.json"), "--images", fixture.Beside(t, "coco", "val"), "--limit", "6", "--variant", "fp16", "--scale", "255", "--out", t.TempDir()}
	status, stdout, stderr := run(t, args...)
	if status != exitDone || !strings.Contains(stdout, "The float model itself sees next to nothing (mAP 0.0") || !strings.Contains(stdout, "--try-inputs") {
		t.Errorf("status %d: %s %s", status, stdout, stderr)
	}
}

// casesFolder is a folder of small inputs from reports of faults, beside the project.
func casesFolder() (string, bool) {
	cases := filepath.Join(fixture.Root(), "..", "shared", "cases")
	_, err := os.Stat(cases)
	return cases, err == nil
}

// TestVerdictsOfTheCases holds the verdict of each case against what is so.
func TestVerdictsOfTheCases(t *testing.T) {
	t.Parallel()
	cases, there := casesFolder()
	if !there {
		return // models that tests of the rooms make show it, too
	}
	img := []string{"--images", filepath.Join(cases, "img"), "--scale", "255"}
	in := func(name string) string { return filepath.Join(cases, name) }
	for _, row := range []struct {
		name  string
		args  []string
		exit  int
		grade result.Grade // of the first variant
		cause string       // the leading one
		helps bool         // its fix, tried
	}{
		{"a head of unlike ranges", append([]string{in("c01_yolo_head_concat.onnx"), "--fail-under", "cos=0.999"}, img...), exitNo, result.Bad, "unlike-ranges", true},
		{"a cut head", append([]string{in("c01_yolov8_cut_head.onnx")}, img...), exitDone, result.Good, "", false},
		{"a mask of −inf", append([]string{in("c05_mask_inf.onnx")}, img...), exitDone, result.Good, "", false},
		{"a mask of −3.4e38", append([]string{in("c05_mask_min.onnx")}, img...), exitDone, result.Fair, "", false},
		{"NaN in a weight", append([]string{in("c06_nan_weight.onnx")}, img...), exitDone, result.Unknown, "nan-constant", false},
		{"a QDQ file without Relus", append([]string{in("c08_resnet_float.onnx"), "--variant", "q=" + in("c08_resnet_qdq.onnx")}, img...), exitDone, result.Good, "", false},
		{"dark calibration", append([]string{in("c08_resnet_float.onnx"), "--calib", in("c18_black")}, img...), exitDone, result.Bad, "narrow-calibration", true},
		{"a network in float16", append([]string{in("c15_fp16_model.onnx")}, img...), exitDone, result.Good, "", false},
		{"a body in If", append([]string{in("c13_if.onnx")}, img...), exitDone, "", "partly-quantized", false},
	} {
		status, stdout, stderr := run(t, append(append([]string{"check", "--json", "--out", t.TempDir()}, row.args[1:]...), row.args[0])...)
		var r struct {
			Variants []struct {
				Verdict result.Verdict `json:"verdict"`
			} `json:"variants"`
		}
		if err := json.Unmarshal([]byte(stdout), &r); status != row.exit || err != nil || len(r.Variants) == 0 {
			t.Errorf("%s: status %d, %v: %s", row.name, status, err, stderr)
			continue
		}
		v := r.Variants[0].Verdict
		if row.grade != "" && v.Grade != row.grade {
			t.Errorf("%s is %s, not %s: %+v", row.name, v.Grade, row.grade, v.Parts)
		}
		switch {
		case row.cause == "" && len(v.Causes) > 0 && v.Causes[0].Confidence > 0.5:
			t.Errorf("%s has the cause %+v", row.name, v.Causes[0])
		case row.cause != "" && (len(v.Causes) == 0 || v.Causes[0].Kind != row.cause):
			t.Errorf("%s: the leading cause is none of %s: %+v", row.name, row.cause, v.Causes)
		case row.helps && (v.Causes[0].Fix.Tried == nil || !v.Causes[0].Fix.Tried.Helps):
			t.Errorf("%s: the fix does not help: %+v", row.name, v.Causes[0].Fix)
		}
	}
}
