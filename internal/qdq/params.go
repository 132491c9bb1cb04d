package qdq

import (
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// constants quantizes the constants of a graph, each with a DequantizeLinear that stands for it.
type constants struct {
	m       *onnx.Model
	x       *onnx.Index
	p       *Placement
	spec    variant.Spec
	acts    *actEncodings
	draft   *draft // takes the quantized constants
	built   *Built // takes their encodings and float originals
	params  map[[2]int]string
	dequant map[string]*onnxpb.NodeProto
	given   map[string]Given // nil: all are calibrated
	fixed   map[[2]int]Fixed // node, input → what takes the constant's place

	said    map[string]bool             // constants whose values that are not finite were named
	weights map[string][]quant.Encoding // dequantized weight → encodings
	reuse   map[string]string           // constant and manner → dequantized constant
}

func newConstants(b *builder) *constants {
	return &constants{
		m: b.m, x: b.x, p: b.p, spec: b.spec, acts: b.acts, draft: b.draft, built: b.built, params: b.params, dequant: b.dequant,
		said: map[string]bool{}, weights: map[string][]quant.Encoding{}, reuse: map[string]string{},
	}
}

// quantizeParams quantizes all that the placement names.
func (k *constants) quantizeParams() error {
	for _, q := range slices.Concat(k.p.Params, k.givenParams()) {
		n := k.x.Nodes[q.Node]
		name := n.GetInput()[q.Input]
		if k.acts.half[q.Node] {
			if g, has := k.given[name]; has && !g.Float {
				k.built.Warnings = append(k.built.Warnings, fmt.Sprintf("constant %s has an encoding of %d bits, and the encodings have what %s makes in half precision: the operator computes in half precision, and so does the constant", name, g.Bits, n.GetOpType()))
			}
			continue
		}
		values, err := k.m.Tensor(k.x.Initializer[name])
		if err != nil {
			return err
		}
		if len(values.F32) == 0 {
			continue
		}
		k.sayNotFinite(name, values.F32)
		var replaced string
		g, has := k.given[name]
		switch {
		case has:
			if replaced, err = k.asGiven(name, values, q, g); err != nil {
				return err
			}
		case k.given != nil && k.spec.Engine == variant.CPU: // it has no entry
		default:
			if replaced, err = k.calibrated(name, values, q, n); err != nil {
				return err
			}
		}
		k.note(q, replaced)
		if replaced != "" {
			k.built.Floats[replaced] = k.x.Initializer[name]
			k.params[[2]int{q.Node, q.Input}] = replaced
		}
	}
	return nil
}

// calibrated quantizes a constant by its own values.
func (k *constants) calibrated(name string, values tensor.Tensor, q Param, n *onnxpb.NodeProto) (string, error) {
	fixed, has := k.fixed[[2]int{q.Node, q.Input}]
	if has {
		values = fixed.Values
	}
	switch q.Role {
	case Weight:
		if len(fixed.Encodings) > 0 {
			axis := q.Axis
			if len(fixed.Encodings) == 1 {
				axis = -1
			}
			made := k.constant(name, values, axis, fixed.Encodings)
			k.weights[made] = fixed.Encodings
			return made, nil
		}
		least, err := k.biasScale(q)
		if err != nil {
			return "", err
		}
		return k.weight(name, values, q, least), nil
	case Operand:
		return k.operand(name, values, k.acts.actBits(q.Node)), nil
	case Bias:
		return k.bias(name, values, n, q.Node), nil
	}
	return "", nil
}

// note writes down how a node's weight was quantized.
func (k *constants) note(q Param, replaced string) {
	encodings, ok := k.weights[replaced]
	if q.Role != Weight || !ok {
		return
	}
	w := Weighted{Axis: q.Axis, Encodings: encodings}
	if len(encodings) == 1 && k.x.Initializer[k.x.Nodes[q.Node].GetInput()[q.Input]].GetDims()[max(q.Axis, 0)] != 1 {
		w.Axis = -1
	}
	w.Input, w.Encoded = k.acts.taken(q.Node, k.x.Nodes[q.Node].GetInput()[0])
	k.built.Weighted[[2]int{q.Node, q.Input}] = w
}

// sayNotFinite warns of values that no encoding holds: NaN becomes zero, an infinite one the end of the range of the others.
func (k *constants) sayNotFinite(name string, values []float32) {
	nan, infinite := 0, 0
	for _, v := range values {
		switch {
		case math.IsNaN(float64(v)):
			nan++
		case math.IsInf(float64(v), 0):
			infinite++
		}
	}
	if k.said[name] || nan+infinite == 0 {
		return
	}
	k.said[name] = true
	if nan > 0 {
		k.built.Warnings = append(k.built.Warnings, fmt.Sprintf("%s in %d of %d values, which no encoding holds: they become 0", HoldsNaN(name), nan, len(values)))
	}
	if infinite > 0 {
		k.built.Warnings = append(k.built.Warnings, fmt.Sprintf("the constant %s is infinite in %d of %d values, which no encoding holds: they become the end of the range of the others", name, infinite, len(values)))
	}
}

// weight quantizes a weight: per channel symmetric, if the recipe and the node want that. One encoding for the whole
// tensor is asymmetric in w8a8 only: with 16-bit activations the HTP does far worse with asymmetric weights, and 4-bit
// weights are always symmetric there.
//
// least are scales, one per output channel or none, below which the bias would not fit 32 bits; a weight's scale is
// widened to them, as ONNX Runtime's quantizer does.
func (k *constants) weight(name string, values tensor.Tensor, q Param, least []float64) string {
	axis := q.Axis
	bits := k.spec.BitsOf(len(values.F32))
	symmetric := bits != 8 || k.acts.actBits(q.Node) != 8
	if isNorm[k.x.Nodes[q.Node].GetOpType()] { // the HTP takes no other scale of a LayerNormalization
		bits, symmetric = 8, false
	}
	if !k.spec.PerChannel || axis < 0 || axis >= len(values.Shape) {
		axis = -1
	} else {
		symmetric = true
	}
	key := fmt.Sprintf("%s\x00weight\x00%d\x00%d\x00%v\x00%v", name, axis, bits, symmetric, least)
	if done, ok := k.reuse[key]; ok {
		return done
	}
	var encodings []quant.Encoding
	var groups [][]float32
	if axis < 0 {
		groups = [][]float32{values.F32}
	} else {
		groups = channels(values, axis)
	}
	widened := 0
	for c, g := range groups {
		e := calib.Parameter(g, bits, symmetric, k.spec)
		if scale := leastScale(least, c, len(groups)); e.Scale < scale {
			e = quant.FromScale(e.Bits, e.Symmetric, scale, e.Offset)
			widened++
		}
		encodings = append(encodings, e)
	}
	if widened > 0 {
		k.built.Warnings = append(k.built.Warnings, fmt.Sprintf("weight %s: %d of %d scales were widened so that the bias fits 32 bits", name, widened, len(groups)))
	}
	k.reuse[key] = k.constant(name, values, axis, encodings)
	k.weights[k.reuse[key]] = encodings
	return k.reuse[key]
}

// biasScale gives, for a node with a 32-bit bias, the least scale of the weight whose products the bias is added to, per output channel (per
// direction of a recurrent operator), for which the bias fits; none if that does not matter.
func (k *constants) biasScale(q Param) ([]float64, error) {
	n := k.x.Nodes[q.Node]
	b := BiasInput(n)
	if k.spec.BiasBits != 32 || q.Input != 1 || len(n.GetInput()) <= b || k.x.Initializer[n.GetInput()[b]] == nil {
		return nil, nil
	}
	in, ok := k.acts.taken(q.Node, n.GetInput()[0])
	if !ok {
		return nil, nil
	}
	bias, err := k.m.Tensor(k.x.Initializer[n.GetInput()[b]])
	if err != nil {
		return nil, err
	}
	group := 1
	if recurrent[n.GetOpType()] {
		group = inner(bias.Shape, 0)
	}
	least := make([]float64, len(bias.F32)/group)
	for c := range least {
		for _, v := range bias.F32[c*group : (c+1)*group] {
			least[c] = max(least[c], math.Abs(float64(v))/(math.MaxInt32-256)/in.Scale)
		}
	}
	return least, nil
}

func leastScale(least []float64, channel, channels int) float64 {
	if len(least) == channels && channels > 1 {
		return least[channel]
	}
	if channels == 1 && len(least) > 0 {
		return slices.Max(least)
	}
	return 0
}

func (k *constants) operand(name string, values tensor.Tensor, bits int) string {
	key := fmt.Sprintf("%s\x00operand\x00%d", name, bits)
	if done, ok := k.reuse[key]; ok {
		return done
	}
	k.reuse[key] = k.constant(name, values, -1, []quant.Encoding{calib.Parameter(values.F32, bits, false, k.spec)})
	return k.reuse[key]
}

// bias quantizes a bias to 32 bits with the scale of its node's products (scale of the activation × scale of the
// weight), or to 8 bits with its own range. The result is "" where that is not possible; the bias then stays float.
func (k *constants) bias(name string, values tensor.Tensor, n *onnxpb.NodeProto, node int) string {
	if k.spec.BiasBits == 8 {
		key := name + "\x00bias8"
		if _, ok := k.reuse[key]; !ok {
			k.reuse[key] = k.constant(name, values, -1, []quant.Encoding{calib.Parameter(values.F32, 8, false, k.spec)})
		}
		return k.reuse[key]
	}
	in, ok := k.acts.taken(node, n.GetInput()[0])
	weights := k.weights[k.params[[2]int{node, 1}]]
	plain := onnx.AttrFloat(n, "alpha", 1) == 1 && onnx.AttrFloat(n, "beta", 1) == 1
	group := 1 // values of one scale
	if recurrent[n.GetOpType()] {
		group, plain = inner(values.Shape, 0), true
	}
	if !ok || len(weights) == 0 || !plain || (len(weights) > 1 && len(weights)*group != len(values.F32)) {
		return ""
	}
	scales := make([]float32, len(weights))
	raw := make([]byte, 4*len(values.F32))
	clipped := 0
	for i := range scales {
		scales[i] = BiasScale(in, weights[i])
	}
	for i, v := range values.F32 {
		q, fits := WideInteger(v, scales[min(i/group, len(scales)-1)])
		if !fits {
			clipped++
		}
		put32(raw[4*i:], q)
	}
	if clipped > 0 {
		k.built.Warnings = append(k.built.Warnings, fmt.Sprintf("bias %s: %d of %d values do not fit 32 bits at the scale of their products", name, clipped, len(values.F32)))
	}
	axis := -1
	if len(scales) > 1 {
		axis = 0
	}
	var encodings []quant.Encoding
	for _, s := range scales {
		encodings = append(encodings, quant.Encoding{
			Bits: 32, Symmetric: true, Scale: float64(s), Offset: math.MinInt32,
			Min: float64(s) * math.MinInt32, Max: float64(s) * math.MaxInt32,
		})
	}
	k.built.Params = append(k.built.Params, ParamEncoding{Tensor: name, Axis: axis, Encodings: encodings})
	return k.dequantize(name, tensor.Tensor{DType: tensor.Int32, Shape: values.Shape, Raw: raw}, scales, nil, axis)
}

// BiasScale is the scale of a bias of 32 bits: that of the products of its node's activation and weight.
func BiasScale(activation, weight quant.Encoding) float32 {
	return float32(activation.Scale) * float32(weight.Scale)
}

// WideInteger rounds a value to an integer of 32 bits; fits is false if it had to be clipped. NaN becomes 0.
func WideInteger(v, scale float32) (q int32, fits bool) {
	if math.IsNaN(float64(v)) {
		v = 0
	}
	r := math.RoundToEven(float64(v) / float64(scale))
	clipped := min(max(r, math.MinInt32), math.MaxInt32)
	return int32(clipped), r == clipped
}

// constant quantizes a constant, one encoding per channel along axis, and gives the name of its dequantized form.
func (k *constants) constant(name string, values tensor.Tensor, axis int, encodings []quant.Encoding) string {
	k.built.Params = append(k.built.Params, ParamEncoding{Tensor: name, Axis: axis, Encodings: encodings})
	bits, signed := encodings[0].Bits, encodings[0].Symmetric
	d := storage(bits, signed)
	quantized := tensor.Tensor{DType: d, Shape: values.Shape, Raw: make([]byte, tensor.ByteSize(d, len(values.F32)))}
	inner := 1
	if axis >= 0 {
		for _, dim := range values.Shape[axis+1:] {
			inner *= int(dim)
		}
	}
	scales := make([]float32, len(encodings))
	zeros := make([]int, len(encodings))
	for c, e := range encodings {
		scales[c], zeros[c] = float32(e.Scale), e.ZeroPoint(signed)
	}
	lo, hi := 0.0, float64(quant.Levels(bits))
	if signed {
		lo, hi = -float64(int(1)<<(bits-1)), float64(int(1)<<(bits-1)-1)
	}
	for i, v := range values.F32 {
		if math.IsNaN(float64(v)) {
			v = 0
		}
		c := 0
		if axis >= 0 {
			c = i / inner % len(encodings)
		}
		q := math.RoundToEven(float64(v)/float64(scales[c])) + float64(zeros[c])
		putInt(quantized, i, int(min(max(q, lo), hi)))
	}
	zeroPoints := tensor.Tensor{DType: d, Raw: make([]byte, tensor.ByteSize(d, len(zeros)))}
	if axis >= 0 {
		zeroPoints.Shape = []int64{int64(len(zeros))}
	}
	for c, z := range zeros {
		putInt(zeroPoints, c, z)
	}
	return k.dequantize(name, quantized, scales, &zeroPoints, axis)
}

// dequantize adds a quantized constant and its DequantizeLinear.
func (k *constants) dequantize(name string, quantized tensor.Tensor, scales []float32, zeroPoint *tensor.Tensor, axis int) string {
	add := func(suffix string, t tensor.Tensor) string {
		unique := k.draft.unique(name + suffix)
		k.draft.inits = append(k.draft.inits, onnx.TensorProto(unique, t))
		return unique
	}
	scale := tensor.Floats(scales)
	if axis >= 0 {
		scale.Shape = []int64{int64(len(scales))}
	}
	n := &onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Domain: proto.String(domain)}
	n.Input = []string{add("_quantized", quantized), add("_scale", scale)}
	if zeroPoint != nil {
		n.Input = append(n.Input, add("_zero_point", *zeroPoint))
	}
	if axis >= 0 {
		n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("axis", int64(axis))}
	}
	out := k.draft.unique(name + dequantizeSuffix)
	n.Name, n.Output = proto.String(out), []string{out}
	k.dequant[out] = n
	return out
}

