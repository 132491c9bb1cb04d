package qdq

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Built is a model that simulates quantization, and what was put into it.
type Built struct {
	Model *onnx.Model
	// Taps names, for each float tensor of the original graph that exists in the simulation, the tensor that carries
	// its quantized values.
	Taps map[string]string
	// Encodings of activations, graph inputs included; tensors that only share one are listed too.
	Encodings map[string]quant.Encoding
	Params    []ParamEncoding
	// Floats gives, for each constant that the model holds dequantized or rounded, its float original.
	Floats map[string]*onnxpb.TensorProto
	// Nodes gives, for each node of the original graph, the one of Model's that computes it.
	Nodes []int
	// Replaced gives, for a node of the original graph and one of its inputs, the tensor that takes a constant's place.
	Replaced map[[2]int]string
	// Float names the tensors that stay float, with the reason.
	Float   map[string]string
	Choices variant.Choices // by every tensor of the quantizers that they were made for
	// Placement is where BuildGiven put quantizers; nil: where Find says.
	Placement *Placement
	Warnings  []string
	// Weighted says how the weights of nodes were quantized, by the node's number in the original graph and the input's: a recurrent operator has two.
	Weighted map[[2]int]Weighted
}

// Weighted is a node's quantized weight and the encoding in which the node takes its activation.
type Weighted struct {
	Axis      int // of the output channels; −1: one encoding for the tensor
	Encodings []quant.Encoding
	Input     quant.Encoding
	Encoded   bool // the activation has an encoding
}

// Fixed is a constant that takes the place of a node's float constant before it is quantized. With encodings, which are those of a weight, it is
// quantized by them.
type Fixed struct {
	Values    tensor.Tensor
	Encodings []quant.Encoding
}

// ParamEncoding is how a constant was quantized: one encoding, or one per channel along Axis, or one per block.
type ParamEncoding struct {
	Tensor    string
	Axis      int // −1: one encoding for the tensor
	Encodings []quant.Encoding
	Blocks    *quant.Blocks // nil: it is not divided into blocks
}

const (
	domain           = "com.microsoft"
	quantizedSuffix  = "_QuantizeLinear_Output"
	dequantizeSuffix = "_DequantizeLinear_Output"
	preSuffix        = "_QuantizeLinear_Input"
)

// Observed gives the encoding of a tensor's observed range by a recipe without choices; its ok is false if nothing was
// observed. Several goroutines may ask.
type Observed func(tensor string, recipe variant.Spec) (quant.Encoding, bool)

// Build writes the simulation of a recipe and of its choices for single activations.
func Build(m *onnx.Model, p *Placement, spec variant.Spec, observed Observed) (*Built, error) {
	return BuildFixed(m, p, spec, observed, nil)
}

// BuildFixed is Build with some constants given, by node of m and input.
func BuildFixed(m *onnx.Model, p *Placement, spec variant.Spec, observed Observed, fixed map[[2]int]Fixed) (*Built, error) {
	var err error
	if spec.Choices, err = p.Spread(spec.Choices); err != nil {
		return nil, err
	}
	b := newBuilder(m, p, spec)
	b.fixed = fixed
	activation := func(name string) (quant.Encoding, bool) { return observed(name, spec.For(name)) }
	return b.build(activation, nil, func(name string) (string, bool) {
		_, ok := b.acts.encoding(name)
		return dequantizeSuffix, ok && (spec.Engine != variant.CPU || b.p.Tensors[name].Role != Shares || b.padsBelow(name))
	}, b.pair)
}

// build writes a simulation: activation gives the encodings of tensors that have one of their own, given those that a file has, and round writes a
// rounding behind every tensor that wanted names.
func (b *builder) build(activation func(name string) (quant.Encoding, bool), given map[string]Given, wanted func(name string) (suffix string, ok bool), round func(name, from, to string)) (*Built, error) {
	b.acts.encodeActivations(activation)
	if b.spec.Engine != variant.CPU {
		b.acts.everywhere()
	}
	if err := b.acts.floats(b.m.Inputs()); err != nil {
		return nil, err
	}
	b.acts.findWidths()
	k := newConstants(b)
	k.given, k.fixed = given, b.fixed
	if err := k.quantizeParams(); err != nil {
		return nil, err
	}
	if err := b.insert(wanted, round); err != nil {
		return nil, err
	}
	b.finish()
	b.built.Model, b.built.Replaced = b.built.Model.WithDomain(domain, 1), b.params
	return b.built, nil
}

