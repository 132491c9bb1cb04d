package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

type dlcCheck struct {
	Layers   []struct{ Name string }
	Variants []struct {
		Twin, Parts int
		InputChecks []struct{ SQNR metric.Value } `json:"input_checks"`
		Emulator    *struct {
			Taps   string
			Passes int
		}
		Layers []struct {
			Status, Reason, Tap, Rule string
			Summary                   map[string]struct{ Mean any }
			Twin                      *struct {
				Apart   float64
				Summary map[string]struct{ Mean any }
			}
		}
		Container *struct{ Added []struct{ Tensor, Of string } }
	}
	Warnings []string
}

func checkDLC(t *testing.T, args ...string) dlcCheck {
	t.Helper()
	status, stdout, stderr := run(t, append([]string{"check", "--out", t.TempDir(), "--json"}, args...)...)
	var c dlcCheck
	if err := json.Unmarshal([]byte(stdout), &c); status != 0 || err != nil {
		t.Fatalf("%d %v %s", status, err, stderr)
	}
	return c
}

// equalLayers counts layers on which two variants have the same numbers, and names those where they have not.
func (c dlcCheck) equalLayers(t *testing.T, a, b int) int {
	t.Helper()
	same := 0
	for k, x := range c.Variants[a].Layers {
		y := c.Variants[b].Layers[k]
		if x.Status != "compared" || y.Status != "compared" {
			continue
		}
		if x.Summary["MSE"].Mean != y.Summary["MSE"].Mean || x.Summary["CosSim"].Mean != y.Summary["CosSim"].Mean {
			t.Errorf("%s: %v and %v", c.Layers[k].Name, x.Summary["MSE"].Mean, y.Summary["MSE"].Mean)
		}
		same++
	}
	return same
}

// The DLC that quantize writes computes what the recipe does on the emulator, layer by layer, bit by bit.
func TestTheDLCThatQuantizeWritesIsTheRecipe(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	dir := t.TempDir()
	model, dlc := fixture.Path(t, "qnn", "zoo.onnx"), filepath.Join(dir, "q.dlc")
	samples := []string{"--images", fixture.Path(t, "coco", "val"), "--limit", "2", "--mean", "127", "--scale", "64"}
	status, _, stderr := run(t, append([]string{"quantize", model, "-o", filepath.Join(dir, "q.onnx"), "--dlc", dlc}, samples...)...)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	c := checkDLC(t, append([]string{model, "--local-samples", "0", "--variant", "mine=" + dlc + "@htp", "--variant", "w8a8", "--variant", "w8a16@htp", "--variant", "w8a8@htp", "--variant", "q=" + filepath.Join(dir, "q.onnx")}, samples...)...)
	mine := c.Variants[0]
	fused := 0
	for k, l := range c.Variants[1].Layers { // a Conv that carries its Relu's encoding is no layer of its own, in a DLC and in a QDQ file
		if l.Status != "fused" {
			continue
		}
		fused++
		for _, v := range []int{0, 4} {
			if of := c.Variants[v].Layers[k]; of.Status != "fused" || !strings.HasPrefix(of.Reason, "fused into ") {
				t.Errorf("%s is %s in variant %d: %s", c.Layers[k].Name, of.Status, v, of.Reason)
			}
		}
	}
	if fused == 0 {
		t.Error("no layer is fused")
	}
	if n := c.equalLayers(t, 0, 3); n < 20 || mine.Twin != 3 || mine.Parts != -1 {
		t.Errorf("%d layers, twin %d, parts at %d", n, mine.Twin, mine.Parts)
	}
	for k, l := range mine.Layers {
		if l.Twin != nil && (l.Twin.Apart != 0 || l.Twin.Summary["MSE"].Mean != 0.0) {
			t.Errorf("%s: %+v", c.Layers[k].Name, l.Twin)
		}
	}
	if mine.Emulator == nil || mine.Emulator.Taps != "outputs bit-identical with and without taps" || mine.Emulator.Passes != 1 || mine.Container == nil {
		t.Errorf("%+v", mine.Emulator)
	}
}

