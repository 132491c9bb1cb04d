//go:build slow

package cli

import (
	"encoding/json"
	"math/rand/v2"
	"path/filepath"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
)

func TestSlowOperatorsThatTheHTPRefuses(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	model := smallModel(t, func(p *onnxpb.ModelProto) {
		for _, n := range p.Graph.Node {
			if n.GetOpType() == "Relu" {
				n.OpType, n.Name = proto.String("Erf"), proto.String("the erf")
			}
		}
	})
	dir := t.TempDir()
	args := []string{"check", model, "--images", pictures(t, 2), "--out", dir, "--variant", "w8a8@htp", "--json"}
	status, _, stderr := run(t, args...)
	if status != exitFailed || !strings.Contains(stderr, "the erf (Erf)") || !strings.Contains(stderr, "--htp-fallback") {
		t.Errorf("%d %s", status, stderr)
	}
	status, stdout, stderr := run(t, append(args, "--htp-fallback")...)
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	r := checked(t, stdout)
	marked := 0
	for k, l := range r.Variants[0].Layers {
		if l.OnCPU {
			marked++
			if r.Layers[k].Op != "Erf" {
				t.Errorf("%s is marked", r.Layers[k].Op)
			}
		}
	}
	if marked != 1 {
		t.Errorf("%d layers are marked", marked)
	}
}

// TestWhatTheEmulatorComputesWrongly holds the list of operators that the emulator computes wrongly against what it computes: those and
// no others are far from float, check calls them engine errors, and quantize warns of them.
func TestSlowWhatTheEmulatorComputesWrongly(t *testing.T) {
	fixture.Emulator(t)
	ints := func(name string, v ...int64) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_INTS.Enum(), Ints: v}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(shape ...int64) tensor.Tensor {
		n, _ := tensor.Count(shape)
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return tensor.Floats(v, shape...)
	}
	wrong := map[string]bool{"both axes": true, "one axis": true, "the other": true}
	model := smallModel(t, func(p *onnxpb.ModelProto) {
		g := p.GetGraph()
		g.Node = []*onnxpb.NodeProto{{OpType: proto.String("Conv"), Name: proto.String("c"), Input: []string{"x", "w"}, Output: []string{"c"}}}
		g.Initializer, g.Output = []*onnxpb.TensorProto{onnx.TensorProto("w", random(8, 3, 3, 3))}, nil
		for _, row := range []struct {
			name        string
			group, out  int64
			high, width int64 // output_padding
		}{
			{"both axes", 8, 1, 1, 1}, {"one axis", 8, 1, 1, 0}, {"the other", 8, 1, 0, 1},
			{"without output_padding", 8, 1, 0, 0}, {"one group", 1, 1, 1, 1},
		} {
			g.Initializer = append(g.Initializer, onnx.TensorProto("w of "+row.name, random(8, row.out, 3, 3)))
			g.Node = append(g.Node, &onnxpb.NodeProto{
				OpType: proto.String("ConvTranspose"), Name: proto.String("node of " + row.name), Input: []string{"c", "w of " + row.name}, Output: []string{row.name},
				Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("group", row.group), ints("strides", 2, 2), ints("pads", 1, 1, 1, 1), ints("output_padding", row.high, row.width), ints("kernel_shape", 3, 3)},
			})
			g.Output = append(g.Output, onnx.Untyped(row.name))
		}
	})
	images := pictures(t, 2)
	c, said := judged(t, model, "--images", images, "--variant", "w8a8", "--variant", "w8a8@htp", "--variant", "fp16@htp")
	for i, v := range c.Variants {
		is := map[string]bool{}
		for _, e := range v.EngineErrors {
			is[c.Layers[e.Layer].Name] = true
			if e.Half != 2 || (e.Simulation == 0) != (i == 1) {
				t.Errorf("variant %d: %+v", i, e)
			}
		}
		for _, l := range c.Layers {
			if is[l.Name] != (wrong[l.Name] && i > 0) {
				t.Errorf("variant %d, %s: an engine error: %v", i, l.Name, is[l.Name])
			}
		}
	}
	if !strings.Contains(said, "the emulator computes both axes (ConvTranspose) wrongly, in half precision too, which is not quantization") {
		t.Error(said)
	}
	for _, line := range strings.Split(said, "\n") {
		if strings.Contains(line, "both axes") && strings.Contains(line, "bits") && !strings.Contains(line, "do not help") {
			t.Error(line)
		}
	}
	dir := t.TempDir()
	status, stdout, stderr := run(t, "quantize", model, "--calib", images, "-o", filepath.Join(dir, "q.onnx"), "--dlc", filepath.Join(dir, "q.dlc"))
	if n := strings.Count(stdout, "computes a depthwise ConvTranspose with output_padding wrongly"); status != exitDone || n != len(wrong) {
		t.Errorf("%d, %d warnings: %s%s", status, n, stdout, stderr)
	}
}

