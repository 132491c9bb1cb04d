package htp

import (
	"fmt"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

func TestTheCauseOfARefusalIsNamed(t *testing.T) {
	t.Parallel()
	node := func(op, name, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: []string{out}}
	}
	branch := &onnxpb.GraphProto{Name: proto.String("then"), Node: []*onnxpb.NodeProto{node("Conv", "inner", "o", "x", "wd")}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("o")}}
	iff := node("If", "the if", "y", "c")
	iff.Attribute = []*onnxpb.AttributeProto{{Name: proto.String("then_branch"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: branch}, {Name: proto.String("else_branch"), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: branch}}
	m := &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}, Graph: &onnxpb.GraphProto{
		Node: []*onnxpb.NodeProto{
			node("DequantizeLinear", "w of conv", "cd", "w"), node("Conv", "the conv", "k", "y", "cd"), node("DequantizeLinear", "w of if", "wd", "w"), iff, node("DequantizeLinear", "w of erf", "vd", "w"), node("Erf", "the erf", "e", "vd"), node("DequantizeLinear", "nobody's", "nd", "w"), node("Relu", "r", "z", "e"),
		},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1}), onnx.ValueInfo("c", tensor.Bool, []int64{})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y"), onnx.Untyped("z"), onnx.Untyped("nd"), onnx.Untyped("k")},
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", tensor.Floats([]float32{1}, 1))},
	}}}
	refused := func(nodes ...string) (list []Refusal) {
		for i := 0; i+1 < len(nodes); i += 2 {
			list = append(list, Refusal{Node: nodes[i], Op: "?", Reason: nodes[i+1]})
		}
		return list
	}
	for name, row := range map[string]struct {
		refused []Refusal
		want    string
	}{
		"the weights of an If":            {refused("w of if", "standalone"), "[{the if If " + controlFlow + "}]"},
		"weights behind an If":            {refused("w of conv", "standalone"), "[{the if If " + controlFlow + "}]"},
		"the weights of an operator":      {refused("w of erf", "standalone"), "[{the erf Erf " + behindRound + "}]"},
		"which says why itself":           {refused("w of erf", "standalone", "the erf", "no Erf"), "[{the erf Erf no Erf}]"},
		"a reason before none":            {refused("r", noReason, "the erf", "no Erf"), "[{the erf ? no Erf} {r ? " + noReason + "}]"},
		"weights that nothing reads":      {refused("nobody's", "standalone"), "[{nobody's ? standalone}]"},
		"what was put in, beside a cause": {refused("Transpose_token_16", "failed", "the erf", "no Erf"), "[{the erf ? no Erf}]"},
		"what was put in":                 {refused("Transpose_token_16", "failed"), "[{Transpose_token_16 ? failed (ONNX Runtime has put it in to change a tensor's layout)}]"},
	} {
		if got := fmt.Sprint(causes(m, row.refused)); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}
