package floattwin

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// gridOf reads a scale and a zero point. ok is false if one of them is no constant of this program's types.
func (k *view) gridOf(n *onnxpb.NodeProto, scale, zero string) (g grid, ok bool, err error) {
	g = grid{source: n.GetOpType(), scale: scale, zero: zero, axis: 1}
	t := k.constantOf(scale)
	if t == nil {
		return g, false, nil
	}
	values, err := k.m.Tensor(t)
	if err != nil {
		return g, false, err
	}
	scales, ok := values.AsFloat32()
	if !ok {
		return g, false, nil
	}
	for _, s := range scales {
		g.values = append(g.values, float64(s))
	}
	d := tensor.Uint8
	g.zeros = make([]int64, len(scales))
	if zero != "" {
		z := k.constantOf(zero)
		if z == nil {
			return g, false, nil
		}
		points, err := k.m.Tensor(z)
		if err != nil {
			return g, false, err
		}
		if d = points.DType; !integer(d) {
			return g, false, nil
		}
		if g.zeros, ok = points.Ints(); !ok || len(g.zeros) != len(scales) && len(g.zeros) != 1 {
			return g, false, nil
		}
	}
	for i, s := range g.values {
		z := g.zeros[min(i, len(g.zeros)-1)]
		bits, signed := d.Bits(), d == tensor.Int8 || d == tensor.Int16 || d == tensor.Int32 || d == tensor.Int4
		offset := -int(z)
		if signed {
			offset -= 1 << (bits - 1)
		}
		g.encoding = append(g.encoding, quant.FromScale(bits, signed && z == 0, s, offset))
	}
	return g, true, nil
}

// same says whether two grids stand for the same numbers.
func same(a, b grid) bool {
	return !a.dynamic && !b.dynamic && slices.Equal(a.values, b.values) && slices.Equal(a.zeros, b.zeros) && (len(a.values) < 2 || a.axis == b.axis)
}

// put adds a constant and gives its name.
func (k *weights) put(name string, t tensor.Tensor) string {
	name = k.names.Unique(name)
	p := onnx.TensorProto(name, t)
	k.inits = append(k.inits, p)
	k.constant[name] = p
	return name
}

// dequantized gives the float form of an integer constant, called after it or, if nothing else can be, otherwise.
func (k *weights) dequantized(name, otherwise string, g grid, block int64) (string, error) {
	key := fmt.Sprintf("%s\x00%v\x00%v\x00%d\x00%d", name, g.values, g.zeros, g.axis, block)
	if done := k.done[key]; done != "" {
		return done, nil
	}
	t := k.constantOf(name)
	values, err := k.m.Tensor(t)
	if err != nil {
		return "", err
	}
	ints, ok := values.Ints()
	if !ok || !integer(values.DType) {
		return "", fmt.Errorf("its constant is %s", values.DType)
	}
	floats, axis, err := spread(ints, values.Shape, g, block)
	if err != nil {
		return "", err
	}
	to := plain(name)
	if to == name {
		to = plain(otherwise)
	}
	if to == otherwise && k.producer[otherwise] != nil {
		k.inits = append(k.inits, onnx.TensorProto(otherwise, tensor.Floats(floats, values.Shape...)))
		k.constant[otherwise] = k.inits[len(k.inits)-1]
	} else {
		to = k.put(to, tensor.Floats(floats, values.Shape...))
	}
	k.done[key] = to
	k.report.Weights = append(k.report.Weights, to)
	if block == 0 && values.DType != tensor.Int32 && len(g.encoding) > 0 {
		k.report.Params = append(k.report.Params, qdq.ParamEncoding{Tensor: to, Axis: axis, Encodings: encodingsOf(values.DType, g)})
	}
	return to, nil
}

// encodingsOf are those of a constant of a type: a zero point that is left out has the constant's.
func encodingsOf(d tensor.DType, g grid) []quant.Encoding {
	var list []quant.Encoding
	signed := d == tensor.Int8 || d == tensor.Int16 || d == tensor.Int4
	for i, s := range g.values {
		z := int(g.zeros[min(i, len(g.zeros)-1)])
		offset := -z
		if signed {
			offset -= 1 << (d.Bits() - 1)
		}
		list = append(list, quant.FromScale(d.Bits(), signed && z == 0, s, offset))
	}
	return list
}

