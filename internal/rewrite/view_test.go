package rewrite_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
)

const end = math.MaxInt64

// viewCases are those of the passes that follow values back to where they come from.
var viewCases = []passCase{
	{"focus-to-conv", "YOLOX's order, padded", picture("y").c("w", []int64{4, 12, 3, 3}).c("b", []int64{4}).focus("x", "f", yolox...).n("Conv", "f w b", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"focus-to-conv", "stride 2, pads that differ, another order", picture("y").c("w", []int64{4, 12, 2, 3}).focus("x", "f", [2]int64{1, 1}, [2]int64{0, 1}, [2]int64{1, 0}, [2]int64{0, 0}).n("Conv", "f w", "y", ints("strides", 2, 2), ints("pads", 0, 2, 1, 1)), "Conv"},
	{"focus-to-conv", "strides 1 and 3, SAME_UPPER", picture("y").c("w", []int64{4, 12, 3, 2}).focus("x", "f", yolox...).n("Conv", "f w", "y", ints("strides", 1, 3), autoPad("SAME_UPPER")), "Conv"},
	{"focus-to-conv", "Slices that share their first", picture("y").c("w", []int64{4, 12, 3, 3}).cut("x", "r0", 2, 0, end, 2).cut("x", "r1", 2, 1, end, 2).cut("r0", "q0", 3, 0, end, 2).cut("r1", "q1", 3, 0, end, 2).cut("r0", "q2", 3, 1, end, 2).cut("r1", "q3", 3, -9, end, 2).
		n("Concat", "q0 q1 q2 q3", "f", onnx.IntAttr("axis", -3)).n("Conv", "f w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"focus-to-conv", "Constants, a Slice of both axes", picture("y").c("w", []int64{4, 12, 3, 3}).n("Constant", "", "o", ints("value_ints", 0, 0)).n("Constant", "", "i", ints("value_ints", 1, 1)).n("Constant", "", "oi", ints("value_ints", 0, 1)).n("Constant", "", "io", ints("value_ints", 1, 0)).
		n("Constant", "", "e", ints("value_ints", end, end)).n("Constant", "", "a", ints("value_ints", 2, 3)).n("Constant", "", "p", ints("value_ints", 2, 2)).n("Slice", "x o e a p", "q0").n("Slice", "x io e a p", "q1").n("Slice", "x oi e a p", "q2").n("Slice", "x i e a p", "q3").
		n("Concat", "q0 q1 q2 q3", "f", onnx.IntAttr("axis", 1)).n("Conv", "f w", "y", ints("pads", 1, 1, 1, 1)), strings.Repeat("Constant ", 7) + "Conv"},
	{"focus-to-conv", "a quarter twice", picture("y").c("w", []int64{4, 15, 3, 3}).focus("x", "f", append([][2]int64{{0, 1}}, yolox...)...).n("Conv", "f w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"focus-to-conv", "RGB to BGR in front", picture("y").c("w", []int64{4, 12, 3, 3}).n("Split", "x", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "b g r", "z", onnx.IntAttr("axis", 1)).focus("z", "f", yolox...).n("Conv", "f w", "y"), "Conv"},
	{"focus-to-conv", "what stands in front is used elsewhere", picture("y", "v").c("w", []int64{4, 12, 3, 3}).ints("i", 2, 1, 0).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).focus("z", "f", yolox...).n("Conv", "f w", "y").n("Relu", "z", "v"), "Gather Conv Relu"},
	{"focus-to-conv", "SpaceToDepth", picture("y").c("w", []int64{4, 12, 3, 3}).n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 2)).n("Conv", "f w", "y", ints("pads", 1, 0, 0, 1)), "Conv"},
	{"focus-to-conv", "SpaceToDepth of 4, two pictures", tall().c("w", []int64{4, 32, 1, 2}).n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 4)).n("Conv", "f w", "y", ints("pads", 1, 0, 0, 1)), "Conv"},
	{"focus-to-conv", "SpaceToDepth of SpaceToDepth", tall().c("w", []int64{4, 32, 2, 2}).n("SpaceToDepth", "x", "e", onnx.IntAttr("blocksize", 2)).n("SpaceToDepth", "e", "f", onnx.IntAttr("blocksize", 2)).n("Conv", "f w", "y"), "Conv"},
	{"focus-to-conv", "Reshape and Transpose, channel first", picture("y").c("w", []int64{4, 12, 3, 3}).unshuffle("x", "f", []int64{1, 3, 4, 2, 5, 2}, []int64{0, 1, 3, 5, 2, 4}, []int64{1, 12, 4, 5}).n("Conv", "f w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"focus-to-conv", "Reshape and Transpose, column first, block 4", tall().c("w", []int64{4, 32, 1, 2}).unshuffle("x", "f", []int64{2, 2, 2, 4, 3, 4}, []int64{0, 5, 3, 1, 2, 4}, []int64{2, 32, 2, 3}).n("Conv", "f w", "y"), "Conv"},
	{"focus-to-conv", "blocks that are no squares", tall().c("w", []int64{4, 16, 1, 2}).unshuffle("x", "f", []int64{2, 2, 4, 2, 3, 4}, []int64{0, 5, 3, 1, 2, 4}, []int64{2, 16, 4, 3}).n("Conv", "f w", "y"), "Reshape Transpose Reshape Conv"},
	{"focus-to-conv", "rows of a block change places with the picture's", picture("y").c("w", []int64{4, 12, 1, 1}).unshuffle("x", "f", []int64{1, 3, 2, 4, 5, 2}, []int64{0, 1, 2, 5, 3, 4}, []int64{1, 12, 4, 5}).n("Conv", "f w", "y"), "Reshape Transpose Reshape Conv"},
	{"focus-to-conv", "a quarter is missing", picture("y").c("w", []int64{4, 9, 3, 3}).focus("x", "f", yolox[:3]...).n("Conv", "f w", "y"), strings.Repeat("Slice ", 6) + "Concat Conv"},
	{"focus-to-conv", "the block does not divide the picture", (&graph{input: []int64{1, 3, 7, 10}, output: []string{"y"}}).c("w", []int64{4, 6, 3, 3}).focus("x", "f", [2]int64{0, 0}, [2]int64{0, 1}).n("Conv", "f w", "y"), "Slice Slice Slice Slice Concat Conv"},
	{"focus-to-conv", "rows alone", picture("y").c("w", []int64{4, 6, 3, 3}).cut("x", "a", 2, 0, end, 2).cut("x", "b", 2, 1, end, 2).n("Concat", "a b", "f", onnx.IntAttr("axis", 1)).n("Conv", "f w", "y"), "Slice Slice Concat Conv"},
	{"focus-to-conv", "a Slice is used elsewhere", picture("y", "v").c("w", []int64{4, 12, 3, 3}).focus("x", "f", yolox...).n("Conv", "f w", "y").n("Relu", "f0", "v"), strings.Repeat("Slice ", 8) + "Concat Conv Relu"},
	{"focus-to-conv", "a Slice is an output", picture("y", "f0r").c("w", []int64{4, 12, 3, 3}).focus("x", "f", yolox...).n("Conv", "f w", "y"), strings.Repeat("Slice ", 8) + "Concat Conv"},
	{"focus-to-conv", "two Convs", picture("y", "v").c("w", []int64{4, 12, 3, 3}).n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 2)).n("Conv", "f w", "y").n("Conv", "f w", "v"), "SpaceToDepth Conv Conv"},
	{"focus-to-conv", "groups", picture("y").c("w", []int64{4, 6, 3, 3}).n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 2)).n("Conv", "f w", "y", onnx.IntAttr("group", 2)), "SpaceToDepth Conv"},
	{"focus-to-conv", "dilated", picture("y").c("w", []int64{4, 12, 2, 2}).n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 2)).n("Conv", "f w", "y", ints("dilations", 2, 2)), "SpaceToDepth Conv"},
	{"focus-to-conv", "a shared weight", picture("y", "v").c("w", []int64{4, 12, 3, 3}).ints("i", 0, 1, 2, 2, 1, 0, 0, 1, 2, 2, 1, 0).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w", "v").n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 2)).n("Conv", "f w", "y"), "Gather Conv Conv"},

	{"slice-to-conv", "rows and columns, from 1 and 0", picture("y").n("Relu", "x", "r").cut("r", "a", 2, 1, end, 2).cut("a", "b", 3, 0, end, 2).n("Relu", "b", "y"), "Relu Conv Relu"},
	{"slice-to-conv", "in front of an output, step 3", tall().cut("x", "a", -2, 2, 100, 3).cut("a", "y", -1, -11, end, 3), "Conv"},
	{"slice-to-conv", "channels", picture("y").cut("x", "a", 1, 1, 3, 1).n("Relu", "a", "y"), "Conv Relu"},
	{"slice-to-conv", "channels backwards", picture("y").cut("x", "a", 1, -1, math.MinInt64, -1).n("Relu", "a", "y"), "Conv Relu"},
	{"slice-to-conv", "channels, opset 9", (&graph{input: []int64{1, 3, 8, 10}, output: []string{"y"}, opset: 9}).n("Slice", "x", "a", ints("axes", 1), ints("starts", 0), ints("ends", -1)).n("Relu", "a", "y"), "Conv Relu"},
	{"slice-to-conv", "channels and a stride", picture("y").cut("x", "a", 1, 0, 2, 1).cut("a", "b", 2, 0, end, 2).cut("b", "y", 3, 1, end, 2), "Conv"},
	{"slice-to-conv", "pairs and a Concat", picture("y").focus("x", "f", yolox[1:]...).n("Relu", "f", "y"), "Conv Relu"},
	{"slice-to-conv", "rows alone", picture("y").cut("x", "a", 2, 1, end, 2).n("Relu", "a", "y"), "Slice Relu"},
	{"slice-to-conv", "a frame", picture("y").cut("x", "a", 2, 1, 7, 1).n("Relu", "a", "y"), "Slice Relu"},
	{"slice-to-conv", "it starts behind the step", picture("y").cut("x", "a", 2, 2, end, 2).cut("a", "b", 3, 0, end, 2).n("Relu", "b", "y"), "Slice Slice Relu"},
	{"slice-to-conv", "it ends early", picture("y").cut("x", "a", 2, 0, 4, 2).cut("a", "b", 3, 0, end, 2).n("Relu", "b", "y"), "Slice Slice Relu"},
	{"slice-to-conv", "it takes all", picture("y").cut("x", "a", 1, 0, end, 1).n("Relu", "a", "y"), "Slice Relu"},
	{"slice-to-conv", "three dimensions", (&graph{input: []int64{1, 3, 8}, output: []string{"y"}}).cut("x", "a", 2, 0, end, 2).n("Relu", "a", "y"), "Slice Relu"},
	{"slice-to-conv", "integers", picture("y").n("Cast", "x", "i", onnx.IntAttr("to", int64(tensor.Int64))).cut("i", "a", 1, 0, 2, 1).n("Cast", "a", "y", onnx.IntAttr("to", int64(tensor.Float32))), "Cast Slice Cast"},

	{"split-concat-to-conv", "parts of two sizes, into the Conv", (&graph{input: []int64{1, 5, 6, 6}, output: []string{"y"}}).ints("n", 2, 3).c("w", []int64{4, 5, 3, 3}).n("Split", "x n", "a b", onnx.IntAttr("axis", 1)).n("Concat", "b a", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"split-concat-to-conv", "Slices, with constants between", picture("y").c("m", []int64{1, 3, 1, 1}, 1, 2, 3).c("w", []int64{4, 3, 3, 3}).cut("x", "a", 1, 0, 1, 1).cut("x", "b", 1, 1, end, 1).n("Concat", "b a", "z", onnx.IntAttr("axis", 1)).n("Mul", "z m", "q").n("Relu", "q", "r").n("Conv", "r w", "y"), "Mul Relu Conv"},
	{"split-concat-to-conv", "channels twice, into the Conv", picture("y").c("w", []int64{4, 5, 3, 3}).c("b", []int64{4}).cut("x", "a", 1, 0, 2, 1).n("Concat", "a x", "z", onnx.IntAttr("axis", 1)).n("Conv", "z w b", "y", ints("pads", 1, 1, 1, 1)), "Conv"},
	{"split-concat-to-conv", "a channel twice, not right in front of the Conv", picture("y").c("w", []int64{4, 4, 3, 3}).ints("i", 0, 2, 1, -1).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Relu", "z", "r").n("Conv", "r w", "y"), "Conv Relu Conv"},
	{"split-concat-to-conv", "a shuffle, into the Conv", (&graph{input: []int64{2, 6, 4, 5}, output: []string{"y"}}).c("w", []int64{4, 6, 1, 1}).unshuffle("x", "z", []int64{2, 2, 3, 4, 5}, []int64{0, 2, 1, 3, 4}, []int64{2, 6, 4, 5}).n("Conv", "z w", "y"), "Conv"},
	{"split-concat-to-conv", "a shuffle in front of a depthwise Conv", (&graph{input: []int64{2, 6, 4, 5}, output: []string{"y"}}).c("w", []int64{6, 1, 3, 3}).unshuffle("x", "z", []int64{2, 3, 2, 4, 5}, []int64{0, 2, 1, 3, 4}, []int64{2, 6, 4, 5}).n("Conv", "z w", "y", onnx.IntAttr("group", 6)), "Conv Conv"},
	{"split-concat-to-conv", "in front of an output", picture("y").n("Split", "x", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "b g r", "y", onnx.IntAttr("axis", 1)), "Conv"},
	{"split-concat-to-conv", "the order is as before", picture("y").n("Relu", "x", "v").n("Split", "v", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "r g b", "y", onnx.IntAttr("axis", 1)), "Relu"},
	{"split-concat-to-conv", "two orders behind each other", picture("y", "v").ints("i", 1, 2, 0).n("Gather", "x i", "z", onnx.IntAttr("axis", 1)).n("Relu", "z", "v").n("Split", "z", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "b g r", "q", onnx.IntAttr("axis", 1)).n("Sigmoid", "q", "y"), "Conv Relu Conv Sigmoid"},
	{"split-concat-to-conv", "a channel is not used", picture("y").n("Split", "x", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "g r", "y", onnx.IntAttr("axis", 1)), "Split Concat"},
	{"split-concat-to-conv", "of two tensors", picture("y").n("Relu", "x", "v").n("Split", "x", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "b g r v", "y", onnx.IntAttr("axis", 1)), "Relu Split Concat"},
	{"split-concat-to-conv", "a part is used elsewhere", picture("y", "v").n("Split", "x", "r g b", onnx.IntAttr("axis", 1)).n("Concat", "b g r", "y", onnx.IntAttr("axis", 1)).n("Relu", "g", "v"), "Split Concat Relu"},
	{"split-concat-to-conv", "rows", picture("y").n("Split", "x", "a b", onnx.IntAttr("axis", 2)).n("Concat", "b a", "y", onnx.IntAttr("axis", 2)), "Split Concat"},
}

// Not asked for by name, the pass makes no Conv that was not there, and says so.
func TestAnOrderOfChannelsBecomesAConvOfItsOwnOnlyWhenAsked(t *testing.T) {
	p, err := rewrite.Find("split-concat-to-conv")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range viewCases {
		if c.pass != p.Name {
			continue
		}
		m := c.model.model()
		e := env(t, m)
		e.Asked = false
		r, err := p.Run(m, e)
		if err != nil {
			t.Fatal(err)
		}
		before, after := strings.Count(ops(m), "Conv"), strings.Count(ops(r.Model), "Conv")
		asked, _ := apply(t, p, m)
		if after > before {
			t.Errorf("%s: %s", c.what, ops(r.Model))
		}
		if more := strings.Count(ops(asked), "Conv") > before; more != (len(r.Left) > 0) {
			t.Errorf("%s: %s when asked, but %v is left", c.what, ops(asked), r.Left)
		}
	}
}

// What somebody else needs keeps the operators, and is said.
func TestAFocusThatIsSharedIsLeftAndSaid(t *testing.T) {
	p, err := rewrite.Find("focus-to-conv")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range viewCases {
		said := map[string]string{
			"a Slice is used elsewhere": "used elsewhere", "a Slice is an output": "used elsewhere", "two Convs": "used elsewhere", "groups": "groups", "dilated": "dilated",
		}[c.what]
		if said == "" || c.pass != p.Name {
			continue
		}
		m := c.model.model()
		r, err := p.Run(m, env(t, m))
		if err != nil || len(r.Left) == 0 || !strings.Contains(r.Left[0], said) {
			t.Errorf("%s: %v %v", c.what, r.Left, err)
		}
	}
}

// A model's shapes are claims: whatever they are, no pass allocates by them, or fails.
func TestClaimedShapesAreNoReasonToAllocate(t *testing.T) {
	t.Parallel()
	huge := []int64{1, 1 << 16, 1 << 40, 1 << 40}
	doubled := picture("y").n("Relu", "x", "t0")
	for k := range 60 {
		doubled.n("Concat", fmt.Sprintf("t%[1]d t%[1]d", k), fmt.Sprintf("t%d", k+1), onnx.IntAttr("axis", 1))
	}
	for what, g := range map[string]*graph{
		"SpaceToDepth":       picture("y").n("SpaceToDepth", "x", "f", onnx.IntAttr("blocksize", 1<<40)),
		"SpaceToDepth twice": picture("y").n("SpaceToDepth", "x", "e", onnx.IntAttr("blocksize", 1<<15)).n("SpaceToDepth", "e", "f", onnx.IntAttr("blocksize", 1<<15)),
		"Slice":              picture("y").cut("x", "e", 2, math.MinInt64, math.MaxInt64, math.MinInt64).cut("e", "f", 3, math.MaxInt64, math.MinInt64, math.MaxInt64),
		"Slice by far":       picture("y").cut("x", "e", 2, 0, math.MaxInt64, 1<<16).cut("e", "f", 3, 0, math.MaxInt64, 1<<16),
		"Reshape":            picture("y").unshuffle("x", "f", []int64{1}, []int64{0}, []int64{1}),
		"Concat":             doubled.n("Relu", "t60", "f"),
	} {
		m := g.c("w", []int64{4, 3, 3, 3}).n("Conv", "f w", "y").model()
		for i := range rewrite.All {
			for _, shape := range [][]int64{nil, {}, {1, 1, 1, 1}, {1, 1, 2, 4, 2, 4}, {1, 2, 3, 4, 5}, huge} {
				e := rewrite.Env{Asked: true, Float: func(string) bool { return true }, Shapes: func(string) ([]int64, bool) { return shape, shape != nil }}
				if _, err := rewrite.All[i].Run(m, e); err != nil {
					t.Errorf("%s, %s, %v: %v", rewrite.All[i].Name, what, shape, err)
				}
			}
		}
	}
}

func TestYOLOXStemBecomesOneConv(t *testing.T) {
	r := fixture.Runtime(t)
	m, err := onnx.Load(fixture.Path(t, "models", "yolox_nano.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err = onnx.FixInputs(m, nil); err != nil {
		t.Fatal(err)
	}
	p, err := rewrite.Find("focus-to-conv")
	if err != nil {
		t.Fatal(err)
	}
	after, changes := apply(t, p, m)
	if len(changes) != 1 || strings.Contains(ops(after), "Slice") {
		t.Fatalf("%v: %s", changes, ops(after))
	}
	stem := after.Graph().GetNode()[0]
	shape := onnx.NewIndex(after).Initializer[stem.GetInput()[1]].GetDims()
	for name, want := range map[string][]int64{"kernel_shape": {6, 6}, "strides": {2, 2}, "pads": {2, 2, 2, 2}} {
		got := onnx.Attr(stem, name).GetInts()
		for d := range want {
			if len(got) != len(want) || got[d] != want[d] {
				t.Fatalf("%s is %v, want %v", name, got, want)
			}
		}
	}
	if stem.GetOpType() != "Conv" || stem.GetInput()[0] != "images" || len(shape) != 4 || shape[1] != 3 || shape[3] != 6 {
		t.Errorf("%v, weights %v", stem, shape)
	}
	a, b := outputs(t, r, m), outputs(t, r, after)
	worst, scale := 0.0, 0.0
	for name := range a {
		for i := range a[name] {
			worst, scale = math.Max(worst, math.Abs(float64(a[name][i]-b[name][i]))), math.Max(scale, math.Abs(float64(a[name][i])))
		}
	}
	t.Logf("outputs move by %.2g, of at most %.3g", worst, scale)
	near(t, a, b, 1e-4)
}
