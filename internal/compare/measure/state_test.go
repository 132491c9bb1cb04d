package measure

import (
	"bytes"
	"testing"

	"quantcheck/internal/compare/judge"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
)

// stateSamples is how many samples the comparison of these tests has.
const stateSamples = 4

// blank is a comparison that has not begun: two variants, an emulation and its simulation, of two layers, one of which the second lacks.
func blank() *comparison {
	run := &result.Run{Layers: make([]result.Layer, 2), Samples: []result.Sample{}}
	b := &session.Session{Run: run}
	b.Options.LocalSamples = 1
	c := &comparison{b: b, index: map[string]int{}}
	for i := range 2 {
		v := result.Variant{Counterpart: -1, Layers: []result.LayerResult{{Status: result.Compared}, {Status: result.Compared}}}
		if i == 1 {
			v.Counterpart, v.Emulator = 0, &result.Emulator{}
			v.Layers[1].Status = result.NotComparable
		}
		run.Variants = append(run.Variants, v)
	}
	b.Variants = session.Of(make([]variant.Spec, 2))
	for i, v := range b.Variants {
		v.Result = &run.Variants[i]
		c.add(v, stateSamples)
	}
	c.findCounterparts()
	m := &onnx.Model{Proto: &onnxpb.ModelProto{Graph: &onnxpb.GraphProto{}}}
	b.Float = &model.Float{Model: m, Index: onnx.NewIndex(m)}
	var err error
	if c.judge, err = judge.New(b, stateSamples); err != nil {
		panic(err)
	}
	c.settle(0)
	return c
}

// begun is such a comparison after two of its samples.
func begun() *comparison {
	c := blank()
	run := c.b.Run
	value := func(v float64) *metric.Values { return &metric.Values{metric.SQNR: metric.Defined(v)} }
	for n, name := range []string{"a", "b"} {
		run.Samples = append(run.Samples, result.Sample{Name: name})
		for i := range run.Variants {
			c.variants[i].values[0][n] = value(float64(n))
			checks := c.variants[i].checks
			checks["x"] = append(checks["x"], checked{n, value(1), nil, 0.5})
		}
		c.variants[1].emulation[0].values[n] = value(3)
	}
	run.Warnings = append(run.Warnings, "a warning")
	run.Variants[0].Layers[0].Histogram = &result.Histogram{Min: -1, Max: 1, Float: []int{1, 2}, Variant: []int{2, 1}}
	run.Variants[1].Emulator.Taps = "exposed"
	c.variants[0].problems[1] = []problem{{sample: 1, reason: "empty"}}
	c.settle(2)
	return c
}

func stateOf(c *comparison) []byte {
	w := resume.NewWriter()
	c.code(w)
	return bytes.Clone(w.Data())
}

// A state of a comparison that was changed is an error or a comparison that goes on and is concluded; it is never a panic, and takes no
// more memory than its bytes allow.
func FuzzComparisonStates(f *testing.F) {
	f.Add(stateOf(blank()))
	f.Add(stateOf(begun()))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := blank()
		r := resume.NewReader(data)
		if c.code(r); r.Close() != nil {
			return
		}
		if n := len(c.b.Run.Samples); n > stateSamples || c.done.sources > stateSamples || c.done.first > c.done.sources || n > c.done.sources {
			t.Fatalf("%d samples of %d sources, the first behind %d", n, c.done.sources, c.done.first)
		}
		again := blank()
		r = resume.NewReader(stateOf(c))
		if again.code(r); r.Close() != nil {
			t.Fatalf("what was read and written is not read: %v", r.Err())
		}
		c.conclude()
	})
}

// TestAStateOfAnotherComparisonIsRefused forges states that are well formed and say what this comparison does not have.
func TestAStateOfAnotherComparisonIsRefused(t *testing.T) {
	t.Parallel()
	for name, forge := range map[string]func(*comparison){
		"more samples than sources": func(c *comparison) { c.done.sources = 1 },
		"more sources than there":   func(c *comparison) { c.done.sources = stateSamples + 1 },
		"first sample behind all":   func(c *comparison) { c.done.first = 3 },
		"other variants": func(c *comparison) {
			c.b.Run.Variants, c.variants, c.done.inARow = c.b.Run.Variants[:1], c.variants[:1], c.done.inARow[:1]
		},
		"other layers":           func(c *comparison) { c.b.Run.Layers = c.b.Run.Layers[:1] },
		"a layer without values": func(c *comparison) { c.b.Run.Variants[0].Layers[1].Status = result.NotComparable },
		"a negative sample":      func(c *comparison) { c.variants[0].checks["x"][0].sample = -1 },
		"a histogram":            func(c *comparison) { c.b.Run.Variants[0].Layers[0].Histogram.Float = nil },
	} {
		c := begun()
		forge(c)
		r := resume.NewReader(stateOf(c))
		got := blank()
		if got.code(r); r.Close() == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	r := resume.NewReader(stateOf(begun()))
	c := blank()
	if c.code(r); r.Close() != nil || len(c.b.Run.Samples) != 2 || c.variants[1].values[0][1] == nil || c.b.Run.Variants[1].Emulator.Taps != "exposed" {
		t.Errorf("%v %+v", r.Err(), c.b.Run)
	}
}
