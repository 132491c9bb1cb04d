package model_test

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/floattwin"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// product writes a model y = relu(x · w) of a type, with a Cast around it if its input and output are of another.
func product(t *testing.T, d, outside tensor.DType, w *onnxpb.TensorProto) string {
	t.Helper()
	node := func(op, in, out string, more ...string) *onnxpb.NodeProto {
		n := &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(out + "_node"), Input: append([]string{in}, more...), Output: []string{out}}
		return n
	}
	cast := func(in, out string, to tensor.DType) *onnxpb.NodeProto {
		n := node("Cast", in, out)
		n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("to", int64(to))}
		return n
	}
	nodes := []*onnxpb.NodeProto{node("MatMul", "x", "m", "w"), node("Relu", "m", "y")}
	if d != outside {
		nodes = []*onnxpb.NodeProto{cast("x", "inside", d), node("MatMul", "inside", "m", "w"), node("Relu", "m", "r"), cast("r", "y", outside)}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: nodes, Initializer: []*onnxpb.TensorProto{w},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", outside, []int64{1, 4})}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", outside, []int64{1, 2})},
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestModelsOfOtherPrecisionsAreOpened(t *testing.T) {
	t.Parallel()
	values := []float32{1.5, -0.25, 2, 0.125, -3, 0.5, 0.75, 4} // exact in every type
	var half, bfloat, double []byte
	var halfInts, bfloatInts []int32
	for _, v := range values {
		h, b := tensor.FloatToHalf(v), uint16(math.Float32bits(v)>>16)
		half, bfloat = binary.LittleEndian.AppendUint16(half, h), binary.LittleEndian.AppendUint16(bfloat, b)
		halfInts, bfloatInts = append(halfInts, int32(h)), append(bfloatInts, int32(b))
		double = binary.LittleEndian.AppendUint64(double, math.Float64bits(float64(v)))
	}
	raw := func(d tensor.DType, bytes []byte) *onnxpb.TensorProto {
		return onnx.TensorProto("w", tensor.Tensor{DType: d, Shape: []int64{4, 2}, Raw: bytes})
	}
	listed := func(d tensor.DType, ints []int32) *onnxpb.TensorProto {
		return &onnxpb.TensorProto{Name: proto.String("w"), Dims: []int64{4, 2}, DataType: proto.Int32(int32(d)), Int32Data: ints}
	}
	engine := fixture.Runtime(t)
	for name, c := range map[string]struct {
		inside, outside tensor.DType
		weight          *onnxpb.TensorProto
		says            string
		placed          bool // quantizers are
	}{
		"float16":                           {tensor.Float16, tensor.Float16, raw(tensor.Float16, half), "--variant half=", true},
		"float16 in int32_data":             {tensor.Float16, tensor.Float16, listed(tensor.Float16, halfInts), "--variant half=", true},
		"float16 between casts":             {tensor.Float16, tensor.Float32, raw(tensor.Float16, half), "1 cast", true},
		"bfloat16":                          {tensor.BFloat16, tensor.BFloat16, raw(tensor.BFloat16, bfloat), "cannot be compared", true},
		"bfloat16 in int32_data with casts": {tensor.BFloat16, tensor.Float32, listed(tensor.BFloat16, bfloatInts), "cannot be compared", true},
		"float64":                           {tensor.Float64, tensor.Float64, raw(tensor.Float64, double), "2 operators compute in float64", false},
		"float64 between casts":             {tensor.Float64, tensor.Float32, raw(tensor.Float64, double), "2 operators compute in float64", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, err := model.Open(t.Context(), engine, product(t, c.inside, c.outside, c.weight), dataset.Default(), model.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(strings.Join(f.Warnings, "\n"), c.says) {
				t.Errorf("warnings %q, want %q", f.Warnings, c.says)
			}
			if placed := len(f.Placement.Params) > 0; placed != c.placed {
				t.Errorf("weights are quantized: %v", placed)
			}
			x := tensor.Floats([]float32{1, 2, -1, 0.5}, 1, 4)
			if d, _, _ := onnx.TypeOf(f.Model.Inputs()[0]); d == tensor.Float64 {
				raw := []byte{}
				for _, v := range x.F32 {
					raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(float64(v)))
				}
				x = tensor.Tensor{DType: d, Shape: x.Shape, Raw: raw}
			}
			got, err := ort.Once(t.Context(), engine, f.Model, map[string]tensor.Tensor{"x": x})
			if err != nil {
				t.Fatal(err)
			}
			y, _ := got["y"].AsFloat32()
			if len(y) != 2 || y[0] != 8.875 || y[1] != 1.5 {
				t.Errorf("y is %v, want [8.875 1.5]", y)
			}
		})
	}
}

func TestAQuantizedModelIsTakenAsACommandWants(t *testing.T) {
	t.Parallel()
	m := &onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}}, Graph: &onnxpb.GraphProto{
		Name: proto.String("g"), Initializer: []*onnxpb.TensorProto{onnx.TensorProto("s", tensor.Floats([]float32{0.5})), onnx.TensorProto("z", tensor.Tensor{DType: tensor.Uint8, Raw: []byte{7}})},
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{4})}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", tensor.Float32, []int64{4})},
		Node: []*onnxpb.NodeProto{
			{OpType: proto.String("QuantizeLinear"), Input: []string{"x", "s", "z"}, Output: []string{"q"}}, {OpType: proto.String("DequantizeLinear"), Input: []string{"q", "s", "z"}, Output: []string{"d"}},
			{OpType: proto.String("Neg"), Input: []string{"d"}, Output: []string{"y"}},
		},
	}}
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	engine := fixture.Runtime(t)
	if _, err := model.Open(t.Context(), engine, path, dataset.Default(), model.Options{}); err == nil || !strings.Contains(err.Error(), "already quantized (QDQ: 1 quantized tensor)") || !strings.Contains(err.Error(), "quantcheck strip "+path) {
		t.Errorf("refused with %v", err)
	}
	for how, quantized := range map[model.Taking]bool{model.AsItIs: true, model.Twin: false} {
		f, err := model.Open(t.Context(), engine, path, dataset.Default(), model.Options{Quantized: how})
		if err != nil {
			t.Fatal(err)
		}
		if (floattwin.Find(f.Model) != nil) != quantized || !strings.Contains(strings.Join(f.Warnings, "\n"), "already quantized") {
			t.Errorf("taken %d: quantized %v, warnings %q", how, !quantized, f.Warnings)
		}
	}
}
