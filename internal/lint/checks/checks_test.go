package checks_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// chain is a model of operators one behind the other, each "Op constant …", on x [1,3,8,8].
func chain(constants map[string]tensor.Tensor, steps ...string) *onnx.Model {
	g := &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}}
	name := "x"
	for i, step := range steps {
		words := strings.Fields(step)
		n := &onnxpb.NodeProto{OpType: &words[0], Name: proto.String(fmt.Sprintf("n%d", i)), Input: append([]string{name}, words[1:]...)}
		if strings.Contains(words[0], ":") { // attributes: Conv:strides=1,2
			op, attr, _ := strings.Cut(words[0], ":")
			n.OpType = &op
			key, list, _ := strings.Cut(attr, "=")
			a := &onnxpb.AttributeProto{Name: &key, Type: onnxpb.AttributeProto_INTS.Enum()}
			for _, v := range strings.Split(list, ",") {
				var k int64
				_, _ = fmt.Sscan(v, &k)
				a.Ints = append(a.Ints, k)
			}
			n.Attribute = append(n.Attribute, a)
			if key == "axis" {
				n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr(key, a.Ints[0])}
			}
		}
		name = fmt.Sprintf("t%d", i)
		n.Output = []string{name}
		g.Node = append(g.Node, n)
	}
	for c, t := range constants {
		g.Initializer = append(g.Initializer, onnx.TensorProto(c, t))
	}
	g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped(name)}
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}}}
}

func subject(t *testing.T, m *onnx.Model) *checks.Subject {
	t.Helper()
	r := fixture.Runtime(t)
	m, _, types, err := ort.Fold(context.Background(), r, m)
	if err != nil {
		t.Fatal(err)
	}
	inits := onnx.NewIndex(m).Initializer
	return &checks.Subject{Model: m, Env: rewrite.Env{Shapes: func(name string) ([]int64, bool) {
		if x, ok := types[name]; ok {
			return x.Shape, true
		}
		if x := inits[name]; x != nil {
			return x.GetDims(), true
		}
		return nil, false
	}}}
}

func filled(shape []int64, values ...float32) tensor.Tensor {
	n, _ := tensor.Count(shape)
	list := make([]float32, n)
	for i := range list {
		list[i] = values[i%len(values)]
	}
	return tensor.Floats(list, shape...)
}

func conv() tensor.Tensor { return filled([]int64{4, 3, 3, 3}, 0.5, -0.25, 1) }

// runOf makes a run of one variant.
func runOf(spec variant.Spec, change func(*result.Run)) *result.Run {
	r := &result.Run{Spec: result.CheckSpec{DivergeUnder: 20}, Layers: []result.Layer{{Name: "a", Op: "Conv"}, {Name: "b", Op: "Conv"}, {Name: "c", Op: "Concat", Inputs: []int{0, 1}}}}
	v := result.Variant{Spec: spec, Layers: make([]result.LayerResult, 3)}
	for k := range v.Layers {
		v.Layers[k] = result.LayerResult{Status: result.Compared, Encoding: &result.Coding{Bits: 8, Min: -1, Max: 1}}
	}
	r.Variants = []result.Variant{v}
	if change != nil {
		change(r)
	}
	return r
}

// estimate is a subject of one layer and 1,000 cycles.
func estimate(l htpcost.Layer) func() *checks.Subject {
	return func() *checks.Subject {
		return &checks.Subject{Estimate: &htpcost.Estimate{Figures: htpcost.Figures{Cycles: 1000}, Layers: []htpcost.Layer{l}}}
	}
}

// focus is a stem of a SpaceToDepth and a Conv; only a block that divides the picture of 8 can go into the Conv.
func focus(block int64) *onnx.Model {
	w := filled([]int64{4, 3 * block * block, 1, 1}, 1, 2)
	m := chain(map[string]tensor.Tensor{"w": w}, "SpaceToDepth", "Conv w")
	m.Graph().Node[0].Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("blocksize", block)}
	if 8%block != 0 {
		m.Graph().Input = []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 3 * block, 3 * block})}
		m.Graph().Node[1].Output, m.Graph().Output = []string{"t1"}, []*onnxpb.ValueInfoProto{onnx.Untyped("t1"), onnx.Untyped("t0")}
	}
	return m
}

