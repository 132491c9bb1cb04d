package qdq_test

import (
	"context"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/calib"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

func node(op string, inputs []string, outputs ...string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Input: inputs, Output: outputs}
}

func allFloat(string) bool { return true }

// graph makes a model of nodes that read x [1,4,6,6]; w [4,4,1,1], b [4], k [4,1,1] and the single numbers zero, one, minus and six are
// constants.
func graph(t *testing.T, nodes []*onnxpb.NodeProto, outputs ...string) *onnx.Model {
	t.Helper()
	rng := rand.New(rand.NewPCG(5, 6))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	g := &onnxpb.GraphProto{
		Node:  nodes,
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 4, 6, 6})},
		Initializer: []*onnxpb.TensorProto{
			onnx.TensorProto("w", tensor.Floats(random(16), 4, 4, 1, 1)), onnx.TensorProto("b", tensor.Floats(random(4), 4)),
			onnx.TensorProto("k", tensor.Floats(random(4), 4, 1, 1)),
			onnx.TensorProto("zero", tensor.Floats([]float32{0})), onnx.TensorProto("one", tensor.Floats([]float32{1})),
			onnx.TensorProto("minus", tensor.Floats([]float32{-1})), onnx.TensorProto("six", tensor.Floats([]float32{6})),
			onnx.TensorProto("shape", tensor.Tensor{DType: tensor.Int64, Shape: []int64{2}, Raw: []byte{1, 0, 0, 0, 0, 0, 0, 0, 144, 0, 0, 0, 0, 0, 0, 0}}),
		},
	}
	for _, o := range outputs {
		g.Output = append(g.Output, onnx.Untyped(o))
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: g,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(11)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestQuantizersSitWhereTheHTPHasThem(t *testing.T) {
	m := graph(t, []*onnxpb.NodeProto{
		node("Conv", []string{"x", "w", "b"}, "conv"), node("Relu", []string{"conv"}, "relu"),
		node("Reshape", []string{"relu", "shape"}, "flat"),
		node("Sigmoid", []string{"x"}, "sigmoid"), node("Mul", []string{"x", "sigmoid"}, "swish"),
		node("Concat", []string{"relu", "swish"}, "cat"),
		node("Conv", []string{"x", "w"}, "shared"), node("Relu", []string{"shared"}, "r2"), node("Neg", []string{"shared"}, "n2"),
		node("Conv", []string{"x", "w"}, "output"), node("Relu", []string{"output"}, "r3"),
		node("Add", []string{"x", "k"}, "sum"), node("Clip", []string{"sum"}, "clip"),
	}, "flat", "cat", "r2", "n2", "output", "r3", "clip")
	p := qdq.Find(m, allFloat)
	for name, want := range map[string]qdq.Place{
		"x": {Role: qdq.Own}, "conv": {Role: qdq.Fused, Of: "relu"}, "relu": {Role: qdq.Own}, "flat": {Role: qdq.Shares, Of: "relu"},
		"sigmoid": {Role: qdq.Own}, "swish": {Role: qdq.Own},
		"shared": {Role: qdq.Own}, "output": {Role: qdq.Own}, // a second consumer, a graph output: not fused
		"sum": {Role: qdq.Fused, Of: "clip"}, "clip": {Role: qdq.Own},
	} {
		if got := p.Tensors[name]; got.Role != want.Role || got.Of != want.Of {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
	if got := p.Tensors["cat"]; got.Role != qdq.Union || !slices.Equal(got.Joins, []string{"relu", "swish"}) {
		t.Errorf("cat: %+v", got)
	}
	roles := map[qdq.ParamRole]int{}
	for _, q := range p.Params {
		roles[q.Role]++
	}
	if roles[qdq.Weight] != 3 || roles[qdq.Bias] != 1 || roles[qdq.Operand] != 1 {
		t.Errorf("params %+v", p.Params)
	}
}

// run gives the values of some tensors for a random x.
func run(t *testing.T, m *onnx.Model, taps ...string) map[string][]float32 {
	t.Helper()
	r, err := ort.New(fixture.Runtime(t), m, ort.Options{Taps: taps})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rng := rand.New(rand.NewPCG(8, 9))
	x := make([]float32, 144)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * 3)
	}
	inference := r.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"x": tensor.Floats(x, 1, 4, 6, 6)}})
	defer inference.Close()
	batch, err := inference.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	values := map[string][]float32{"x": x}
	for _, tap := range batch.Taps {
		values[tap.Name] = slices.Clone(tap.Tensor.F32)
	}
	return values
}

