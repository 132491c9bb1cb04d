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

// A constant that is spread over a large tensor is folded by name only; what else is to be done is done all the same.
func TestAPassThatMakesTheModelLargerIsUndone(t *testing.T) {
	t.Parallel()
	node := func(op, out string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: proto.String("n " + out), Input: in, Output: []string{out}}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{node("Expand", "e", "one", "shape"), node("Identity", "i", "x"), node("Add", "y", "i", "e")},
		Initializer: []*onnxpb.TensorProto{
			onnx.TensorProto("one", tensor.Floats([]float32{0.5}, 1)), {Name: proto.String("shape"), DataType: proto.Int32(7), Dims: []int64{4}, Int64Data: []int64{1, 3, 64, 64}},
		},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 64, 64})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	b, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: g})
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, named := range []bool{false, true} {
		spec := optimize.Spec{Model: path, Input: dataset.Default()}
		if named {
			spec.Also = []string{"constant-fold"}
		}
		o, err := optimize.Run(t.Context(), session.Engines{ORT: fixture.Runtime(t)}, spec, progress.Silent{})
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(o.Passes, func(p optimize.PassResult) bool { return p.Name == "constant-fold" })
		if undone := at >= 0 && strings.Contains(o.Passes[at].Undone, "instead of"); undone == named || !o.Applied("remove-identity") {
			t.Errorf("named: %v: %+v", named, o.Passes)
		}
	}
}
