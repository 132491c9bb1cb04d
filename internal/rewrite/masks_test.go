package rewrite_test

import (
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
)

var shut = float32(math.Inf(-1))

func axis(v int64) *onnxpb.AttributeProto { return onnx.IntAttr("axis", v) }

func softmax(g *graph, from string) *graph { return g.n("Softmax", from, "y", axis(-1)) }

// opened begins a graph with a tensor of truth values.
func opened(outputs ...string) *graph {
	return picture(outputs...).c("zero", []int64{1}, 0).n("Greater", "x zero", "open")
}

// maskRow is a graph with a mask. The scores x go from −100 to 100 in every graph, as env says.
type maskRow struct {
	what  string
	model *graph
	want  float32 // the clamp in the constant m; 0: it stays
	blind float32 // without samples
	left  string
}

var maskRows = []maskRow{
	{"-inf is added", softmax(picture("y").c("m", []int64{8, 10}, 0, shut).n("Add", "x m", "t"), "t"), -220, -50, ""},
	{"the least float, other values beside it, moved on the way", softmax(picture("y").c("m", []int64{1, 8, 10}, 3, -3.4e38, -7).ints("a", 0).n("Unsqueeze", "m a", "u").n("Add", "u x", "t"), "t"), -227, -50, ""},
	{"-10000, divided by 4 and multiplied by 2 behind it", softmax(picture("y").c("m", []int64{10}, 0, -10000).c("four", nil, 4).c("two", nil, 2).n("Add", "x m", "t").n("Div", "t four", "d").n("Mul", "d two", "u"), "u"), -240, -100, ""},
	{"a part of a mask, scaled in front", softmax(picture("y").c("m", nil, -1e9).c("four", nil, 4).ints("s", 8, 4).c("z", []int64{8, 6}, 0).n("Expand", "m s", "e").n("Concat", "e z", "k", axis(1)).n("Mul", "k four", "f").n("Add", "x f", "t"), "t"), -55, -13, ""},
	{"scaled in front, not folded", softmax(opened("y").c("m", nil, -1e9).c("four", nil, 4).n("Cast", "open", "o", onnx.IntAttr("to", int64(tensor.Float32))).n("Mul", "o m", "c").n("Mul", "c four", "f").n("Add", "x f", "t"), "t"), -55, -13, ""},
	{"(1 - mask) of integers", softmax(opened("y").c("m", nil, -1e9).c("one", nil, 1).n("Cast", "open", "i", onnx.IntAttr("to", int64(tensor.Int64))).n("Cast", "i", "o", onnx.IntAttr("to", int64(tensor.Float32))).n("Sub", "one o", "c").n("Mul", "c m", "f").n("Add", "x f", "t"), "t"), -220, -50, ""},
	{"multiplied by no mask", softmax(picture("y").c("m", nil, -1e9).n("Relu", "x", "o").n("Mul", "o m", "f").n("Add", "x f", "t"), "t"), 0, 0, "multiplied by o"},
	{"Where, the constant last", softmax(opened("y").c("m", nil, shut).n("Where", "open x m", "t"), "t"), -120, -50, ""},
	{"Where, the constant first, a scale behind it", softmax(opened("y").c("m", nil, -65504).c("half", nil, 0.5).n("Not", "open", "no").n("Where", "no m x", "t").n("Mul", "t half", "u"), "u"), -140, -100, ""},
	{"Where of two constants, then added", softmax(opened("y").c("m", nil, shut).n("Where", "open zero m", "c").n("Add", "c x", "t"), "t"), -220, -50, ""},
	{"a bias is added behind it", softmax(picture("y").c("m", []int64{8, 10}, 0, -1e9).c("b", []int64{10}, -3, 5).n("Add", "x m", "s").n("Add", "s b", "t"), "t"), -228, -50, ""},
	{"two masks", softmax(opened("y").c("m", []int64{10}, 0, -1e9, 0).c("k", nil, -1e9).n("Add", "x m", "s").n("Where", "open s k", "t"), "t"), -220, -50, ""},
	{"+inf is subtracted", softmax(picture("y").c("m", []int64{10}, 0, float32(math.Inf(1))).n("Sub", "x m", "t"), "t"), 220, 50, ""},
	{"negated", softmax(picture("y").c("m", []int64{10}, 0, 1e9).n("Relu", "x", "r").n("Add", "r m", "a").n("Neg", "a", "t"), "t"), 220, 50, ""},
	{"two Softmaxes", softmax(picture("y", "z").c("m", []int64{10}, 0, shut).c("two", nil, 2).n("Add", "x m", "t").n("Mul", "x two", "x2").n("Add", "x2 m", "u").n("Softmax", "u", "z", axis(-1)), "t"), -220, -50, ""},
	{"Max with the least float", softmax(picture("y").c("m", nil, -3.4e38).n("Max", "x m", "t"), "t"), -120, -50, ""},
	{"NaN", softmax(picture("y").c("m", []int64{10}, 0, float32(math.NaN())).n("Add", "x m", "t"), "t"), 0, 0, "its constant m holds NaN in 5 of 10 values"},
	{"both signs", softmax(picture("y").c("m", []int64{10}, -1e9, 1e9).n("Add", "x m", "t"), "t"), 0, 0, "both signs"},
	{"+1e9 is added", softmax(picture("y").c("m", []int64{10}, 0, 1e9).n("Add", "x m", "t"), "t"), 0, 0, "open places instead"},
	{"the scores are an output", softmax(picture("y", "t").c("m", []int64{10}, 0, -1e9).n("Add", "x m", "t"), "t"), 0, 0, "in the output t"},
	{"a weight of a Conv", picture("y").c("m", []int64{4, 3, 1, 1}, 1, -1e9).n("Conv", "x m", "y"), 0, 0, "does not only reach a Softmax"},
	{"a bound", softmax(picture("y").c("m", nil, -3.4e38).n("Clip", "x m", "t"), "t"), 0, 0, ""},
	{"no huge value", softmax(picture("y").c("m", []int64{10}, 0, -9999).n("Add", "x m", "t"), "t"), 0, 0, ""},
}

