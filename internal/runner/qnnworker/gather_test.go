package qnnworker

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/tensor"
)

// gather is a model that picks rows of a table by an input's indices, as a DLC.
func gather(t *testing.T, e Engine) string {
	t.Helper()
	library := fixture.Library(t)
	table := make([]float32, 8*4)
	for i := range table {
		table[i] = float32(i)
	}
	raw := tensor.Floats(table, 8, 4).LittleEndian()
	m := &onnx.Model{Proto: &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		Graph: &onnxpb.GraphProto{
			Name:        proto.String("g"),
			Node:        []*onnxpb.NodeProto{{OpType: proto.String("Gather"), Name: proto.String("pick"), Input: []string{"table", "rows"}, Output: []string{"y"}}},
			Initializer: []*onnxpb.TensorProto{{Name: proto.String("table"), Dims: []int64{8, 4}, DataType: proto.Int32(int32(tensor.Float32)), RawData: raw}},
			Input:       []*onnxpb.ValueInfoProto{onnx.ValueInfo("rows", tensor.Int32, []int64{3})},
			Output:      []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
		},
	}}
	data, err := htp.Engine{Kit: e.Kit, Library: library, SoC: htp.DefaultSoC, Arch: htp.DefaultArch}.WriteDLC(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	return written(t, data)
}

func TestAnInferenceThatTheLibrariesRefuseCostsTheSample(t *testing.T) {
	r := start(t, gather(t, engine(t)), Options{})
	if len(r.Inputs()) != 1 {
		t.Fatalf("%+v", r.Inputs())
	}
	in := r.Inputs()[0]
	rows := func(list ...uint32) map[string][]byte {
		var b []byte
		for _, v := range list {
			b = binary.LittleEndian.AppendUint32(b, v)
		}
		return map[string][]byte{in.Called(): b}
	}
	good := func() {
		t.Helper()
		out, err := r.Run(t.Context(), rows(7, 0, 2))
		if err != nil || len(out) != 1 {
			t.Fatalf("%v, %v", out, err)
		}
	}
	good()
	_, err := r.Run(t.Context(), rows(1, 999999, 2))
	var q *compose.Error
	if !errors.Is(err, runner.ErrSample) || !errors.As(err, &q) || q.Code != compose.CodeExecute || q.Call != "graphExecute" {
		t.Errorf("%v", err)
	}
	if err != nil && strings.Contains(err.Error(), "0x") {
		t.Errorf("not for people: %v", err)
	}
	t.Log(err)
	good()
}
