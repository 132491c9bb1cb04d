package cause

import (
	"slices"
	"testing"

	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

func db(v float64) result.Summary {
	var s result.Summary
	s[metric.SQNR] = metric.Spread{Mean: metric.Defined(v), Min: metric.Defined(v), Max: metric.Defined(v)}
	return s
}

func alone(v float64) *result.Local {
	return &result.Local{Full: result.Part{Summary: db(v)}, Share: 0.5}
}

func node(op string, inputs, outputs []string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &op, Input: inputs, Output: outputs}
}

// planted is a variant of a network x → Conv a → Add s (a mask) → Softmax y that loses nothing yet.
func planted(t *testing.T) *Facts {
	t.Helper()
	spec, err := variant.Parse("w8a8")
	if err != nil {
		t.Fatal(err)
	}
	g := &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{
		node("Conv", []string{"x", "w"}, []string{"a"}), node("Add", []string{"a", "mask"}, []string{"s"}), node("Softmax", []string{"s"}, []string{"y"}),
	}}
	m := &onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}}
	f := &Facts{Model: m}
	f.holds("w", []float32{1, 2, 3, 4}, 4)
	f.holds("mask", []float32{0, -9}, 2)
	run := &result.Run{
		Layers:   []result.Layer{{Name: "a", Op: "Conv"}, {Name: "s", Op: "Add", Inputs: []int{0}}, {Name: "y", Op: "Softmax", Inputs: []int{1}, Output: true}},
		Samples:  []result.Sample{{Name: "one.png"}, {Name: "two.png"}},
		Variants: []result.Variant{{Spec: spec, Counterpart: -1, Layers: make([]result.LayerResult, 3)}, {Spec: spec, Counterpart: -1, Layers: make([]result.LayerResult, 3)}},
	}
	for i := range run.Variants {
		run.Variants[i].Verdict = &result.Verdict{Grade: result.Bad, Basis: result.BySignal, Coverage: &result.Coverage{Operators: 3, OperatorsOf: 3}}
		for k := range run.Variants[i].Layers {
			run.Variants[i].Layers[k] = result.LayerResult{Status: result.Compared, Summary: db(40), Encoding: &quant.Encoding{Bits: 8, Scale: 0.1, Max: 25.5}, Local: alone(40)}
		}
	}
	f.Run, f.Variant = run, &run.Variants[0]
	return f
}

// holds gives a constant of the float model other values.
func (f *Facts) holds(name string, values []float32, shape ...int64) {
	g := f.Model.Graph()
	g.Initializer = append(slices.DeleteFunc(g.Initializer, func(p *onnxpb.TensorProto) bool { return p.GetName() == name }), onnx.TensorProto(name, tensor.Floats(values, shape...)))
	f.Index = onnx.NewIndex(f.Model)
}

func spread(v float64) metric.Spread {
	return metric.Spread{Mean: metric.Defined(v), Min: metric.Defined(v), Max: metric.Defined(v)}
}

// adds puts a node into the float model.
func (f *Facts) adds(n *onnxpb.NodeProto) {
	g := f.Model.Graph()
	g.Node = append(slices.DeleteFunc(g.Node, func(o *onnxpb.NodeProto) bool { return o.GetOutput()[0] == n.GetOutput()[0] }), n)
	f.Index = onnx.NewIndex(f.Model)
}

// narrow has the layer s make nearly all noise, of an input of 8 bits whose values lie in so many bins; those beside it have other bits.
func narrow(others, bins int) func(f *Facts) {
	return func(f *Facts) {
		for k := range f.Variant.Layers {
			f.Variant.Layers[k].Encoding.Bits = others
			f.Variant.Layers[k].Local.Share = 0.05
		}
		f.Variant.Layers[1].Local = &result.Local{Full: result.Part{Summary: db(5)}, Acts: &result.Part{Summary: db(5)}, Weights: &result.Part{Summary: db(60)}, Share: 0.9}
		in := &f.Variant.Layers[0]
		in.Encoding = &quant.Encoding{Bits: 8, Scale: 1, Min: -100, Max: 155}
		in.Histogram = &result.Histogram{Min: -100, Max: 155, Float: make([]int, 40)}
		for i := range bins {
			in.Histogram.Float[5+i] = 1000 / bins
		}
		in.Histogram.Float[39] += 10
	}
}