// spread gives the real numbers of integers: one scale for all, one for each index of an axis, or one for each block along it. axis is
// −1 for one scale.
func spread(ints []int64, shape []int64, g grid, block int64) (floats []float32, axis int, err error) {
	zero := func(i int) int64 { return g.zeros[min(i, len(g.zeros)-1)] }
	floats = make([]float32, len(ints))
	if len(g.values) == 1 {
		for i, v := range ints {
			floats[i] = float32(v-zero(0)) * float32(g.values[0])
		}
		return floats, -1, nil
	}
	axis = int(g.axis)
	if axis < 0 {
		axis += len(shape)
	}
	if axis < 0 || axis >= len(shape) {
		return nil, 0, fmt.Errorf("its axis %d is none of its constant's", g.axis)
	}
	inner := 1
	for _, d := range shape[axis+1:] {
		inner *= int(d)
	}
	along := int(shape[axis])
	groups := along
	if block > 0 {
		groups = (along + int(block) - 1) / int(block)
	}
	outer := 0
	if along*inner > 0 {
		outer = len(ints) / (along * inner)
	}
	blocked := block > 0 && len(g.values) == outer*groups*inner
	if !blocked && len(g.values) != along {
		return nil, 0, errors.New("it has another number of scales than its constant has channels")
	}
	for i, v := range ints {
		at := i / inner % along
		s := at
		if blocked {
			s = (i/(inner*along)*groups+at/int(block))*inner + i%inner
		}
		floats[i] = float32(v-zero(s)) * float32(g.values[s])
	}
	return floats, axis, nil
}

// floatOf gives the float tensor of an operand of an integer operator, by its scale and zero point.
func (k *maker) floatOf(n *onnxpb.NodeProto, in, scale, zero string, axis int64) (string, bool, error) {
	g, ok, err := k.gridOf(n, scale, zero)
	if err != nil {
		return "", false, err
	}
	if float, is := k.real[in]; is {
		if k.grids[in].dynamic && (k.one != "" && k.now(scale) == k.one) {
			return float, true, nil
		}
		if ok && same(k.grids[in], g) {
			return float, true, nil
		}
		return "", false, nil
	}
	if !ok {
		return "", false, nil
	}
	g.axis = axis
	if k.constantOf(in) != nil {
		name, err := k.dequantized(in, in, g, 0)
		return name, err == nil, err
	}
	out := k.names.Unique(plain(in) + "_DequantizeLinear_Output")
	k.add(&onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Name: proto.String(k.names.Unique(plain(in) + "_DequantizeLinear")), Input: inputs(k.now(in), scale, zero), Output: []string{out}})
	k.stay(k.nodes[len(k.nodes)-1], "its integers come from outside")
	return out, true, nil
}

// inputs are a node's, without empty ones at the end.
func inputs(list ...string) []string {
	for len(list) > 0 && list[len(list)-1] == "" {
		list = list[:len(list)-1]
	}
	return list
}

// rescale makes the real numbers that integers stand for on another grid than the one they were made on.
func (k *maker) rescale(n *onnxpb.NodeProto, float, out string, from, to grid) error {
	if from.dynamic || len(from.values) != 1 || len(to.values) != 1 {
		k.again(n.GetInput()[0], "its integers are read on another grid")
		return k.keep(n)
	}
	by := to.values[0] / from.values[0]
	shift := float64(from.zeros[0]-to.zeros[0]) * to.values[0]
	scaled := out
	if shift != 0 {
		scaled = k.names.Unique(out + "_scaled")
	}
	node := func(op, in, constant, out string, value float64) {
		k.add(&onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(k.names.Unique(out + "_" + op)), Input: []string{in, k.put(constant, tensor.Floats([]float32{float32(value)}))}, Output: []string{out}})
	}
	node("Mul", float, out+"_scale", scaled, by)
	if shift != 0 {
		node("Add", scaled, out+"_shift", out, shift)
	}
	return nil
}

// movedConstants finds integer constants that are moved, as a table that a Gather takes rows from, before they are dequantized with one
// scale: what stands for them is dequantized at once.
func (k *maker) movedConstants(g *onnxpb.GraphProto) error {
	for _, n := range g.GetNode() {
		if n.GetOpType() != "DequantizeLinear" || len(n.GetInput()) < 2 {
			continue
		}
		at := k.producer[n.GetInput()[0]]
		root := ""
		for at != nil && moves(at) {
			root = at.GetInput()[0]
			at = k.producer[root]
		}
		if root == "" || k.constantOf(root) == nil || k.real[root] != "" || !integer(tensor.DType(k.constantOf(root).GetDataType())) {
			continue
		}
		grid, ok, err := k.gridOf(n, n.GetInput()[1], optional(n, 2))
		if err != nil {
			return err
		}
		if !ok || len(grid.values) != 1 {
			continue
		}
		name, err := k.dequantized(root, root, grid, 0)
		if err != nil {
			return err
		}
		k.real[root], k.grids[root], k.integer[root] = name, grid, true // the integers are there still
	}
	return nil
}
