package calib_test

import (
	"math"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

func node(op string, inputs []string, output string, attributes ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &op, Input: inputs, Output: []string{output}, Attribute: attributes}
}

func float(name string, v float32) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_FLOAT.Enum(), F: &v}
}

func model(nodes ...*onnxpb.NodeProto) *onnx.Model {
	g := &onnxpb.GraphProto{Node: nodes, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")}}
	for name, v := range map[string]float32{"three": 3, "six": 6, "zero": 0, "half": 0.5, "one": 1, "root": math.Sqrt2} {
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, tensor.Floats([]float32{v})))
	}
	g.Initializer = append(g.Initializer, onnx.TensorProto("several", tensor.Floats([]float32{1, 2}, 2)))
	version := int64(13)
	return &onnx.Model{Proto: &onnxpb.ModelProto{Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: &version}}}}
}

func TestTheFunctionBehindATensor(t *testing.T) {
	t.Parallel()
	silu := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
	// Of the last two a factor is missing that comes last and weighs nothing.
	gelu := func(x float64) float64 { return x * (1 + math.Erf(x/math.Sqrt2)) }
	swish := func(x float64) float64 { return x * min(max(x+3, 0), 6) }
	conv := node("Conv", []string{"r", "several"}, "y")
	for _, c := range []struct {
		what  string
		nodes []*onnxpb.NodeProto
		want  func(float64) float64 // nil: there is none
	}{
		{"SiLU", []*onnxpb.NodeProto{node("Sigmoid", []string{"t"}, "s"), node("Mul", []string{"t", "s"}, "r"), conv}, silu},
		{"a Sigmoid alone", []*onnxpb.NodeProto{node("Sigmoid", []string{"t"}, "r"), conv}, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
		{"Sigmoid at the output", []*onnxpb.NodeProto{node("Sigmoid", []string{"t"}, "y")}, func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }},
		{"GELU of five operators", []*onnxpb.NodeProto{
			node("Div", []string{"t", "root"}, "a"), node("Erf", []string{"a"}, "b"), node("Add", []string{"b", "one"}, "c"),
			node("Mul", []string{"t", "c"}, "d"), node("Mul", []string{"d", "half"}, "r"), conv,
		}, gelu},
		{"hard swish of Add, Clip and Mul", []*onnxpb.NodeProto{
			node("Add", []string{"t", "three"}, "a"), node("Clip", []string{"a", "zero", "six"}, "b"), node("Mul", []string{"t", "b"}, "r"), conv,
		}, swish},
		{"Clip with one bound", []*onnxpb.NodeProto{node("Clip", []string{"t", "", "six"}, "r"), conv}, func(x float64) float64 { return min(x, 6) }},
		{"LeakyRelu", []*onnxpb.NodeProto{node("LeakyRelu", []string{"t"}, "r", float("alpha", 0.25)), conv}, func(x float64) float64 { return max(x, 0.25*x) }},
		{"Mish of three operators", []*onnxpb.NodeProto{
			node("Softplus", []string{"t"}, "a"), node("Tanh", []string{"a"}, "b"), node("Mul", []string{"b", "t"}, "r"), conv,
		}, func(x float64) float64 { return x * math.Tanh(math.Log1p(math.Exp(x))) }},
		{"two functions beside each other", []*onnxpb.NodeProto{node("Sigmoid", []string{"t"}, "a"), node("Tanh", []string{"t"}, "b"), node("Concat", []string{"a", "b"}, "y")}, nil},
		{"somebody else reads it too", []*onnxpb.NodeProto{node("Sigmoid", []string{"t"}, "s"), node("Mul", []string{"t", "s"}, "r"), node("Concat", []string{"t", "r"}, "y")}, nil},
		{"straight lines only", []*onnxpb.NodeProto{node("Mul", []string{"t", "six"}, "a"), node("Add", []string{"a", "three"}, "r"), conv}, nil},
		{"a constant of several values", []*onnxpb.NodeProto{node("Mul", []string{"t", "several"}, "r"), conv}, nil},
		{"another tensor", []*onnxpb.NodeProto{node("Mul", []string{"t", "u"}, "r"), conv}, nil},
		{"a Softmax", []*onnxpb.NodeProto{node("Softmax", []string{"t"}, "r"), conv}, nil},
		{"nobody", []*onnxpb.NodeProto{node("Sigmoid", []string{"u"}, "y")}, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			m := model(c.nodes...)
			f, ok := calib.ActivationAfter(m, onnx.NewIndex(m), "t")
			if ok != (c.want != nil) {
				t.Fatalf("there is one: %v", ok)
			}
			if !ok {
				return
			}
			for x := -9.0; x <= 9; x += 0.25 {
				if got, want := f(x), c.want(x); math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
					t.Fatalf("f(%g) = %g, want %g", x, got, want)
				}
			}
		})
	}
}