// channels collects the values of each index along an axis.
func channels(t tensor.Tensor, axis int) [][]float32 {
	n := int(t.Shape[axis])
	inner := 1
	for _, d := range t.Shape[axis+1:] {
		inner *= int(d)
	}
	list := make([][]float32, n)
	for start := 0; start+n*inner <= len(t.F32); start += n * inner {
		for c := range n {
			list[c] = append(list[c], t.F32[start+c*inner:start+(c+1)*inner]...)
		}
	}
	return list
}

// storage is the type that holds integers of a width.
func storage(bits int, signed bool) tensor.DType {
	switch {
	case bits == 4 && signed:
		return tensor.Int4
	case bits == 4:
		return tensor.Uint4
	case bits == 16 && signed:
		return tensor.Int16
	case bits == 16:
		return tensor.Uint16
	case signed:
		return tensor.Int8
	}
	return tensor.Uint8
}

// putInt writes element i of an integer tensor of 4, 8 or 16 bits.
func putInt(t tensor.Tensor, i, v int) {
	switch t.DType.Bits() {
	case 4:
		shift := 4 * (i % 2)
		t.Raw[i/2] = t.Raw[i/2]&^(15<<shift) | byte(v&15)<<shift
	case 8:
		t.Raw[i] = byte(v)
	case 16:
		t.Raw[2*i], t.Raw[2*i+1] = byte(v), byte(v>>8)
	}
}

func put32(raw []byte, v int32) {
	raw[0], raw[1], raw[2], raw[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

// HoldsNaN is how the warning about a constant begins that holds NaN.
func HoldsNaN(name string) string { return "the constant " + name + " holds NaN" }
