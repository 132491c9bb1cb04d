package qdq

import (
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
	Float    map[string]string
	Choices  variant.Choices // by every tensor of the quantizers that they were made for
	Warnings []string
}

// ParamEncoding is how a constant was quantized: one encoding, or one per channel along Axis.
type ParamEncoding struct {
	Tensor    string
	Axis      int // −1: one encoding for the tensor
	Encodings []quant.Encoding
}

const (
	domain           = "com.microsoft"
	quantizedSuffix  = "_QuantizeLinear_Output"
	dequantizeSuffix = "_DequantizeLinear_Output"
	preSuffix        = "_QuantizeLinear_Input"
)

// Observed gives the encoding of a tensor's observed range by a recipe without choices; its ok is false if nothing was
// observed.
type Observed func(tensor string, recipe variant.Spec) (quant.Encoding, bool)

// Build writes the simulation of a recipe and of its choices for single activations.
func Build(m *onnx.Model, p *Placement, spec variant.Spec, observed Observed) (*Built, error) {
	b := newBuilder(m, p)
	var err error
	b.spec = spec
	if b.spec.Choices, err = p.Spread(spec.Choices); err != nil {
		return nil, err
	}
	b.built.Choices = b.spec.Choices
	activation := func(name string) (quant.Encoding, bool) { return observed(name, b.spec.For(name)) }
	b.encodeActivations(activation)
	if spec.Engine != variant.CPU {
		b.everywhere(activation)
	}
	if err := b.floats(); err != nil {
		return nil, err
	}
	b.findWidths()
	if err := b.quantizeParams(); err != nil {
		return nil, err
	}
	err = b.insert(func(name string) (string, bool) {
		_, ok := b.encoding(name)
		return dequantizeSuffix, ok && (spec.Engine != variant.CPU || b.p.Tensors[name].Role != Shares)
	}, b.pair)
	if err != nil {
		return nil, err
	}
	b.finish()
	b.built.Model, b.built.Replaced = b.built.Model.WithDomain(domain, 1), b.params
	return b.built, nil
}

type builder struct {
	m     *onnx.Model
	x     *onnx.Index
	p     *Placement
	spec  variant.Spec
	built *Built

	names   map[string]bool              // tensor names in use
	nodes   []*onnxpb.NodeProto          // of the new graph
	inits   []*onnxpb.TensorProto        // added to it
	params  map[[2]int]string            // node, input → tensor that replaces the constant
	dequant map[string]*onnxpb.NodeProto // dequantized constant → its node, inserted before the first use
	weights map[string][]quant.Encoding  // dequantized weight → encodings
	reuse   map[string]string            // constant and manner → dequantized constant
	inner   map[string]quant.Encoding    // tensors within fused operators, which need one on a device; those that were chosen float
	extra   []Param                      // constants that are quantized besides the placement's
	widths  []int                        // per node: in which it computes, 0 if that is not known
	half    []bool                       // per node: it computes in half precision among quantized ones

	halves    map[string]string     // tensor → its half-precision form
	converted map[conversion]string // activation in the encoding of an operator's width → tensor
}

func newBuilder(m *onnx.Model, p *Placement) *builder {
	x := onnx.NewIndex(m)
	b := &builder{
		m: m, x: x, p: p, half: make([]bool, len(x.Nodes)), names: map[string]bool{},
		params: map[[2]int]string{}, dequant: map[string]*onnxpb.NodeProto{}, weights: map[string][]quant.Encoding{}, reuse: map[string]string{}, inner: map[string]quant.Encoding{}, converted: map[conversion]string{}, halves: map[string]string{},
		built: &Built{Taps: map[string]string{}, Encodings: map[string]quant.Encoding{}, Float: map[string]string{}, Floats: map[string]*onnxpb.TensorProto{}},
	}
	for name := range b.x.Producer {
		b.names[name] = true
	}
	for name := range b.x.Initializer {
		b.names[name] = true
	}
	for name := range b.x.Input {
		b.names[name] = true
	}
	return b
}

func (b *builder) unique(name string) string {
	for b.names[name] {
		name += "_"
	}
	b.names[name] = true
	return name
}