// half has the variant in half precision.
func half(plant func(f *Facts)) func(f *Facts) {
	return func(f *Facts) {
		f.Variant.Spec = variant.Spec{Kind: variant.Half, Name: "fp16"}
		plant(f)
	}
}

// cut has the Conv of a ready file begin at a value, where its float values begin at another.
func cut(begins, float float64) func(f *Facts) {
	return func(f *Facts) {
		f.Variant.Spec = variant.Spec{Kind: variant.File}
		r := &f.Variant.Layers[0]
		r.Encoding = &quant.Encoding{Bits: 8, Scale: 0.1, Min: begins, Max: 25.5}
		r.Histogram = &result.Histogram{Min: float, Max: 25, Float: []int{1}}
		r.Clipped = &result.Clipping{Share: 0.5, Most: 0.6}
	}
}

// A layer is where the error is made if it makes a large part of the noise, or a smaller one that none comes near.
func TestOneLayerMakesTheNoise(t *testing.T) {
	for _, c := range []struct {
		share, other, alone float64
		found               bool
	}{{0.5, 0.4, 10, true}, {0.5, 0.1, 25, false}, {0.2, 0.04, 10, true}, {0.2, 0.1, 10, false}, {0.08, 0.01, 10, false}} {
		f := planted(t)
		f.Variant.Layers[0].Local.Share, f.Variant.Layers[2].Local.Share = c.other, 0
		f.Variant.Layers[1].Local = &result.Local{Full: result.Part{Summary: db(c.alone)}, Share: c.share}
		if k, ok := f.hot(); ok != c.found || ok && k != 1 {
			t.Errorf("%+v: layer %d, %t", c, k, ok)
		}
	}
}

// Rounding to few steps leads only if it makes most of a part's noise.
func TestUnlikeRangesThatInheritTheirErrorDoNotLead(t *testing.T) {
	for _, c := range []struct{ rounding, confidence float64 }{{0.9, 0.92}, {0.2, 0.38}} {
		f := planted(t)
		f.Variant.Verdict.Parts = []result.OutputPart{
			{Layer: 2, Source: "scores", Max: 1, Steps: metric.Defined(7), SQNR: spread(2), Rounding: metric.Defined(c.rounding)},
			{Layer: 2, Source: "boxes", Max: 640, Steps: metric.Defined(255), SQNR: spread(50)},
		}
		if list := Find(f); len(list) != 1 || list[0].Confidence != c.confidence {
			t.Errorf("%+v: %+v", c, list)
		}
	}
}

// planting is a cause that is planted, with its near miss and the fix that it has.
type planting struct {
	kind            string
	plant, nearMiss func(f *Facts)
	variant         string
	passes          []string
}

