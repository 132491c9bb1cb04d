package floattwin

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// A tensor that is quantized by the range that it has at run time is taken for one of scale 1 that is not rounded:
//
//	x ─► DynamicQuantizeLinear ─► y, scale, zero      y is x, scale is 1, zero is 0
//	y, w ─► MatMulInteger ─► Cast ─► Mul(scale · s)   x · w ─► Mul(s)
//
// All that is computed from them stays as it is, so that it does not matter in which form a tool writes the rest.

// dynamicFits says whether all that takes a dynamically quantized tensor, its scale and its zero point can do with that.
func (k *view) dynamicFits(n *onnxpb.NodeProto) bool {
	y, scale, zero := n.GetOutput()[0], n.GetOutput()[1], n.GetOutput()[2]
	if k.output[y] || k.output[scale] || k.output[zero] {
		return false
	}
	for _, user := range k.users[y] {
		if !k.takesReal(user, y) {
			return false
		}
	}
	for _, user := range k.users[zero] {
		if op := user.GetOpType(); op != "MatMulInteger" && op != "ConvInteger" && op != "MatMulIntegerToFloat" && op != "QAttention" || !k.takesReal(user, "") {
			return false
		}
	}
	return true
}

// takesReal says whether a node can take real numbers for an integer input, the given one.
func (k *view) takesReal(n *onnxpb.NodeProto, in string) bool {
	switch op := n.GetOpType(); op {
	case "MatMulInteger", "ConvInteger":
		return k.integerFits(n)
	case "MatMulIntegerToFloat", "QAttention":
		return k.constantOf(n.GetInput()[1]) != nil
	default:
		if !moves(n) || op == "Pad" || n.GetInput()[0] != in || k.output[n.GetOutput()[0]] {
			return false
		}
		return !slices.ContainsFunc(k.users[n.GetOutput()[0]], func(user *onnxpb.NodeProto) bool { return !k.takesReal(user, n.GetOutput()[0]) })
	}
}

// dynamic lets a DynamicQuantizeLinear go.
func (k *maker) dynamic(n *onnxpb.NodeProto) {
	if k.one == "" {
		k.one = k.put("one", tensor.Floats([]float32{1}))
		k.inits[len(k.inits)-1].Dims = nil
	}
	y, scale := n.GetOutput()[0], n.GetOutput()[1]
	k.real[y], k.grids[y] = k.now(n.GetInput()[0]), grid{dynamic: true, values: []float64{1}, zeros: []int64{0}}
	k.rename[scale] = k.one
	k.report.Quantizers++
}

// integerFits says whether a product of integers becomes one of real numbers: its operands are known, and its sums become real numbers
// next.
func (k *view) integerFits(n *onnxpb.NodeProto) bool {
	out := n.GetOutput()[0]
	if k.output[out] {
		return false
	}
	if !k.sumsFit(out) {
		return false
	}
	for i, in := range n.GetInput()[:2] {
		if k.constantOf(in) != nil {
			if zero := optional(n, 2+i); zero != "" && k.constantOf(zero) == nil {
				return false
			}
			continue
		}
		at := k.producer[in]
		for at != nil && moves(at) {
			at = k.producer[at.GetInput()[0]]
		}
		if at == nil {
			return false
		}
		switch at.GetOpType() {
		case "DynamicQuantizeLinear":
		case "QuantizeLinear":
			if s := k.constantOf(at.GetInput()[1]); s == nil || len(s.GetDims()) > 1 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// integerProduct makes a MatMul or a Conv of one of integers. Its sums keep their scale: what multiplies them follows.
func (k *maker) integerProduct(n *onnxpb.NodeProto) error {
	operands := make([]string, 2)
	for i, in := range n.GetInput()[:2] {
		float, is := k.real[in]
		g := k.grids[in]
		switch {
		case is && k.constantOf(in) == nil && !g.dynamic && len(g.values) == 1 && g.values[0] != 1:
			operands[i] = k.names.Unique(float + "_steps")
			by := k.put(operands[i]+"_scale", tensor.Floats([]float32{float32(1 / g.values[0])}))
			k.add(&onnxpb.NodeProto{OpType: proto.String("Mul"), Name: proto.String(k.names.Unique(operands[i] + "_Mul")), Input: []string{float, by}, Output: []string{operands[i]}})
		case is && k.constantOf(in) == nil:
			operands[i] = float
		default:
			var err error
			if operands[i], err = k.differences(n, in, optional(n, 2+i)); err != nil {
				return err
			}
		}
	}
	op := strings.TrimSuffix(n.GetOpType(), "Integer")
	out := n.GetOutput()[0]
	k.sums[out] = true
	float(k, n, op, "", operands, out)
	k.report.Operators[n.GetOpType()]++
	return nil
}

// differences gives an integer constant without its zero point, as real numbers.
func (k *weights) differences(n *onnxpb.NodeProto, name, zero string) (string, error) {
	t, err := k.m.Tensor(k.constantOf(name))
	if err != nil {
		return "", err
	}
	g := grid{zeros: []int64{0}, axis: -1}
	if n.GetOpType() == "ConvInteger" {
		g.axis = 0
	}
	if zero != "" {
		z, err := k.m.Tensor(k.constantOf(zero))
		if err != nil {
			return "", err
		}
		g.zeros, _ = z.Ints()
	}
	for range g.zeros {
		g.values = append(g.values, 1)
	}
	ints, _ := t.Ints()
	floats, _, err := spread(ints, t.Shape, g, 0)
	if err != nil {
		return "", err
	}
	to := k.put(plain(name), tensor.Floats(floats, t.Shape...))
	k.report.Weights = append(k.report.Weights, to)
	return to, nil
}