// What the converter made of the model is told from what quantization did to it.
func TestAUsersDLCIsHeldAgainstTheRecipe(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := fixture.Path(t, "qnn", "zoo.onnx")
	args := []string{"check", model, "--images", fixture.Path(t, "coco", "val"), "--limit", "1", "--mean", "127", "--scale", "64", "--local-samples", "0", "--out", t.TempDir(),
		"--variant", "w8a8@htp", "--variant", "mine=" + fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc") + "@htp"}
	status, stdout, stderr := run(t, args...)
	for _, says := range []string{
		"The DLC as it is, emulated with the DSP's own arithmetic", "It parts from the recipe w8a8@htp at ",
		"first that of ", " in the DLC, 8 bit ", "go by another name: /relu1/Relu_output_0 → /relu1/Relu_output_0_QuantizeLinear,", "/conv1/Conv_output_0", "(a copy of image)",
	} {
		if status != 0 || !strings.Contains(stdout, says) {
			t.Fatalf("%q is not said: %d %s%s", says, status, stdout, stderr)
		}
	}
	status, stdout, _ = run(t, append(args[:len(args)-4], args[len(args)-2:]...)...)
	if status != 0 || !strings.Contains(stdout, "Give the recipe too, such as --variant w8a8@htp") {
		t.Errorf("%d %s", status, stdout)
	}
}

// The order of a DLC's input axes is asked for where nothing tells it: here all of them but one are 3 long.
func TestAnUnknownOrderOfAxesIsAskedFor(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	dir := t.TempDir()
	model, dlc := smallModel(t, func(p *onnxpb.ModelProto) {
		p.Graph.Input = []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 3, 3})}
	}), filepath.Join(dir, "q.dlc")
	images := pictures(t, 2)
	status, _, stderr := run(t, "quantize", model, "-o", filepath.Join(dir, "q.onnx"), "--dlc", dlc, "--images", images)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	args := []string{model, "--images", images, "--local-samples", "0", "--variant", "w8a8@htp", "--variant", "mine=" + dlc + "@htp"}
	for layout, says := range map[string]string{
		"": "Say which of the model's axes each of the DLC's is: --dlc-layout x=0,1,2,3 or --dlc-layout x=0,2,3,1", "y=0,1,2,3": "the DLC's inputs are x", "x": "is not INPUT=0,2,3,1", "x=a": "is not INPUT=0,2,3,1",
		"x=0,1,1,2": "in this order is not the DLC's",
	} {
		asked := append([]string{"check", "--out", dir}, args...)
		if layout != "" {
			asked = append(asked, "--dlc-layout", layout)
		}
		if status, _, stderr := run(t, asked...); status != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%q: %d %s", layout, status, stderr)
		}
	}
	c := checkDLC(t, append(args, "--dlc-layout", "x=0,1,2,3")...)
	if n := c.equalLayers(t, 0, 1); n < 1 || c.Variants[1].Parts >= 0 {
		t.Errorf("%d layers, parts at %d", n, c.Variants[1].Parts)
	}
}

// A converter that took a channels-last model for a channels-first one left an input of [1,256,3,256]: pictures go in as that
// asks. The model here has that network's input only.
func TestAnInputOfAnOddOrderGetsThePicture(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := smallModel(t, func(p *onnxpb.ModelProto) {
		p.Graph.Input = []*onnxpb.ValueInfoProto{onnx.ValueInfo("input_1", tensor.Float32, []int64{1, 256, 256, 3})}
		p.Graph.Node = []*onnxpb.NodeProto{{OpType: proto.String("Relu"), Name: proto.String("r"), Input: []string{"input_1"}, Output: []string{"y"}}}
		p.Graph.Initializer = nil
	})
	c := checkDLC(t, model, "--images", fixture.Path(t, "coco", "val"), "--limit", "1", "--scale", "255", "--local-samples", "0", "--variant", "pose="+fixture.Beside(t, "dlc", "pose_landmark_lite_quantized.dlc")+"@htp")
	v := c.Variants[0]
	if len(v.InputChecks) != 1 || v.InputChecks[0].SQNR.V < 50 {
		t.Errorf("%+v", v.InputChecks)
	}
}

// A float DLC runs in half precision, is called so, and is held against fp16.
func TestAFloatDLCIsHeldAgainstFP16(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	c := checkDLC(t, fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "1", "--mean", "127", "--scale", "64", "--local-samples", "0",
		"--variant", "fp16", "--variant", "w8a8", "--variant", "mine="+fixture.Path(t, "qnn", "zoo.dlc")+"@htp")
	mine := c.Variants[2]
	compared := 0
	for k, l := range mine.Layers {
		if l.Status != "compared" {
			continue
		}
		compared++
		if sqnr, ok := l.Summary["SQNR"].Mean.(float64); ok && sqnr < 40 {
			t.Errorf("%s: %g dB", c.Layers[k].Name, sqnr)
		}
	}
	if compared < 15 || mine.Twin != 0 || !strings.Contains(strings.Join(c.Warnings, "|"), "half precision (fp16)") {
		t.Errorf("%d layers, twin %d, %v", compared, mine.Twin, c.Warnings)
	}
}

func TestDLCVariantsThatDoNotRunAreRefused(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	zoo, images := fixture.Path(t, "qnn", "zoo.onnx"), fixture.Path(t, "coco", "val")
	refused := map[string]string{
		"a=" + fixture.Path(t, "qnn", "zoo_w8a8_per_channel.dlc"): "a DLC runs on the emulator only: write NAME=MODEL.dlc@htp",
		"a=/none.dlc@htp": "no such file",
		"a=" + written(t, "junk.dlc", []byte("junk")) + "@htp":                    "not a DLC",
		"a=" + fixture.Path(t, "qnn", "yolox_nano_w8a8_per_channel.dlc") + "@htp": "another model",
	}
	for name, says := range map[string]string{"test_abs_q": "a DLC of SNPE 1.x cannot be run", "joiner-epoch-4-avg-1.fix": "another model", "monitoring_model-0b9f8060": "convert the model again"} {
		if path, ok := fixture.Also(t, "dlc", name+".dlc"); ok {
			refused["a="+path+"@htp"] = says
		}
	}
	for spec, says := range refused {
		status, _, stderr := run(t, "check", zoo, "--images", images, "--limit", "1", "--out", t.TempDir(), "--variant", spec)
		if status != exitUsage || !strings.Contains(stderr, says) {
			t.Errorf("%s: %d %s", spec, status, stderr)
		}
	}
	if _, err := os.Stat("results"); err == nil {
		t.Error("something was written")
	}
}
