package htp

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
)

// taken gives a model in the form that the provider takes best: what it computes is the same.
func taken(m *onnx.Model) (*onnx.Model, error) {
	m, err := qdq.FloatConstants(raised(m))
	if err != nil {
		return nil, err
	}
	return Named(m), nil
}

// raised gives an opset-11 model as opset 12. The provider recognizes a quantized MaxPool from 12 on only; before that it
// would compute it in half precision, or refuse it. Of the operators of opset 11 only Dropout is written otherwise in 12:
// its ratio, which inference does not use, is no attribute any more (https://github.com/onnx/onnx/blob/main/docs/Changelog.md).
func raised(m *onnx.Model) *onnx.Model {
	if m.Opset() != 11 {
		return m
	}
	var nodes []*onnxpb.NodeProto
	for _, n := range m.Graph().GetNode() {
		if n.GetOpType() == "Dropout" && len(n.GetAttribute()) > 0 {
			n = proto.CloneOf(n)
			n.Attribute = slices.DeleteFunc(n.Attribute, func(a *onnxpb.AttributeProto) bool { return a.GetName() == "ratio" })
		}
		nodes = append(nodes, n)
	}
	m = onnx.Rebuild(m, nodes)
	var sets []*onnxpb.OperatorSetIdProto
	for _, s := range m.Proto.GetOpsetImport() {
		if s.GetDomain() == "" || s.GetDomain() == "ai.onnx" {
			s = &onnxpb.OperatorSetIdProto{Domain: s.Domain, Version: proto.Int64(12)}
		}
		sets = append(sets, s)
	}
	m.Proto.OpsetImport = sets
	return m
}
