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
	{"split-output", "the axis does not stay", parted("y").ints("shape", 3, -1).n("Reshape", "c shape", "y"), "Conv Conv Sigmoid Concat Reshape"},
	{"split-output", "something else reads the Concat", parted("y", "z").n("Identity", "c", "y").n("Relu", "c", "z"), "Conv Conv Sigmoid Concat Identity Relu"},
	{"split-output", "a Relu behind it", parted("y").n("Relu", "c", "y"), "Conv Conv Sigmoid Concat Relu"},
}

// joinsOf says which outputs a pass cuts.
func joinsOf(t testing.TB, p *rewrite.Pass, m *onnx.Model) []rewrite.Join {
	t.Helper()
	r, err := p.Run(m, env(t, m))
	if err != nil {
		t.Fatal(err)
	}
	return r.Joins
}

// join puts the outputs that were cut beside those of the model, whole again.
func join(t *testing.T, r ort.Engine, joins []rewrite.Join, m *onnx.Model, outputs map[string][]float32) {
	t.Helper()
	for _, j := range joins {
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
	joins := []rewrite.Join(nil)
	if p.Once {
		joins = joinsOf(t, p, m)
	}
	m, _ = apply(t, p, m)
	if len(joins) == 0 {
		return m, want
	}
	got := outputs(t, r, m)
	join(t, r, joins, m, got)
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