func (b *builder) encodeActivations(activation func(string) (quant.Encoding, bool)) {
	for _, name := range b.p.Order {
		place := b.p.Tensors[name]
		var e quant.Encoding
		var ok bool
		reason := "no finite value was seen in calibration"
		switch place.Role {
		case Own:
			if e, ok = activation(name); ok && e.Bits == 16 {
				e = fixed(b.x, name, e)
			}
		case Shares:
			if e, ok = b.encoding(place.Of); !ok {
				reason = b.built.Float[place.Of]
			}
		case Union:
			if e, ok = b.union(name, place.Joins, activation); !ok {
				e, ok = activation(name)
			}
		case Fused:
			continue
		case None:
			reason = place.Reason
		}
		switch {
		case !ok:
			b.built.Float[name] = reason
		case b.spec.Choices[name].Float:
			b.inner[name], b.built.Float[name] = e, floatReason
		default:
			b.built.Encodings[name] = e
		}
	}
}

// encoding is that of an activation that is rounded.
func (b *builder) encoding(name string) (quant.Encoding, bool) {
	if e, ok := b.built.Encodings[name]; ok {
		return e, true
	}
	e, ok := b.inner[name]
	return e, ok
}

// everywhere gives encodings to the tensors within fused operators. A device takes no float tensor between two operators:
// what it fuses is recognized by equal encodings. Before an activation that only clamps, the encoding behind it clamps
// the same values; a product whose bias is added by an operator of its own has its own range.
func (b *builder) everywhere(activation func(string) (quant.Encoding, bool)) {
	for i, n := range b.x.Nodes {
		for _, out := range n.GetOutput() {
			place, ok := b.p.Tensors[out]
			if !ok || place.Role != Fused || b.spec.Choices[out].Float {
				continue
			}
			k, _ := b.x.SoleConsumer(out)
			if !activations[b.x.Nodes[k].GetOpType()] {
				if e, ok := activation(out); ok {
					b.inner[out] = e
				}
				continue
			}
			for place.Role == Fused {
				out, place = place.Of, b.p.Tensors[place.Of]
			}
			if e, ok := b.built.Encodings[out]; ok {
				b.inner[n.GetOutput()[0]] = e
			}
		}
		if n.GetOpType() == "Add" && isBias(b.x, n) && followsMatMul(b.x, n) {
			for k, in := range n.GetInput() {
				if t := b.x.Initializer[in]; t != nil && tensor.DType(t.GetDataType()) == tensor.Float32 {
					b.extra = append(b.extra, Param{Node: i, Input: k, Role: Operand, Axis: -1})
				}
			}
		}
	}
}

// union is the encoding of all joined ranges; ok is false if one of them is not known.
func (b *builder) union(name string, joins []string, activation func(string) (quant.Encoding, bool)) (quant.Encoding, bool) {
	var r quant.Range
	for _, join := range joins {
		e, ok := b.built.Encodings[join]
		if !ok {
			if e, ok = activation(join); !ok {
				return quant.Encoding{}, false
			}
		}
		r.Add(e.Min, e.Max)
	}
	v := b.spec.For(name)
	return quant.MinMax(r, v.ActBits, v.Calibrator == variant.Symmetric), r.Seen
}

// round adds QuantizeLinear and DequantizeLinear between two tensors, called after name.
func (b *builder) round(name, from, to string, e quant.Encoding) {
	d := storage(e.Bits, false)
	zero := tensor.Tensor{DType: d, Raw: make([]byte, tensor.ByteSize(d, 1))}
	putInt(zero, 0, e.ZeroPoint(false))
	scaleName, zeroName := b.unique(name+"_scale"), b.unique(name+"_zero_point")
	b.inits = append(b.inits, onnx.TensorProto(scaleName, tensor.Floats([]float32{float32(e.Scale)})), onnx.TensorProto(zeroName, zero))
	quantized := b.unique(name + quantizedSuffix)
	node := func(op, in, out string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{
			OpType: proto.String(op), Domain: proto.String(domain), Name: proto.String(name + "_" + op),
			Input: []string{in, scaleName, zeroName}, Output: []string{out},
		}
	}
	b.nodes = append(b.nodes, node("QuantizeLinear", from, quantized), node("DequantizeLinear", quantized, to))
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
		if b.half[i] {
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

// finish makes the model: the nodes, and the constants that they use.
func (b *builder) finish() { b.built.Model = onnx.Rebuild(b.m, b.nodes, b.inits...) }
