package floattwin

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// operators replace integer operators by float ones; taken is false where a node has a form that has none.
var operators = map[string]func(k *maker, n *onnxpb.NodeProto) (taken bool, err error){
	"QLinearConv":              convolution,
	"QLinearMatMul":            binary("MatMul"),
	"QLinearAdd":               binary("Add"),
	"QLinearMul":               binary("Mul"),
	"QLinearSigmoid":           unary("Sigmoid"),
	"QLinearLeakyRelu":         unary("LeakyRelu"),
	"QLinearSoftmax":           unary("Softmax", "opset"),
	"QLinearGlobalAveragePool": unary("GlobalAveragePool", "channels_last"),
	"QLinearAveragePool":       unary("AveragePool", "channels_last"),
	"QLinearReduceMean":        unary("ReduceMean"),
	"QLinearConcat":            concat,
	"QLinearWhere":             where,
	"QGemm":                    gemm,
	"QAttention":               attention,
	"DynamicQuantizeMatMul":    dynamicMatMul,
	"MatMulIntegerToFloat":     integerMatMul,
	"DynamicQuantizeLSTM":      lstm,
	"MatMulNBits":              blockedMatMul,
}

// float adds the float operator that takes a node's place: with its attributes but for some, and gives its output.
func float(k *maker, n *onnxpb.NodeProto, op, domain string, operands []string, out string, without ...string) {
	c := &onnxpb.NodeProto{OpType: proto.String(op), Name: n.Name, Input: inputs(operands...), Output: []string{out}}
	if domain != "" {
		c.Domain = proto.String(domain)
	}
	for _, a := range n.GetAttribute() {
		if !slices.Contains(without, a.GetName()) {
			c.Attribute = append(c.Attribute, a)
		}
	}
	k.add(c)
}

// gives ends an operator whose output has a grid of its own.
func gives(k *maker, n *onnxpb.NodeProto, op string, operands []string, scale, zero string, without ...string) (bool, error) {
	g, ok, err := k.gridOf(n, scale, zero)
	if err != nil || !ok {
		return false, err
	}
	out := n.GetOutput()[0]
	to := k.floatName(out)
	float(k, n, op, "", operands, to, without...)
	k.leave(out, to, g, true)
	return true, nil
}

func convolution(k *maker, n *onnxpb.NodeProto) (bool, error) {
	in := n.GetInput()
	x, ok, err := k.floatOf(n, in[0], in[1], in[2], 1)
	if err != nil || !ok {
		return false, err
	}
	w, ok, err := k.floatOf(n, in[3], in[4], in[5], 0)
	if err != nil || !ok {
		return false, err
	}
	operands := []string{x, w}
	if bias := optional(n, 8); bias != "" {
		b, ok, err := biasOf(k, n, bias, in[1], in[4])
		if err != nil || !ok {
			return false, err
		}
		operands = append(operands, b)
	}
	return gives(k, n, "Conv", operands, in[6], in[7])
}

// biasOf gives the real numbers of a bias, whose scales are the products of those of activation and weight.
func biasOf(k *maker, n *onnxpb.NodeProto, bias, activation, weight string) (string, bool, error) {
	a, ok, err := k.gridOf(n, activation, "")
	if err != nil || !ok || k.constantOf(bias) == nil || len(a.values) != 1 {
		return "", false, err
	}
	w, ok, err := k.gridOf(n, weight, "")
	if err != nil || !ok {
		return "", false, err
	}
	for i := range w.values {
		w.values[i] *= a.values[0]
	}
	w.axis = 0
	name, err := k.dequantized(bias, bias, w, 0)
	return name, err == nil, err
}

// binary replaces an operator with the inputs a, its scale and zero point, b with its own, and those of the output.
func binary(op string) func(k *maker, n *onnxpb.NodeProto) (bool, error) {
	return func(k *maker, n *onnxpb.NodeProto) (bool, error) {
		a, ok, err := k.floatOf(n, n.GetInput()[0], n.GetInput()[1], n.GetInput()[2], 1)
		if err != nil || !ok {
			return false, err
		}
		b, ok, err := k.floatOf(n, n.GetInput()[3], n.GetInput()[4], n.GetInput()[5], -1)
		if err != nil || !ok {
			return false, err
		}
		return gives(k, n, op, []string{a, b}, n.GetInput()[6], optional(n, 7))
	}
}

// unary replaces an operator with the inputs x, its scale and zero point, and those of the output.
func unary(op string, without ...string) func(k *maker, n *onnxpb.NodeProto) (bool, error) {
	return func(k *maker, n *onnxpb.NodeProto) (bool, error) {
		if onnx.AttrInt(n, "channels_last", 0) != 0 {
			return false, nil
		}
		x, ok, err := k.floatOf(n, n.GetInput()[0], n.GetInput()[1], n.GetInput()[2], 1)
		if err != nil || !ok {
			return false, err
		}
		return gives(k, n, op, []string{x}, n.GetInput()[3], optional(n, 4), without...)
	}
}