func plantings() []planting {
	whole := func(weights, acts float64) func(f *Facts) {
		return func(f *Facts) {
			f.Variant.Verdict.Parts = []result.OutputPart{{Layer: 2, SQNR: spread(5)}}
			f.Variant.Whole = []result.Whole{{Layer: 2, WeightsOnly: db(weights), ActsOnly: db(acts)}}
		}
	}
	parts := func(steps, small float64) func(f *Facts) {
		return func(f *Facts) {
			f.Variant.Verdict.Parts = []result.OutputPart{
				{Layer: 2, Source: "scores", Min: 0, Max: small, Steps: metric.Defined(steps), SQNR: spread(2)},
				{Layer: 2, Source: "boxes", Min: 0, Max: 640, Steps: metric.Defined(255), SQNR: spread(50)},
			}
		}
	}
	joined := func(plant func(f *Facts)) func(f *Facts) {
		return func(f *Facts) {
			plant(f)
			for i := range f.Variant.Verdict.Parts {
				f.Variant.Verdict.Parts[i].Source, f.Variant.Verdict.Parts[i].Channels = "", []int{i}
			}
		}
	}
	return []planting{
		{"nan-constant", func(f *Facts) {
			f.Run.NonFinite = &result.NonFinite{Constants: []result.NonFiniteConstant{{Name: "w", NaN: 1, Elements: 2}}}
		}, func(f *Facts) {
			f.Run.NonFinite = &result.NonFinite{Constants: []result.NonFiniteConstant{{Name: "mask", Infinite: 1, Elements: 2}}}
		}, "", nil},
		{"input-denied", func(f *Facts) { f.Variant.Verdict.Undecided = []string{"boxes"} }, func(f *Facts) { f.Variant.Verdict.Undecided = []string{"neighbours"} }, "", nil},
		{"partly-quantized", func(f *Facts) { f.Variant.Verdict.Coverage.Operators = 1 }, func(f *Facts) { f.Variant.Verdict.Coverage = &result.Coverage{Operators: 19, OperatorsOf: 20} }, "", nil},
		{"narrow-calibration", func(f *Facts) {
			f.Variant.InputChecks = []result.InputCheck{{Input: "x", Clipped: &result.Clipping{Share: 0.5, Most: 0.9, Worst: 1}}}
		}, func(f *Facts) {
			f.Variant.InputChecks = []result.InputCheck{{Input: "x", Clipped: &result.Clipping{Share: 0.001, Most: 0.01, Worst: 1}}}
		}, "w8a8", nil},
		{"narrow-calibration", func(f *Facts) {
			f.Run.Spec.Calib, f.Variant.Layers[0].Clipped = "others", &result.Clipping{Share: 0.05, Most: 0.1}
		}, func(f *Facts) { f.Variant.Layers[0].Clipped = &result.Clipping{Share: 0.05, Most: 0.1} }, "w8a8", nil},
		{"narrow-calibration", func(f *Facts) {
			f.Run.Spec.Calib, f.Variant.Layers[0].Clipped = "others", &result.Clipping{Share: 0.05, Most: 0.1}
		}, func(f *Facts) {
			f.Variant.Layers[0].Clipped, f.Variant.Spec.Calibrator = &result.Clipping{Share: 0.05, Most: 0.1}, variant.MSE // it clips on purpose
		}, "w8a8", nil},
		{"huge-constant", func(f *Facts) { f.holds("mask", []float32{0, -3e38}, 2) }, func(f *Facts) { f.holds("w", []float32{0, -3e38}, 2) }, "", []string{"clamp-masks"}},
		{"unlike-ranges", parts(0.2, 0.9), parts(40, 500), "", []string{"split-output"}},
		{"unlike-ranges", joined(parts(0.2, 0.9)), joined(parts(40, 500)), "w8a16", nil}, // no Concat makes the output
		{"clipped-constant", func(f *Facts) {
			f.Variant.Params = []result.Param{{Tensor: "w", Axis: -1, Encodings: []quant.Encoding{{Bits: 32, Scale: 1e-9, Min: -2, Max: 2}}}}
		}, func(f *Facts) {
			f.Variant.Params = []result.Param{{Tensor: "w", Axis: -1, Encodings: []quant.Encoding{{Bits: 8, Scale: 0.05, Min: 0, Max: 4}}}}
		}, "w8a16", nil},
		{"unlike-channels", func(f *Facts) {
			f.holds("w", []float32{100, 1, 1, 1}, 4, 1)
			f.Variant.Spec.PerChannel = false
			f.Variant.Layers[0].Local.Weights, f.Variant.Layers[0].Local.Acts = &result.Part{Summary: db(15)}, &result.Part{Summary: db(45)}
		}, func(f *Facts) {
			f.holds("w", []float32{2, 1, 1, 1}, 4, 1)
			f.Variant.Spec.PerChannel = false
			f.Variant.Layers[0].Local.Weights, f.Variant.Layers[0].Local.Acts = &result.Part{Summary: db(15)}, &result.Part{Summary: db(45)}
		}, "w8a8", nil},
		{"steep-activation", func(f *Facts) { f.Variant.Layers[2].Summary = db(8); f.Variant.Layers[1].Encoding.Scale = 0.8 }, func(f *Facts) {
			f.Variant.Layers[2].Summary = db(8)
			f.Variant.Layers[1].Encoding.Scale = 0.05
		}, "w8a8,mse-out", nil},
		{"engine-error", func(f *Facts) {
			f.Variant.EngineErrors = []result.EngineError{{Layer: 0, SQNR: metric.Defined(-3), Simulation: 1, SimulationSQNR: metric.Defined(40), Half: -1}}
		}, func(f *Facts) {
			f.Variant.Counterpart, f.Variant.Layers[0].Local, f.Run.Variants[1].Layers[0].Local = 1, alone(-3), alone(2) // the simulation is as bad
		}, "", nil},
		{"nan-source", func(f *Facts) {
			f.Run.NonFinite = &result.NonFinite{Begins: []result.NonFiniteLayer{{Layer: 1, Sample: 1, NaN: 3}}, Samples: []int{1}}
		}, func(f *Facts) { // it begins in a constant
			f.Run.NonFinite = &result.NonFinite{Constants: []result.NonFiniteConstant{{Name: "w", NaN: 1, Elements: 2}}, Begins: []result.NonFiniteLayer{{Layer: 0, NaN: 3}}}
		}, "", nil},
		{"nan-source", func(f *Facts) {
			f.Run.NonFinite = &result.NonFinite{Inputs: []result.NonFiniteInput{{Sample: 1, Input: "x", NaN: 1}}, Samples: []int{1}}
		}, func(f *Facts) { f.Run.NonFinite = &result.NonFinite{} }, "", nil},
		{"already-quantized", func(f *Facts) {
			f.Variant.Verdict.Grade = result.Good // it is said all the same
			f.adds(node("QuantizeLinear", []string{"a", "scale"}, []string{"a.q"}))
		}, func(f *Facts) { f.adds(node("DequantizeLinear", []string{"x", "scale"}, []string{"a.q"})) }, "", nil},
		{"already-quantized", func(f *Facts) { f.adds(node("MatMulInteger", []string{"x", "w"}, []string{"a.q"})) },
			func(f *Facts) { f.adds(node("MatMul", []string{"x", "w"}, []string{"a.q"})) }, "", nil},
		{"already-quantized", func(f *Facts) { f.adds(node("QLinearConv", []string{"x", "w"}, []string{"a.q"})) },
			func(f *Facts) { f.adds(node("Conv", []string{"x", "w"}, []string{"a.q"})) }, "", nil},
		{"huge-constant", func(f *Facts) { // no Softmax follows, and it is not huge by itself
			f.adds(node("Add", []string{"a", "far"}, []string{"y"}))
			f.Run.Layers[2].Op = "Add"
			f.holds("far", []float32{0, -2000}, 2)
			f.Variant.Layers[2].Encoding = &quant.Encoding{Bits: 8, Scale: 8, Min: -2000, Max: 25}
		}, func(f *Facts) {
			f.adds(node("Add", []string{"a", "far"}, []string{"y"}))
			f.Run.Layers[2].Op = "Add"
			f.holds("far", []float32{0, -200}, 2)
			f.Variant.Layers[2].Encoding = &quant.Encoding{Bits: 8, Scale: 1, Min: -200, Max: 25}
		}, "", nil},
		{"clipped-constant", func(f *Facts) { // in a ready file
			f.Variant.Spec = variant.Spec{Kind: variant.File}
			f.Variant.Params = []result.Param{{Tensor: "w", Axis: -1, Encodings: []quant.Encoding{{Bits: 32, Scale: 1e-9, Min: -2, Max: 2}}}}
		}, func(f *Facts) {
			f.Variant.Spec = variant.Spec{Kind: variant.File}
			f.Variant.Params = []result.Param{{Tensor: "w", Axis: -1, Encodings: []quant.Encoding{{Bits: 8, Scale: 1e-2, Min: -2, Max: 2}}}}
		}, "", nil},
		{"widths-meet", narrow(16, 1), narrow(8, 1), "", nil},
		{"outlier-values", narrow(8, 1), narrow(8, 30), "w8a16", nil},
		{"fused-range", cut(0, -8), cut(-8, -8), "", nil},
		{"fused-range", cut(-0.3, -8), cut(0, -0.2), "", nil},
		{"steep-activation", func(f *Facts) {
			f.Variant.Layers[2].Local, f.Variant.Layers[1].Encoding.Scale = alone(8), 0.8
			f.Variant.Layers[2].Encoding = &quant.Encoding{Bits: 8, Scale: 1.0 / 255, Max: 1}
		}, func(f *Facts) { // its own steps lose
			f.Variant.Layers[2].Local, f.Variant.Layers[1].Encoding.Scale = alone(8), 0.8
			f.Variant.Layers[2].Encoding = &quant.Encoding{Bits: 8, Scale: 1e-6, Max: 1e-4}
		}, "w8a8,mse-out", nil},
		{"half-overflow", half(func(f *Facts) { // a sum beyond 65504
			f.Variant.Layers[1].Status, f.Variant.Layers[1].Reason, f.Variant.Layers[1].Histogram = result.NotComparable, "2 "+metric.InVariant, &result.Histogram{Max: 130000}
		}), half(func(f *Facts) { f.Variant.Layers[1].Histogram = &result.Histogram{Max: 65000} }), "w8a16", nil},
		{"half-overflow", half(func(f *Facts) { // a constant that vanishes
			f.adds(node("Log", []string{"s"}, []string{"y"}))
			f.holds("mask", []float32{1e-10}, 1)
			f.Variant.Layers[2].Reason = "1 of 2 samples have no value: 3 " + metric.InVariant
		}), half(func(f *Facts) { f.holds("mask", []float32{1e-6}, 1) }), "w8a16", nil},
		{"half-overflow", half(func(f *Facts) {
			f.holds("w", []float32{1, -1e6, 3, 4}, 4)
			f.Variant.Layers[0].Status, f.Variant.Layers[0].Reason = result.NotComparable, "1 "+metric.InVariant
		}), func(f *Facts) { // another precision
			f.Variant.Layers[0].Status, f.Variant.Layers[0].Reason = result.NotComparable, "1 "+metric.InVariant
		}, "w8a16", nil},
		{"few-bits", whole(40, 10), whole(12, 10), "w8a8,mse", nil},
		{"few-bits", whole(10, 40), whole(10, 12), "w8a8,mse", nil},
	}
}

