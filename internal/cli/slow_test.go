//go:build slow

package cli

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/result"
)

// What is proved here on whole networks is proved on small ones by the tests beside it; make slow runs these.

// trained are the arguments that describe the detector of the folder beside the project, and photographs.
func trained(t *testing.T) []string {
	t.Helper()
	return append([]string{fixture.Beside(t, "models", "yolox_nano.onnx"), "--data", fixture.Beside(t, "coco", "instances.json")}, yoloxNano(t)[3:]...)
}

func TestSlowADetectorIsHealedOnTheCPU(t *testing.T) {
	dir := t.TempDir()
	x := healed(t, dir, "yolox_nano", 0.75, append(trained(t), "--limit", "4", "--out", dir, "--target", "75%", "--budget", "20m", "--variant", "w8a8", "--apply"))
	if x.Pictures != (result.PictureCounts{Calibrating: 3, Searched: 3, HeldOut: 1}) {
		t.Errorf("%+v", x.Pictures)
	}
	for _, p := range x.Points {
		if len(p.Scored.ByClass) != 80 {
			t.Errorf("%s: %d classes", p.Title, len(p.Scored.ByClass))
		}
	}
	if n := weighed(x); len(x.Layers) < 300 || n < 80 { // of 83 Convs, whose own output or that of what they are fused with has a quantizer
		t.Errorf("%d quantizers, %d with the weights' word beside them", len(x.Layers), n)
	}
}

func TestSlowADetectorIsRewrittenFirst(t *testing.T) {
	x := explored(t, 0, append(trained(t), "--limit", "4", "--out", t.TempDir(), "--target", "60%", "--budget", "20m", "--optimize")...)
	if x.Verdict != result.AlreadyGood || len(x.Points) != 1 {
		t.Errorf("%v %v", x.Verdict, x.Story)
	}
}

func TestSlowEmulatedDetectionScores(t *testing.T) {
	fixture.Emulator(t)
	e := evaluate(t, append(trained(t), "--limit", "8", "--variant", "w8a8="+fixture.Beside(t, "qnn", "yolox_nano_w8a8_per_channel.onnx")+"@htp",
		"--variant", "w8a16="+fixture.Beside(t, "qnn", "yolox_nano_w8a16_per_channel.onnx")+"@htp", "--out", t.TempDir(), "--json")...)
	float, w8a8, w8a16 := e.Models[0].Scores[0].V, e.Models[1].Scores[0].V, e.Models[2].Scores[0].V
	if w8a8 > 0.6*float || w8a16 < 0.95*float || e.Models[1].Emulator == nil {
		t.Errorf("float %g, w8a8 %g, w8a16 %g on the emulator", float, w8a8, w8a16)
	}
}

func TestSlowInputsOfADetectorAreTried(t *testing.T) {
	status, stdout, stderr := run(t, "eval", fixture.Beside(t, "models", "yolox_nano.onnx"), "--data", fixture.Beside(t, "coco", "instances.json"), "--task", "detection", "--try-inputs", "--limit", "4", "--json")
	var tried result.TriedInputs
	if err := json.Unmarshal([]byte(stdout), &tried); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	best := tried.Tried[0]
	// BGR of 0..255 is what the model takes; that the picture keeps its proportions shows on six pictures too.
	if best.Input.InputColor != "bgr" || best.Input.Scale[0] != 1 || best.Asked || len(tried.Tried) != 25 {
		t.Errorf("%+v", best)
	}
}

// yolox_nano: the DLC, aligned with the float model, and the QDQ model that it was written from.
func TestSlowYoloxAsDLCIsTheQDQModel(t *testing.T) {
	fixture.Emulator(t)
	c := checkDLC(t, fixture.Beside(t, "models", "yolox_nano.onnx"), "--images", fixture.Beside(t, "coco", "val"), "--limit", "1", "--local-samples", "0",
		"--variant", "qdq="+fixture.Beside(t, "qnn", "yolox_nano_w8a8_per_channel.onnx")+"@htp", "--variant", "mine="+fixture.Beside(t, "qnn", "yolox_nano_w8a8_per_channel.dlc")+"@htp")
	if n := c.equalLayers(t, 0, 1); n < 350 || c.Variants[1].Twin != 0 || c.Variants[1].Parts != -1 {
		t.Errorf("%d layers, twin %d, parts at %d", n, c.Variants[1].Twin, c.Variants[1].Parts)
	}
}

// What must hold: optimize alone brings yolox_nano from 5.4 M cycles to at most 1.35 M, its outputs as before.
func TestSlowOptimizeBringsWhatItPromises(t *testing.T) {
	fixture.Emulator(t)
	before, after := gained(t, fixture.Beside(t, "models", "yolox_nano.onnx"), filepath.Join(t.TempDir(), "o.onnx"))
	if before < 5_000_000 || after > 1_350_000 {
		t.Errorf("%d cycles, now %d", before, after)
	}
}

func TestSlowEstimatesOfADetectorAreTheFixturesNumbers(t *testing.T) {
	fixture.Emulator(t)
	estimatesAreTheFixtures(t, "qnn/yolox_nano_w8a8_per_channel.onnx")
}

// A picture of 720 by 720 in a network of an opset that no CPU kernel of a quantized Conv has.
func TestSlowAnEstimateOfTensorsThatDoNotFit(t *testing.T) {
	fixture.Emulator(t)
	e := estimated(t, fixture.Beside(t, "models", "fns-candy_tensor.onnx"), "--no-advice")
	if len(e.Refused) == 0 || e.Covered > 0.26 || e.Covered < 0.25 || e.IntermediateSpillBytes == 0 {
		t.Errorf("%q, %g, %d bytes", e.Refused, e.Covered, e.IntermediateSpillBytes)
	}
}

// A check of a network that is cut into segments goes on to the same bits, and so does its calibration.
func TestSlowAnInterruptedCheckOfADetectorGoesOn(t *testing.T) {
	args := []string{fixture.Path(t, "models", "faces.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "40", "--variant", "w8a8,percentile:99", "--local-samples", "2", "--out", filepath.Join(t.TempDir(), "out")}
	whole, _, _ := interrupted(t, args, nil)
	run, said, _ := interrupted(t, args, []stop{{"calibrating", 39}, {"comparing", 17}})
	if got, want := digest(t, run), digest(t, whole); got != want || len(said) != 2 {
		t.Errorf("%q, other results:\n%s", said, parting(want, got))
	}
}

func TestSlowFaultsPlantedInADetectorAreFound(t *testing.T) {
	faultsAreFound(t, faulty{[]string{"models", "yolox_nano.onnx"}, "images", "input.7", "onnx::Conv_1178", "onnx::Sigmoid_1177", []string{"--input-color", "bgr", "--resize", "letterbox", "--pad-position", "bottom-right"}})
}

func TestSlowMemoryBoundDoesNotChangeOneDigitOfADetector(t *testing.T) {
	memoryChangesNothing(t, "yolox_nano", "2GiB", "256MiB", "16MiB")
}
