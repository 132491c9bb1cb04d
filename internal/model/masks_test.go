package model_test

import (
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"quantcheck/internal/calib"
	"quantcheck/internal/fixture"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

const places = 8 // a row of the attention

func op(kind, inputs, output string, attributes ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &kind, Name: proto.String(output), Input: strings.Fields(inputs), Output: []string{output}, Attribute: attributes}
}

// attention is a Softmax over x [1, 2, 8, 8] whose places are shut where shut is true, in one of the forms that exporters write.
func attention(form string, value, scale float32, shut []bool) *onnx.Model {
	mask, open := make([]float32, len(shut)), make([]float32, len(shut))
	for i, s := range shut {
		open[i] = 1
		if s {
			mask[i], open[i] = value, 0
		}
	}
	square := []int64{1, 1, places, places}
	g := &onnxpb.GraphProto{Name: proto.String("g"),
		Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 2, places, places}), onnx.ValueInfo("open", tensor.Float32, square)},
		Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
		Initializer: []*onnxpb.TensorProto{
			onnx.TensorProto("mask", tensor.Floats(mask, square...)), onnx.TensorProto("value", tensor.Floats([]float32{value})),
			onnx.TensorProto("scale", tensor.Floats([]float32{scale})), onnx.TensorProto("one", tensor.Floats([]float32{1})),
		},
		Node: []*onnxpb.NodeProto{op("Mul", "x scale", "scores")},
	}
	switch form {
	case "Add":
		g.Node = append(g.Node, op("Add", "scores mask", "masked"))
	case "Where":
		g.Node = append(g.Node, op("Cast", "open", "truth", onnx.IntAttr("to", int64(tensor.Bool))), op("Where", "truth scores value", "masked"))
	case "Mul":
		g.Node = append(g.Node, op("Sub", "one open", "closed"), op("Mul", "closed value", "added"), op("Add", "scores added", "masked"))
	}
	g.Node = append(g.Node, op("Softmax", "masked", "attention", onnx.IntAttr("axis", -1)), op("Identity", "attention", "y"))
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}}}
}

func tensors(t testing.TB, r ort.Engine, m *onnx.Model, inputs map[string]tensor.Tensor, taps ...string) map[string]tensor.Tensor {
	t.Helper()
	run, err := ort.New(r, m, ort.Options{Taps: taps})
	if err != nil {
		t.Fatal(err)
	}
	defer run.Close()
	f := run.Start(runner.Sample{Inputs: inputs})
	defer f.Close()
	b, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Release()
	got := map[string]tensor.Tensor{}
	for _, tap := range b.Taps {
		got[tap.Name] = tap.Tensor.Clone()
	}
	return got
}

// TestShutPlacesGetNoAttentionWhenQuantized draws masks in all forms and quantizes them.
func TestShutPlacesGetNoAttentionWhenQuantized(t *testing.T) {
	r := fixture.Runtime(t)
	rapid.Check(t, func(rt *rapid.T) {
		form := rapid.SampledFrom([]string{"Add", "Where", "Mul"}).Draw(rt, "form")
		values := []float32{-3.4028235e38, -65504, -1e9, -10000}
		if form != "Mul" { // 0·∞ is no number
			values = append(values, float32(math.Inf(-1)))
		}
		shut, open := make([]bool, places*places), make([]float32, places*places)
		for i := range shut {
			if shut[i] = i%places != i/places && rapid.Bool().Draw(rt, "shut"); !shut[i] {
				open[i] = 1
			}
		}
		m := attention(form, rapid.SampledFrom(values).Draw(rt, "value"), rapid.SampledFrom([]float32{0.1, 1, 20}).Draw(rt, "scale"), shut)
		x := make([]float32, 2*places*places)
		for i := range x {
			x[i] = rapid.Float32Range(-2, 2).Draw(rt, "x")
		}
		inputs := map[string]tensor.Tensor{"x": tensor.Floats(x, 1, 2, places, places), "open": tensor.Floats(open, 1, 1, places, places)}
		float, err := model.New(t.Context(), r, m)
		if err != nil {
			rt.Fatal(err)
		}
		said, err := float.ClampMasks(t.Context(), r, func(use func(map[string]tensor.Tensor) error) error { return use(inputs) })
		if err != nil {
			rt.Fatal(err)
		}
		if want := map[string]string{"Add": "mask", "Where": "value", "Mul": "value"}[form]; strings.Contains(strings.Join(said, ""), want+" (constant") != (form != "Add" || !all(open)) {
			rt.Fatalf("said %q", said)
		}
		before := tensors(t, r, m, inputs, "attention")["attention"].F32
		spec, err := variant.Parse(rapid.SampledFrom([]string{"w8a8", "w8a16", "w8a8,enhanced", "w8a8,mse"}).Draw(rt, "recipe"))
		if err != nil {
			rt.Fatal(err)
		}
		stats := calib.NewStatistics(calib.NeedsHistogram(spec))
		var taps []string
		for _, n := range float.Base.Graph().GetNode() {
			taps = append(taps, n.GetOutput()...)
		}
		for name, v := range tensors(t, r, float.Base, inputs, taps...) {
			stats.Observe(name, v)
		}
		for name, v := range inputs {
			stats.Observe(name, v)
		}
		built, err := qdq.Build(float.Base, float.Placement, spec, stats.Activation)
		if err != nil {
			rt.Fatal(err)
		}
		after := tensors(t, r, built.Model, inputs, "attention")["attention"].F32
		for i, v := range after {
			if shut[i%(places*places)] && v > 1e-6 {
				rt.Fatalf("%s: attention[%d] was %g, is %g: %q", spec.Name, i, before[i], v, said)
			}
		}
	})
}

func all(values []float32) bool {
	for _, v := range values {
		if v == 0 {
			return false
		}
	}
	return true
}

// TestAMaskOfAWholeRowStays shuts a row of which every place has a finite value: float spreads its attention evenly, no clamp does.
func TestAMaskOfAWholeRowStays(t *testing.T) {
	r := fixture.Runtime(t)
	shut := make([]bool, places*places)
	for i := range shut {
		shut[i] = i < places
	}
	m := attention("Add", -3.4028235e38, 1, shut)
	x := make([]float32, 2*places*places)
	for i := range x {
		x[i] = float32(i % 5)
	}
	inputs := map[string]tensor.Tensor{"x": tensor.Floats(x, 1, 2, places, places), "open": tensor.Floats(make([]float32, places*places), 1, 1, places, places)}
	float, err := model.New(t.Context(), r, m)
	if err != nil {
		t.Fatal(err)
	}
	kept := float.Model
	said, err := float.ClampMasks(t.Context(), r, func(use func(map[string]tensor.Tensor) error) error { return use(inputs) })
	if err != nil || len(said) != 1 || !strings.Contains(said[0], "keeps its huge values") || float.Model != kept {
		t.Errorf("%v: %q", err, said)
	}
}
