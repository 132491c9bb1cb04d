package dlcwriter_test

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dlc"
	"quantcheck/internal/dlcwriter"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/tensor"
)

func TestMain(m *testing.M) {
	switch {
	case htp.IsWorker():
		os.Exit(htp.Work())
	case qnnworker.IsWorker():
		os.Exit(qnnworker.Work())
	}
	os.Exit(m.Run())
}

func node(op string, inputs []string, output string, attrs ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(output), Input: inputs, Output: []string{output}, Attribute: attrs}
}

func text(name, value string) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: &name, Type: onnxpb.AttributeProto_STRING.Enum(), S: []byte(value)}
}

// quantized is a model of one operator on x behind a Relu, all on grids of 8 or 16 bits. Those of 16 bits are com.microsoft's, as in operator sets
// before 21.
func quantized(t *testing.T, bits int, shape, out []int64, op *onnxpb.NodeProto) *onnx.Model {
	t.Helper()
	var nodes []*onnxpb.NodeProto
	domain, scale, zero := "", float32(1)/256, tensor.Tensor{DType: tensor.Uint8, Shape: []int64{}, Raw: []byte{0}}
	if bits == 16 {
		domain, scale, zero = "com.microsoft", 1./65536, tensor.Tensor{DType: tensor.Uint16, Shape: []int64{}, Raw: []byte{0, 0}}
	}
	onGrid := func(from, to string) {
		for _, n := range []*onnxpb.NodeProto{node("QuantizeLinear", []string{from, "s", "zero"}, to+"_integers"), node("DequantizeLinear", []string{to + "_integers", "s", "zero"}, to)} {
			n.Domain = &domain
			nodes = append(nodes, n)
		}
	}
	onGrid("x", "x_q")
	nodes = append(nodes, node("Relu", []string{"x_q"}, "relu"))
	onGrid("relu", "relu_q")
	op.Input[0], op.Output[0] = "relu_q", "made"
	nodes = append(nodes, op)
	onGrid("made", "y")
	g := &onnxpb.GraphProto{
		Node: nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, shape)}, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo("y", tensor.Float32, out)},
		Initializer: []*onnxpb.TensorProto{
			onnx.TensorProto("s", tensor.Floats([]float32{scale})), onnx.TensorProto("zero", zero),
			onnx.TensorProto("twice", tensor.Floats([]float32{1, 1, 2, 2}, 4)),
		},
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}, {Domain: proto.String("com.microsoft"), Version: proto.Int64(1)}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Whatever axis a Softmax has and however a Resize counts its pixels, the composer takes what is written.
func TestWhatIsWrittenIsComposed(t *testing.T) {
	emulator, engine := htp.Engine{Kit: fixture.Emulator(t), Library: fixture.Library(t)}, fixture.Runtime(t)
	cases := map[string]*onnx.Model{}
	for _, shape := range [][]int64{{1, 6, 4, 8}, {1, 6, 8}, {5, 8}} {
		for axis := range shape {
			for _, op := range []string{"Softmax", "LogSoftmax"} {
				cases[fmt.Sprintf("%s of axis %d of %v", op, axis, shape)] = quantized(t, 8, shape, shape, node(op, []string{""}, "", onnx.IntAttr("axis", int64(axis))))
			}
			cases[fmt.Sprintf("Softmax of axis %d of %v", axis-len(shape), shape)] = quantized(t, 8, shape, shape, node("Softmax", []string{""}, "", onnx.IntAttr("axis", int64(axis-len(shape)))))
			cases[fmt.Sprintf("Softmax of axis %d of %v, 16 bits", axis, shape)] = quantized(t, 16, shape, shape, node("Softmax", []string{""}, "", onnx.IntAttr("axis", int64(axis))))
		}
	}
	for _, mode := range []string{"half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel"} {
		cases["linear Resize, "+mode] = quantized(t, 8, []int64{1, 4, 6, 6}, []int64{1, 4, 12, 12}, node("Resize", []string{"", "", "twice"}, "", text("mode", "linear"), text("coordinate_transformation_mode", mode)))
	}
	for name, m := range cases {
		data, err := dlcwriter.Write(t.Context(), engine, emulator, m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		f, err := dlc.Read(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Graphs[0].Tensor("y") == nil {
			t.Errorf("%s: there is no y", name)
		}
		f.Close()
	}
}
