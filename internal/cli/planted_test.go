package cli

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workspace"
)

// check runs a check and reads its result back from the workspace.
func check(t *testing.T, args ...string) (*result.Run, string) {
	t.Helper()
	out := t.TempDir()
	status, stdout, stderr := run(t, append([]string{"check", "--out", out}, args...)...)
	if status != 0 {
		t.Fatalf("status %d: %s", status, stderr)
	}
	db, err := workspace.OpenExisting(t.Context(), workspace.Folder(out))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	r, err := db.Runs.Read(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return r, stdout
}

// initializer finds a constant of a model and gives it decoded, with a function that puts other values in its place.
func initializer(t *testing.T, m *onnx.Model, name string) (tensor.Tensor, func(tensor.Tensor)) {
	t.Helper()
	for i, p := range m.Graph().GetInitializer() {
		if p.GetName() == name {
			v, err := m.Tensor(p)
			if err != nil {
				t.Fatal(err)
			}
			return v, func(v tensor.Tensor) { m.Graph().Initializer[i] = onnx.TensorProto(name, v) }
		}
	}
	t.Fatalf("no constant %q", name)
	return tensor.Tensor{}, nil
}

// clip shrinks the range of one activation.
func clip(t *testing.T, m *onnx.Model, layer string) {
	scale, put := initializer(t, m, layer+"_scale")
	put(tensor.Floats([]float32{scale.F32[0] * 0.1}))
}

// zeroChannel sets the output channel of a weight that has most energy to zero.
func zeroChannel(t *testing.T, m *onnx.Model, weight string) {
	q, put := initializer(t, m, weight+"_quantized")
	scales, _ := initializer(t, m, weight+"_scale")
	values, _ := q.AsFloat32()
	n := len(values) / int(q.Shape[0])
	worst, most := 0, 0.0
	for c := range int(q.Shape[0]) {
		sum := 0.0
		for _, v := range values[c*n : (c+1)*n] {
			sum += math.Pow(float64(v)*float64(scales.F32[c%len(scales.F32)]), 2)
		}
		if sum > most {
			worst, most = c, sum
		}
	}
	bytesPer := len(q.Raw) / len(values)
	raw := slices.Clone(q.Raw)
	for i := worst * n * bytesPer; i < (worst+1)*n*bytesPer; i++ {
		raw[i] = 0
	}
	put(tensor.Tensor{DType: q.DType, Shape: q.Shape, Raw: raw})
}

// swapColours puts a Gather that reverses the channels between the input's rounding and its consumers.
func swapColours(m *onnx.Model, input string) {
	from := input + "_DequantizeLinear_Output"
	g := m.Graph()
	var nodes []*onnxpb.NodeProto
	for _, n := range g.GetNode() {
		for i, in := range n.GetInput() {
			if in == from {
				n.Input[i] = "swapped"
			}
		}
		nodes = append(nodes, n)
		if n.GetOutput()[0] == from {
			nodes = append(nodes, &onnxpb.NodeProto{
				OpType: proto.String("Gather"), Input: []string{from, "reverse"}, Output: []string{"swapped"},
				Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("axis", 1)},
			})
		}
	}
	g.Node = nodes
	reverse := []byte{2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	g.Initializer = append(g.Initializer, onnx.TensorProto("reverse", tensor.Tensor{DType: tensor.Int64, Shape: []int64{3}, Raw: reverse}))
}

// faulty is a model into which faults are planted.
type faulty struct {
	model           []string
	input           string
	clipped, zeroed string // layer whose range is clipped; weight whose channel is zeroed
	zeroedLayer     string // layer that the weight makes
	more            []string
}

func TestPlantedFaultsAreFound(t *testing.T) {
	t.Parallel()
	for _, c := range []faulty{
		{[]string{"qnn", "zoo.onnx"}, "image", "/act/Mul_output_0", "conv1.weight", "/relu1/Relu_output_0", []string{"--scale", "64", "--mean", "127"}},
		{[]string{"models", "faces.onnx"}, "input", "base_net.2.relu", "base_net.1.0.weight", "base_net.1.relu", []string{"--mean", "127", "--scale", "128"}},
	} {
		t.Run(c.model[1], func(t *testing.T) {
			t.Parallel()
			faultsAreFound(t, c)
		})
	}
}

// faultsAreFound plants one fault after another, and checks that each is found where it is.
func faultsAreFound(t *testing.T, c faulty) {
	t.Helper()
	model, images, saved := fixture.Path(t, c.model...), fixture.Path(t, "coco", "val"), t.TempDir()
	base := append([]string{model, "--images", images, "--limit", "2"}, c.more...)
	if status, _, stderr := run(t, append([]string{"check", "--out", saved, "--save-model", "--name", "m", "--variant", "w16a16", "--local-samples", "0"}, base...)...); status != 0 {
		t.Fatal(stderr)
	}
	for name, fault := range map[string]struct {
		plant func(*onnx.Model)
		layer string // "": the first layer is not what is asked for
		birth result.ErrorOrigin
	}{
		"range clipped":        {func(m *onnx.Model) { clip(t, m, c.clipped) }, c.clipped, result.Introduced},
		"weight zeroed":        {func(m *onnx.Model) { zeroChannel(t, m, c.zeroed) }, c.zeroedLayer, result.Introduced},
		"red and blue swapped": {func(m *onnx.Model) { swapColours(m, c.input) }, "", result.InputDiffers},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := onnx.Load(filepath.Join(saved, "models_onnx", "m", "m-w16a16.onnx"))
			if err != nil {
				t.Fatal(err)
			}
			fault.plant(m)
			data, err := m.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "planted.onnx")
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			r, stdout := check(t, append([]string{"--variant", "planted=" + path, "--diverge-under", "25"}, base...)...)
			v := &r.Variants[0]
			if v.Origin != fault.birth {
				t.Errorf("the error is %q, want %q", v.Origin, fault.birth)
			}
			if fault.layer != "" && (v.Diverges < 0 || r.Layers[v.Diverges].Name != fault.layer) {
				t.Errorf("first diverging layer %d, want %s", v.Diverges, fault.layer)
			}
			if !strings.Contains(stdout, fault.layer) {
				t.Errorf("%s is not named:\n%s", fault.layer, stdout[:min(len(stdout), 800)])
			}
			if fault.birth == result.InputDiffers && (len(v.InputChecks) != 1 || v.InputChecks[0].Swapped.V < v.InputChecks[0].SQNR.V+10) {
				t.Errorf("the swap is not seen: %+v", v.InputChecks)
			}
		})
	}
}

