package verdict

import (
	"math"
	"reflect"
	"slices"
	"testing"

	"quantcheck/internal/decode"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
)

func node(op string, inputs, outputs []string, attributes ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &op, Input: inputs, Output: outputs, Attribute: attributes}
}

func index(outputs []string, nodes ...*onnxpb.NodeProto) *onnx.Index {
	g := &onnxpb.GraphProto{Node: nodes}
	for _, o := range outputs {
		g.Output = append(g.Output, onnx.Untyped(o))
	}
	return onnx.NewIndex(&onnx.Model{Proto: &onnxpb.ModelProto{Graph: g}})
}

func known(m map[string][]int64) Shapes {
	return func(name string) ([]int64, bool) { s, ok := m[name]; return s, ok }
}

func perm(p ...int64) *onnxpb.AttributeProto {
	name := "perm"
	return &onnxpb.AttributeProto{Name: &name, Ints: p}
}

// The head of a YOLO: boxes and scores, each moved about, in one Concat that is transposed.
func TestSourcesAreFoundThroughWhatOnlyMovesElements(t *testing.T) {
	x := index([]string{"out"},
		node("Mul", []string{"a"}, []string{"boxes"}), node("Sigmoid", []string{"b"}, []string{"scores"}),
		node("Reshape", []string{"scores", "shape"}, []string{"flat"}),
		node("Concat", []string{"boxes", "flat"}, []string{"joined"}, onnx.IntAttr("axis", 1)),
		node("Transpose", []string{"joined"}, []string{"out"}, perm(0, 2, 1)))
	shapes := known(map[string][]int64{"boxes": {1, 2, 3}, "scores": {1, 1, 3, 1}, "flat": {1, 1, 3}, "joined": {1, 3, 3}, "out": {1, 3, 3}})
	l := layoutOf(x, shapes, "out", []int64{1, 3, 3})
	if want := []int32{0, 0, 1, 0, 0, 1, 0, 0, 1}; !slices.Equal(l.of, want) || !slices.Equal(l.sources, []string{"boxes", "scores"}) {
		t.Errorf("%v %v", l.of, l.sources)
	}
}

func TestWhatIsNotKnownIsNotFollowed(t *testing.T) {
	x := index([]string{"out"}, node("Concat", []string{"a", "b"}, []string{"out"}, onnx.IntAttr("axis", 1)))
	for _, shapes := range []map[string][]int64{
		{"a": {1, 2}, "out": {1, 4}}, {"a": {1, 2}, "b": {1, 3}, "out": {1, 4}}, {"a": {1, -1}, "b": {1, 2}, "out": {1, 4}}, {"a": {1, 2}, "b": {1, 1}, "out": {1, 4}},
		{"a": {1 << 40}, "b": {1 << 40}, "out": {1, 4}},
	} {
		if l := layoutOf(x, known(shapes), "out", []int64{1, 4}); l.of != nil || len(l.sources) != 1 {
			t.Errorf("%v: %v %v", shapes, l.sources, l.of)
		}
	}
}

// Graphs that no library would load are no panic.
func TestDamagedGraphsAreNotFollowed(t *testing.T) {
	shapes := known(map[string][]int64{"a": {1, 2, 3}, "b": {1, 2, 3}, "out": {1, 6}})
	for _, n := range []*onnxpb.NodeProto{
		node("Identity", nil, []string{"out"}), node("Concat", nil, []string{"out"}), node("Transpose", []string{"a"}, []string{"out"}, perm(0, 1, 7)),
		node("Transpose", []string{"a"}, []string{"out"}, perm(0, 0, 0)), node("Transpose", []string{"a"}, []string{"out"}, perm(0)), node("Transpose", []string{"nowhere"}, []string{"out"}),
		node("Concat", []string{"a", "b"}, []string{"out"}, onnx.IntAttr("axis", 9)), node("Concat", []string{"a", "b"}, []string{"out"}, onnx.IntAttr("axis", -9)), node("Identity", []string{"out"}, []string{"out"}),
	} {
		x := index([]string{"out"}, n)
		if l := layoutOf(x, shapes, "out", []int64{1, 6}); len(l.sources) != 1 {
			t.Errorf("%v: %v", n, l.sources)
		}
		_ = maker(x, "out")
	}
}

