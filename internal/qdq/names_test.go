package qdq_test

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// suffixes are what this program appends to names.
var suffixes = []string{
	"_QuantizeLinear", "_DequantizeLinear", "_QuantizeLinear_Output", "_DequantizeLinear_Output", "_QuantizeLinear_Input", "_scale", "_zero_point", "_quantized",
	"_fp16", "_fp16_Output", "_Convert_Output", "_Convert_Input", "_Convert_Output_QuantizeLinear", "_again", "_joined", "_",
}

func TestNamesThatAModelHasAlreadyAreNotUsedAgain(t *testing.T) {
	t.Parallel()
	engine := fixture.Runtime(t)
	for _, what := range []string{"tensors", "nodes", "both"} {
		for _, suffix := range suffixes {
			var nodes []*onnxpb.NodeProto
			last := "x"
			add := func(n *onnxpb.NodeProto, name string) {
				if n.Name = proto.String("n" + name); what != "tensors" {
					n.Name = proto.String(name)
				}
				nodes = append(nodes, n)
				last = n.GetOutput()[0]
			}
			for _, base := range []string{"w", "b", "x", "c", "k", "y"} {
				out := "t" + base
				if what != "nodes" {
					out = base + suffix
				}
				add(node("Abs", []string{last}, out), base+suffix)
			}
			add(node("Conv", []string{last, "w", "b"}, "c"), "c")
			add(node("Relu", []string{"c"}, "r"), "r")
			add(node("Add", []string{"r", "k"}, "s"), "s")
			add(node("Sigmoid", []string{"s"}, "y"), "y")
			m := graph(t, nodes, "y")
			p := qdq.Find(m, allFloat)
			observed := func(_ string, v variant.Spec) (quant.Encoding, bool) {
				return quant.MinMax(quant.Range{Min: -3, Max: 3, Seen: true}, v.ActBits, false), true
			}
			build := map[string]func() (*qdq.Built, error){"half": func() (*qdq.Built, error) { return qdq.BuildHalf(m, p) }}
			for _, recipe := range []string{"w8a8", "w4a8", "w8a16,bias8"} {
				specs, err := variant.ParseAll([]string{recipe})
				if err != nil {
					t.Fatal(err)
				}
				for name, engine := range map[string]variant.Engine{"simulated": variant.CPU, "written": variant.HTP} {
					spec := specs[0]
					spec.Engine = engine
					build[recipe+" "+name] = func() (*qdq.Built, error) { return qdq.Build(m, p, spec, observed) }
					mixed := spec
					mixed.Choices = variant.Choices{"s": {Bits: 24 - spec.ActBits}}
					build[recipe+" mixed "+name] = func() (*qdq.Built, error) { return qdq.Build(m, p, mixed, observed) }
				}
			}
			for name, builder := range build {
				built, err := builder()
				if err != nil {
					t.Fatalf("%s of %s, %s: %v", suffix, what, name, err)
				}
				seen := map[string]bool{}
				for _, n := range built.Model.Graph().GetNode() {
					if n.GetName() != "" && seen[n.GetName()] {
						t.Errorf("%s of %s, %s: two nodes are called %s", suffix, what, name, n.GetName())
					}
					seen[n.GetName()] = true
				}
				if err := onnx.Check(built.Model); err != nil {
					t.Errorf("%s of %s, %s: %v", suffix, what, name, err)
				}
				sample := map[string]tensor.Tensor{"x": tensor.Floats(make144(), 1, 4, 6, 6)}
				if name == "half" || name == "w8a8 written" {
					if _, err := ort.Once(t.Context(), engine, built.Model, sample); err != nil {
						t.Errorf("%s of %s, %s: %v", suffix, what, name, err)
					}
				}
				taps := []string{built.Taps["s"], built.Taps["r"]}
				boundary, err := qdq.Integers(built.Model, taps)
				if err != nil {
					t.Fatal(err)
				}
				if err := onnx.Check(boundary.Model); err != nil {
					t.Errorf("%s of %s, %s, integers: %v", suffix, what, name, err)
				}
			}
		}
	}
}

func make144() []float32 { return make([]float32, 144) }
