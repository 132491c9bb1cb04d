package qdq

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// draft is a graph that is written: its nodes, the constants that are added to it, and the names of tensors and nodes in use.
type draft struct {
	names map[string]bool
	nodes []*onnxpb.NodeProto
	inits []*onnxpb.TensorProto
}

// newDraft starts one beside a graph, whose names are taken.
func newDraft(x *onnx.Index) *draft {
	g := &draft{names: map[string]bool{}}
	for name := range x.Producer {
		g.names[name] = true
	}
	for name := range x.Initializer {
		g.names[name] = true
	}
	for name := range x.Input {
		g.names[name] = true
	}
	for _, n := range x.Nodes {
		g.names[n.GetName()] = true
	}
	return g
}

func (g *draft) unique(name string) string {
	for g.names[name] {
		name += "_"
	}
	g.names[name] = true
	return name
}

// round adds QuantizeLinear and DequantizeLinear between two tensors, called after name.
func (g *draft) round(name, from, to string, e quant.Encoding) {
	d := storage(e.Bits, false)
	zero := tensor.Tensor{DType: d, Raw: make([]byte, tensor.ByteSize(d, 1))}
	putInt(zero, 0, e.ZeroPoint(false))
	scaleName, zeroName := g.unique(name+"_scale"), g.unique(name+"_zero_point")
	g.inits = append(g.inits, onnx.TensorProto(scaleName, tensor.Floats([]float32{float32(e.Scale)})), onnx.TensorProto(zeroName, zero))
	quantized := g.unique(name + quantizedSuffix)
	node := func(op, in, out string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{
			OpType: proto.String(op), Domain: proto.String(domain), Name: proto.String(name + "_" + op),
			Input: []string{in, scaleName, zeroName}, Output: []string{out},
		}
	}
	g.nodes = append(g.nodes, node("QuantizeLinear", from, quantized), node("DequantizeLinear", quantized, to))
}

func (g *draft) castPair(name, from, to string) {
	half := g.unique(name + "_fp16")
	g.cast(from, half, tensor.Float16)
	g.cast(half, to, tensor.Float32)
}

func (g *draft) cast(from, to string, d tensor.DType) {
	g.nodes = append(g.nodes, &onnxpb.NodeProto{
		OpType: proto.String("Cast"), Name: proto.String(g.unique(to + "_Cast")), Input: []string{from}, Output: []string{to},
		Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("to", int64(d))},
	})
}