// maskCases are the same graphs for the test of all passes.
func maskCases() []passCase {
	var list []passCase
	for _, r := range maskRows {
		if r.what == "NaN" { // it is not equal to itself
			continue
		}
		list = append(list, passCase{rewrite.ClampMasks, r.what, r.model, ops(r.model.model())})
	}
	return list
}

func TestMasksGetTheLeastClamp(t *testing.T) {
	p, err := rewrite.Find(rewrite.ClampMasks)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range maskRows {
		t.Run(row.what, func(t *testing.T) {
			m := row.model.model()
			for _, blind := range []bool{false, true} {
				e := env(t, m)
				want := row.want
				e.Spans = func(names []string) (map[string]rewrite.Span, error) {
					spans := map[string]rewrite.Span{}
					for _, name := range names {
						span := map[string]rewrite.Span{"x": {Low: []float64{-100, -1, -1}, High: []float64{1, 100, 1}}, "x2": {Low: []float64{-10}, High: []float64{10}}, "r": {Low: []float64{0}, High: []float64{200}}, "o": {Low: []float64{0}, High: []float64{1}}, "c": {Low: []float64{0}, High: []float64{1}}}
						if row.left == "multiplied by o" {
							span["o"] = rewrite.Span{Low: []float64{0}, High: []float64{100}}
						}
						if s, known := span[name]; known {
							spans[name] = s
						}
					}
					return spans, nil
				}
				if blind {
					e.Spans, want = nil, row.blind
				}
				got, err := p.Run(m, e)
				if err != nil {
					t.Fatal(err)
				}
				if left := strings.Join(got.Left, "; "); !strings.Contains(left, row.left) || row.left == "" && left != "" {
					t.Errorf("blind %v: left %q, want %q", blind, left, row.left)
				}
				x := onnx.NewIndex(got.Model)
				before, _ := m.Tensor(onnx.NewIndex(m).Initializer["m"])
				after, _ := got.Model.Tensor(x.Initializer["m"])
				for i, v := range before.F32 {
					expected := v
					if want != 0 && math.Abs(float64(v)) >= 1e4 {
						expected = want
					}
					if after.F32[i] != expected && v == v {
						t.Fatalf("blind %v: m[%d] was %g, is %g, want %g", blind, i, v, after.F32[i], expected)
					}
				}
			}
		})
	}
}

// TestShutPlacesStayShut draws masks and scores, and compares the attention before and behind the pass.
func TestShutPlacesStayShut(t *testing.T) {
	r := fixture.Runtime(t)
	p, err := rewrite.Find(rewrite.ClampMasks)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		value := rapid.SampledFrom([]float32{shut, -3.4028235e38, -65504, -1e9, -10000}).Draw(rt, "value")
		scale := rapid.SampledFrom([]float32{0.125, 1, 30}).Draw(rt, "scale")
		mask := make([]float32, 80)
		closed := make([]bool, 80)
		for i := range mask {
			if closed[i] = i%10 != 0 && rapid.Bool().Draw(rt, "shut"); closed[i] {
				mask[i] = value
			}
		}
		m := softmax(picture("y").c("m", []int64{8, 10}, mask...).c("k", nil, scale).n("Mul", "x k", "s").n("Add", "s m", "t"), "t").model()
		e := env(t, m)
		e.Spans = func([]string) (map[string]rewrite.Span, error) {
			return map[string]rewrite.Span{"s": {Low: []float64{-float64(scale)}, High: []float64{1.01 * float64(scale)}}}, nil
		}
		got, err := p.Run(m, e)
		if err != nil {
			rt.Fatal(err)
		}
		before, after := outputs(t, r, m)["y"], outputs(t, r, got.Model)["y"]
		for i := range after {
			if closed[i%80] && after[i] > 1e-8 || math.Abs(float64(after[i]-before[i])) > 1e-6 {
				rt.Fatalf("%s, scale %g: y[%d] was %g, is %g", got.Changes, scale, i, before[i], after[i])
			}
		}
	})
}
