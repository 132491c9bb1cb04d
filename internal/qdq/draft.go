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
	names onnx.Names
	nodes []*onnxpb.NodeProto
	inits []*onnxpb.TensorProto
}

// newDraft starts one beside a graph, whose names are taken.
func newDraft(m *onnx.Model) *draft { return &draft{names: onnx.NewNames(m)} }

func (g *draft) unique(name string) string { return g.names.Unique(name) }

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
			OpType: proto.String(op), Domain: proto.String(domain), Name: proto.String(g.unique(name + "_" + op)),
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
