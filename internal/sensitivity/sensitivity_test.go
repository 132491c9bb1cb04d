package sensitivity_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"quantcheck/internal/calib"
	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/sensitivity"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// bench is a float model with its quantizers and samples.
type bench struct {
	r       ort.Engine
	m       *onnx.Model
	types   map[string]onnxruntime.Type
	p       *qdq.Placement
	stats   *calib.Statistics
	built   *qdq.Built
	samples []map[string]tensor.Tensor
}

func prepare(t *testing.T, m *onnx.Model, samples []map[string]tensor.Tensor) *bench {
	t.Helper()
	b := &bench{r: fixture.Runtime(t), samples: samples, stats: calib.NewStatistics(false)}
	m, _, err := onnx.FixInputs(m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.m, _, b.types, err = ort.Fold(t.Context(), b.r, m); err != nil {
		t.Fatal(err)
	}
	b.p = qdq.Find(b.m, func(name string) bool { return b.types[name].DType == tensor.Float32 })
	x := onnx.NewIndex(b.m)
	taps := slices.DeleteFunc(slices.Clone(b.p.Order), func(name string) bool { return x.Input[name] })
	for _, s := range samples {
		for name, v := range s {
			b.stats.Observe(name, v)
		}
		for name, v := range b.run(t, b.m, s, taps...) {
			b.stats.Observe(name, v)
		}
	}
	b.built = b.build(t, "w8a8", variant.CPU)
	return b
}

func (b *bench) build(t *testing.T, recipe string, engine variant.Engine) *qdq.Built {
	t.Helper()
	spec, err := variant.Parse(recipe)
	if err != nil {
		t.Fatal(err)
	}
	spec.Engine = engine
	built, err := qdq.Build(b.m, b.p, spec, b.stats.Activation)
	if err != nil {
		t.Fatal(err)
	}
	return built
}

// run gives tensors of a whole model on a sample.
func (b *bench) run(t *testing.T, m *onnx.Model, sample map[string]tensor.Tensor, taps ...string) map[string]tensor.Tensor {
	t.Helper()
	r, err := ort.New(b.r, m, ort.Options{Taps: taps})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f := r.Start(runner.Sample{Inputs: sample})
	defer f.Close()
	batch, err := f.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	values := map[string]tensor.Tensor{}
	for _, tap := range batch.Taps {
		values[tap.Name] = tap.Tensor.Clone()
	}
	return values
}

func (b *bench) options(candidates []sensitivity.Candidate) sensitivity.Options {
	return sensitivity.Options{
		Float: b.m, Types: b.types, Quantized: b.built, Candidates: candidates, Samples: len(b.samples),
		Sample: func(_ context.Context, i int) (map[string]tensor.Tensor, error) { return b.samples[i], nil },
	}
}

func (b *bench) examine(t *testing.T, o sensitivity.Options) *sensitivity.Results {
	t.Helper()
	res, err := sensitivity.Run(t.Context(), b.r, o)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// oracle is the simple way: a whole model, run as it stands, against the whole float model.
func (b *bench) oracle(t *testing.T, m *onnx.Model, taps map[string]string, outputs []string) float64 {
	t.Helper()
	signal, noise := 0.0, 0.0
	for _, s := range b.samples {
		for _, out := range outputs {
			tap := out
			if to := taps[out]; to != "" {
				tap = to
			}
			x, y := b.run(t, b.m, s, out)[out].F32, b.run(t, m, s, tap)[tap].F32
			for i := range x {
				d := float64(x[i]) - float64(y[i])
				signal, noise = signal+float64(x[i])*float64(x[i]), noise+d*d
			}
		}
	}
	return 10 * math.Log10(signal/noise)
}

// alone builds the model with one activation's quantizer, or none and all constants.
func (b *bench) alone(t *testing.T, tensor string, params []qdq.Param) *qdq.Built {
	t.Helper()
	p := *b.p
	p.Params = params
	spec, _ := variant.Parse("w8a8")
	built, err := qdq.Build(b.m, &p, spec, func(name string, _ variant.Spec) (quant.Encoding, bool) {
		return b.built.Encodings[name], name == tensor
	})
	if err != nil {
		t.Fatal(err)
	}
	return built
}

func node(op string, inputs []string, outputs ...string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &op, Input: inputs, Output: outputs}
}

// toy is a graph with branches, a skip connection, a join, fused and moved tensors, and two outputs.
func toy(t *testing.T) (*onnx.Model, []map[string]tensor.Tensor) {
	t.Helper()
	rng := rand.New(rand.NewPCG(11, 12))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	g := &onnxpb.GraphProto{Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 4, 6, 6})}}
	from := "x"
	for i := range 10 {
		w, bias := fmt.Sprintf("w%d", i), fmt.Sprintf("b%d", i)
		g.Initializer = append(g.Initializer, onnx.TensorProto(w, tensor.Floats(random(16), 4, 4, 1, 1)), onnx.TensorProto(bias, tensor.Floats(random(4), 4)))
		c, s, y := fmt.Sprintf("c%d", i), fmt.Sprintf("s%d", i), fmt.Sprintf("y%d", i)
		switch i % 3 {
		case 0:
			g.Node = append(g.Node, node("Conv", []string{from, w, bias}, c), node("Relu", []string{c}, y))
		case 1:
			g.Node = append(g.Node, node("Conv", []string{from, w, bias}, c), node("Sigmoid", []string{c}, s), node("Mul", []string{c, s}, y))
		default:
			g.Node = append(g.Node, node("Conv", []string{from, w, bias}, c), node("Tanh", []string{c}, s), node("Add", []string{from, s}, y))
		}
		from = y
	}
	cat := node("Concat", []string{"y9", "y4"}, "cat")
	cat.Attribute = append(cat.Attribute, onnx.IntAttr("axis", 1))
	shape := tensor.Tensor{DType: tensor.Int64, Shape: []int64{2}, Raw: []byte{1, 0, 0, 0, 0, 0, 0, 0, 144, 0, 0, 0, 0, 0, 0, 0}}
	g.Initializer = append(g.Initializer, onnx.TensorProto("shape", shape))
	g.Node = append(g.Node, cat, node("Reshape", []string{"y7", "shape"}, "flat"), node("Softmax", []string{"flat"}, "side"))
	g.Output = []*onnxpb.ValueInfoProto{onnx.Untyped("cat"), onnx.Untyped("side")}
	ir, domain, version := int64(8), "", int64(13)
	m := (&onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: &ir, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: &domain, Version: &version}}}}).With(g)
	var samples []map[string]tensor.Tensor
	for range 3 {
		samples = append(samples, map[string]tensor.Tensor{"x": tensor.Floats(random(144), 1, 4, 6, 6)})
	}
	return m, samples
}