// Each cause is found where it is planted, and not in its near miss.
func TestPlantedCausesAndNearMisses(t *testing.T) {
	for _, c := range plantings() {
		f := planted(t)
		c.plant(f)
		found := Find(f)
		if len(found) == 0 || found[0].Kind != c.kind {
			t.Errorf("%s: found %+v", c.kind, found)
			continue
		}
		if lead := found[0]; lead.Fix.Variant != c.variant || !slices.Equal(lead.Fix.Passes, c.passes) || lead.Evidence == "" || !(lead.Confidence > 0 && lead.Confidence <= 1) {
			t.Errorf("%s: %+v", c.kind, lead)
		}
		miss := planted(t)
		c.nearMiss(miss)
		if found := Find(miss); slices.ContainsFunc(found, func(x result.Cause) bool { return x.Kind == c.kind }) {
			t.Errorf("%s is found in its near miss: %+v", c.kind, found)
		}
	}
}

// A calibrator that weighs clipping against rounding clips weights on purpose; a bias that does not fit is a fault with any.
func TestWeightsAreClippedOnPurpose(t *testing.T) {
	for _, c := range []struct {
		bits  int
		found bool
	}{{4, false}, {32, true}} {
		f := planted(t)
		f.Variant.Spec.Calibrator = variant.MSE
		f.Variant.Params = []result.Param{{Tensor: "w", Axis: -1, Encodings: []quant.Encoding{{Bits: c.bits, Scale: 1e-3, Min: -2, Max: 2}}}}
		if list := Find(f); slices.ContainsFunc(list, func(x result.Cause) bool { return x.Kind == "clipped-constant" }) != c.found {
			t.Errorf("%d bits: %+v", c.bits, list)
		}
	}
}

