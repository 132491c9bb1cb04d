package optimize_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

func TestOutputsThatAreNotKeptAreDropped(t *testing.T) {
	t.Parallel()
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &out, Input: in, Output: []string{out}}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{node("Relu", "r", "x"), node("Neg", "y", "r"), node("Add", "s", "r", "other"), node("Exp", "z", "s")},
		Input:  []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3}), onnx.ValueInfo("other", tensor.Float32, []int64{1, 3})},
		Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y"), onnx.Untyped("z")},
	}
	b, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: g})
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	o, err := optimize.Run(t.Context(), session.Engines{ORT: fixture.Runtime(t)}, optimize.Spec{Model: path, Keep: []string{"y"}, Input: dataset.Default()}, progress.Silent{})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Model.Graph().GetNode()) != 2 || !slices.Equal(o.Model.Outputs(), []string{"y"}) || len(o.Model.Inputs()) != 1 {
		t.Errorf("%v", o.Model.Graph())
	}
	if !slices.ContainsFunc(o.Notes, func(n string) bool { return strings.Contains(n, "outputs z") && strings.Contains(n, "inputs other") }) {
		t.Errorf("%q", o.Notes)
	}
	if _, err := optimize.Run(t.Context(), session.Engines{ORT: fixture.Runtime(t)}, optimize.Spec{Model: path, Keep: []string{"r"}, Input: dataset.Default()}, progress.Silent{}); err == nil {
		t.Error("a tensor that is no output is kept")
	}
}