// near is how far the engine may be from the oracle, dB: float blocks are rewritten by the library, which rounds otherwise;
// the less noise there is, the more of it is that.
const near = 0.02

func TestEachQuantizerAloneIsWhatTheWholeModelGives(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	b := prepare(t, m, samples)
	outputs := []string{"cat", "side"}
	candidates := sensitivity.Activations(b.p)
	weights := sensitivity.Weights(b.m, b.p)
	res := b.examine(t, b.options(slices.Concat(candidates, weights)))
	if len(candidates) < 20 || len(weights) != 10 {
		t.Fatalf("%d activations, %d weights", len(candidates), len(weights))
	}
	for i, c := range candidates {
		one := b.alone(t, c.Name, nil)
		compare(t, c.Name, res.List[i], b.oracle(t, one.Model, one.Taps, outputs))
	}
	for i, c := range weights {
		var params []qdq.Param
		for _, q := range b.p.Params {
			if slices.Contains(c.Params, [2]int{q.Node, q.Input}) {
				params = append(params, q)
			}
		}
		compare(t, "weight of "+c.Name, res.List[len(candidates)+i], b.weightsAlone(t, params, outputs))
	}
	if !math.IsInf(res.Base.SQNR.V, 1) {
		t.Errorf("the float model against itself: %v", res.Base.SQNR)
	}
}

// weightsAlone writes constants' rounded values into the float model: by the encodings, not by the model that holds them.
func (b *bench) weightsAlone(t *testing.T, params []qdq.Param, outputs []string) float64 {
	t.Helper()
	x := onnx.NewIndex(b.m)
	var inits []*onnxpb.TensorProto
	for _, q := range params {
		name := x.Nodes[q.Node].GetInput()[q.Input]
		values, err := b.m.Tensor(x.Initializer[name])
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(b.built.Params, func(p qdq.ParamEncoding) bool { return p.Tensor == name })
		list := b.built.Params[at].Encodings
		rounded := slices.Clone(values.F32)
		for i := range rounded {
			rounded[i] = fake(list[i*len(list)/len(rounded)], rounded[i])
		}
		inits = append(inits, onnx.TensorProto(name, tensor.Floats(rounded, values.Shape...)))
	}
	return b.oracle(t, onnx.Rebuild(b.m, x.Nodes, inits...), nil, outputs)
}

