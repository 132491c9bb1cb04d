package htp

import (
	"encoding/binary"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// The HTP computes LSTM and GRU in half precision. Weights per direction and int32 biases of a QDQ model reach it as real numbers: it refuses both as
// they are.
func TestRecurrentOperatorsOfTwoDirectionsAreTaken(t *testing.T) {
	e := engine(t)
	for _, c := range []struct {
		op    string
		gates int64
	}{{"LSTM", 4}, {"GRU", 3}} {
		d := draw([]int64{5, 1, 4})
		perDirection := func(name string, shape ...int64) string {
			d.weight(name, shape...)
			n := d.g.Node[len(d.g.Node)-1]
			n.Input[1], n.Input[2] = "steps2", "middle2"
			n.Attribute = []*onnxpb.AttributeProto{onnx.IntAttr("axis", 0)}
			return name
		}
		var bias []byte
		for i := range 12 * c.gates {
			bias = binary.LittleEndian.AppendUint32(bias, uint32(int32(100*i)))
		}
		d.g.Initializer = append(d.g.Initializer, onnx.TensorProto("steps2", tensor.Floats([]float32{1.0 / 64, 1.0 / 128}, 2)),
			onnx.TensorProto("middle2", tensor.Tensor{DType: tensor.Int8, Shape: []int64{2}, Raw: []byte{0, 0}}),
			onnx.TensorProto("fine2", tensor.Floats([]float32{1.0 / 1024, 1.0 / 2048}, 2)),
			onnx.TensorProto("b.int", tensor.Tensor{DType: tensor.Int32, Shape: []int64{2, 6 * c.gates}, Raw: bias}))
		d.g.Node = append(d.g.Node, &onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Input: []string{"b.int", "fine2"}, Output: []string{"b"}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("axis", 0)}})
		d.op(c.op, "y", []int64{5, 2, 1, 3}, []string{"x.dq", perDirection("w", 2, 3*c.gates, 4), perDirection("r", 2, 3*c.gates, 3), "b"}, onnx.IntAttr("hidden_size", 3),
			&onnxpb.AttributeProto{Name: proto.String("direction"), S: []byte("bidirectional"), Type: onnxpb.AttributeProto_STRING.Enum()})
		m := d.model(t)
		if p, err := e.open(t.Context(), Named(m), d.taps, false); err == nil {
			p.close()
			t.Errorf("%s: the HTP takes the graph as it is, so that this test shows nothing", c.op)
		}
		r, err := New(t.Context(), e, m, d.options())
		if err != nil {
			t.Fatalf("%s: %v", c.op, err)
		}
		got := read(t, r, sampleOf(m))["y"]
		least, most := got[0], got[0]
		for _, v := range got {
			least, most = min(least, v), max(most, v)
		}
		if len(got) != 30 || len(r.OnCPU()) > 0 || most-least < 4*drawnStep {
			t.Errorf("%s: %v, on the CPU %v", c.op, got, r.OnCPU())
		}
		r.Close()
	}
}