func TestTransposeIsNumPys(t *testing.T) {
	in := []int32{0, 1, 2, 3, 4, 5}
	if got := transpose(in, []int64{1, 2, 3}, []int64{2, 0, 1}); !slices.Equal(got, []int32{0, 3, 1, 4, 2, 5}) {
		t.Error(got)
	}
	if got := transpose(in, []int64{2, 3}, []int64{0, 1}); !slices.Equal(got, in) {
		t.Error(got)
	}
}

func TestChannelsAreGroupedWhereRangesJump(t *testing.T) {
	for _, c := range []struct {
		ranges []float64
		want   [][]int
	}{
		{[]float64{640, 500, 100, 0.9, 0.2, 0}, [][]int{{0, 1, 2}, {3, 4}}},
		{[]float64{1, 8, 64}, [][]int{{0, 1, 2}}}, // each is 8 times the other, none is more
		{[]float64{1, 8.1}, [][]int{{1}, {0}}},
		{[]float64{0, 0}, nil},
	} {
		if got := groups(c.ranges, unlike); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v", c.ranges, got)
		}
	}
	if got := Channels([]int{0, 1, 2, 5, 7, 8}); got != "0–2, 5, 7–8" {
		t.Error(got)
	}
}

// judge makes a plan of one output and adds samples, pairs of float's values and the variant's.
func judge(name, made string, dims []int64, e *quant.Encoding, samples ...[2][]float32) (*Gathered, *Plan) {
	x := index([]string{name}, node(made, []string{"x"}, []string{name}))
	p := New([]result.Layer{{Name: name, Output: true}}, x, known(map[string][]int64{name: dims}), "", decode.Settings{})
	g := p.Gather(len(samples), map[int]*quant.Encoding{0: e})
	for i, s := range samples {
		shapes := map[int][]int64{0: dims}
		float := p.Outputs(map[int][]float32{0: s[0]}, shapes)
		p.Float(float)
		g.Add(i, float, p.Outputs(map[int][]float32{0: s[1]}, shapes))
	}
	return g, p
}

// Boxes to 640 and scores to 0.3 share one encoding of steps of 2.5: all scores become 0.
func TestAPartThatIsLostDecides(t *testing.T) {
	float, got := make([]float32, 6*8), make([]float32, 6*8)
	for i := range float {
		if i < 4*8 {
			float[i] = float32(20 * i)
			got[i] = float32(math.Round(float64(float[i])/2.5) * 2.5)
		} else {
			float[i] = float32(i) / 160
		}
	}
	e := quant.Encoding{Bits: 8, Max: 637.5, Scale: 2.5}
	g, _ := judge("y", "Concat", []int64{1, 6, 8}, &e, [2][]float32{float, got}, [2][]float32{float, got})
	v := g.Conclude(2)
	if v.Grade != result.Bad || v.Basis != result.BySignal || len(v.Parts) != 2 {
		t.Fatalf("%+v", v)
	}
	p := v.Parts[0]
	if !slices.Equal(p.Channels, []int{4, 5}) || p.Dead != 1 || p.SQNR.Min.V != 0 || p.Elements != 16 || math.Abs(p.Steps.V-(float64(float[47])-0.2)/2.5) > 1e-6 {
		t.Errorf("%+v", p)
	}
	if q := v.Parts[1]; q.Dead != 0 || q.SQNR.Min.V < 40 {
		t.Errorf("%+v", q)
	}
	if !p.Rounding.OK || math.Abs(p.Rounding.V-1) > 1e-4 { // nothing but the encoding makes the noise
		t.Errorf("rounding makes %v of the noise", p.Rounding)
	}
	for i := 32; i < 48; i++ { // most of it comes from further up
		got[i] = float[i] + 1
	}
	g, _ = judge("y", "Concat", []int64{1, 6, 8}, &e, [2][]float32{float, got})
	if p := g.Conclude(1).Parts[0]; !slices.Equal(p.Channels, []int{4, 5}) || p.Rounding.V < 0.05 || p.Rounding.V > 0.1 {
		t.Errorf("%+v", p)
	}
}

// Places that a mask shuts have scores of e^−40, which are no part of their own, however far the variant is from them.
func TestChannelsThatSayNothingAreNoPart(t *testing.T) {
	for _, c := range []struct {
		shut  float32
		parts int
	}{{1e-14, 1}, {1e-4, 2}} {
		x, y := []float32{0.5, 0.3, 0.2, c.shut}, []float32{0.5, 0.3, 0.2, 0}
		g, _ := judge("y", "Mul", []int64{1, 4}, nil, [2][]float32{x, y})
		if v := g.Conclude(1); len(v.Parts) != c.parts || (v.Grade == result.Good) != (c.parts == 1) {
			t.Errorf("%g: %s, %+v", c.shut, v.Grade, v.Parts)
		}
	}
}