// A command is read by a shell as it stands.
func TestCommandsAreExact(t *testing.T) {
	f := planted(t)
	f.Run.Spec.Model, f.Run.Spec.Images = "my models/head.onnx", "pictures"
	f.Run.Spec.Input = dataset.Default()
	f.Run.Spec.Input.Scale, f.Run.Spec.Input.InputShape = dataset.Numbers{255}, dataset.ShapeTexts{"": "1,3,320,320"}
	if got, want := f.rewritten("split-output"), "quantcheck optimize 'my models/head.onnx' -o head-split-output.onnx --pass split-output --verify-on pictures --scale 255 --input-shape 1,3,320,320"; got != want {
		t.Errorf("%s, not %s", got, want)
	}
}

// A variant that is good has no cause but what the model itself tells.
func TestAGoodVariantHasNoCause(t *testing.T) {
	f := planted(t)
	f.Variant.Verdict.Grade = result.Good
	f.holds("mask", []float32{0, -3e38}, 2)
	if found := Find(f); len(found) != 0 {
		t.Errorf("%+v", found)
	}
}

func TestEveryCauseIsDescribed(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range All {
		if c.Kind == "" || c.Title == "" || c.Evidence == "" || c.Remedy == "" || seen[c.Kind] {
			t.Errorf("%+v", c)
		}
		seen[c.Kind] = true
	}
}
