package qdq_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// mixed is a graph with what a device fuses, moves and joins.
func mixed(t *testing.T) *onnx.Model {
	nodes := []*onnxpb.NodeProto{
		node("Conv", []string{"x", "w", "b"}, "conv"), node("Relu", []string{"conv"}, "relu"),
		node("Sigmoid", []string{"relu"}, "sigmoid"), node("Mul", []string{"relu", "sigmoid"}, "swish"),
		node("Mul", []string{"swish", "k"}, "scaled"), node("Concat", []string{"relu", "scaled"}, "cat"),
		node("Reshape", []string{"relu", "shape"}, "flat"),
	}
	nodes[5].Attribute = append(nodes[5].Attribute, onnx.IntAttr("axis", 1))
	return graph(t, nodes, "cat", "flat")
}

func TestTensorsOfOneQuantizerAreOneGroup(t *testing.T) {
	t.Parallel()
	p := qdq.Find(mixed(t), allFloat)
	want := [][]string{{"x"}, {"relu", "conv", "flat"}, {"sigmoid"}, {"swish"}, {"scaled"}, {"cat"}}
	if diff := cmp.Diff(want, p.Groups()); diff != "" {
		t.Error(diff)
	}
	spread, err := p.Spread(variant.Choices{"flat": {Bits: 16}, "sigmoid": {Calibrator: variant.MSE}})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(variant.Choices{"relu": {Bits: 16}, "conv": {Bits: 16}, "flat": {Bits: 16}, "sigmoid": {Calibrator: variant.MSE}}, spread); diff != "" {
		t.Error(diff)
	}
}