// fake rounds as the integers' own types do.
func fake(e quant.Encoding, v float32) float32 {
	scale := float64(float32(e.Scale))
	q := math.RoundToEven(float64(v) / scale)
	return float32(math.Min(math.Max(q, float64(e.Offset)), float64(quant.Levels(e.Bits)+e.Offset)) * scale)
}

func compare(t *testing.T, name string, got sensitivity.Result, want float64) {
	t.Helper()
	if got.Reason != "" || !got.SQNR.OK {
		t.Errorf("%s: %+v", name, got)
		return
	}
	if d := math.Abs(got.SQNR.V - want); d > near+0.002*max(want-50, 0) && !(math.IsInf(want, 1) && got.SQNR.V > 120) && want < 100 {
		t.Errorf("%s: %.4f dB, the whole model gives %.4f", name, got.SQNR.V, want)
	}
}

func TestEachQuantizerRaisedIsWhatTheWholeModelGives(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	b := prepare(t, m, samples)
	outputs := []string{"cat", "side"}
	high := b.build(t, "w8a16", variant.CPU)
	for name, raised := range map[string]*qdq.Built{"to 16 bits": high, "to float": nil} {
		o := b.options(sensitivity.Activations(b.p))
		o.Question, o.Raised = sensitivity.Rest, raised
		res := b.examine(t, o)
		if want := b.oracle(t, b.built.Model, b.built.Taps, outputs); math.Abs(res.Base.SQNR.V-want) > near {
			t.Errorf("everything quantized: %v, want %.4f", res.Base.SQNR, want)
		}
		for _, got := range res.List {
			spec, _ := variant.Parse("w8a8")
			built, err := qdq.Build(b.m, b.p, spec, func(tensor string, _ variant.Spec) (quant.Encoding, bool) {
				switch {
				case tensor != got.Candidate.Name:
					return b.built.Encodings[tensor], true
				case raised != nil:
					return raised.Encodings[tensor], true
				}
				return quant.Encoding{}, false
			})
			if err != nil {
				t.Fatal(err)
			}
			if got.Candidate.Name == "cat" || len(b.p.Tensors[got.Candidate.Name].Joins) > 0 {
				continue // Build makes a join's encoding of its parts'
			}
			want := b.oracle(t, built.Model, built.Taps, outputs)
			if d := math.Abs(got.SQNR.V - want); d > 0.25 { // biases have the scale of their input, which changes there
				t.Errorf("%s %s: %.4f dB, the whole model gives %.4f", got.Candidate.Name, name, got.SQNR.V, want)
			}
		}
	}
}

func TestWhatIsChosenAlreadyStays(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	b := prepare(t, m, samples)
	spec, _ := variant.Parse("w8a8")
	spec.Choices = variant.Choices{"y3": {Bits: 16}, "y4": {Float: true}}
	var err error
	if b.built, err = qdq.Build(b.m, b.p, spec, b.stats.Activation); err != nil {
		t.Fatal(err)
	}
	o := b.options(slices.Concat(sensitivity.Activations(b.p), sensitivity.Weights(b.m, b.p)))
	o.Question, o.Raised = sensitivity.Rest, b.build(t, "w8a16", variant.CPU)
	res := b.examine(t, o)
	if want := b.oracle(t, b.built.Model, b.built.Taps, []string{"cat", "side"}); math.Abs(res.Base.SQNR.V-want) > near {
		t.Errorf("everything as chosen: %v, want %.4f", res.Base.SQNR, want)
	}
	for _, r := range res.List {
		if !r.SQNR.OK && r.Reason == "" || r.Candidate.Name == "y3" && r.SQNR != res.Base.SQNR {
			t.Errorf("%+v", r)
		}
	}
}

func TestResultsDependNeitherOnMemoryNorOnWorkers(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	for range 40 {
		_, more := toy(t)
		samples = append(samples, more...)
	}
	b := prepare(t, m, samples)
	candidates := slices.Concat(sensitivity.Activations(b.p), sensitivity.Weights(b.m, b.p), sensitivity.Layers(b.m, b.p))
	o := b.options(candidates)
	want := b.examine(t, o)
	o.Workers, o.MemoryMiB = 1, 1
	if diff := cmp.Diff(want, b.examine(t, o)); diff != "" {
		t.Error(diff)
	}
}

