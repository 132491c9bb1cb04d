package qdq

import (
	"fmt"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Given is the encoding of a tensor that was given instead of calibrated.
type Given struct {
	Float     bool // a floating-point number of Bits
	Bits      int
	Encodings []quant.Encoding // one, one per channel, or one per block
	Axis      int              // of channels or blocks; −1: as the operator has it
	Block     int              // values along Axis that share an encoding; 0: none
}

const (
	noEntry     = "the encodings have no entry for it"
	givenHalf   = "half precision, as the encodings say"
	givenSingle = "single precision, as the encodings say"
	tooFine     = "integers of 32 bits are finer than what is computed here"
)

// BuildGiven writes the simulation of encodings that were given. On the CPU there is a rounding behind every activation that has an entry,
// and at every constant that has one, and nowhere else: so the tool that made the encodings simulates them. What a device runs needs
// more: there, tensors without an entry carry that of the tensor whose data they have, are calibrated as the usual recipe has it (observed), and
// what the encodings leave in half precision is computed so.
func BuildGiven(m *onnx.Model, p *Placement, engine variant.Engine, given map[string]Given, observed Observed) (*Built, error) {
	spec := variant.Usual()
	spec.Engine = engine
	x := onnx.NewIndex(m)
	place := p.given(x, given, engine)
	var err error
	if spec.Choices, err = place.Spread(place.givenChoices(x, given, engine)); err != nil {
		return nil, err
	}
	b := newBuilder(m, place, spec)
	b.built.Placement, b.acts.exact = place, given
	activation := func(name string) (quant.Encoding, bool) {
		if e, ok := givenOf(given, name); ok {
			return e, true
		}
		if engine == variant.CPU {
			return quant.Encoding{}, false
		}
		return observed(name, spec.For(name))
	}
	half := func(name string) bool { return engine == variant.CPU && given[name].Float && given[name].Bits == 16 }
	return b.build(activation, given, func(name string) (string, bool) {
		if half(name) {
			_, activation := place.Tensors[name]
			return halfSuffix, activation
		}
		_, ok := b.acts.encoding(name)
		return dequantizeSuffix, ok && (engine != variant.CPU || place.Tensors[name].Role != Shares)
	}, func(name, from, to string) {
		if half(name) {
			b.castPair(name, from, to)
			return
		}
		b.pair(name, from, to)
	})
}

// givenOf is the one encoding that was given for an activation.
func givenOf(given map[string]Given, name string) (quant.Encoding, bool) {
	g := given[name]
	if g.Float || len(g.Encodings) != 1 || g.Bits > 16 {
		return quant.Encoding{}, false
	}
	e := g.Encodings[0]
	return quant.FromScale(e.Bits, e.Symmetric, e.Scale, e.Offset), true
}

// given is the placement with a quantizer of its own for every tensor that has an entry. Without one, on the CPU, a tensor is not rounded.
func (p *Placement) given(x *onnx.Index, given map[string]Given, engine variant.Engine) *Placement {
	q := &Placement{Tensors: map[string]Place{}, Order: p.Order, Params: p.Params}
	for _, name := range p.Order {
		q.Tensors[name] = q.placeGiven(x, name, p.Tensors[name], given, engine)
	}
	return q
}

func (p *Placement) placeGiven(x *onnx.Index, name string, was Place, given map[string]Given, engine variant.Engine) Place {
	g, has := given[name]
	_, rounds := givenOf(given, name)
	made, computed := x.Producer[name]
	from := ""
	if computed && len(x.Nodes[made].GetInput()) > 0 {
		from = x.Nodes[made].GetInput()[0]
	}
	switch {
	case was.Role == None:
		return was
	case rounds:
		return Place{Role: Own}
	case has && engine == variant.CPU && g.Float && g.Bits == 16:
		return Place{Role: None, Reason: givenHalf}
	case has && engine == variant.CPU && g.Float:
		return Place{Role: None, Reason: givenSingle}
	case has && !g.Float:
		return Place{Role: None, Reason: tooFine}
	case was.Role == Shares && from != "":
		switch source := p.Tensors[from]; source.Role {
		case Own, Union:
			return Place{Role: Shares, Of: from}
		case Shares, None:
			return source
		}
		return was
	case was.Role == Union:
		if of, same := p.joinsOne(was.Joins, given); same {
			return Place{Role: Shares, Of: of}
		}
	}
	if engine == variant.CPU && was.Role != Fused {
		return Place{Role: None, Reason: noEntry}
	}
	return was
}

// joinsOne says whether all joined tensors have one encoding, and which of them has it.
func (p *Placement) joinsOne(joins []string, given map[string]Given) (of string, same bool) {
	var first quant.Encoding
	for i, name := range joins {
		if p.Tensors[name].Role == Shares {
			name = p.Tensors[name].Of
		}
		e, ok := givenOf(given, name)
		if !ok || i > 0 && e != first {
			return "", false
		}
		if i == 0 {
			first, of = e, name
		}
	}
	return of, of != ""
}

// givenChoices are what a device has to know besides: what is computed in half precision, and the width of joins that have no entry.
func (p *Placement) givenChoices(x *onnx.Index, given map[string]Given, engine variant.Engine) variant.Choices {
	choices := variant.Choices{}
	if engine == variant.CPU {
		return nil
	}
	for _, name := range p.Order {
		_, computed := x.Producer[name]
		place := p.Tensors[name]
		if given[name].Float && computed && place.Role != None {
			choices[name] = variant.Choice{Float: true}
			continue
		}
		if place.Role == Union {
			for _, join := range place.Joins {
				if e, ok := givenOf(given, join); ok && e.Bits == 16 {
					choices[name] = variant.Choice{Bits: 16}
				}
			}
		}
	}
	return choices
}

// givenParams are the uses of constants that have an entry and that the placement does not name.
func (k *constants) givenParams() []Param {
	if len(k.given) == 0 {
		return nil
	}
	known := map[[2]int]bool{}
	for _, q := range k.p.Params {
		known[[2]int{q.Node, q.Input}] = true
	}
	var list []Param
	for i, n := range k.x.Nodes {
		for j, name := range n.GetInput() {
			t := k.x.Initializer[name]
			if _, has := k.given[name]; has && t != nil && tensor.DType(t.GetDataType()) == tensor.Float32 && !known[[2]int{i, j}] {
				list = append(list, Param{Node: i, Input: j, Role: Operand, Axis: -1})
			}
		}
	}
	return list
}

// asGiven quantizes a constant as it was given; the result is "" where it stays as it is.
func (k *constants) asGiven(name string, values tensor.Tensor, q Param, g Given) (string, error) {
	key := fmt.Sprintf("%s\x00given\x00%d", name, q.Axis)
	if done, ok := k.reuse[key]; ok {
		return done, nil
	}
	var made string
	switch {
	case g.Float && (g.Bits != 16 || k.spec.Engine != variant.CPU):
		return "", nil // a device has them in half precision, or dequantizes
	case g.Float:
		half := make([]float32, len(values.F32))
		for i, v := range values.F32 {
			half[i] = tensor.HalfToFloat(tensor.FloatToHalf(v))
		}
		made = k.floats(name+"_fp16", tensor.Floats(half, values.Shape...))
	case g.Block > 0:
		var err error
		if made, err = k.divided(name, values, q, g); err != nil {
			return "", err
		}
	default:
		axis, err := g.AxisIn(values.Shape, q.Axis)
		if err != nil {
			return "", fmt.Errorf("constant %s: %w", name, err)
		}
		list := make([]quant.Encoding, len(g.Encodings))
		for c, e := range g.Encodings {
			list[c] = quant.FromScale(e.Bits, e.Symmetric, e.Scale, e.Offset)
		}
		if g.Bits == 32 {
			made = k.wide(name, values, axis, list)
		} else {
			alike(list)
			made = k.constant(name, values, axis, list)
			k.weights[made] = list
		}
	}
	k.reuse[key] = made
	return made, nil
}

// alike lets all encodings of a tensor be stored in integers of one sign: symmetric ones only if all are.
func alike(list []quant.Encoding) {
	if slices.ContainsFunc(list, func(e quant.Encoding) bool { return !e.Symmetric || e.Offset != -1<<(e.Bits-1) }) {
		for c := range list {
			list[c].Symmetric = false
		}
	}
}

// floats adds a constant of real numbers.
func (k *constants) floats(name string, t tensor.Tensor) string {
	unique := k.draft.unique(name)
	k.draft.inits = append(k.draft.inits, onnx.TensorProto(unique, t))
	return unique
}

// wide quantizes a constant to integers of 32 bits.
func (k *constants) wide(name string, values tensor.Tensor, axis int, list []quant.Encoding) string {
	for _, e := range list {
		if e.Offset != -1<<31 { // DequantizeLinear takes no zero point for them
			g := Given{Bits: 32, Encodings: list}
			inner := inner(values.Shape, axis)
			return k.floats(name+dequantizeSuffix, g.fake(values, func(i int) int { return i / inner % len(list) }))
		}
	}
	inner := inner(values.Shape, axis)
	raw := make([]byte, 4*len(values.F32))
	scales := make([]float32, len(list))
	for c := range list {
		scales[c] = float32(list[c].Scale)
	}
	for i, v := range values.F32 {
		e := list[i/inner%len(list)]
		put32(raw[4*i:], int32(e.Quantize(float64(v))+e.Offset))
	}
	k.built.Params = append(k.built.Params, ParamEncoding{Tensor: name, Axis: axis, Encodings: list})
	return k.dequantize(name, tensor.Tensor{DType: tensor.Int32, Shape: values.Shape, Raw: raw}, scales, nil, axis)
}

// inner is how many values follow each other at one place of an axis; all of them without an axis.
func inner(shape []int64, axis int) int {
	n := 1
	for _, d := range shape[axis+1:] {
		n *= int(d)
	}
	return max(n, 1)
}

// fake quantizes and dequantizes values in single precision, as the operators do; of gives the encoding of each.
func (g Given) fake(values tensor.Tensor, of func(int) int) tensor.Tensor {
	out := make([]float32, len(values.F32))
	for i, v := range values.F32 {
		e := g.Encodings[of(i)]
		scale := float32(e.Scale)
		q := quant.FromScale(e.Bits, e.Symmetric, float64(scale), e.Offset).Quantize(float64(v))
		out[i] = float32(q+e.Offset) * scale
	}
	return tensor.Floats(out, values.Shape...)
}

// AxisIn finds the axis of the channels in a constant's shape; operator is that of the operator that takes it, −1 if it has none. It is −1
// for a single encoding.
func (g Given) AxisIn(shape []int64, operator int) (int, error) {
	n := len(g.Encodings)
	axis := g.Axis
	switch {
	case n == 1 && (axis < 0 || axis >= len(shape) || shape[axis] != 1):
		return -1, nil
	case axis >= len(shape):
		return -1, fmt.Errorf("axis %d, and the tensor has %d dimensions", axis, len(shape))
	case axis >= 0 && shape[axis] != int64(n):
		return -1, fmt.Errorf("%d encodings for the %d places of axis %d", n, shape[axis], axis)
	case axis >= 0:
		return axis, nil
	case operator >= 0 && operator < len(shape):
		if shape[operator] != int64(n) {
			return -1, fmt.Errorf("%d encodings for %d channels", n, shape[operator])
		}
		return operator, nil
	}
	for d := len(shape) - 1; d >= 0; d-- {
		if shape[d] == int64(n) {
			return d, nil
		}
	}
	return -1, fmt.Errorf("%d encodings, and no dimension of %v is as long", n, shape)
}

// Carries says whether a node's first output has the data, and so the encoding, of its first input.
func Carries(x *onnx.Index, n *onnxpb.NodeProto) bool { return moves(x, n) }