func TestChoicesThatCannotBeAreRefused(t *testing.T) {
	t.Parallel()
	m := mixed(t)
	p := qdq.Find(m, allFloat)
	for name, row := range map[string]struct {
		choices variant.Choices
		says    string
	}{
		"a tensor that is not there":    {variant.Choices{"nowhere": {Bits: 16}}, `no quantized tensor "nowhere"`},
		"one quantizer, two choices":    {variant.Choices{"relu": {Bits: 16}, "flat": {Bits: 8}}, "have one quantizer"},
		"an unknown width":              {variant.Choices{"relu": {Bits: 12}}, "8 or 16 bits"},
		"an unknown calibrator":         {variant.Choices{"relu": {Calibrator: "best"}}, "no calibrator"},
		"a percentile out of its range": {variant.Choices{"relu": {Calibrator: variant.Percentile, Percentile: 20}}, "from 50 to 100"},
		"a percentile of another":       {variant.Choices{"relu": {Percentile: 99}}, "a percentile goes with"},
		"a float input":                 {variant.Choices{"x": {Float: true}}, "is not computed"},
	} {
		spec, _ := variant.Parse("w8a8")
		spec.Choices = row.choices
		_, err := qdq.Build(m, p, spec, calib.NewStatistics(false).Activation)
		if err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWidthsMeetInConversionsThatChangeNothing(t *testing.T) {
	t.Parallel()
	m := mixed(t)
	p := qdq.Find(m, allFloat)
	float := run(t, m, "conv", "relu", "sigmoid", "swish", "scaled", "cat", "flat")
	stats := calib.NewStatistics(true)
	for name, values := range float {
		stats.Observe(name, tensor.Floats(values, int64(len(values))))
	}
	for name, choices := range map[string]variant.Choices{
		"the fused convolution":      {"relu": {Bits: 16}},
		"one operand of a product":   {"sigmoid": {Bits: 16}},
		"what is joined":             {"scaled": {Bits: 16}},
		"the join":                   {"cat": {Bits: 16}},
		"the input":                  {"x": {Bits: 16}},
		"all but the input":          {"relu": {Bits: 16}, "sigmoid": {Bits: 16}, "swish": {Bits: 16}, "scaled": {Bits: 16}, "cat": {Bits: 16}},
		"a calibrator, no other bit": {"swish": {Calibrator: variant.Percentile, Percentile: 99}},
		"a float product":            {"swish": {Float: true}},
		"a float convolution":        {"relu": {Float: true}},
		"floats that are joined":     {"relu": {Float: true}, "scaled": {Float: true}, "cat": {Float: true}},
		"float beside 16 bits":       {"sigmoid": {Float: true}, "swish": {Bits: 16}},
	} {
		t.Run(name, func(t *testing.T) {
			spec, _ := variant.Parse("w8a8")
			spec.Choices = choices
			simulated, err := qdq.Build(m, p, spec, stats.Activation)
			if err != nil {
				t.Fatal(err)
			}
			spec.Engine = variant.HTP
			device, err := qdq.Build(m, p, spec, stats.Activation)
			if err != nil {
				t.Fatal(err)
			}
			oneWidth(t, device.Model)
			found, err := qdq.Read(device.Model)
			if err != nil {
				t.Fatal(err)
			}
			for tensor, e := range device.Encodings {
				if simulated.Encodings[tensor] != e {
					t.Errorf("%s: %+v in the simulation, %+v for the device", tensor, simulated.Encodings[tensor], e)
				}
				if f := found.Encodings[tensor]; f.Bits != e.Bits || f.Offset != e.Offset {
					t.Errorf("%s: read back %+v, want %+v", tensor, f, e)
				}
				if choices[tensor].Float {
					t.Errorf("%s was chosen to stay float and has an encoding", tensor)
				}
				if bits := choices[tensor].Bits; bits != 0 && e.Bits != bits {
					t.Errorf("%s has %d bits", tensor, e.Bits)
				}
			}
			for _, out := range []string{"cat", "flat"} {
				a, b := run(t, simulated.Model, out)[out], run(t, device.Model, out)[out]
				apart := 0
				e, integer := device.Encodings[out]
				step := e.Scale
				if !integer { // in half precision a step of a tensor before it may show
					step = 1e-3 * float64(slices.Max(a))
				}
				for i := range a {
					if d := math.Abs(float64(a[i] - b[i])); integer && d > 2.5*step {
						t.Fatalf("%s[%d]: %g simulated, %g as for the device", out, i, a[i], b[i])
					} else if d > 0.5*step {
						apart++
					}
				}
				if apart > len(a)/20 {
					t.Errorf("%s: %d of %d values are a step apart", out, apart, len(a))
				}
			}
		})
	}
}

// oneWidth checks that every operator takes and makes activations of one width.
func oneWidth(t *testing.T, m *onnx.Model) {
	t.Helper()
	found, err := qdq.Read(m)
	if err != nil {
		t.Fatal(err)
	}
	x := found.Index
	bits := func(quantizer *onnxpb.NodeProto) int {
		return tensor.DType(x.Initializer[quantizer.GetInput()[2]].GetDataType()).Bits()
	}
	for _, n := range x.Nodes {
		if strings.HasSuffix(n.GetOpType(), "Linear") {
			continue
		}
		var widths []int
		for _, in := range n.GetInput() {
			if k, ok := x.Producer[in]; ok && x.Nodes[k].GetOpType() == "DequantizeLinear" && x.Initializer[x.Nodes[k].GetInput()[0]] == nil {
				widths = append(widths, bits(x.Nodes[k]))
			}
		}
		for _, k := range x.Consumers[n.GetOutput()[0]] {
			if x.Nodes[k].GetOpType() == "QuantizeLinear" {
				widths = append(widths, bits(x.Nodes[k]))
			}
		}
		if len(slices.Compact(widths)) > 1 {
			t.Errorf("%s: widths %v", n.GetOpType(), widths)
		}
	}
}

func TestSigmoidHasTheHTPsFixedEncodingAt16Bits(t *testing.T) {
	t.Parallel()
	m := mixed(t)
	p := qdq.Find(m, allFloat)
	stats := calib.NewStatistics(false)
	for _, name := range p.Order {
		stats.Observe(name, tensor.Floats([]float32{0, 0.25}, 2))
	}
	for name, choices := range map[string]variant.Choices{"w8a8": nil, "w8a16": nil, "mixed": {"sigmoid": {Bits: 16}}} {
		spec, _ := variant.Parse(strings.Replace(name, "mixed", "w8a8", 1))
		spec.Choices = choices
		b, err := qdq.Build(m, p, spec, stats.Activation)
		if err != nil {
			t.Fatal(err)
		}
		e := b.Encodings["sigmoid"]
		if is := e.Bits == 16 && e.Scale == 1.0/65536 && e.Offset == 0; is != (name != "w8a8") {
			t.Errorf("%s: %+v", name, e)
		}
	}
}