func concat(k *maker, n *onnxpb.NodeProto) (bool, error) {
	var operands []string
	for i := 2; i+2 < len(n.GetInput()); i += 3 {
		x, ok, err := k.floatOf(n, n.GetInput()[i], n.GetInput()[i+1], n.GetInput()[i+2], 1)
		if err != nil || !ok {
			return false, err
		}
		operands = append(operands, x)
	}
	return gives(k, n, "Concat", operands, n.GetInput()[0], n.GetInput()[1])
}

func where(k *maker, n *onnxpb.NodeProto) (bool, error) {
	operands := []string{k.now(n.GetInput()[0])}
	for _, i := range []int{1, 4} {
		x, ok, err := k.floatOf(n, n.GetInput()[i], n.GetInput()[i+1], n.GetInput()[i+2], 1)
		if err != nil || !ok {
			return false, err
		}
		operands = append(operands, x)
	}
	return gives(k, n, "Where", operands, n.GetInput()[7], n.GetInput()[8])
}

func gemm(k *maker, n *onnxpb.NodeProto) (bool, error) {
	in := n.GetInput()
	a, ok, err := k.floatOf(n, in[0], in[1], in[2], 1)
	if err != nil || !ok {
		return false, err
	}
	b, ok, err := k.floatOf(n, in[3], in[4], in[5], 1-onnx.AttrInt(n, "transB", 0))
	if err != nil || !ok || onnx.AttrFloat(n, "alpha", 1) != 1 {
		return false, err
	}
	operands := []string{a, b}
	if bias := optional(n, 6); bias != "" {
		c, ok, err := biasOf(k, n, bias, in[1], in[4])
		if err != nil || !ok {
			return false, err
		}
		operands = append(operands, c)
	}
	if scale := optional(n, 7); scale != "" {
		return gives(k, n, "Gemm", operands, scale, optional(n, 8))
	}
	float(k, n, "Gemm", "", operands, n.GetOutput()[0])
	return true, nil
}

func attention(k *maker, n *onnxpb.NodeProto) (bool, error) {
	in := n.GetInput()
	x, ok, err := k.floatOf(n, in[0], in[3], optional(n, 6), 1)
	if err != nil || !ok {
		return false, err
	}
	w, ok, err := k.floatOf(n, in[1], in[4], optional(n, 7), 1)
	if err != nil || !ok || optional(n, 8) != "" {
		return false, err
	}
	operands := []string{x, w, k.now(in[2])}
	if mask := optional(n, 5); mask != "" {
		operands = append(operands, k.now(mask))
	}
	float(k, n, "Attention", n.GetDomain(), operands, n.GetOutput()[0])
	return true, nil
}

// product adds a MatMul, with the addition of a bias if there is one.
func product(k *maker, n *onnxpb.NodeProto, a, b, bias string) {
	out := n.GetOutput()[0]
	if bias == "" {
		k.add(&onnxpb.NodeProto{OpType: proto.String("MatMul"), Name: n.Name, Input: []string{a, b}, Output: []string{out}})
		return
	}
	between := k.names.Unique(out + "_MatMul")
	k.add(&onnxpb.NodeProto{OpType: proto.String("MatMul"), Name: n.Name, Input: []string{a, b}, Output: []string{between}})
	k.add(&onnxpb.NodeProto{OpType: proto.String("Add"), Name: proto.String(k.names.Unique(out + "_Add")), Input: []string{between, k.now(bias)}, Output: []string{out}})
}

func dynamicMatMul(k *maker, n *onnxpb.NodeProto) (bool, error) {
	b, ok, err := k.floatOf(n, n.GetInput()[1], n.GetInput()[2], optional(n, 3), -1)
	if err != nil || !ok {
		return false, err
	}
	product(k, n, k.now(n.GetInput()[0]), b, optional(n, 4))
	return true, nil
}

func integerMatMul(k *maker, n *onnxpb.NodeProto) (bool, error) {
	in := n.GetInput()
	a, ok, err := k.floatOf(n, in[0], in[2], optional(n, 4), 1)
	if err != nil || !ok {
		return false, err
	}
	b, ok, err := k.floatOf(n, in[1], in[3], optional(n, 5), -1)
	if err != nil || !ok {
		return false, err
	}
	product(k, n, a, b, optional(n, 6))
	return true, nil
}