func TestTheSimulationComputesWhatTheEncodingsSay(t *testing.T) {
	nodes := []*onnxpb.NodeProto{
		node("Conv", []string{"x", "w", "b"}, "conv"), node("Relu", []string{"conv"}, "relu"), node("Mul", []string{"relu", "k"}, "y"),
		node("Sigmoid", []string{"y"}, "z"), node("Concat", []string{"y", "z"}, "cat"),
	}
	nodes[4].Attribute = append(nodes[4].Attribute, onnx.IntAttr("axis", 1))
	m := graph(t, nodes, "y", "cat")
	float := run(t, m, "conv", "relu", "y", "z", "cat")
	for _, text := range []string{"w8a8", "w8a8,per-tensor", "w4a8", "w8a16", "w16a16", "w8a8,symmetric", "w8a8,bias8", "w8a8,enhanced", "w8a8,mse", "w8a8,percentile:99"} {
		t.Run(text, func(t *testing.T) {
			spec, err := variant.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			stats := calib.NewStatistics(calib.NeedsHistogram(spec))
			for name, values := range float {
				stats.Observe(name, tensor.Floats(values, int64(len(values))))
			}
			p := qdq.Find(m, allFloat)
			b, err := qdq.Build(m, p, spec, stats.Activation)
			if err != nil {
				t.Fatal(err)
			}
			if got := slices.Sorted(maps.Keys(b.Taps)); !slices.Equal(got, []string{"cat", "relu", "y", "z"}) {
				t.Errorf("taps %v", got)
			}
			before := map[string]string{"relu": "relu", "y": "y_QuantizeLinear_Input", "z": "z", "cat": "cat_QuantizeLinear_Input"}
			var taps []string
			for name, pre := range before {
				taps = append(taps, pre, b.Taps[name])
			}
			got := run(t, b.Model, taps...)
			for name, pre := range before {
				e := b.Encodings[name]
				for i, v := range got[pre] {
					want, have := e.Fake(float64(v)), float64(got[b.Taps[name]][i])
					if math.Abs(have-want) > 1.01*e.Scale || (math.Abs(have-want) > 1e-4*e.Scale+1e-5*math.Abs(want) && nearTie(float64(v)/e.Scale)) {
						t.Fatalf("%s[%d]: %g became %g, want %g (%+v)", name, i, v, have, want, e)
					}
				}
			}
			u, y, z := b.Encodings["cat"], b.Encodings["y"], b.Encodings["z"]
			if spec.Calibrator == variant.TF && (u.Max < max(y.Max, z.Max)-u.Scale || u.Min > min(y.Min, z.Min)+u.Scale) {
				t.Errorf("union %+v of %+v and %+v", u, y, z)
			}
			// The same encodings are read back from the model.
			found, err := qdq.Read(b.Model)
			if err != nil {
				t.Fatal(err)
			}
			for name, e := range b.Encodings {
				f, ok := found.Encodings[name]
				if !ok || f.Offset != e.Offset || f.Bits != e.Bits || math.Abs(f.Scale-e.Scale) > 1e-6*e.Scale {
					t.Errorf("%s: read back %+v, want %+v", name, f, e)
				}
			}
		})
	}
}

func TestHalfOfAVariantHasOnlyItsOwnQuantizers(t *testing.T) {
	nodes := []*onnxpb.NodeProto{
		node("Conv", []string{"x", "w", "b"}, "conv"), node("Relu", []string{"conv"}, "relu"), node("Conv", []string{"relu", "w"}, "y"),
		node("Sigmoid", []string{"y"}, "z"), node("Concat", []string{"y", "z"}, "cat"),
	}
	nodes[4].Attribute = append(nodes[4].Attribute, onnx.IntAttr("axis", 1))
	m := graph(t, nodes, "cat")
	float := run(t, m, "relu", "y", "z", "cat")
	spec, err := variant.Parse("w8a8")
	if err != nil {
		t.Fatal(err)
	}
	stats := calib.NewStatistics(calib.NeedsHistogram(spec))
	for name, values := range float {
		stats.Observe(name, tensor.Floats(values, int64(len(values))))
	}
	b, err := qdq.Build(m, qdq.Find(m, allFloat), spec, stats.Activation)
	if err != nil {
		t.Fatal(err)
	}
	types, err := ort.Types(fixture.Runtime(t), m)
	if err != nil {
		t.Fatal(err)
	}
	layers := []qdq.LayerTap{{Layer: "relu", Tap: b.Taps["relu"]}, {Layer: "y", Tap: b.Taps["y"]}, {Layer: "z", Tap: b.Taps["z"]}, {Layer: "cat", Tap: b.Taps["cat"]}}
	surgeon := qdq.NewIsolator(b.Model, layers, b.Floats, types)
	count := func(m *onnx.Model, op string) (n int) {
		for _, node := range m.Graph().GetNode() {
			if node.GetOpType() == op {
				n++
			}
		}
		return n
	}
	for _, weightsOnly := range []bool{true, false} {
		half, instead, err := surgeon.Strip(weightsOnly)
		if err != nil {
			t.Fatal(err)
		}
		quantizers := count(b.Model, "QuantizeLinear")
		if weightsOnly {
			quantizers = 0
		}
		if got := count(half, "QuantizeLinear"); got != quantizers {
			t.Errorf("weights only %v: %d quantizers, want %d", weightsOnly, got, quantizers)
		}
		tap := b.Taps["cat"]
		if to, gone := instead[tap]; gone {
			tap = to
		}
		got, noise, signal := run(t, half, tap)[tap], 0.0, 0.0
		for i, v := range float["cat"] {
			noise, signal = noise+math.Pow(float64(got[i]-v), 2), signal+math.Pow(float64(v), 2)
		}
		if sqnr := 10 * math.Log10(signal/noise); sqnr < 25 || sqnr > 80 {
			t.Errorf("weights only %v: %.1f dB", weightsOnly, sqnr)
		}
	}
}

