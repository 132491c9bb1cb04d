package cli

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// found is what the tests of situations read of a check.
type found struct {
	Layers   []struct{ Name, DType string }
	Warnings []string
	Variants []struct {
		Twin    int
		Verdict struct {
			Grade, Basis string
			Coverage     *struct{ Operators int }
		}
		Layers []struct {
			Status, Reason string
			Summary        map[string]struct{ Mean any }
		}
	}
}

// judged runs a check that must succeed, and gives its result and what it says on the terminal.
func judged(t *testing.T, args ...string) (c found, said string) {
	t.Helper()
	args = append([]string{"check", "--out", t.TempDir()}, args...)
	status, said, stderr := run(t, args...)
	if status != exitDone {
		t.Fatalf("%v: %d %s", args, status, stderr)
	}
	status, stdout, stderr := run(t, append(args, "--json")...)
	if err := json.Unmarshal([]byte(stdout), &c); status != exitDone || err != nil {
		t.Fatalf("%v: %d %v %s", args, status, err, stderr)
	}
	return c, said
}

// halved has a model compute in half precision, its inputs and outputs too, or behind a Cast at either end.
func halved(inside bool) func(*onnxpb.ModelProto) {
	return func(p *onnxpb.ModelProto) {
		g := p.GetGraph()
		for i, w := range g.GetInitializer() {
			half := tensor.Tensor{DType: tensor.Float16, Shape: w.GetDims()}
			for at := 0; at < len(w.GetRawData()); at += 4 {
				v, _ := tensor.Tensor{DType: tensor.Uint32, Shape: []int64{1}, Raw: w.GetRawData()[at : at+4]}.Ints()
				half.Raw = binary.LittleEndian.AppendUint16(half.Raw, tensor.FloatToHalf(math.Float32frombits(uint32(v[0]))))
			}
			g.Initializer[i] = onnx.TensorProto(w.GetName(), half)
		}
		if !inside {
			g.Input[0] = onnx.ValueInfo("x", tensor.Float16, []int64{1, 3, 8, 8})
			return
		}
		cast := func(from, to string, d tensor.DType) *onnxpb.NodeProto {
			return &onnxpb.NodeProto{OpType: proto.String("Cast"), Name: proto.String(to), Input: []string{from}, Output: []string{to}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("to", int64(d))}}
		}
		g.Node[0].Input[0] = "x16"
		g.Node = append(append([]*onnxpb.NodeProto{cast("x", "x16", tensor.Float16)}, g.Node...), cast("y", "z", tensor.Float32))
		g.Output[0] = onnx.Untyped("z")
	}
}

// TestAHalfPrecisionModelIsRaised has every command that takes a float model take one in half precision.
func TestAHalfPrecisionModelIsRaised(t *testing.T) {
	for name, inside := range map[string]bool{"whole": false, "behind casts": true} {
		t.Run(name, func(t *testing.T) {
			model, images, dir := smallModel(t, halved(inside)), pictures(t, 3), t.TempDir()
			c, said := judged(t, model, "--images", images, "--variant", "w8a8", "--variant", "half="+model)
			if len(c.Warnings) == 0 || !strings.Contains(strings.Join(c.Warnings, "\n"), "raised to float32: 2 constants") || !strings.Contains(said, "raised to float32") {
				t.Errorf("it is not said: %v", c.Warnings)
			}
			for _, l := range c.Layers {
				if l.DType != "float32" {
					t.Errorf("%s is %s", l.Name, l.DType)
				}
			}
			last := len(c.Layers) - 1
			for i, between := range [][2]float64{{30, 65}, {55, 110}} {
				v := c.Variants[i]
				sqnr, ok := v.Layers[last].Summary["SQNR"].Mean.(float64)
				if !ok || sqnr < between[0] || sqnr > between[1] || v.Verdict.Grade != "good" || (v.Verdict.Coverage == nil) != (i == 1) {
					t.Errorf("variant %d: %v dB, %+v", i, v.Layers[last].Summary["SQNR"].Mean, v.Verdict)
				}
			}
			if !inside { // the samples of a half-precision input still fit
				raw := filepath.Join(dir, "s.raw")
				if err := os.WriteFile(raw, make([]byte, 2*3*8*8), 0o600); err != nil {
					t.Fatal(err)
				}
				judged(t, model, "--images", raw, "--calib", images)
			}
			q := filepath.Join(dir, "q.onnx")
			for _, args := range [][]string{
				{"quantize", model, "--calib", images, "-o", q},
				{"check", model, "--images", images, "--variant", "q=" + q, "--out", t.TempDir()},
				{"optimize", model, "--images", images, "-o", filepath.Join(dir, "o.onnx")},
				{"check", filepath.Join(dir, "o.onnx"), "--images", images, "--out", t.TempDir()},
				{"lint", model},
				{"eval", model, "--task", "agreement", "--data", images, "--out", t.TempDir()},
			} {
				if status, stdout, stderr := run(t, args...); status != exitDone {
					t.Errorf("%v: %d %s%s", args, status, stdout, stderr)
				}
			}
		})
	}
}

// TestTheHalfPrecisionFileIsTheCounterpart holds the emulator's half precision against the file that was raised.
func TestTheHalfPrecisionFileIsTheCounterpart(t *testing.T) {
	fixture.Emulator(t)
	model := smallModel(t, halved(false))
	c, _ := judged(t, model, "--images", pictures(t, 2), "--variant", "fp16@htp", "--variant", "half="+model)
	if c.Variants[0].Twin != 1 {
		t.Errorf("the counterpart is %d", c.Variants[0].Twin)
	}
}
