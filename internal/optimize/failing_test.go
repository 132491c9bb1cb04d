package optimize_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
)

// rewritable writes a model in which constant-fold, div-to-mul and remove-identity find a place.
func rewritable(t *testing.T) string {
	t.Helper()
	node := func(op, name string, in ...string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: &op, Name: &name, Input: in, Output: []string{name}}
	}
	two := onnx.TensorProto("two", tensor.Floats([]float32{2}))
	g := &onnxpb.GraphProto{
		Name:        proto.String("g"),
		Node:        []*onnxpb.NodeProto{node("Add", "four", "two", "two"), node("Div", "d", "x", "two"), node("Identity", "i", "d"), node("Add", "y", "i", "four")},
		Initializer: []*onnxpb.TensorProto{two},
		Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 8, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	b, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: g})
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func has(g *onnxpb.GraphProto, op string) bool {
	return slices.ContainsFunc(g.GetNode(), func(n *onnxpb.NodeProto) bool { return n.GetOpType() == op })
}

func TestAPassWhoseModelCannotBeRunIsUndone(t *testing.T) {
	t.Parallel()
	path := rewritable(t)
	for _, failure := range []error{
		&ort.CrashError{How: "signal: segmentation fault"}, &ort.MemoryError{Bytes: 1 << 40, Memory: 1 << 28}, &ort.SlowError{Limit: time.Second},
	} {
		for _, row := range []struct {
			undone string
			fails  func(g *onnxpb.GraphProto) bool
		}{
			{"", func(*onnxpb.GraphProto) bool { return false }},
			{"div-to-mul", func(g *onnxpb.GraphProto) bool { return has(g, "Mul") }},
			{"remove-identity", func(g *onnxpb.GraphProto) bool { return len(g.GetInput()) > 0 && !has(g, "Identity") }},
			{"constant-fold", func(g *onnxpb.GraphProto) bool { return len(g.GetInput()) == 0 }}, // within the pass, which evaluates constants
		} {
			engine := fixture.Failing(fixture.Runtime(t), func(g *onnxpb.GraphProto) error {
				if row.fails(g) {
					return failure
				}
				return nil
			})
			o, err := optimize.Run(t.Context(), session.Engines{ORT: engine}, optimize.Spec{Model: path, Input: dataset.Default()}, progress.Silent{})
			if err != nil {
				t.Errorf("%T in %q: %v", failure, row.undone, err)
				continue
			}
			undone := map[string]string{}
			for _, p := range o.Passes {
				if p.Undone != "" {
					undone[p.Name] = p.Undone
				}
			}
			if row.undone == "" && len(undone) > 0 || row.undone != "" && !strings.Contains(undone[row.undone], failure.Error()) {
				t.Errorf("%T: %q is to be undone, it is %q", failure, row.undone, undone)
			}
			if !slices.ContainsFunc(o.Passes, func(p optimize.PassResult) bool { return p.Undone == "" && len(p.Changes) > 0 }) {
				t.Errorf("%T in %q: no other pass applied", failure, row.undone)
			}
		}
	}
}

func TestAModelThatCannotBeRunEndsOptimize(t *testing.T) {
	t.Parallel()
	crash := &ort.CrashError{How: "signal: aborted"}
	engine := fixture.Failing(fixture.Runtime(t), func(*onnxpb.GraphProto) error { return crash })
	_, err := optimize.Run(t.Context(), session.Engines{ORT: engine}, optimize.Spec{Model: rewritable(t), Input: dataset.Default()}, progress.Silent{})
	if !errors.Is(err, crash) {
		t.Errorf("%v", err)
	}
}