func TestLocalErrorsAddUpAndSplit(t *testing.T) {
	t.Parallel()
	r, _ := check(t, fixture.Path(t, "qnn", "zoo.onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "3", "--variant", "w8a8", "--variant", "fp16")
	for _, v := range r.Variants {
		sum, weighted := 0.0, 0
		for k, l := range v.Layers {
			if l.Status != result.Compared {
				continue
			}
			if l.Local == nil {
				t.Errorf("%s %s: no local error: %s", v.Spec.Name, r.Layers[k].Name, l.LocalReason)
				continue
			}
			sum += l.Local.Share
			full := l.Local.Full.Summary[metric.MSE].Mean
			if full.V < 0 || !full.OK || len(l.Local.Full.Samples) != 3 {
				t.Errorf("%s %s: %+v", v.Spec.Name, r.Layers[k].Name, full)
			}
			if l.Local.Weights != nil {
				weighted++
				if l.Local.Acts == nil {
					t.Errorf("%s %s: weights without activations", v.Spec.Name, r.Layers[k].Name)
				}
			}
		}
		if math.Abs(sum-1) > 1e-9 || weighted != 7 { // 3 Conv, ConvTranspose, Mul by a constant, Gemm, MatMul
			t.Errorf("%s: shares sum to %g, %d layers with constants", v.Spec.Name, sum, weighted)
		}
		if len(v.Whole) != 2 {
			t.Errorf("%s: %d outputs with only weights or activations quantized", v.Spec.Name, len(v.Whole))
		}
	}
}

func TestMemoryBoundDoesNotChangeOneDigit(t *testing.T) {
	t.Parallel()
	memoryChangesNothing(t, "faces", "2GiB", "16MiB")
}

// memoryChangesNothing checks a model with one bound on memory after another.
func memoryChangesNothing(t *testing.T, name string, bounds ...string) {
	t.Helper()
	var first []byte
	for _, memory := range bounds {
		out := t.TempDir()
		status, _, stderr := run(t, "check", fixture.Path(t, "models", name+".onnx"), "--images", fixture.Path(t, "coco", "val"), "--limit", "2", "--memory", memory, "--out", out)
		if status != 0 {
			t.Fatal(stderr)
		}
		csv, err := os.ReadFile(filepath.Join(out, "results", "similarities", name+"-w8a8.csv"))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = csv
		}
		if !bytes.Equal(first, csv) {
			t.Errorf("--memory %s gives other numbers", memory)
		}
	}
}