func TestAGateIsFoundBehindOneReaderOnly(t *testing.T) {
	t.Parallel()
	sigmoid := node("Sigmoid", []string{"u"}, "g")
	for what, c := range map[string]struct {
		nodes []*onnxpb.NodeProto
		want  string
	}{
		"a gate":          {[]*onnxpb.NodeProto{sigmoid, node("Mul", []string{"t", "g"}, "y")}, "g"},
		"on either side":  {[]*onnxpb.NodeProto{sigmoid, node("Mul", []string{"g", "t"}, "y")}, "g"},
		"no gate":         {[]*onnxpb.NodeProto{node("Relu", []string{"u"}, "g"), node("Mul", []string{"t", "g"}, "y")}, ""},
		"another reader":  {[]*onnxpb.NodeProto{sigmoid, node("Mul", []string{"t", "g"}, "a"), node("Add", []string{"a", "t"}, "y")}, ""},
		"not multiplied":  {[]*onnxpb.NodeProto{sigmoid, node("Add", []string{"t", "g"}, "y")}, ""},
		"with a constant": {[]*onnxpb.NodeProto{node("Mul", []string{"t", "six"}, "y")}, ""},
	} {
		got, ok := calib.Gate(onnx.NewIndex(model(c.nodes...)), "t")
		if ok != (c.want != "") || ok && got != c.want {
			t.Errorf("%s: %q, %v", what, got, ok)
		}
	}
}

// TestValuesBehindAClosedGateDoNotCount shows what mse-out does to a tensor whose negative half is multiplied by next to nothing.
func TestValuesBehindAClosedGateDoNotCount(t *testing.T) {
	t.Parallel()
	s := calib.NewStatistics(true)
	var values, gate []float32
	for i := range 2000 {
		x := float32(i-1000) / 100
		values, gate = append(values, x), append(gate, float32(1/(1+math.Exp(-10*float64(x)))))
	}
	v, g := tensor.Floats(values, 2000), tensor.Floats(gate, 2000)
	s.Observe("v", v)
	recipe, err := variant.Parse("w8a8,mse-out")
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := s.Activation("v", recipe)
	s.ObserveGated("v", v, g)
	s.ObserveGated("v", v, tensor.Floats(gate[:10], 10)) // another shape: no gate of it
	got, _ := s.Activation("v", recipe)
	if plain.Min > -9 || got.Min < -1 || got.Max < 9 {
		t.Errorf("without the gate %g..%g, with it %g..%g", plain.Min, plain.Max, got.Min, got.Max)
	}
	recipe.Calibrator = variant.TF
	if whole, _ := s.Activation("v", recipe); whole.Min > -9 {
		t.Errorf("tf begins at %g", whole.Min)
	}
}

func TestTheRangeOfASiLUBeginsWhereItHasValues(t *testing.T) {
	t.Parallel()
	h := quant.Histogram{}
	var values []float32
	for i := range 20000 {
		values = append(values, float32(i%200)-150+float32(i)/20000) // -150..50
	}
	h.Add(values, -150, 50.99)
	silu := func(x float64) float64 { return x / (1 + math.Exp(-x)) }
	for _, bits := range []int{8, 16} {
		e := quant.MSEAfterActivation(&h, bits, false, silu)
		if e.Min < -25 || e.Max < 45 {
			t.Errorf("%d bits: %g..%g", bits, e.Min, e.Max)
		}
	}
	for what, f := range map[string]func(float64) float64{"none": nil, "infinite": func(x float64) float64 { return 1 / (x - x) }, "no number": math.Sqrt} {
		if got, want := quant.MSEAfterActivation(&h, 8, false, f), quant.MSE(&h, 8, false); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if e := quant.MSEAfterActivation(&h, 8, true, silu); !e.Symmetric || e.Scale > 151./127 {
		t.Errorf("symmetric: %v", e)
	}
	empty := quant.Histogram{}
	if got, want := quant.MSEAfterActivation(&empty, 8, false, silu), quant.MSE(&empty, 8, false); got != want {
		t.Errorf("nothing seen: %v, want %v", got, want)
	}
}
