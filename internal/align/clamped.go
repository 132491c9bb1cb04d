package align

import (
	"math"

	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
)

// Clamped says whether a layer's tensor in a variant carries the encoding of the Relu or the Clip behind it, so that it cannot hold
// what the activation drops: a device computes both at once. Such a tensor is no comparison of the layer, but of the activation,
// whose tensor into is. encoding gives the encoding of a layer's tensor in the variant, ok false if it has none.
//
// All of this must hold: the activation, with operators between that only move data, is the layer's only use; the encoding's range is
// the activation's (qdq.Bounds.Replaces); the tensor behind the activation has the same encoding, or none; the layer's own operator
// can give values that the activation drops.
func Clamped(float *onnx.Index, layer string, encoding func(layer string) (quant.Encoding, bool)) (into string, ok bool) {
	e, ok := encoding(layer)
	if !ok {
		return "", false
	}
	for name := layer; ; {
		k, sole := float.SoleConsumer(name)
		if !sole || float.Output[name] || len(float.Nodes[k].GetOutput()) == 0 || float.Nodes[k].GetInput()[0] != name {
			return "", false
		}
		name = float.Nodes[k].GetOutput()[0]
		bounds, activation := qdq.ClampOf(float, name)
		if !activation {
			if !qdq.Moves(float.Nodes[k].GetOpType()) {
				return "", false
			}
			continue
		}
		behind, has := encoding(name)
		if has && !sameGrid(e, behind) || !bounds.Replaces(e) || keepsWithin(float, layer, bounds) {
			return "", false
		}
		return name, true
	}
}

func sameGrid(a, b quant.Encoding) bool {
	return a.Bits == b.Bits && a.Offset == b.Offset && math.Abs(a.Scale-b.Scale) <= 1e-6*b.Scale
}

// keepsWithin says whether a layer's operator gives values within bounds only, whatever its inputs are.
func keepsWithin(x *onnx.Index, layer string, b qdq.Bounds) bool {
	own, known := qdq.ClampOf(x, layer)
	if p, made := x.Producer[layer]; made && !known {
		switch x.Nodes[p].GetOpType() {
		case "Sigmoid", "HardSigmoid", "Softmax":
			own, known = qdq.Bounds{Min: 0, Max: 1}, true
		case "Tanh":
			own, known = qdq.Bounds{Min: -1, Max: 1}, true
		case "Exp", "Abs", "Sqrt", "Softplus":
			own, known = qdq.Bounds{Min: 0, Max: math.Inf(1)}, true
		}
	}
	return known && own.Min >= b.Min && own.Max <= b.Max
}
