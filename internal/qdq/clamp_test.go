package qdq_test

import (
	"math"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/calib"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// clip is a Clip node of opset 11 with constant bounds.
func clip(in, low, high, out string) *onnxpb.NodeProto {
	return node("Clip", []string{in, low, high}, out)
}

// withoutActivations takes every Relu and Clip out of a model, as tools that quantize do in front of a quantizer that clamps the same
// values: the operator before makes what the activation made.
func withoutActivations(m *onnx.Model) *onnx.Model {
	g := &onnxpb.GraphProto{Name: m.Graph().Name, Input: m.Graph().GetInput(), Output: m.Graph().GetOutput(), Initializer: m.Graph().GetInitializer()}
	made := map[string]string{} // before the activation → behind it
	for _, n := range m.Graph().GetNode() {
		if op := n.GetOpType(); op == "Relu" || op == "Clip" {
			made[n.GetInput()[0]] = n.GetOutput()[0]
		}
	}
	for _, n := range m.Graph().GetNode() {
		if op := n.GetOpType(); op == "Relu" || op == "Clip" {
			continue
		}
		n = proto.CloneOf(n)
		for i, out := range n.GetOutput() {
			if to, ok := made[out]; ok {
				n.Output[i] = to
			}
		}
		g.Node = append(g.Node, n)
	}
	return m.With(g)
}

// ownPairs gives every consumer of a dequantized tensor a pair of its own.
func ownPairs(m *onnx.Model) *onnx.Model {
	x := onnx.NewIndex(m)
	g := &onnxpb.GraphProto{Name: m.Graph().Name, Input: m.Graph().GetInput(), Output: m.Graph().GetOutput(), Initializer: m.Graph().GetInitializer()}
	for _, n := range x.Nodes {
		n = proto.CloneOf(n)
		for i, in := range n.GetInput() {
			d, made := x.Producer[in]
			if !made || x.Nodes[d].GetOpType() != "DequantizeLinear" || x.Initializer[x.Nodes[d].GetInput()[0]] != nil {
				continue
			}
			q := proto.CloneOf(x.Nodes[x.Producer[x.Nodes[d].GetInput()[0]]])
			dq := proto.CloneOf(x.Nodes[d])
			own := in + ".for." + n.GetOutput()[0]
			q.Name, dq.Name = proto.String(own+".q"), proto.String(own+".dq")
			q.Output, dq.Input[0], dq.Output = []string{own + ".integer"}, own+".integer", []string{own}
			g.Node = append(g.Node, q, dq)
			n.Input[i] = own
		}
		g.Node = append(g.Node, n)
	}
	return m.With(g)
}

// TestRangesThatStandForActivationsStayInTheSplit holds the weights' part of a variant without activations against that of the same
// variant with them: it clamps as they do.
func TestRangesThatStandForActivationsStayInTheSplit(t *testing.T) {
	t.Parallel()
	chain := func(first, second *onnxpb.NodeProto) []*onnxpb.NodeProto {
		return []*onnxpb.NodeProto{
			node("Conv", []string{"x", "w", "b"}, "c1"), first, node("Conv", []string{"a1", "w"}, "c2"), second,
			node("Add", []string{"a2", "a1"}, "sum"), node("Relu", []string{"sum"}, "a3"), node("Conv", []string{"a3", "w"}, "y"),
		}
	}
	for name, row := range map[string]struct {
		nodes []*onnxpb.NodeProto
		opset int64
		twice bool // pairs of their own for every consumer
	}{
		"Relu":               {nodes: chain(node("Relu", []string{"c1"}, "a1"), node("Relu", []string{"c2"}, "a2"))},
		"Relu, old opset":    {nodes: chain(node("Relu", []string{"c1"}, "a1"), node("Relu", []string{"c2"}, "a2")), opset: 10},
		"Relu, own pairs":    {nodes: chain(node("Relu", []string{"c1"}, "a1"), node("Relu", []string{"c2"}, "a2")), twice: true},
		"Clip 0 to 6":        {nodes: chain(clip("c1", "zero", "six", "a1"), clip("c2", "zero", "six", "a2"))},
		"Clip -1 to 1":       {nodes: chain(clip("c1", "minus", "one", "a1"), clip("c2", "minus", "one", "a2"))},
		"Clip from 0":        {nodes: chain(clip("c1", "zero", "", "a1"), node("Relu", []string{"c2"}, "a2"))},
		"Clip up to 1, Relu": {nodes: chain(clip("c1", "", "one", "a1"), node("Relu", []string{"c2"}, "a2"))},
	} {
		t.Run(name, func(t *testing.T) {
			m := graph(t, row.nodes, "y")
			if row.opset > 0 {
				m.Proto.OpsetImport[0].Version = &row.opset
			}
			layers := []string{"a1", "a2", "a3", "y"}
			float := run(t, m, "a1", "a2", "sum", "a3", "y")
			stats := calib.NewStatistics(false)
			for name, values := range float {
				stats.Observe(name, tensor.Floats(values, int64(len(values))))
			}
			spec, err := variant.Parse("w8a8")
			if err != nil {
				t.Fatal(err)
			}
			b, err := qdq.Build(m, qdq.Find(m, allFloat), spec, stats.Activation)
			if err != nil {
				t.Fatal(err)
			}
			types, err := ort.Types(fixture.Runtime(t), m)
			if err != nil {
				t.Fatal(err)
			}
			taps := func() (list []qdq.LayerTap) {
				x := onnx.NewIndex(m)
				for _, l := range layers {
					tap := qdq.LayerTap{Layer: l, Tap: b.Taps[l]}
					if bounds, ok := qdq.ClampOf(x, l); ok {
						tap.Clamp = &bounds
					}
					list = append(list, tap)
				}
				return list
			}()
			if taps[0].Clamp == nil || taps[3].Clamp != nil {
				t.Fatalf("%+v", taps)
			}
			removed := withoutActivations(b.Model)
			if row.twice {
				removed = ownPairs(removed)
			}
			sqnr := func(want, got []float32) float64 {
				noise, signal := 0.0, 0.0
				for i, v := range want {
					noise, signal = noise+math.Pow(float64(got[i]-v), 2), signal+math.Pow(float64(v), 2)
				}
				return 10 * math.Log10(signal/noise)
			}
			apart := func(m *onnx.Model) (weights, acts float64, islands *qdq.IsolatedLayers) {
				s := qdq.NewIsolator(m, taps, b.Floats, types)
				var values [2]float64
				for i, weightsOnly := range []bool{true, false} {
					part, instead, err := s.Strip(weightsOnly)
					if err != nil {
						t.Fatal(err)
					}
					tap := b.Taps["y"]
					if to, gone := instead[tap]; gone {
						tap = to
					}
					values[i] = sqnr(float["y"], run(t, part, tap)[tap])
				}
				return values[0], values[1], s.Isolate(true)
			}
			weights, acts, islands := apart(removed)
			withWeights, withActs, _ := apart(b.Model)
			whole := sqnr(float["y"], run(t, removed, b.Taps["y"])[b.Taps["y"]])
			if weights < whole || math.Abs(weights-withWeights) > 1.5 || math.Abs(acts-withActs) > 0.5 {
				t.Errorf("weights only %.2f dB, with the activations in the graph %.2f; activations only %.2f and %.2f; whole %.2f", weights, withWeights, acts, withActs, whole)
			}
			for _, l := range islands.Layers {
				if l.Weights == "" || l.Layer == "y" {
					continue
				}
				n := islands.Model.Graph().GetNode()
				if !slices.ContainsFunc(n, func(n *onnxpb.NodeProto) bool {
					return n.GetOpType() == "Clip" && n.GetOutput()[0] == l.Weights
				}) {
					t.Errorf("%s alone is not clamped with only its weights quantized", l.Layer)
				}
			}
		})
	}
}

// TestActivationsThatAreThereAreNotMadeTwice is the near miss: nothing is clamped where the activation stands, and the split is what
// it was.
func TestActivationsThatAreThereAreNotMadeTwice(t *testing.T) {
	t.Parallel()
	m := graph(t, []*onnxpb.NodeProto{node("Conv", []string{"x", "w", "b"}, "c"), node("Relu", []string{"c"}, "r"), node("Conv", []string{"r", "w"}, "y")}, "y")
	float := run(t, m, "r", "y")
	stats := calib.NewStatistics(false)
	for name, values := range float {
		stats.Observe(name, tensor.Floats(values, int64(len(values))))
	}
	spec, _ := variant.Parse("w8a8")
	b, err := qdq.Build(m, qdq.Find(m, allFloat), spec, stats.Activation)
	if err != nil {
		t.Fatal(err)
	}
	s := qdq.NewIsolator(b.Model, []qdq.LayerTap{{Layer: "r", Tap: b.Taps["r"], Clamp: &qdq.Bounds{Max: math.Inf(1)}}, {Layer: "y", Tap: b.Taps["y"]}}, b.Floats, nil)
	part, _, err := s.Strip(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range part.Graph().GetNode() {
		if n.GetOpType() == "Clip" {
			t.Errorf("clamped although the Relu is there: %v", n)
		}
	}
}

func TestBoundsReplaceAnActivation(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	for name, row := range map[string]struct {
		bounds qdq.Bounds
		e      quant.Encoding
		want   bool
	}{
		"Relu, from zero":            {qdq.Bounds{Max: inf}, quant.FromScale(8, false, 0.1, 0), true},
		"Relu, negative values held": {qdq.Bounds{Max: inf}, quant.FromScale(8, false, 0.1, -3), false},
		"Relu, symmetric":            {qdq.Bounds{Max: inf}, quant.FromScale(8, true, 0.1, -128), false},
		"Clip, both ends":            {qdq.Bounds{Min: -1, Max: 1}, quant.MinMax(quant.Range{Min: -1, Max: 1, Seen: true}, 8, false), true},
		"Clip, wider":                {qdq.Bounds{Min: -1, Max: 1}, quant.MinMax(quant.Range{Min: -1, Max: 1.5, Seen: true}, 8, false), false},
		"Clip without bounds":        {qdq.Bounds{Min: -inf, Max: inf}, quant.FromScale(8, false, 0.1, 0), false},
	} {
		if got := row.bounds.Replaces(row.e); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