// Two decoders fit [1, N, 85] in which no box is. One is said to find none, and nothing is said as soon as a sample has boxes.
func TestADetectorThatFindsNothingIsSaidToFindNothing(t *testing.T) {
	dims := []int64{1, 42, 85} // 32 + 8 + 2 cells of 64 by 32 pixels
	rows := func(score float32) []float32 {
		x := make([]float32, 42*85)
		for r := range 42 {
			for k := range 85 {
				if x[r*85+k] = 0.3; k > 3 {
					x[r*85+k] = score
				}
			}
		}
		return x
	}
	settings := decode.SeedSettings()
	settings.Width, settings.Height = 64, 32
	for _, c := range []struct {
		second    float32
		undecided bool
	}{{0.01, true}, {0.9, false}} {
		x := index([]string{"output"}, node("Concat", []string{"a"}, []string{"output"}))
		p := New([]result.Layer{{Name: "output", Output: true}}, x, known(map[string][]int64{"output": dims}), "", settings)
		g := p.Gather(2, nil)
		for i, score := range []float32{0.01, c.second} {
			out := p.Outputs(map[int][]float32{0: rows(score)}, map[int][]int64{0: dims})
			p.Float(out)
			g.Add(i, out, out)
		}
		if v := g.Conclude(2); slices.Contains(v.Undecided, "boxes") != c.undecided || len(v.Decisions) != 0 {
			t.Errorf("%+v: undecided %v, decisions %+v", c, v.Undecided, v.Decisions)
		}
	}
}

func TestTheWorstSampleDecides(t *testing.T) {
	x := []float32{1, 2, 3, 4}
	g, _ := judge("y", "Mul", []int64{1, 4}, nil, [2][]float32{x, {1.0001, 2, 3, 4}}, [2][]float32{x, {1.4, 2, 3, 4}})
	if v := g.Conclude(2); v.Grade != result.Poor && v.Grade != result.Fair || v.Parts[0].SQNR.Worst != 1 {
		t.Errorf("%+v", v)
	}
	if v := g.Conclude(1); v.Grade != result.Good {
		t.Errorf("%+v", v)
	}
}

func TestDecisions(t *testing.T) {
	wide := func(v ...float32) []float32 { return append(v, make([]float32, 64-len(v))...) }
	for _, c := range []struct {
		name, made string
		dims       []int64
		samples    [][2][]float32
		kind       string
		share      float64
		grade      result.Grade
	}{
		{"p", "Softmax", []int64{1, 3}, [][2][]float32{{{0.1, 0.8, 0.1}, {0.2, 0.5, 0.3}}, {{0.6, 0.3, 0.1}, {0.3, 0.6, 0.1}}}, "top-1", 0.5, result.Bad},
		{"logits", "Gemm", []int64{1, 3}, [][2][]float32{{{1, 1.01, -3}, {2, 1.99, -3}}}, "top-1", 1, result.Fair}, // a near tie is kept; one decision alone leaves the signal a word
		{"logits", "Gemm", []int64{1, 3}, [][2][]float32{{{1, 5, -3}, {0, 0, 0}}}, "top-1", 0, result.Bad},         // a variant that says nothing
		{"m", "Sigmoid", []int64{1, 1, 8, 8}, [][2][]float32{{wide(1, 1, 1, 1), wide(1, 1, 0, 0)}}, "mask", 0.5, result.Bad},
		{"seg", "Conv", []int64{1, 2, 8, 8}, [][2][]float32{{append(wide(1, 1), wide(0, 0, 1)...), append(wide(1, 1), wide(0, 0, 1)...)}}, "classes", 1, result.Good},
		{"depth", "Relu", []int64{1, 1, 8, 8}, [][2][]float32{{wide(1, 2, 4, 8), wide(1, 2, 4, 16)}}, "depth", 0.75, result.Poor},
		{"landmarks", "Gemm", []int64{1, 4}, [][2][]float32{{{0, 0, 100, 0}, {0, 4, 100, 6}}}, "points", 0.5, result.Bad},
	} {
		g, _ := judge(c.name, c.made, c.dims, nil, c.samples...)
		v := g.Conclude(len(c.samples))
		if len(v.Decisions) != 1 || v.Decisions[0].Kind != c.kind || math.Abs(v.Decisions[0].Share().V-c.share) > 1e-9 || v.Grade != c.grade || v.Basis != result.ByDecisions {
			t.Errorf("%s %s: %+v", c.name, c.kind, v)
		}
	}
}