// lstm makes an LSTM, which has its weights the other way round.
func lstm(k *maker, n *onnxpb.NodeProto) (bool, error) {
	if len(n.GetInput()) < 12 || k.constantOf(n.GetInput()[1]) == nil || k.constantOf(n.GetInput()[2]) == nil {
		return false, nil
	}
	operands := slices.Clone(n.GetInput()[:8])
	for i := range operands {
		operands[i] = k.now(operands[i])
	}
	for i, at := range []int{8, 10} {
		name := n.GetInput()[1+i]
		g, ok, err := k.gridOf(n, n.GetInput()[at], n.GetInput()[at+1])
		if err != nil || !ok {
			return false, err
		}
		values, err := k.m.Tensor(k.constantOf(name))
		if err != nil {
			return false, err
		}
		ints, ok := values.Ints()
		if !ok || len(values.Shape) != 3 {
			return false, nil
		}
		dirs, rows, columns := int(values.Shape[0]), int(values.Shape[1]), int(values.Shape[2])
		if s := len(g.values); s != dirs && s != dirs*columns {
			return false, nil
		}
		floats := make([]float32, len(ints))
		for d := range dirs {
			for r := range rows {
				for c := range columns {
					s := d
					if len(g.values) == dirs*columns {
						s = d*columns + c
					}
					floats[(d*columns+c)*rows+r] = float32(ints[(d*rows+r)*columns+c]-g.zeros[min(s, len(g.zeros)-1)]) * float32(g.values[s])
				}
			}
		}
		operands[1+i] = k.put(plain(name), tensor.Floats(floats, int64(dirs), int64(columns), int64(rows)))
		k.report.Weights = append(k.report.Weights, operands[1+i])
	}
	c := &onnxpb.NodeProto{OpType: proto.String("LSTM"), Name: n.Name, Input: inputs(operands...), Output: n.GetOutput(), Attribute: n.GetAttribute()}
	k.add(c)
	return true, nil
}

// blockedMatMul makes a MatMul of one whose weight has a scale for every block of a column.
func blockedMatMul(k *maker, n *onnxpb.NodeProto) (bool, error) {
	bits, block := int(onnx.AttrInt(n, "bits", 4)), int(onnx.AttrInt(n, "block_size", 0))
	rows, columns := int(onnx.AttrInt(n, "K", 0)), int(onnx.AttrInt(n, "N", 0))
	stored, scales := k.constantOf(n.GetInput()[1]), k.constantOf(n.GetInput()[2])
	if bits != 4 && bits != 8 || block < 1 || rows < 1 || columns < 1 || stored == nil || scales == nil || optional(n, 4) != "" {
		return false, nil
	}
	t, err := k.m.Tensor(stored)
	if err != nil {
		return false, err
	}
	s, err := k.m.Tensor(scales)
	if err != nil {
		return false, err
	}
	by, ok := s.AsFloat32()
	blocks := (rows + block - 1) / block
	size := block * bits / 8
	if !ok || len(t.Raw) < columns*blocks*size || len(by) < columns*blocks {
		return false, nil
	}
	zero := func(int, int) float32 { return float32(int(1) << (bits - 1)) }
	if name := optional(n, 3); name != "" {
		if k.constantOf(name) == nil {
			return false, nil
		}
		z, err := k.m.Tensor(k.constantOf(name))
		if err != nil {
			return false, err
		}
		per := (blocks*bits + 7) / 8
		floats, isFloat := z.AsFloat32()
		switch {
		case isFloat && z.DType.IsFloat() && len(floats) >= columns*blocks:
			zero = func(c, b int) float32 { return floats[c*blocks+b] }
		case z.DType == tensor.Uint8 && len(z.Raw) >= columns*per:
			zero = func(c, b int) float32 { return float32(unpacked(z.Raw[c*per:], b, bits)) }
		default:
			return false, nil
		}
	}
	floats := make([]float32, rows*columns)
	for c := range columns {
		for r := range rows {
			b := r / block
			q := unpacked(t.Raw[(c*blocks+b)*size:], r%block, bits)
			floats[r*columns+c] = (float32(q) - zero(c, b)) * by[c*blocks+b]
		}
	}
	name := k.put(plain(n.GetInput()[1])+"_float", tensor.Floats(floats, int64(rows), int64(columns)))
	k.report.Weights = append(k.report.Weights, name)
	product(k, n, k.now(n.GetInput()[0]), name, optional(n, 5))
	return true, nil
}

// unpacked reads element i of integers of 4 or 8 bits, the lower half of a byte first.
func unpacked(raw []byte, i, bits int) byte {
	if bits == 8 {
		return raw[i]
	}
	return raw[i/2] >> (4 * (i % 2)) & 15
}
