package qdq

import (
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// Pair is a quantizer and the dequantizer behind it, which put a tensor on a grid.
type Pair struct{ Q, DQ *onnxpb.NodeProto }

// PairBefore gives the pair that makes a tensor.
func PairBefore(x *onnx.Index, tensor string) (p Pair, ok bool) {
	if k, made := x.Producer[tensor]; made && x.Nodes[k].GetOpType() == "DequantizeLinear" {
		p.DQ = x.Nodes[k]
		if k, made = x.Producer[p.DQ.GetInput()[0]]; made && x.Nodes[k].GetOpType() == "QuantizeLinear" {
			p.Q = x.Nodes[k]
			return p, true
		}
	}
	return Pair{}, false
}

// PairBehind gives the first pair that takes a tensor.
func PairBehind(x *onnx.Index, tensor string) (p Pair, ok bool) {
	for _, k := range x.Consumers[tensor] {
		q := x.Nodes[k]
		if q.GetOpType() != "QuantizeLinear" || q.GetInput()[0] != tensor {
			continue
		}
		for _, k := range x.Consumers[q.GetOutput()[0]] {
			if dq := x.Nodes[k]; dq.GetOpType() == "DequantizeLinear" {
				return Pair{q, dq}, true
			}
		}
	}
	return Pair{}, false
}

// Again puts another tensor on the grid of the pair. It gives two nodes, of the same domain and with the same attributes as those of the pair, whose
// names begin with a name, and the name of what comes out.
func (p Pair) Again(used onnx.Names, tensor, name string) ([]*onnxpb.NodeProto, string) {
	integers, out := used.Unique(name+"_integers"), used.Unique(name+"_float")
	q, dq := proto.CloneOf(p.Q), proto.CloneOf(p.DQ)
	q.Name, dq.Name = proto.String(used.Unique(name+"_quantize")), proto.String(used.Unique(name+"_dequantize"))
	q.Input[0], q.Output[0], dq.Input[0], dq.Output[0] = tensor, integers, integers, out
	return []*onnxpb.NodeProto{q, dq}, out
}
