package floattwin

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Sums of products of integers become real numbers by a Cast. Some tools add a bias before, which they make an integer for that:
//
//	bias ─► Div(scale) ─► Floor ─► Cast(int32) ─► Reshape ─┐
//	x, w ─► ConvInteger ───────────────────────────────────┴─► Add ─► Cast(float) ─► Mul(scale)
//
// The whole region is computed in float then, without its rounding.

// sumsFit says whether all that takes a sum of integers is of such a region.
func (k *view) sumsFit(sum string) bool {
	if k.output[sum] {
		return false
	}
	for _, n := range k.users[sum] {
		switch op := n.GetOpType(); {
		case op == "Cast":
			if !tensor.DType(onnx.AttrInt(n, "to", 0)).IsFloat() {
				return false
			}
		case op == "Add":
			for _, in := range n.GetInput() {
				if in != sum && !k.madeInteger(in) {
					return false
				}
			}
			if !k.sumsFit(n.GetOutput()[0]) {
				return false
			}
		case moves(n) && n.GetInput()[0] == sum && op != "Pad":
			if !k.sumsFit(n.GetOutput()[0]) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// madeInteger says whether a tensor is a constant, or real numbers that a Cast made integers of, for one addition.
func (k *view) madeInteger(name string) bool {
	if k.constantOf(name) != nil {
		return true
	}
	n := k.producer[name]
	for n != nil && len(k.users[name]) == 1 && !k.output[name] {
		switch {
		case n.GetOpType() == "Cast":
			return tensor.DType(onnx.AttrInt(n, "to", 0)) == tensor.Int32
		case !moves(n) || n.GetOpType() == "Pad":
			return false
		}
		name = n.GetInput()[0]
		n = k.producer[name]
	}
	return false
}

// toSum says whether a Cast makes integers for a sum that is one of real numbers in the twin.
func (k *view) toSum(n *onnxpb.NodeProto) bool {
	name := n.GetOutput()[0]
	if tensor.DType(onnx.AttrInt(n, "to", 0)) != tensor.Int32 || !k.madeInteger(name) {
		return false
	}
	for len(k.users[name]) == 1 {
		user := k.users[name][0]
		if user.GetOpType() != "Add" {
			if !moves(user) {
				return false
			}
			name = user.GetOutput()[0]
			continue
		}
		for _, in := range user.GetInput() {
			at := k.producer[in]
			for in != name && at != nil && moves(at) {
				at = k.producer[at.GetInput()[0]]
			}
			if in != name && at != nil && (at.GetOpType() == "MatMulInteger" || at.GetOpType() == "ConvInteger") {
				return k.integerFits(at)
			}
		}
		return false
	}
	return false
}

// sum takes a node of such a region.
func (k *maker) sum(n *onnxpb.NodeProto) error {
	switch n.GetOpType() {
	case "Cast":
		from := n.GetInput()[0]
		if tensor.DType(onnx.AttrInt(n, "to", 0)) == tensor.Int32 {
			if p := k.producer[from]; p != nil && slices.Contains([]string{"Floor", "Round", "Ceil"}, p.GetOpType()) {
				from = p.GetInput()[0]
			}
			k.sums[n.GetOutput()[0]] = true
		}
		k.rename[n.GetOutput()[0]] = k.now(from)
		return nil
	case "Add":
		c := proto.CloneOf(n)
		for i, in := range n.GetInput() {
			c.Input[i] = k.now(in)
			if t := k.constantOf(in); t != nil {
				float, err := k.differences(n, in, "")
				if err != nil {
					return err
				}
				c.Input[i] = float
			}
		}
		k.sums[n.GetOutput()[0]] = true
		k.add(c)
		return nil
	}
	k.sums[n.GetOutput()[0]] = true
	if done, err := computed(k, n); done || err != nil {
		return err
	}
	return k.keep(n)
}

// computed evaluates a division or a new shape of constants, so that what stands for a bias is a constant.
func computed(k *maker, n *onnxpb.NodeProto) (bool, error) {
	if len(n.GetInput()) != 2 {
		return false, nil
	}
	pa, pb := k.constantOf(k.now(n.GetInput()[0])), k.constantOf(k.now(n.GetInput()[1]))
	if pa == nil || pb == nil {
		return false, nil
	}
	a, err := k.m.Tensor(pa)
	if err != nil {
		return false, err
	}
	b, err := k.m.Tensor(pb)
	if err != nil {
		return false, err
	}
	out := n.GetOutput()[0]
	var made tensor.Tensor
	switch {
	case n.GetOpType() == "Div" && a.DType == tensor.Float32 && b.DType == tensor.Float32 && len(b.F32) > 0 && (len(b.F32) == 1 && len(b.Shape) <= len(a.Shape) || slices.Equal(a.Shape, b.Shape)):
		made = tensor.Floats(make([]float32, len(a.F32)), a.Shape...)
		for i, v := range a.F32 {
			made.F32[i] = v / b.F32[min(i, len(b.F32)-1)]
		}
	case n.GetOpType() == "Reshape" && a.DType == tensor.Float32:
		shape, ok := b.Ints()
		if !ok {
			return false, nil
		}
		count, open := 1, -1
		shape = slices.Clone(shape)
		for i, d := range shape {
			if d == 0 && i < len(a.Shape) {
				shape[i] = a.Shape[i]
			}
			if d == -1 {
				open = i
				continue
			}
			count *= int(shape[i])
		}
		if open >= 0 && count > 0 {
			shape[open] = int64(len(a.F32) / count)
			count *= int(shape[open])
		}
		if count != len(a.F32) {
			return false, nil
		}
		made = tensor.Floats(a.F32, shape...)
	default:
		return false, nil
	}
	k.rename[out] = k.put(out, made)
	return true, nil
}