// twoWidths is a run of w8a8 with good outputs in 1,000 cycles, and of w8a16.
func twoWidths(cycles int64) *result.Run {
	return runOf(recipe(), func(r *result.Run) {
		r.Layers[2].Output = true
		r.Variants[0].Time = &result.Time{Cycles: 1000}
		r.Variants[0].Layers[2].Summary[metric.SQNR].Mean = metric.Defined(30)
		wide := recipe()
		wide.Name, wide.ActBits = "w8a16", 16
		r.Variants = append(r.Variants, result.Variant{Spec: wide, Time: &result.Time{Cycles: cycles}, Layers: r.Variants[0].Layers})
	})
}

func TestWhatCostsMostComesFirst(t *testing.T) {
	w := map[string]tensor.Tensor{"w": conv(), "c": filled([]int64{1}, 4)}
	s := subject(t, chain(w, "Div c", "Identity", "Sigmoid", "Conv:strides=1,2 w"))
	s.Prices = map[string]checks.Price{"remove-identity": {Before: 1000, After: 500}, "uniform-stride": {Before: 1000, After: 700}, "div-to-mul": {Before: 1000, After: 1200}}
	var got []string
	for _, f := range checks.Look(s) {
		got = append(got, f.ID)
		if (f.Price != nil) != (f.Pass != "") {
			t.Errorf("%+v", f)
		}
	}
	if !slices.Equal(got, []string{"QC1006", "QC1008", "QC1001"}) {
		t.Errorf("%v", got)
	}
}

// Lint advises a pass that optimize leaves by itself only where the estimate says that it pays.
func TestPassesThatDoNotAlwaysPayAreAdvisedByTheEstimate(t *testing.T) {
	w := map[string]tensor.Tensor{"w": filled([]int64{8, 5}, 1, 2), "c": filled([]int64{1}, 4)}
	for price, advised := range map[checks.Price]bool{{}: false, {Before: 1000, After: 900}: true, {Before: 1000, After: 1000}: false, {Before: 1000, After: 1200}: false} {
		s := subject(t, chain(w, "MatMul w", "Div c"))
		if price.Before > 0 {
			s.Prices = map[string]checks.Price{"matmul-to-conv": price}
		}
		found := map[string]checks.Finding{}
		for _, f := range checks.Look(s) {
			found[f.ID] = f
		}
		f := found["QC4001"]
		if (f.Pass == "matmul-to-conv") != advised || (f.Price != nil) != advised || strings.Contains(f.Fix, "matmul-to-conv") == advised || f.ID == "" {
			t.Errorf("%v: %+v", price, f)
		}
		if found["QC1001"].Pass != "div-to-mul" {
			t.Errorf("%+v", found["QC1001"])
		}
		if got := checks.Passes(s); !slices.Equal(got, []string{"div-to-mul", "matmul-to-conv"}) {
			t.Errorf("passes %v", got)
		}
	}
}

func TestAFewLayersMayBeEnoughForSixteenBits(t *testing.T) {
	r := twoWidths(2000)
	r.Variants[0].Layers[2].Summary[metric.SQNR].Mean = metric.Defined(10)
	find := func() string {
		for _, f := range checks.Look(&checks.Subject{Run: r}) {
			if f.ID == "QC4008" {
				return f.Evidence
			}
		}
		return ""
	}
	if got := find(); got != "" {
		t.Errorf("bad outputs, and nothing is known of the noise: %s", got)
	}
	for i := range r.Variants {
		r.Variants[i].Layers = nil
	}
	r.Layers = make([]result.Layer, 30)
	r.Layers[29].Output = true
	for k := range r.Layers {
		share := 0.01
		if k < 3 {
			share = 0.2
		}
		l := result.LayerResult{Status: result.Compared, Local: &result.Local{Share: share}}
		l.Summary[metric.SQNR].Mean = metric.Defined(10)
		r.Variants[0].Layers = append(r.Variants[0].Layers, l)
		r.Variants[1].Layers = append(r.Variants[1].Layers, l)
	}
	if got := find(); got != "2.0 times as long as w8a8, where 3 of 30 layers make 60 % of the noise" {
		t.Error(got)
	}
}

func recipe() variant.Spec {
	return variant.Spec{Name: "w8a8", Kind: variant.Recipe, WeightBits: 8, ActBits: 8, PerChannel: true, Calibrator: variant.TF, BiasBits: 32}
}

