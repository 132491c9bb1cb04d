//go:build slow

package cli

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"quantcheck/internal/coco"
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

// What must hold: optimize alone brings yolox_nano, as it is deployed, from 1.10 M cycles to at most 1.02 M, its outputs as before.
func TestSlowOptimizeBringsWhatItPromises(t *testing.T) {
	fixture.Emulator(t)
	before, after := gained(t, fixture.Beside(t, "models", "yolox_nano.onnx"), filepath.Join(t.TempDir(), "o.onnx"))
	if before > 1_200_000 || after > 1_030_000 || after >= before {
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

// The numbers of a Python pipeline (OpenCV, numpy, ONNX Runtime with graph optimisation off, pycocotools) on the same
// pictures: letterbox, best class of a box, class-aware NMS at 0.65, confidence over 0.01, 100 boxes.
var pythonsMAP = map[string]float64{"float": 0.3283327040944152, "w8a8": 0.15102506195340204, "w8a16": 0.3314328399326574}

func TestSlowDetectionScoresAreThoseOfAPythonPipeline(t *testing.T) {
	dir := t.TempDir()
	e := evaluate(t, fixture.Beside(t, "models", "yolox_nano.onnx"), "--data", fixture.Beside(t, "coco", "instances.json"), "--task", "detection",
		"--model-config", filepath.Join(fixture.Root(), "examples", "yolox_nano.yaml"), "--variant", "w8a8="+fixture.Beside(t, "qnn", "yolox_nano_w8a8_per_channel.onnx"),
		"--variant", "w8a16="+fixture.Beside(t, "qnn", "yolox_nano_w8a16_per_channel.onnx"), "--out", dir, "--json")
	if len(e.Models) != 3 || len(e.Pictures) != 48 || !strings.HasPrefix(e.Reading, "yolox") || len(e.Problems) > 0 {
		t.Fatalf("%d models, %d pictures, %s, %v", len(e.Models), len(e.Pictures), e.Reading, e.Problems)
	}
	for _, m := range e.Models {
		if got := m.Scores[0].V; math.Abs(got-pythonsMAP[m.Name]) > 1e-9 {
			t.Errorf("%s: mAP %v, Python has %v", m.Name, got, pythonsMAP[m.Name])
		}
	}
	if a := e.Models[1].Agree; a.Lost == 0 || a.Kept == 0 || !a.Share.OK || a.Share.V > 0.5 || !a.SQNR.OK {
		t.Errorf("%+v", a)
	}
	if a := e.Models[2].Agree; a.Share.V < 0.8 {
		t.Errorf("%+v", a)
	}
	// The files are the seed's, and COCO's tools read them.
	boxes, err := coco.ReadResultsFile(filepath.Join(dir, "results", "yolox_nano-w8a8.json"))
	if err != nil || len(boxes) < 1000 {
		t.Fatal(err, len(boxes))
	}
	truth, err := coco.ReadDatasetFile(fixture.Beside(t, "coco", "instances.json"))
	if err != nil {
		t.Fatal(err)
	}
	again, err := coco.Evaluate(truth, boxes, coco.DefaultParams(coco.Boxes))
	if err != nil || math.Abs(again.Stats[0]-e.Models[1].Scores[0].V) > 1e-12 {
		t.Errorf("%v: the file scores %v, %v was said", err, again.Stats[0], e.Models[1].Scores[0])
	}
	rows := readCSV(t, filepath.Join(dir, "results", "results.csv"))
	if got := strings.Join(rows[0], ","); got != "model_name,mAP-FPS score,mAP@[IoU=0.50:0.95],AR@[IoU=0.50:0.95],Avg_confidence,FPS" || len(rows) != 4 || rows[1][5] != "-1" {
		t.Errorf("%v", rows)
	}
	if _, err := os.Stat(filepath.Join(dir, "results", "report.html")); err != nil {
		t.Error(err)
	}
	// What a device measured counts from then on.
	for name, text := range map[string]string{
		"yolox_nano-w8a8/throughput.txt": "Total throughput: 250 infs/sec\n", "yolox_nano-w8a16/throughput.txt": "Total throughput: 125 infs/sec\n",
		"yolox_nano-w8a8/layer_stats.csv":  "layer_id,time_mean,time_std,message,layer_name,unit,Percentage_of_Total_Time\n1,100,5,m,Conv_0:OpId_1 (cycles),CYCLES,0.4\n2,150,,m,Sigmoid_1:OpId_2 (cycles),CYCLES,0.6\n",
		"yolox_nano-w8a16/layer_stats.csv": "layer_id,time_mean,layer_name\n1,210.6,Conv_0\n",
	} {
		path := filepath.Join(dir, "models_dlc", filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	status, stdout, stderr := run(t, "stats", dir)
	if status != 0 || !strings.Contains(stdout, "yolox_nano-w8a16") {
		t.Fatal(status, stdout, stderr)
	}
	rows = readCSV(t, filepath.Join(dir, "results", "results.csv"))
	want := fmt.Sprint(math.Round(e.Models[1].Scores[0].V*1e4) / 1e4)
	found := false
	for _, row := range rows {
		if row[0] == "yolox_nano-w8a8" {
			found = row[1] == want && row[5] == "250.0" // the fastest: its score is its mAP
		}
	}
	if !found {
		t.Errorf("%v, want %s", rows, want)
	}
	layers := readCSV(t, filepath.Join(dir, "results", "per_layer_comparison.csv"))
	if len(layers) != 3 || strings.Join(layers[0], ",") != "layer_name,yolox_nano-w8a16,yolox_nano-w8a8" || strings.Join(layers[1], ",") != "Conv_0,210,100" || strings.Join(layers[2], ",") != "Sigmoid_1,0,150" {
		t.Errorf("%v", layers)
	}
}
