package rewrite_test

import (
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/onnx"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
)

// parted begins a graph with two parts, of 2 and 4 channels, in one Concat.
func parted(outputs ...string) *graph {
	return picture(outputs...).c("w", []int64{2, 3, 1, 1}).c("v", []int64{4, 3, 1, 1}).n("Conv", "x w", "/head/box").n("Conv", "x v", "t").n("Sigmoid", "t", "s").n("Concat", "/head/box s", "c", axis(1))
}

var splitCases = []passCase{
	{"split-output", "the Concat is the output", parted("c"), "Conv Conv Sigmoid"},
	{"split-output", "a Transpose behind it", parted("y").n("Transpose", "c", "y", ints("perm", 0, 2, 3, 1)), "Conv Conv Sigmoid Transpose Transpose"},
	{"split-output", "Reshape, Transpose without perm, Unsqueeze", parted("y").ints("shape", 1, 6, -1).ints("front", 0).n("Reshape", "c shape", "r").n("Transpose", "r", "z").n("Unsqueeze", "z front", "y"), "Conv Conv Sigmoid Reshape Transpose Reshape Reshape Transpose Reshape"},
	{"split-output", "one part is read elsewhere, one twice, one is the input", picture("y", "z").n("Relu", "x", "r").n("Concat", "r x r", "y", axis(-3)).n("Neg", "r", "z"), "Relu Identity Identity Neg"},
	{"split-output", "two outputs", parted("c", "d").n("Concat", "s s", "d", axis(2)), "Conv Conv Sigmoid Identity Identity"},
	{"split-output", "how long the parts are is not known", picture("y").n("NonZero", "x", "i").n("Cast", "i", "f", onnx.IntAttr("to", 1)).n("Relu", "f", "r").n("Neg", "f", "g").n("Concat", "r g", "y", axis(0)), "NonZero Cast Relu Neg"},
	{"split-output", "the axis does not stay", parted("y").ints("shape", 3, -1).n("Reshape", "c shape", "y"), "Conv Conv Sigmoid Concat Reshape"},
	{"split-output", "something else reads the Concat", parted("y", "z").n("Identity", "c", "y").n("Relu", "c", "z"), "Conv Conv Sigmoid Concat Identity Relu"},
	{"split-output", "a Relu behind it", parted("y").n("Relu", "c", "y"), "Conv Conv Sigmoid Concat Relu"},
}

// scaleCases have boxes of 0..20 and scores of 0..1, as headSpan says.
var scaleCases = []passCase{
	{"scale-boxes", "a Mul makes the boxes", detector("y").c("stride", []int64{1}, 8).n("Mul", "t stride", "box").n("Concat", "box scores", "y", axis(1)), "Conv Conv Sigmoid Mul Concat"},
	{"scale-boxes", "a Mul is added, a Transpose behind the Concat", detector("y").n("Relu", "t", "box").n("Concat", "scores box", "c", axis(1)).n("Transpose", "c", "y", ints("perm", 0, 2, 3, 1)), "Conv Conv Sigmoid Relu Mul Concat Transpose"},
	{"scale-boxes", "no scores", detector("y").n("Relu", "t", "box").n("Concat", "t box", "y", axis(1)), "Conv Conv Sigmoid Relu Concat"},
	{"scale-boxes", "no boxes", detector("y").n("Concat", "scores scores", "y", axis(1)), "Conv Conv Sigmoid Concat"},
}

func detector(outputs ...string) *graph {
	return picture(outputs...).c("w", []int64{4, 3, 1, 1}).c("v", []int64{2, 3, 1, 1}).n("Conv", "x w", "t").n("Conv", "x v", "u").n("Sigmoid", "u", "scores")
}

// headSpan gives tensors of a detector's head what they range over in samples.
func headSpan(name string, s rewrite.Span) rewrite.Span {
	switch name {
	case "box":
		return rewrite.Span{Low: []float64{0, 0, 0, 0}, High: []float64{20, 20, 20, 20}}
	case "scores":
		return rewrite.Span{Low: []float64{0, 0}, High: []float64{1, 1}}
	}
	return s
}

