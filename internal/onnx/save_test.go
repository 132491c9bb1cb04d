package onnx

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

func TestLargeModelsKeepTheirWeightsOutside(t *testing.T) {
	values := make([]float32, 5000)
	for i := range values {
		values[i] = float32(i)
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{{OpType: proto.String("Sum"), Input: []string{"x", "w", "v", "s"}, Output: []string{"y"}}},
		Input:       []*onnxpb.ValueInfoProto{ValueInfo("x", tensor.Float32, []int64{5000})},
		Output:      []*onnxpb.ValueInfoProto{ValueInfo("y", tensor.Float32, []int64{5000})},
		Initializer: []*onnxpb.TensorProto{TensorProto("w", tensor.Floats(values, 5000)), TensorProto("v", tensor.Floats(values, 5000)), TensorProto("s", tensor.Floats([]float32{7}, 1))},
	}
	m := &Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}}}
	for name, from := range map[string]int64{"outside": 100, "inside": 1 << 30} {
		dir := t.TempDir()
		path := filepath.Join(dir, "m.onnx")
		if err := saveNow(m, path, from); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(path + ".data")
		if there := err == nil; there != (name == "outside") {
			t.Errorf("%s: a file beside: %v", name, there)
		}
		read, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range read.Graph().GetInitializer() {
			w, err := read.Tensor(p)
			if err != nil || p.GetName() != "s" && !slices.Equal(w.F32, values) || p.GetName() == "s" && w.F32[0] != 7 {
				t.Errorf("%s: %s: %v", name, p.GetName(), err)
			}
		}
		// A model with external data is written once more, elsewhere.
		again := filepath.Join(t.TempDir(), "n.onnx")
		if err := saveNow(read, again, from); err != nil {
			t.Fatal(err)
		}
		if read, err = Load(again); err != nil {
			t.Fatal(err)
		}
		if w, err := read.Tensor(read.Graph().GetInitializer()[1]); err != nil || !slices.Equal(w.F32, values) {
			t.Errorf("%s again: %v", name, err)
		}
	}
}

func saveNow(m *Model, path string, from int64) error {
	var b atomicfile.Batch
	if err := save(&b, m, path, from); err != nil {
		return err
	}
	return b.Commit()
}