// nearTie says that a quotient does not lie so near to a half that single and double precision round it differently.
func nearTie(q float64) bool { return math.Abs(q-math.Floor(q)-0.5) > 2e-2 }

func TestFixtureQuantizersAreFoundWhereWePutThem(t *testing.T) {
	load := func(name string) *onnx.Model {
		m, err := onnx.Load(fixture.Path(t, "qnn", name))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	float := load("zoo.onnx")
	p := qdq.Find(float, allFloat)
	quantized := load("zoo_w8a8_per_channel.onnx")
	found, err := qdq.Read(quantized)
	if err != nil {
		t.Fatal(err)
	}
	x := onnx.NewIndex(quantized)
	constant := func(name string) tensor.Tensor {
		v, err := quantized.Tensor(x.Initializer[name])
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, n := range float.Graph().GetNode() {
		name := n.GetOutput()[0]
		_, theirs := found.Taps[name]
		ours := p.Tensors[name].Role != qdq.Fused && p.Tensors[name].Role != qdq.None
		if ours != theirs {
			t.Errorf("%s (%s): quantized by us %v, by ONNX Runtime's quantizer for QNN %v", name, n.GetOpType(), ours, theirs)
		}
	}
	if e := found.Encodings["/relu1/Relu_output_0"]; e.Bits != 8 || e.Offset != 0 || e.Scale != float64(constant("/relu1/Relu_output_0_scale").F32[0]) {
		t.Errorf("%+v", e)
	}
	if e := found.Inputs["image"]; e.Offset >= 0 || e.Offset != -int(constant("image_zero_point").Raw[0]) {
		t.Errorf("input %+v", e)
	}
	perChannel := 0
	for _, q := range found.Params {
		if q.Axis >= 0 && len(q.Encodings) > 1 {
			perChannel++
		}
	}
	if perChannel < 10 {
		t.Errorf("%d per-channel constants", perChannel)
	}
}

func TestHalfRoundsEveryTensor(t *testing.T) {
	m := graph(t, []*onnxpb.NodeProto{node("Conv", []string{"x", "w", "b"}, "conv"), node("Relu", []string{"conv"}, "relu"), node("Mul", []string{"relu", "k"}, "y")}, "y")
	b, err := qdq.BuildHalf(m, qdq.Find(m, allFloat))
	if err != nil {
		t.Fatal(err)
	}
	got := run(t, b.Model, b.Taps["relu"], b.Taps["y"])
	for _, name := range []string{"relu", "y"} {
		for _, v := range got[b.Taps[name]] {
			if tensor.HalfToFloat(tensor.FloatToHalf(v)) != v {
				t.Fatalf("%s holds %g, which is no half", name, v)
			}
		}
	}
}

func TestValuesThatAreNotFiniteAreNamed(t *testing.T) {
	m := graph(t, []*onnxpb.NodeProto{node("Conv", []string{"x", "w", "b"}, "t"), node("Add", []string{"t", "k"}, "y")}, "y")
	inits := m.Graph().Initializer
	w, _ := m.Tensor(inits[0])
	w.F32[3] = float32(math.NaN())
	k, _ := m.Tensor(inits[2])
	k.F32[0], k.F32[1] = float32(math.Inf(-1)), -2
	inits[0], inits[2] = onnx.TensorProto("w", w), onnx.TensorProto("k", k)
	spec, err := variant.Parse("w8a8")
	if err != nil {
		t.Fatal(err)
	}
	stats := calib.NewStatistics(false)
	for _, name := range []string{"x", "t", "y"} {
		stats.Observe(name, tensor.Floats([]float32{-1, 1}, 2))
	}
	b, err := qdq.Build(m, qdq.Find(m, allFloat), spec, stats.Activation)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"the constant w holds NaN in 1 of 16 values, which no encoding holds: they become 0",
		"the constant k is infinite in 1 of 4 values, which no encoding holds: they become the end of the range of the others",
	}
	if !slices.Equal(b.Warnings, want) {
		t.Errorf("%q", b.Warnings)
	}
}
