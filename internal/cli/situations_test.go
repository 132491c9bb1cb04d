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
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

// found is what the tests of situations read of a check.
type found struct {
	Layers    []struct{ Name, DType string }
	Warnings  []string
	NonFinite *result.NonFinite `json:"non_finite"`
	Variants  []struct {
		Twin         int
		EngineErrors []result.EngineError `json:"engine_errors"`
		Verdict      struct {
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
	t.Parallel()
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
	t.Parallel()
	fixture.Emulator(t)
	model := smallModel(t, halved(false))
	c, _ := judged(t, model, "--images", pictures(t, 2), "--variant", "fp16@htp", "--variant", "half="+model)
	if c.Variants[0].Twin != 1 {
		t.Errorf("the counterpart is %d", c.Variants[0].Twin)
	}
}

// TestNaNIsTracedToItsSource plants values that are not finite in constants, in samples, and in an operator.
func TestNaNIsTracedToItsSource(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	weight := func(at int, v float32) func(*onnxpb.ModelProto) {
		return func(p *onnxpb.ModelProto) {
			binary.LittleEndian.PutUint32(p.GetGraph().GetInitializer()[0].GetRawData()[4*at:], math.Float32bits(v))
		}
	}
	// The logarithm of what a Relu makes is infinite, and infinity less infinity is NaN.
	logarithm := func(p *onnxpb.ModelProto) {
		g := p.GetGraph()
		g.Node[2] = &onnxpb.NodeProto{OpType: proto.String("Log"), Name: proto.String("l"), Input: []string{"/r/Relu_output_0"}, Output: []string{"log"}}
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("Sub"), Name: proto.String("s"), Input: []string{"log", "log"}, Output: []string{"y"}})
	}
	// Minus infinity is a mask's ordinary value.
	mask := func(p *onnxpb.ModelProto) {
		g := p.GetGraph()
		g.Initializer = append(g.Initializer, onnx.TensorProto("mask", tensor.Floats([]float32{0, 0, 0, 0, 0, float32(math.Inf(-1))}, 6)))
		g.Node[2] = &onnxpb.NodeProto{OpType: proto.String("Add"), Name: proto.String("a"), Input: []string{"/r/Relu_output_0", "mask"}, Output: []string{"masked"}}
		g.Node = append(g.Node, &onnxpb.NodeProto{OpType: proto.String("Softmax"), Name: proto.String("s"), Input: []string{"masked"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("axis", -1)}})
	}
	samples := func(bad ...int) string {
		dir := t.TempDir()
		for i := range 4 {
			raw := make([]byte, 4*3*8*8)
			for k := range 3 * 8 * 8 {
				binary.LittleEndian.PutUint32(raw[4*k:], math.Float32bits(float32((i+k)%7)/7))
			}
			for _, b := range bad {
				if b == i {
					binary.LittleEndian.PutUint32(raw[40:], math.Float32bits(nan))
				}
			}
			if err := os.WriteFile(filepath.Join(dir, string(rune('a'+i))+".raw"), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	type want struct {
		constants, inputs, begins, bad int
		says                           []string
	}
	for name, row := range map[string]struct {
		change func(*onnxpb.ModelProto)
		images string
		want   want
	}{
		"all finite":        {nil, samples(), want{}},
		"a weight":          {weight(7, nan), samples(), want{1, 0, 2, 4, []string{"constant w of the float model holds 1 NaN among its 108 values", "begin at /c/Conv_output_0 (node c, Conv, number 1 of 3)"}}},
		"an infinite one":   {weight(7, float32(math.Inf(1))), samples(), want{1, 0, 2, 4, []string{"holds an infinite value among", "begin at /c/Conv_output_0"}}},
		"two samples":       {nil, samples(1, 3), want{0, 2, 2, 2, []string{"begin at /c/Conv_output_0 (node c, Conv, number 1 of 3): ", "The sample b.raw holds 1 NaN in the input x.", "The sample d.raw", "2 of 4 samples cannot be compared"}}},
		"an operator":       {logarithm, samples(), want{0, 0, 2, 4, []string{"begin at log (node l, Log, number 3 of 4)"}}},
		"a mask, near miss": {mask, samples(), want{}},
	} {
		c, said := judged(t, smallModel(t, row.change), "--images", row.images)
		n := c.NonFinite
		if (n == nil) != (row.want.bad == 0) {
			t.Errorf("%s: %+v", name, n)
			continue
		}
		if n != nil && (len(n.Constants) != row.want.constants || len(n.Inputs) != row.want.inputs || len(n.Begins) != row.want.begins || len(n.Samples) != row.want.bad) {
			t.Errorf("%s: %+v", name, n)
		}
		for _, says := range row.want.says {
			if !strings.Contains(said, says) {
				t.Errorf("%s: %q is not said: %s", name, says, said)
			}
		}
	}
}

// TestFloat64IsCompared has a float64 output and float64 operators within the model.
func TestFloat64IsCompared(t *testing.T) {
	t.Parallel()
	cast := func(from, to string, d tensor.DType) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: proto.String("Cast"), Name: proto.String("node of " + to), Input: []string{from}, Output: []string{to}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("to", int64(d))}}
	}
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: proto.String("node of " + out), Input: in, Output: []string{out}}
	}
	for name, row := range map[string]struct {
		change func(g *onnxpb.GraphProto)
		output string
		status string
	}{
		"a cast output": {func(g *onnxpb.GraphProto) {
			g.Node = append(g.Node, cast("y", "wide", tensor.Float64))
			g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped("wide")}
		}, "wide", "compared"},
		"computed in float64": {func(g *onnxpb.GraphProto) {
			g.Node = append(g.Node, cast("y", "wide", tensor.Float64), node("Add", "sum", "wide", "wide"))
			g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped("sum")}
		}, "sum", "not quantized"},
		"float64 within": {func(g *onnxpb.GraphProto) {
			g.Node = append(g.Node, cast("y", "wide", tensor.Float64), node("Add", "sum", "wide", "wide"), cast("sum", "z", tensor.Float32))
			g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped("z")}
		}, "z", "compared"},
		"a float64 input": {func(g *onnxpb.GraphProto) {
			g.Input[0] = onnx.ValueInfo("x", tensor.Float64, []int64{1, 3, 8, 8})
			g.Node = append([]*onnxpb.NodeProto{cast("x", "x32", tensor.Float32)}, g.Node...)
			g.Node[1].Input[0] = "x32"
		}, "y", "compared"},
	} {
		model := smallModel(t, func(p *onnxpb.ModelProto) { row.change(p.GetGraph()) })
		c, _ := judged(t, model, "--images", pictures(t, 2), "--variant", "w8a8", "--variant", "fp16")
		for _, v := range c.Variants {
			for k, l := range c.Layers {
				of := v.Layers[k]
				if l.Name != row.output {
					continue
				}
				sqnr, ok := of.Summary["SQNR"].Mean.(float64)
				if !ok || sqnr < 25 || of.Status != row.status || v.Verdict.Basis == "nothing" {
					t.Errorf("%s: %s is %s (%s), %v dB, judged by %s", name, l.Name, of.Status, of.Reason, of.Summary["SQNR"].Mean, v.Verdict.Basis)
				}
			}
		}
	}
}