func TestTheFactorOfBoxesIsInTheMetadata(t *testing.T) {
	p, err := rewrite.Find("scale-boxes")
	if err != nil {
		t.Fatal(err)
	}
	after, _ := apply(t, p, scaleCases[0].model.model())
	stride, _ := after.Tensor(onnx.NewIndex(after).Initializer["stride"])
	if got := after.Property(rewrite.BoxScaleKey); got != "10" || stride.F32[0] != 0.8 {
		t.Errorf("factor %q, stride %v", got, stride.F32)
	}
	if again, changes := apply(t, p, after); len(changes) > 0 || again != after {
		t.Errorf("a second run changes %v", changes)
	}
}

// resultOf says what a pass does to the outputs.
func resultOf(t testing.TB, p *rewrite.Pass, m *onnx.Model) *rewrite.Result {
	t.Helper()
	r, err := p.Run(m, env(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// join puts the outputs that were cut beside those of the model, whole again, and multiplies what was divided.
func join(t *testing.T, r ort.Engine, done *rewrite.Result, m *onnx.Model, outputs map[string][]float32) {
	t.Helper()
	for _, c := range done.Scales {
		whole, err := c.Tensor(tensorsOf(t, r, m)[c.Output])
		if err != nil {
			t.Fatal(err)
		}
		outputs[c.Output] = whole.F32
	}
	for _, j := range done.Joins {
		whole, err := j.Tensor(tensorsOf(t, r, m))
		if err != nil {
			t.Fatal(err)
		}
		outputs[j.Output] = whole.F32
	}
}

// applyJoined runs a pass and gives the model with the outputs that it has to have. Those that are cut are held against the old ones here.
func applyJoined(t *testing.T, r ort.Engine, p *rewrite.Pass, m *onnx.Model, want map[string][]float32) (*onnx.Model, map[string][]float32) {
	t.Helper()
	done := &rewrite.Result{}
	if p.Once {
		done = resultOf(t, p, m)
	}
	m, _ = apply(t, p, m)
	if len(done.Joins)+len(done.Scales) == 0 {
		return m, want
	}
	got := outputs(t, r, m)
	join(t, r, done, m, got)
	near(t, want, got, 2e-3)
	return m, outputs(t, r, m)
}

func TestOutputsAreCutWhereRangesAreUnlike(t *testing.T) {
	p, err := rewrite.Find(rewrite.SplitOutput)
	if err != nil {
		t.Fatal(err)
	}
	m := parted("c").model()
	spans := func(box, score float64) func([]string) (map[string]rewrite.Span, error) {
		return func([]string) (map[string]rewrite.Span, error) {
			return map[string]rewrite.Span{"/head/box": {Low: []float64{0, 5}, High: []float64{1, box}}, "s": {Low: []float64{0}, High: []float64{score}}}, nil
		}
	}
	for _, c := range []struct {
		what  string
		spans func([]string) (map[string]rewrite.Span, error)
		asked bool
		left  string
	}{
		{"boxes in pixels", spans(640, 1), false, ""},
		{"like ranges", spans(8, 1), false, "go from 1 to 8"},
		{"like ranges, asked for", spans(8, 1), true, ""},
		{"no samples", nil, false, "give samples (--verify-on)"},
		{"no samples, asked for", nil, true, ""},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := env(t, m)
			e.Spans, e.Asked = c.spans, c.asked
			got, err := p.Run(m, e)
			if err != nil {
				t.Fatal(err)
			}
			if left := strings.Join(got.Left, "; "); !strings.Contains(left, c.left) || (c.left == "") != (len(got.Joins) == 1) {
				t.Fatalf("left %q, joins %v", left, got.Joins)
			}
			if c.left == "" && (!slices.Equal(got.Joins[0].Parts, []string{"c_head_box", "c_s"}) || got.Joins[0].Axis != 1 || !slices.Equal(got.Model.Outputs(), got.Joins[0].Parts)) {
				t.Errorf("%+v, outputs %v", got.Joins, got.Model.Outputs())
			}
		})
	}
}