func TestAHarmlessCandidateIsRunOnOneSample(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	b := prepare(t, m, samples)
	o := b.options(slices.Concat(sensitivity.Activations(b.p), sensitivity.Weights(b.m, b.p)))
	all := b.examine(t, o)
	first := make([]float64, len(all.List))
	for i, r := range all.List {
		first[i] = r.Samples[0].V
	}
	o.Harmless = slices.Sorted(slices.Values(first))[len(first)/2]
	passed := 0
	for i, r := range b.examine(t, o).List {
		want := all.List[i]
		if first[i] >= o.Harmless {
			passed++
			want.SQNR, want.Samples = want.Samples[0], append(want.Samples[:1:1], make([]metric.Value, len(samples)-1)...)
		}
		if diff := cmp.Diff(want, r); diff != "" {
			t.Errorf("%s: %s", r.Candidate.Name, diff)
		}
	}
	if passed != len(first)-len(first)/2 {
		t.Errorf("%d of %d candidates were passed over", passed, len(first))
	}
}

// counting is a judge that counts samples.
type counting struct{ n float64 }

func (c *counting) Add(_ int, outputs map[string]tensor.Tensor) error {
	if len(outputs) != 2 || len(outputs["cat"].F32) == 0 {
		return fmt.Errorf("outputs %v", outputs)
	}
	c.n++
	return nil
}

func (c *counting) Value() (float64, error) { return c.n, nil }

func TestKnownResultsAreNotComputedAgain(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	b := prepare(t, m, samples)
	o := b.options(sensitivity.Activations(b.p))
	o.Score = func() sensitivity.Judge { return &counting{} }
	var stored []sensitivity.Result
	o.Each = func(r sensitivity.Result) { stored = append(stored, r) }
	want := b.examine(t, o)
	if len(stored) != len(o.Candidates) || *stored[0].Score != float64(len(samples)) {
		t.Fatalf("%d results, %+v", len(stored), stored[0])
	}
	half := stored[:len(stored)/2]
	stored = nil
	o.Done = func(c sensitivity.Candidate) (sensitivity.Result, bool) {
		i := slices.IndexFunc(half, func(r sensitivity.Result) bool { return r.Candidate.Name == c.Name })
		if i < 0 {
			return sensitivity.Result{}, false
		}
		return half[i], true
	}
	if diff := cmp.Diff(want, b.examine(t, o)); diff != "" {
		t.Error(diff)
	}
	if len(stored) != len(o.Candidates)-len(half) {
		t.Errorf("%d results were new", len(stored))
	}
}

func TestItEndsWithItsContext(t *testing.T) {
	t.Parallel()
	b := yolox(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	o := b.options(sensitivity.Activations(b.p))
	var handed atomic.Int64
	var since time.Time
	o.Each = func(sensitivity.Result) {
		if handed.Add(1) == 3 {
			since = time.Now()
			cancel()
		}
	}
	_, err := sensitivity.Run(ctx, b.r, o)
	if !errors.Is(err, context.Canceled) || time.Since(since) > time.Second {
		t.Errorf("%v after %v", err, time.Since(since))
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	m, samples := toy(t)
	b := prepare(t, m, samples)
	for name, row := range map[string]struct {
		change func(*sensitivity.Options)
		says   string
	}{
		"a score of one sample": {func(o *sensitivity.Options) {
			o.Harmless, o.Score = 40, func() sensitivity.Judge { return &counting{} }
		}, "a score needs all samples"},
		"no samples":        {func(o *sensitivity.Options) { o.Samples = 0 }, "at least one sample"},
		"an unknown output": {func(o *sensitivity.Options) { o.Outputs = []string{"nowhere"} }, `"nowhere" is no tensor`},
		"an unknown tensor": {func(o *sensitivity.Options) {
			o.Candidates = []sensitivity.Candidate{{Name: "a", Tensors: []string{"b"}}}
		}, `no tensor "b"`},
		"an unknown node": {func(o *sensitivity.Options) {
			o.Candidates = []sensitivity.Candidate{{Name: "a", Params: [][2]int{{99, 0}}}}
		}, "of node 99"},
		"an unknown question": {func(o *sensitivity.Options) { o.Question = "why" }, "no question"},
	} {
		o := b.options(nil)
		row.change(&o)
		if _, err := sensitivity.Run(t.Context(), b.r, o); err == nil || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
