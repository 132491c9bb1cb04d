package rewrite

import (
	"math"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var splitGates = Pass{
	Name: "split-gates", Title: "a Conv in front of x·Sigmoid(x) whose channels have unlike ranges becomes two: one for the gate, one whose channels are scaled to one range", Tolerance: 2e-3, Off: true,
	Order: "after whatever changes weights or fuses, since it doubles the Conv, and before equalize, which scales what is left",
	Why:   "One encoding holds all channels of a tensor, and a channel of ±1 beside one of ±100 has three steps of 255 for itself. SiLU lets no factor through, so that equalize cannot help. yolox_nano's first Conv is such a one: with 8 bits everywhere, ranges by mse-out, the mAP on the HTP's emulator goes from 43 % of float's to 99 %, for 3 % more estimated cycles; 16 bits for its output cost 90 %.",
	Doc: `
    Before   x ─ Conv(W, b) ─ t ─ Sigmoid ─ g,   y = t·g ─ Conv(V) ─ z
    After    x ─ Conv(W, b) ─ t ─ Clip(−10, 10) ─ Sigmoid ─ g
             x ─ Conv(W/s, b/s) ─ t',   y' = t'·g ─ Conv(V·s) ─ z          s_c = max(h_c, −max(l_c, −10) / 0.3),  greatest s = 1

l_c and h_c are the least and the greatest value of channel c of t on the samples. The negative side may be less than a third as
long as the positive one: of what lies below −10 the gate leaves nothing. σ(±10) is 4.5e-5 from 0 or 1, and so far the output
moves; s changes nothing but rounding, whatever the samples were. HardSigmoid is clipped where it is 0 and 1. It is done where the
channels gain 15 dB in the mean against one range of all: Σ_c 20·log10((max h + 10) / (1.3·s_c)) / C. Conditions: samples
(--verify-on); only Sigmoid and Mul read t, only Convs with constant weights of their own read y; neither is a graph output.
`,
	apply: func(s *sweep) error {
		var list []*gate
		var names []string
		for i := range s.x.Nodes {
			g, err := s.gateAt(i)
			if err != nil {
				return err
			}
			if g != nil {
				list, names = append(list, g), append(names, g.conv.node.GetOutput()[0])
			}
		}
		if len(list) == 0 {
			return nil
		}
		if s.measured == nil {
			s.leave(list[0].conv.node, "what ranges its channels have is not known: give samples (--verify-on)")
			return nil
		}
		spans, err := s.measured(names)
		if err != nil {
			return err
		}
		for k, g := range list {
			span, seen := spans[names[k]]
			if !seen || len(span.Low) != g.conv.outputs || !s.free(append(g.readers, g.at, g.sigmoid, g.mul)...) {
				continue
			}
			if err := s.split(g, span); err != nil {
				return err
			}
		}
		return nil
	},
}

// Span is what was seen of each channel of a tensor: its least and its greatest value.
type Span struct{ Low, High []float64 }

// gate is a Conv with the gate behind it.
type gate struct {
	conv             *linear
	at, sigmoid, mul int
	readers          []int // of the product, all linear
	low, high        float64
}

// saturated is where a Sigmoid is 0 or 1 to 4.5e-5.
const saturated = 10

// gateAt finds a Conv whose output goes through x·Sigmoid(x) into Convs only; nil if it does not.
func (s *sweep) gateAt(i int) (*gate, error) {
	conv, ok, err := s.linearOf(i)
	if err != nil || !ok || len(conv.node.GetOutput()) != 1 {
		return nil, err
	}
	t := conv.node.GetOutput()[0]
	g := &gate{conv: conv, at: i, sigmoid: -1, mul: -1, low: -saturated, high: saturated}
	if len(s.x.Consumers[t]) != 2 || s.x.Output[t] {
		return nil, nil
	}
	for _, k := range s.x.Consumers[t] {
		switch n := s.x.Nodes[k]; n.GetOpType() {
		case "Sigmoid":
			g.sigmoid = k
		case "HardSigmoid":
			g.sigmoid = k
			a, b := float64(onnx.AttrFloat(n, "alpha", 0.2)), float64(onnx.AttrFloat(n, "beta", 0.5))
			if !(a > 0) {
				return nil, nil
			}
			g.low, g.high = -b/a, (1-b)/a
		case "Mul":
			g.mul = k
		}
	}
	if g.sigmoid < 0 || g.mul < 0 || !(g.low < 0) {
		return nil, nil
	}
	opened := s.x.Nodes[g.sigmoid].GetOutput()[0]
	in := s.x.Nodes[g.mul].GetInput()
	if k, sole := s.x.SoleConsumer(opened); !sole || k != g.mul || in[0] == in[1] {
		return nil, nil
	}
	y := s.x.Nodes[g.mul].GetOutput()[0]
	g.readers = s.x.Consumers[y]
	if len(g.readers) == 0 || s.x.Output[y] {
		return nil, nil
	}
	for _, k := range g.readers {
		reader, ok, err := s.linearOf(k)
		if err != nil || !ok || reader.inputs != conv.outputs || reader.node.GetInput()[0] != y || !s.alone(reader.node, 1) {
			return nil, err
		}
	}
	return g, nil
}

const (
	negativeSide = 0.3 // of the scaled range: how long the negative side may be against the positive one
	worthSplit   = 15  // dB
)

// factors are what the channels are divided by, the greatest 1, and the mean gain in dB against one range for all.
func (g *gate) factors(span Span) (factors []float64, gain float64) {
	factors = make([]float64, len(span.High))
	greatest, top, bottom := 0.0, 0.0, 0.0
	for c := range factors {
		low := math.Max(span.Low[c], g.low)
		factors[c] = math.Max(math.Max(span.High[c], -low/negativeSide), 0)
		greatest, top, bottom = math.Max(greatest, factors[c]), math.Max(top, span.High[c]), math.Min(bottom, low)
	}
	if !(greatest > 0) || math.IsInf(greatest, 0) {
		return nil, 0
	}
	const least = 1.0 / 256 // a channel that has no values to speak of
	for c := range factors {
		factors[c] = math.Max(factors[c]/greatest, least)
		gain += 20 * math.Log10((top-bottom)/((1+negativeSide)*factors[c]*greatest)) / float64(len(factors))
	}
	return factors, gain
}

// split puts the two Convs in the place of the one.
func (s *sweep) split(g *gate, span Span) error {
	factors, gain := g.factors(span)
	if factors == nil || gain < worthSplit {
		if factors != nil && gain > worthSplit/2 {
			s.leave(g.conv.node, "its channels are %.0f dB apart in the mean, %d dB would be worth a second Conv", gain, worthSplit)
		}
		return nil
	}
	t := g.conv.node.GetOutput()[0]
	value := proto.CloneOf(g.conv.node)
	value.Name = proto.String(nameOf(g.conv.node) + "_value")
	value.Output = []string{s.unique(t + "_value")}
	weight, bias := make([]float32, len(g.conv.weight.F32)), make([]float32, g.conv.outputs)
	for e, w := range g.conv.weight.F32 {
		weight[e] = float32(float64(w) / factors[g.conv.output(e)])
	}
	for c, b := range g.conv.bias {
		bias[c] = float32(b / factors[c])
	}
	value.Input = []string{
		g.conv.node.GetInput()[0], s.fresh(g.conv.node.GetInput()[1]+"_value", tensor.Floats(weight, g.conv.weight.Shape...)),
		s.fresh(t+"_value_bias", tensor.Floats(bias, int64(len(bias)))),
	}
	clip := s.clip(t, g.low, g.high)
	s.replace(g.at, g.conv.node, value, clip)
	sigmoid, mul := proto.CloneOf(s.x.Nodes[g.sigmoid]), proto.CloneOf(s.x.Nodes[g.mul])
	sigmoid.Input[0] = clip.GetOutput()[0]
	for k, name := range mul.GetInput() {
		if name == t {
			mul.Input[k] = value.GetOutput()[0]
		}
	}
	s.replace(g.sigmoid, sigmoid)
	s.replace(g.mul, mul)
	for _, k := range g.readers {
		reader, _, err := s.linearOf(k)
		if err != nil {
			return err
		}
		scaled := make([]float64, len(reader.weight.F32))
		for e, w := range reader.weight.F32 {
			scaled[e] = float64(w) * factors[reader.input(e)]
		}
		s.replace(k, reader.rewritten(s, k, scaled, reader.bias))
	}
	s.changed("%s: its channels are %.0f dB apart in the mean", nameOf(g.conv.node), gain)
	return nil
}

// clip cuts a tensor to a range, in the form of the model's operator set.
func (s *sweep) clip(name string, low, high float64) *onnxpb.NodeProto {
	n := &onnxpb.NodeProto{
		OpType: proto.String("Clip"), Name: proto.String(name + "_gate"), Input: []string{name}, Output: []string{s.unique(name + "_gate")},
	}
	const boundsAreInputs = 11 // opset
	if s.m.Opset() >= boundsAreInputs {
		bound := func(what string, v float64) string {
			return s.fresh(name+"_gate_"+what, tensor.Floats([]float32{float32(v)}))
		}
		n.Input = append(n.Input, bound("min", low), bound("max", high))
		return n
	}
	float := func(what string, v float64) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: proto.String(what), Type: onnxpb.AttributeProto_FLOAT.Enum(), F: proto.Float32(float32(v))}
	}
	n.Attribute = []*onnxpb.AttributeProto{float("min", low), float("max", high)}
	return n
}