func TestEveryCheckFindsItsCaseAndOnlyThat(t *testing.T) {
	one := filled([]int64{1}, 4)
	w := map[string]tensor.Tensor{"w": conv(), "c": one}
	wide := filled([]int64{4, 3, 3, 3}, 1)
	copy(wide.F32[:27], make([]float32, 27))
	for i := range 27 {
		wide.F32[i] = 1e-3
	}
	dead := conv()
	copy(dead.F32[:27], make([]float32, 27))
	stats := filled([]int64{4}, 0.5, 1, 2)
	order := func(v ...byte) tensor.Tensor {
		t := tensor.Tensor{DType: tensor.Int64, Shape: []int64{3}, Raw: make([]byte, 24)}
		for i, x := range v {
			t.Raw[8*i] = x
		}
		return t
	}
	model := func(c map[string]tensor.Tensor, steps ...string) func() *checks.Subject {
		return func() *checks.Subject { return subject(t, chain(c, steps...)) }
	}
	run := func(change func(*result.Run)) func() *checks.Subject {
		return func() *checks.Subject { return &checks.Subject{Run: runOf(recipe(), change)} }
	}
	cases := map[string]struct{ finds, misses func() *checks.Subject }{
		"QC1001": {model(w, "Div c"), model(w, "Mul c")},
		"QC1002": {model(w, "Mul c", "Conv w"), model(w, "Mul c", "Relu", "Conv w")},
		"QC1003": {model(w, "Conv w", "Add c"), model(w, "Conv w", "Relu", "Add c")},
		"QC1004": {model(w, "Add c", "Conv:pads=1,1,1,1 w"), model(w, "Mul c", "Conv:pads=1,1,1,1 w")},
		"QC1005": {model(map[string]tensor.Tensor{"w": conv(), "s": stats}, "Conv w", "BatchNormalization s s s s"), model(w, "Conv w")},
		"QC1006": {model(w, "Relu", "Identity", "Sigmoid"), model(w, "Relu", "Sigmoid")},
		"QC1007": {func() *checks.Subject {
			m := chain(w, "Relu", "Sigmoid")
			m.Graph().Output = []*onnxpb.ValueInfoProto{onnx.Untyped("t0")}
			return subject(t, m)
		}, model(map[string]tensor.Tensor{}, "Relu", "Sigmoid")},
		"QC1008": {model(w, "Conv:strides=1,2 w"), model(w, "Conv:strides=2,2 w")},
		"QC1009": {func() *checks.Subject { return subject(t, focus(2)) }, func() *checks.Subject { return subject(t, focus(3)) }},
		"QC4005": {estimate(htpcost.Layer{Kind: htpcost.Operator, Name: "s", Op: "Slice", Work: htpcost.Work{Share: 0.41}}), estimate(htpcost.Layer{Kind: htpcost.Operator, Name: "s", Op: "Slice", Work: htpcost.Work{Share: 0.39}})},
		"QC4006": {func() *checks.Subject {
			return &checks.Subject{Estimate: &htpcost.Estimate{Figures: htpcost.Figures{IntermediateSpillBytes: 1 << 20}}}
		}, func() *checks.Subject {
			return &checks.Subject{Estimate: &htpcost.Estimate{Figures: htpcost.Figures{OutputSpillBytes: 1 << 20}}}
		}},
		"QC4007": {estimate(htpcost.Layer{Kind: htpcost.Operator, Name: "s", Op: "Mul", Work: htpcost.Work{HVX: 2100, HMX: 100}}), estimate(htpcost.Layer{Kind: htpcost.Operator, Name: "s", Op: "Mul", Work: htpcost.Work{HVX: 2100, HMX: 200}})},
		"QC4008": {func() *checks.Subject { return &checks.Subject{Run: twoWidths(1400)} }, func() *checks.Subject { return &checks.Subject{Run: twoWidths(1200)} }},
		"QC3001": {model(map[string]tensor.Tensor{"w": conv(), "i": order(2, 1, 0)}, "Gather:axis=1 i", "Conv w"), model(map[string]tensor.Tensor{"w": conv(), "i": order(2, 1, 1)}, "Gather:axis=1 i", "Conv w")},
		"QC3002": {run(func(r *result.Run) {
			r.Variants[0].InputChecks = []result.InputCheck{{Input: "x", SQNR: metric.Defined(9), Swapped: metric.Defined(48)}}
		}), run(func(r *result.Run) {
			r.Variants[0].InputChecks = []result.InputCheck{{Input: "x", SQNR: metric.Defined(48), Swapped: metric.Defined(9)}}
		})},
		"QC4001": {model(map[string]tensor.Tensor{"w": filled([]int64{8, 5}, 1, 2)}, "MatMul w"), model(w, "Conv w")},
		"QC2001": {run(func(r *result.Run) { r.Variants[0].Spec.PerChannel = false }), run(nil)},
		"QC2002": {run(func(r *result.Run) { r.Variants[0].Layers[0].Encoding = &result.Coding{Bits: 8, Min: 0, Max: 600} }), run(nil)},
		"QC2003": {run(func(r *result.Run) { r.Variants[0].Spec.WeightBits, r.Variants[0].Spec.ActBits = 16, 16 }), run(nil)},
		"QC2004": {model(map[string]tensor.Tensor{"w": wide}, "Conv w"), model(w, "Conv w")},
		"QC2005": {model(map[string]tensor.Tensor{"w": dead}, "Conv w"), model(w, "Conv w")},
		"QC2006": {run(func(r *result.Run) {
			h := &result.Histogram{Min: -1, Max: 1, Float: make([]int, 64), Variant: make([]int, 64)}
			h.Float[31], h.Float[63] = 100000, 1
			r.Variants[0].Layers[0].Histogram = h
		}), run(func(r *result.Run) {
			h := &result.Histogram{Min: -1, Max: 1, Float: make([]int, 64), Variant: make([]int, 64)}
			for i := range h.Float {
				h.Float[i] = 100
			}
			r.Variants[0].Layers[0].Histogram = h
		})},
		"QC4002": {func() *checks.Subject {
			return &checks.Subject{Refused: []checks.Refusal{{Node: "d", Op: "Det", Reason: "no"}}}
		}, func() *checks.Subject { return &checks.Subject{} }},
		"QC4003": {run(func(r *result.Run) { r.Variants[0].Spec.Kind = variant.Half }), run(nil)},
		"QC4004": {func() *checks.Subject { return &checks.Subject{Int8Saturates: true} }, func() *checks.Subject { return &checks.Subject{} }},
	}
	for _, c := range checks.All {
		pair, ok := cases[c.ID]
		if !ok {
			t.Errorf("%s has no test", c.ID)
			continue
		}
		ids := func(s *checks.Subject) (list []string) {
			for _, f := range checks.Look(s) {
				if f.Evidence == "" || f.Fix == "" {
					t.Errorf("%s: no evidence or no fix: %+v", c.ID, f)
				}
				list = append(list, f.ID)
			}
			return list
		}
		if got := ids(pair.finds()); !slices.Contains(got, c.ID) {
			t.Errorf("%s is not found: %v", c.ID, got)
		}
		if got := ids(pair.misses()); slices.Contains(got, c.ID) {
			t.Errorf("%s is found where it is not: %v", c.ID, got)
		}
		if c.What == "" || c.Why == "" || c.Title == "" || !strings.Contains(c.Explain(), c.Fix) {
			t.Errorf("%s is not documented", c.ID)
		}
		if c.Pass != "" {
			if _, err := rewrite.Find(c.Pass); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestThePageOfDocsIsTheChecks(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(fixture.Root(), "docs", "checks.md"))
	if err != nil {
		t.Fatal(err)
	}
	if string(page) != checks.Markdown() {
		t.Error("docs/checks.md is not what the checks say: run make docs")
	}
}

func TestADLCIsLookedOver(t *testing.T) {
	f := dlc.Described("DLC 4.0", dlc.Metadata{QuantizerCommand: "snpe-dlc-quant input_dlc=m.dlc; use_per_channel_quantization=[False]"}, []dlc.Graph{{Name: "m"}}, nil)
	found := checks.Look(&checks.Subject{DLC: f})
	if len(found) == 0 || found[0].ID != "QC2001" {
		t.Errorf("%+v", found)
	}
}

func TestACheckIsFoundByItsID(t *testing.T) {
	t.Parallel()
	if c, err := checks.Find("qc1001"); err != nil || c.ID != "QC1001" {
		t.Errorf("%v %v", c, err)
	}
	if c, err := checks.Find("QC10001"); err == nil || !strings.Contains(err.Error(), "QC1001?") {
		t.Errorf("%v %v", c, err)
	}
	for saves, p := range map[float64]checks.Price{0: {}, 0.5: {Before: 100, After: 50}, -0.5: {Before: 100, After: 150}} {
		if got := p.Saves(); got != saves {
			t.Errorf("%+v saves %g", p, got)
		}
	}
}