// An output is recognised by what it holds and by its shape, whatever it is named.
func TestWhatAnOutputIsRecognisedAs(t *testing.T) {
	ones := func(n int, v float32) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = v
		}
		return x
	}
	for _, c := range []struct {
		what, name, made string
		dims             []int64
		x                []float32
		kind             string
	}{
		{"a Softmax in parts", "target", "Div", []int64{1, 4}, []float32{0.1, 0.2, 0.3, 0.4}, "top-1"},
		{"a Softmax in parts that is sure", "target", "Div", []int64{1, 16}, append(ones(15, 0), 1), "top-1"},
		{"rows of such ones", "target", "Div", []int64{2, 4}, []float32{0.1, 0.2, 0.3, 0.4, 1, 0, 0, 0}, "top-1"},
		{"one of its rows sums to 2", "target", "Div", []int64{2, 4}, []float32{0.1, 0.2, 0.3, 0.4, 1, 1, 0, 0}, ""},
		{"one value is negative", "target", "Div", []int64{1, 3}, []float32{-0.5, 0.5, 1}, ""},
		{"unit length, of both signs", "target", "Div", []int64{1, 16}, append(ones(12, -0.25), ones(4, 0.25)...), "neighbours"},
		{"a probability for each of 40 moments", "speech_probs", "Sigmoid", []int64{40}, ones(40, 0.3), ""},
		{"scores with a batch axis", "scores", "Sigmoid", []int64{1, 40}, ones(40, 0.3), "top-1"},
		{"a map", "out", "Sigmoid", []int64{1, 16, 32}, ones(512, 0.9), "mask"},
		{"the scores of 475 anchors in 10 classes", "out", "Sigmoid", []int64{1, 475, 10}, ones(4750, 0.9), ""},
		{"turned", "out", "Sigmoid", []int64{1, 10, 475}, ones(4750, 0.9), ""},
		{"a slim map with its channel", "out", "Sigmoid", []int64{1, 1, 10, 475}, ones(4750, 0.9), "mask"},
	} {
		samples := [][2][]float32{{c.x, c.x}, {c.x, c.x}, {c.x, c.x}, {c.x, c.x}}
		g, _ := judge(c.name, c.made, c.dims, nil, samples...)
		v, kind := g.Conclude(len(samples)), ""
		if len(v.Decisions) == 1 {
			kind = v.Decisions[0].Kind
		}
		if kind != c.kind || len(v.Decisions) > 1 {
			t.Errorf("%s: %q, not %q", c.what, kind, c.kind)
		}
	}
}

// What the float model does not see is no decision, and the verdict says so.
func TestNothingToDecide(t *testing.T) {
	g, _ := judge("m", "Sigmoid", []int64{1, 1, 8, 8}, nil, [2][]float32{make([]float32, 64), make([]float32, 64)})
	if v := g.Conclude(1); len(v.Decisions) != 0 || !slices.Equal(v.Undecided, []string{"mask"}) || v.Basis != result.ByNothing {
		t.Errorf("%+v", v)
	}
}

func TestNearestNeighbours(t *testing.T) {
	row := func(angle float64) []float32 {
		v := make([]float32, 16)
		v[0], v[1] = float32(math.Cos(angle)), float32(math.Sin(angle))
		return v
	}
	var same, turned [][2][]float32
	for _, a := range []float64{0, 0.3, 2, 2.5, 4} {
		same = append(same, [2][]float32{row(a), row(a + 0.05)})
		turned = append(turned, [2][]float32{row(a), row(a + 1.6)})
	}
	for _, c := range []struct {
		samples [][2][]float32
		share   float64
	}{{same, 1}, {turned, 0}} {
		g, _ := judge("embedding", "Div", []int64{1, 16}, nil, c.samples...)
		v := g.Conclude(5)
		if len(v.Decisions) != 1 || v.Decisions[0].Kind != "neighbours" || c.share == 1 && v.Decisions[0].Share().V != 1 || c.share == 0 && v.Decisions[0].Share().V > 0.5 {
			t.Errorf("%+v", v.Decisions)
		}
	}
}

