package onnx_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

func TestOutputsThatAreKept(t *testing.T) {
	t.Parallel()
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: proto.String(op), Input: in, Output: []string{out}}
	}
	float := func(name string) *onnxpb.ValueInfoProto { return onnx.ValueInfo(name, tensor.Float32, []int64{2}) }
	m := (&onnx.Model{Proto: &onnxpb.ModelProto{}}).With(&onnxpb.GraphProto{
		Input:       []*onnxpb.ValueInfoProto{float("a"), float("b"), float("unread"), float("d")},
		Output:      []*onnxpb.ValueInfoProto{float("p"), float("q"), float("r")},
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("c", tensor.Floats([]float32{1, 2})), onnx.TensorProto("d", tensor.Floats([]float32{3, 4}))},
		Node:        []*onnxpb.NodeProto{node("Relu", "shared", "a"), node("Add", "p", "shared", "c"), node("Add", "q", "shared", "b"), node("Mul", "far", "q", "d"), node("Neg", "r", "far")},
	})
	for _, row := range []struct {
		keep, outputs, inputs, nodes, constants []string
		dropped                                 onnx.Dropped
	}{
		{[]string{"p"}, []string{"p"}, []string{"a", "unread"}, []string{"shared", "p"}, []string{"c"}, onnx.Dropped{Outputs: []string{"q", "r"}, Inputs: []string{"b"}, Nodes: 3}},
		{[]string{"q", "p"}, []string{"p", "q"}, []string{"a", "b", "unread"}, []string{"shared", "p", "q"}, []string{"c"}, onnx.Dropped{Outputs: []string{"r"}, Nodes: 2}},
		{[]string{"r"}, []string{"r"}, []string{"a", "b", "unread", "d"}, []string{"shared", "q", "far", "r"}, []string{"d"}, onnx.Dropped{Outputs: []string{"p", "q"}, Nodes: 1}},
		{[]string{"p", "q", "r"}, []string{"p", "q", "r"}, []string{"a", "b", "unread", "d"}, []string{"shared", "p", "q", "far", "r"}, []string{"c", "d"}, onnx.Dropped{}},
	} {
		kept, dropped, err := onnx.KeepOutputs(m, row.keep)
		if err != nil {
			t.Fatal(err)
		}
		var inputs, nodes, constants []string
		for _, in := range kept.Graph().GetInput() {
			inputs = append(inputs, in.GetName())
		}
		for _, n := range kept.Graph().GetNode() {
			nodes = append(nodes, n.GetOutput()[0])
		}
		for _, c := range kept.Graph().GetInitializer() {
			constants = append(constants, c.GetName())
		}
		if !slices.Equal(kept.Outputs(), row.outputs) || !slices.Equal(inputs, row.inputs) || !slices.Equal(nodes, row.nodes) || !slices.Equal(constants, row.constants) {
			t.Errorf("%v: outputs %v, inputs %v, nodes %v, constants %v", row.keep, kept.Outputs(), inputs, nodes, constants)
		}
		if !slices.Equal(dropped.Outputs, row.dropped.Outputs) || !slices.Equal(dropped.Inputs, row.dropped.Inputs) || dropped.Nodes != row.dropped.Nodes {
			t.Errorf("%v: dropped %+v, want %+v", row.keep, dropped, row.dropped)
		}
	}
	if _, _, err := onnx.KeepOutputs(m, []string{"shared"}); err == nil {
		t.Error("a tensor that is no output is taken")
	}
}
