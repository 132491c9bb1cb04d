package qdq_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// sequence is a model of one recurrent operator with hidden size 3 that reads x [5,1,4].
func sequence(t *testing.T, op string, directions int64) (*onnx.Model, map[string][]float32) {
	t.Helper()
	gates := map[string]int64{"LSTM": 4, "GRU": 3, "RNN": 1}[op]
	rng := rand.New(rand.NewPCG(1, uint64(gates)))
	values := map[string][]float32{}
	g := &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{5, 1, 4})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")}}
	constant := func(name string, shape ...int64) {
		n, _ := tensor.Count(shape)
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
			if i >= n/2 && directions == 2 {
				v[i] *= 8 // the second direction has another range
			}
		}
		values[name] = v
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, tensor.Floats(v, shape...)))
	}
	constant("w", directions, 3*gates, 4)
	constant("r", directions, 3*gates, 3)
	constant("b", directions, 6*gates)
	constant("h", directions, 1, 3)
	inputs := []string{"x", "w", "r", "b", "", "h"}
	if op == "LSTM" {
		constant("c", directions, 1, 3)
		constant("p", directions, 9)
		inputs = append(inputs, "c", "p")
	}
	n := node(op, inputs, "y")
	n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("hidden_size", 3)}
	if directions == 2 {
		n.Attribute = append(n.Attribute, &onnxpb.AttributeProto{Name: proto.String("direction"), S: []byte("bidirectional"), Type: onnxpb.AttributeProto_STRING.Enum()})
	}
	g.Node = []*onnxpb.NodeProto{n}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m, values
}