// Encodings are those of weights with the batch normalizations folded in; held against the weights of the file they would not fit at all.
func TestSlowFoldedWeightsFitTheirEncodings(t *testing.T) {
	t.Parallel()
	status, stdout, stderr := run(t, "check", fixture.OCR(t), "--images", pictures(t, 2), "--input-shape", "1,3,64,64", "--variant", "w8a8", "--variant", "w4a8,per-tensor", "--local-samples", "1", "--no-try", "--json", "--out", t.TempDir())
	var r struct {
		Variants []struct {
			Verdict result.Verdict `json:"verdict"`
		} `json:"variants"`
	}
	if err := json.Unmarshal([]byte(stdout), &r); status != exitDone || err != nil || len(r.Variants) != 2 {
		t.Fatalf("status %d, %v: %s", status, err, stderr)
	}
	for i, v := range r.Variants {
		if v.Verdict.Grade == result.Good {
			t.Errorf("variant %d is good, so that no cause is looked for", i)
		}
		for _, c := range v.Verdict.Causes {
			if c.Kind == "clipped-constant" {
				t.Errorf("variant %d: %s", i, c.Evidence)
			}
		}
	}
}

func TestSlowAChannelShuffleBecomesAConvOnlyWhenAskedByName(t *testing.T) {
	t.Parallel()
	model, out := fixture.Path(t, "models", "onnx_light", "light_shufflenet.onnx"), filepath.Join(t.TempDir(), "out.onnx")
	if status, stdout, stderr := run(t, "optimize", model, "-o", out); status != 0 || !strings.Contains(stdout, "--pass split-concat-to-conv makes it a Conv") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	if status, stdout, stderr := run(t, "optimize", model, "-o", out, "--pass", "constant-fold", "--pass", "split-concat-to-conv"); status != 0 || !strings.Contains(stdout, "split-concat-to-conv       16 places") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
}

func TestSlowOnlyWhatPaysIsKept(t *testing.T) {
	t.Parallel()
	fixture.Emulator(t)
	if status, stdout, stderr := run(t, "optimize", stemModel(t, 256), "-o", filepath.Join(t.TempDir(), "stem.onnx"), "--only-if-faster"); status != 0 || !strings.Contains(stdout, "times faster") || !strings.Contains(stdout, "focus-to-conv it would be ") {
		t.Errorf("%d %s %s", status, stdout, stderr)
	}
	model, out := sliced(t), filepath.Join(t.TempDir(), "o.onnx")
	for _, pass := range []string{"slice-to-conv", "split-concat-to-conv", "uniform-stride", "div-to-mul"} {
		status, stdout, stderr := run(t, "optimize", model, "-o", out, "--pass", pass, "--only-if-faster", "--json")
		var doc struct {
			Passes []struct {
				Name, Undone string
				Before       *int64 `json:"cycles_before"`
				Cycles       *int64
			}
			Before result.Estimated `json:"estimate_before"`
			After  result.Estimated `json:"estimate_after"`
		}
		if err := json.Unmarshal([]byte(stdout), &doc); err != nil || status != 0 {
			t.Fatalf("%s: %d %s %v", pass, status, stderr, err)
		}
		t.Logf("%s: %d, %d; %+v", pass, doc.Before.Cycles, doc.After.Cycles, doc.Passes)
		if doc.After.Cycles > doc.Before.Cycles {
			t.Errorf("%s: %d cycles became %d", pass, doc.Before.Cycles, doc.After.Cycles)
		}
		for _, p := range doc.Passes {
			if p.Cycles != nil && float64(*p.Cycles) > 1.001*float64(*p.Before) && !strings.Contains(p.Undone, "does not pay") {
				t.Errorf("%+v", p)
			}
		}
	}
	if status, _, stderr := run(t, "optimize", model, "-o", out, "--estimate-variant", "fp16"); status != exitUsage || !strings.Contains(stderr, "--estimate") {
		t.Errorf("%d %s", status, stderr)
	}
	if status, _, stderr := run(t, "optimize", model, "-o", out, "--estimate", "--soc", "x"); status != exitUsage || !strings.Contains(stderr, "sa8797") {
		t.Errorf("%d %s", status, stderr)
	}
}

// sliced is a network of two Slices of channels and a Concat, which the DSP does at next to no cost, behind a Conv.
func sliced(t *testing.T) string {
	t.Helper()
	return smallModel(t, func(p *onnxpb.ModelProto) {
		g := p.Graph
		slice := func(name, from, to string) *onnxpb.NodeProto {
			return &onnxpb.NodeProto{OpType: proto.String("Slice"), Name: proto.String(name), Input: []string{"y0", from, to, "axis"}, Output: []string{name}}
		}
		g.Node[2].Output[0] = "y0"
		g.Node = append(g.Node, slice("s1", "two", "four"), slice("s2", "zero", "two"),
			&onnxpb.NodeProto{OpType: proto.String("Concat"), Name: proto.String("cat"), Input: []string{"s1", "s2"}, Output: []string{"y"}, Attribute: []*onnxpb.AttributeProto{{Name: proto.String("axis"), Type: onnxpb.AttributeProto_INT.Enum(), I: proto.Int64(1)}}})
		for name, v := range map[string]int64{"zero": 0, "two": 2, "four": 4, "axis": 1} {
			g.Initializer = append(g.Initializer, &onnxpb.TensorProto{Name: proto.String(name), DataType: proto.Int32(7), Dims: []int64{1}, Int64Data: []int64{v}})
		}
	})
}