func TestBoxesOverTheBorderDecideNothing(t *testing.T) {
	box := func(x, score float32, class int) decode.Detection {
		return decode.Detection{Box: [4]float32{x, 0, x + 10, 10}, Score: score, Class: class}
	}
	c := compareBoxes([]decode.Detection{box(0, 0.26, 1), box(100, 0.9, 1), box(200, 0.8, 2), box(300, 0.5, 1)},
		[]decode.Detection{box(0, 0.21, 1), box(103, 0.9, 1), box(200, 0.8, 3), box(400, 0.6, 1), box(500, 0.22, 1)}, 0.25)
	if c.boxes != 5 || c.moved != 1 || c.other != 1 || c.lost != 1 || c.new != 1 {
		t.Errorf("%+v", c)
	}
	if want := (0.26*0.26 + 0.81/2) / (0.26*0.26 + 0.81 + 0.64 + 0.25 + 0.36); math.Abs(c.kept/c.of-want) > 1e-6 {
		t.Errorf("%v, not %v", c.kept/c.of, want)
	}
}

// What is written and read back concludes the same.
func TestCodeRoundTrip(t *testing.T) {
	samples := [][2][]float32{{{0.1, 0.8, 0.1}, {0.2, 0.5, 0.3}}, {{0.6, 0.3, 0.1}, {0.3, 0.6, 0.1}}}
	g, p := judge("p", "Softmax", []int64{1, 3}, nil, samples...)
	w := resume.NewWriter()
	p.Code(w)
	g.Code(w, 2)
	q := New([]result.Layer{{Name: "p", Output: true}}, index([]string{"p"}, node("Softmax", nil, []string{"p"})), known(map[string][]int64{"p": {1, 3}}), "", decode.Settings{})
	again := q.Gather(2, nil)
	r := resume.NewReader(w.Data())
	q.Code(r)
	again.Code(r, 2)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if a, b := g.Conclude(2), again.Conclude(2); !reflect.DeepEqual(a, b) {
		t.Errorf("%+v\n%+v", a, b)
	}
	for cut := range w.Data() { // a state that ends early is an error, never a panic
		r := resume.NewReader(w.Data()[:cut])
		half := New([]result.Layer{{Name: "p", Output: true}}, index([]string{"p"}, node("Softmax", nil, []string{"p"})), known(map[string][]int64{"p": {1, 3}}), "", decode.Settings{})
		half.Code(r)
		half.Gather(2, nil).Code(r, 2)
		if r.Close() == nil {
			t.Errorf("%d of %d bytes are taken for the whole", cut, len(w.Data()))
		}
	}
}

func TestCoverage(t *testing.T) {
	inner := node("MatMul", []string{"a", "b"}, []string{"z"})
	branch := &onnxpb.AttributeProto{Name: new(string), G: &onnxpb.GraphProto{Node: []*onnxpb.NodeProto{inner}}}
	x := index([]string{"y"},
		node("Conv", []string{"x", "w"}, []string{"c"}), node("Relu", []string{"c"}, []string{"r"}), node("Softplus", []string{"r"}, []string{"s"}),
		node("If", []string{"k"}, []string{"y"}, branch))
	layers := []result.Layer{{Name: "c"}, {Name: "r"}, {Name: "s"}, {Name: "y"}}
	of := []result.LayerResult{{Status: result.Fused}, {Status: result.Compared, Encoding: &quant.Encoding{}}, {Status: result.NotQuantized}, {Status: result.NotQuantized}}
	shapes := known(map[string][]int64{"x": {1, 1, 4, 4}, "w": {1, 1, 3, 3}, "c": {1, 1, 2, 2}})
	if c := Cover(x, layers, of, shapes); c.Operators != 2 || c.OperatorsOf != 5 || c.MultiplyAddOf != 0 || c.Share() != 0.4 {
		t.Errorf("%+v", c)
	}
	x = index([]string{"s"}, x.Nodes[:3]...)
	if c := Cover(x, layers, of, shapes); c.Operators != 2 || c.OperatorsOf != 3 || c.MultiplyAdds != 36 || c.MultiplyAddOf != 36 {
		t.Errorf("%+v", c)
	}
}

// Every kind has its words.
func TestEveryKindIsDescribed(t *testing.T) {
	for _, k := range Kinds {
		if k.What == "" || k.Recognised == "" || k.Kept == "" || k.Nothing == "" || k.blank().kind() != k.Name || KindOf(k.Name).Kept != k.Kept {
			t.Errorf("%+v", k)
		}
	}
}
