package qdq

import (
	"math"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// Bounds are the least and the greatest value that a Relu or a Clip lets pass; an open side is infinite.
type Bounds struct{ Min, Max float64 }

// ClampOf gives the bounds of the Relu or Clip that makes a tensor. ok is false if another operator makes it, or if a bound is
// no constant.
func ClampOf(x *onnx.Index, name string) (b Bounds, ok bool) {
	p, made := x.Producer[name]
	if !made {
		return b, false
	}
	n := x.Nodes[p]
	b = Bounds{math.Inf(-1), math.Inf(1)}
	switch n.GetOpType() {
	case "Relu":
		b.Min = 0
		return b, true
	case "Clip":
		for i, to := range []*float64{&b.Min, &b.Max} {
			if a := onnx.Attr(n, []string{"min", "max"}[i]); a != nil {
				*to = float64(a.GetF())
			}
			if len(n.GetInput()) <= i+1 || n.GetInput()[i+1] == "" {
				continue
			}
			v, known := scalar(x.Initializer[n.GetInput()[i+1]])
			if !known {
				return b, false
			}
			*to = float64(v)
		}
		const open = 1e38 // what exporters write for no bound
		if b.Min < -open {
			b.Min = math.Inf(-1)
		}
		if b.Max > open {
			b.Max = math.Inf(1)
		}
		return b, true
	}
	return b, false
}

// Replaces says whether rounding to an encoding clamps as an activation does, so that the activation changes nothing behind it, and
// that what stands before the activation cannot be told from what stands behind it: a bound of the activation is, to half a step,
// an end of the encoding's range, and the other end lies within what passes the activation.
func (b Bounds) Replaces(e quant.Encoding) bool {
	half := e.Scale / 2
	low, high := e.Min >= b.Min-half, e.Max <= b.Max+half
	return low && high && !(math.IsInf(b.Min, -1) && math.IsInf(b.Max, 1))
}

// findRemoved finds the quantizers whose range stands for an activation that the float model has and the variant has not: tools
// that quantize remove a Relu or a Clip in front of a quantizer that clamps the same values.
func (s *Isolator) findRemoved() {
	for _, l := range s.layers {
		if l.Clamp == nil {
			continue
		}
		u, err := s.unitOf(l)
		if err != nil || u.round == nil || u.round[0].GetOpType() != "QuantizeLinear" || s.hasActivation(u) {
			continue
		}
		list, _, err := encodings(s.v, s.x, u.round[0], tensor.Uint8)
		if err != nil || len(list) == 0 {
			continue
		}
		// The range stands for the activation where the activation has a bound; a narrower range is the quantizer's own doing.
		b := *l.Clamp
		for _, e := range list {
			if !math.IsInf(b.Min, -1) {
				b.Min = min(b.Min, e.Min)
			}
			if !math.IsInf(b.Max, 1) {
				b.Max = max(b.Max, e.Max)
			}
		}
		s.removed[u.end] = b
	}
}

func (s *Isolator) hasActivation(u *unit) bool {
	for _, k := range u.nodes {
		if activations[s.x.Nodes[k].GetOpType()] {
			return true
		}
	}
	return false
}

// clamp makes the node that keeps values within bounds, with its constants.
func (s *Isolator) clamp(from, to string, b Bounds) (*onnxpb.NodeProto, []*onnxpb.TensorProto) {
	n := &onnxpb.NodeProto{OpType: proto.String("Clip"), Name: proto.String(to), Input: []string{from}, Output: []string{to}}
	low, high := float32(max(b.Min, -math.MaxFloat32)), float32(min(b.Max, math.MaxFloat32))
	const boundsAreInputs = 11 // since this opset
	if s.v.Opset() < boundsAreInputs {
		n.Attribute = []*onnxpb.AttributeProto{onnx.FloatAttr("min", low), onnx.FloatAttr("max", high)}
		return n, nil
	}
	n.Input = append(n.Input, to+".min", to+".max")
	return n, []*onnxpb.TensorProto{onnx.TensorProto(to+".min", tensor.Floats([]float32{low})), onnx.TensorProto(to+".max", tensor.Floats([]float32{high}))}
}