// sequenceOutput runs a model on one input.
func sequenceOutput(t *testing.T, m *onnx.Model) []float32 {
	t.Helper()
	r, err := ort.New(fixture.Runtime(t), m, ort.Options{Taps: m.Outputs()})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	x := make([]float32, 20)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	inference := r.Start(runner.Sample{Inputs: map[string]tensor.Tensor{"x": tensor.Floats(x, 5, 1, 4)}})
	defer inference.Close()
	batch, err := inference.Next(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer batch.Release()
	return slices.Clone(batch.Taps[0].Tensor.F32)
}

// onGrid gives values on the grids of their encodings, group values for each.
func onGrid(values []float32, encodings []quant.Encoding, group int) []float32 {
	out := make([]float32, len(values))
	for i, v := range values {
		e := encodings[min(i/group, len(encodings)-1)]
		scale := float32(e.Scale)
		q := math.RoundToEven(float64(v)/float64(scale)) - float64(e.Offset)
		out[i] = float32(min(max(q, 0), float64(quant.Levels(e.Bits)))+float64(e.Offset)) * scale
	}
	return out
}

func TestWeightsAndBiasesOfRecurrentOperatorsAreQuantized(t *testing.T) {
	t.Parallel()
	observed := func(_ string, s variant.Spec) (quant.Encoding, bool) {
		return quant.MinMax(quant.Range{Min: -2, Max: 3, Seen: true}, s.ActBits, false), true
	}
	for _, op := range []string{"LSTM", "GRU", "RNN"} {
		for _, directions := range []int64{1, 2} {
			for _, text := range []string{"w8a8", "w8a8,per-tensor", "w4a8", "w8a16", "w8a8,bias8", "w16a16"} {
				for _, engine := range []variant.Engine{variant.CPU, variant.HTP} {
					t.Run(fmt.Sprintf("%s/%d/%s/%s", op, directions, text, engine), func(t *testing.T) {
						t.Parallel()
						m, values := sequence(t, op, directions)
						spec, err := variant.Parse(text)
						if err != nil {
							t.Fatal(err)
						}
						spec.Engine = engine
						b, err := qdq.Build(m, qdq.Find(m, allFloat), spec, observed)
						if err != nil {
							t.Fatal(err)
						}
						list := map[string]qdq.ParamEncoding{}
						for _, p := range b.Params {
							list[p.Tensor] = p
						}
						if len(list) != len(values) {
							t.Fatalf("%d constants have encodings, want %d", len(list), len(values))
						}
						// The simulation is the float model with its constants on their grids, and both activations rounded.
						g := proto.CloneOf(m.Graph())
						for i, init := range g.GetInitializer() {
							p := list[init.GetName()]
							groups, axis := 1, -1
							weight := init.GetName() == "w" || init.GetName() == "r" || init.GetName() == "p" || init.GetName() == "b" && spec.BiasBits == 32
							if weight && spec.PerChannel && directions == 2 {
								groups, axis = 2, 0
							}
							if len(p.Encodings) != groups || p.Axis != axis {
								t.Fatalf("%s: %d encodings along axis %d, want %d along %d", p.Tensor, len(p.Encodings), p.Axis, groups, axis)
							}
							bits := map[string]int{"w": spec.WeightBits, "r": spec.WeightBits, "p": spec.WeightBits, "b": spec.BiasBits, "h": spec.ActBits, "c": spec.ActBits}[p.Tensor]
							if p.Encodings[0].Bits != bits {
								t.Errorf("%s has %d bits, want %d", p.Tensor, p.Encodings[0].Bits, bits)
							}
							v := values[p.Tensor]
							g.Initializer[i] = onnx.TensorProto(p.Tensor, tensor.Floats(onGrid(v, p.Encodings, len(v)/groups), init.GetDims()...))
						}
						float, err := qdq.Build(m.With(g), &qdq.Placement{Tensors: qdq.Find(m, allFloat).Tensors, Order: qdq.Find(m, allFloat).Order}, spec, observed)
						if err != nil {
							t.Fatal(err)
						}
						got, want := sequenceOutput(t, b.Model), sequenceOutput(t, float.Model)
						if !slices.Equal(got, want) {
							t.Errorf("the simulation gives %v, the model with rounded constants %v", got, want)
						}
						folded, err := qdq.FloatConstants(b.Model)
						if err != nil {
							t.Fatal(err)
						}
						if !slices.Equal(sequenceOutput(t, folded), got) {
							t.Errorf("with its constants dequantized it gives something else")
						}
						x := onnx.NewIndex(folded)
						for _, n := range x.Nodes {
							if n.GetOpType() == "DequantizeLinear" && x.Initializer[n.GetInput()[0]] != nil {
								t.Errorf("the constant %s is left dequantized by a node", n.GetInput()[0])
							}
						}
					})
				}
			}
		}
	}
}

// The scale of W is widened for a bias that would not fit 32 bits; R, which stands where other operators have their bias, decides nothing.
func TestAScaleIsWidenedForTheBiasOfARecurrentOperatorAlone(t *testing.T) {
	t.Parallel()
	observed := func(_ string, s variant.Spec) (quant.Encoding, bool) {
		return quant.MinMax(quant.Range{Min: -2, Max: 3, Seen: true}, s.ActBits, false), true
	}
	for huge, widened := range map[string]bool{"": false, "r": false, "b": true} {
		m, values := sequence(t, "GRU", 2)
		g := proto.CloneOf(m.Graph())
		for i, init := range g.GetInitializer() {
			if init.GetName() == huge {
				v := slices.Clone(values[huge])
				v[0] = 1e9 // of the first direction
				g.Initializer[i] = onnx.TensorProto(huge, tensor.Floats(v, init.GetDims()...))
			}
		}
		m = m.With(g)
		b, err := qdq.Build(m, qdq.Find(m, allFloat), variant.Usual(), observed)
		if err != nil {
			t.Fatal(err)
		}
		k := slices.IndexFunc(b.Params, func(p qdq.ParamEncoding) bool { return p.Tensor == "w" })
		w := b.Params[k].Encodings
		if got := w[0].Scale > 1; got != widened || w[1].Scale > 1 {
			t.Errorf("with a huge value in %q the scales of w are %g and %g", huge, w[0].Scale, w[1].Scale)
		}
	}
}