// builder writes the graph of a simulation: a copy of the original's nodes with roundings around them.
type builder struct {
	*draft
	acts  *actEncodings
	m     *onnx.Model
	x     *onnx.Index
	p     *Placement
	spec  variant.Spec
	built *Built
	fixed map[[2]int]Fixed

	params    map[[2]int]string            // node, input → tensor that replaces the constant
	dequant   map[string]*onnxpb.NodeProto // dequantized constant → its node, inserted before the first use
	halves    map[string]string            // tensor → its half-precision form
	converted map[conversion]string        // activation in the encoding of an operator's width → tensor
}

func newBuilder(m *onnx.Model, p *Placement, spec variant.Spec) *builder {
	x := onnx.NewIndex(m)
	built := &Built{Taps: map[string]string{}, Encodings: map[string]quant.Encoding{}, Float: map[string]string{}, Floats: map[string]*onnxpb.TensorProto{}, Choices: spec.Choices, Weighted: map[[2]int]Weighted{}}
	return &builder{
		draft: newDraft(m), m: m, x: x, p: p, spec: spec, built: built,
		acts:   &actEncodings{x: x, p: p, spec: spec, built: built, inner: map[string]quant.Encoding{}, half: make([]bool, len(x.Nodes))},
		params: map[[2]int]string{}, dequant: map[string]*onnxpb.NodeProto{}, converted: map[conversion]string{}, halves: map[string]string{},
	}
}

// insert copies the graph and puts a rounding, made by round, behind every tensor for which wanted is true. The rounded
// tensor is called after the original with the suffix; a graph output keeps its name on the rounded side.
func (b *builder) insert(wanted func(name string) (suffix string, ok bool), round func(name, from, to string)) error {
	current := map[string]string{} // original tensor → what its consumers take now
	add := func(name, from string) {
		suffix, ok := wanted(name)
		if !ok {
			return
		}
		to := name
		if !b.x.Output[name] || b.x.Input[name] {
			to = b.unique(name + suffix)
		}
		round(name, from, to)
		current[name] = to
		if !b.x.Input[name] {
			b.built.Taps[name] = to
		}
	}
	for _, in := range b.m.Inputs() {
		add(in.GetName(), in.GetName())
	}
	done := map[string]bool{}
	for i, n := range b.x.Nodes {
		if b.acts.half[i] {
			if err := b.halfNode(n, current); err != nil {
				return err
			}
			continue
		}
		c := proto.CloneOf(n)
		for k, in := range n.GetInput() {
			if p, ok := b.params[[2]int{i, k}]; ok {
				if dq := b.dequant[p]; dq != nil && !done[p] {
					b.nodes = append(b.nodes, dq)
					done[p] = true
				}
				c.Input[k] = p
			} else if to, ok := current[in]; ok {
				c.Input[k] = b.convert(i, in, to)
			}
		}
		b.captured(c, current)
		b.built.Nodes = append(b.built.Nodes, len(b.nodes))
		b.nodes = append(b.nodes, c)
		for k, out := range n.GetOutput() {
			if _, ok := wanted(out); ok && out != "" {
				from := out
				if b.x.Output[out] {
					from = b.unique(out + preSuffix)
					c.Output[k] = from
				}
				add(out, from)
			} else if place, ok := b.p.Tensors[out]; ok && place.Role != Fused {
				b.built.Taps[out] = out
			}
		}
	}
	return nil
}

// captured has the bodies of control flow take what carries a tensor's quantized values, as nodes do.
func (b *builder) captured(n *onnxpb.NodeProto, current map[string]string) {
	rename := map[string]string{}
	for _, name := range onnx.Captures(n) {
		if to, ok := current[name]; ok && to != name {
			rename[name] = to
		}
	}
	for _, a := range n.GetAttribute() {
		for _, g := range append(slices.Clone(a.GetGraphs()), a.GetG()) {
			for _, inner := range g.GetNode() {
				if len(rename) > 0 {
					onnx.RenameUses(inner, rename)
				}
			}
		}
	}
}

// padsBelow says whether a tensor is padded with what its encoding does not hold, minus infinity: of all that only moves data this alone
// leaves the grid, so that a quantizer behind it changes something.
func (b *builder) padsBelow(name string) bool {
	k, made := b.x.Producer[name]
	if !made {
		return false
	}
	n := b.x.Nodes[k]
	if n.GetOpType() != "Pad" || onnx.AttrString(n, "mode", "constant") != "constant" {
		return false
	}
	value := onnx.AttrFloat(n, "value", 0)
	if len(n.GetInput()) > 2 && n.GetInput()[2] != "" {
		value, _ = scalar(b.x.Initializer[n.GetInput()[2]])
	}
	return value != 0
}

// finish makes the model: the nodes, and the constants that they use.
func (b *builder) finish() { b.built.Model = onnx.Rebuild(b.m, b.nodes, b.inits...) }
