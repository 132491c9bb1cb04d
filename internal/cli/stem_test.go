package cli

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// stemModel writes the part of a detector like yolox_nano that is slow and hard to quantize, for pictures [1,3,side,side]: a Focus of Slices, then
// Conv and x·Sigmoid(x). One channel has 256 times the range of the others, and the next Conv gives all of them weight in the outputs: eight
// bits for the gated tensor lose a few percent, sixteen do not.
func stemModel(t *testing.T, side int64) string {
	t.Helper()
	var nodes []*onnxpb.NodeProto
	constants := map[string]tensor.Tensor{}
	add := func(op, output string, inputs []string, attrs ...*onnxpb.AttributeProto) {
		nodes = append(nodes, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(output), Input: inputs, Output: []string{output}, Attribute: attrs})
	}
	ints := func(name string, v ...int64) *onnxpb.AttributeProto {
		return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: v}
	}
	integer := func(name string, v byte) {
		constants[name] = tensor.Tensor{DType: tensor.Int64, Shape: []int64{1}, Raw: []byte{v, 0, 0, 0, 0, 0, 0, 0}}
	}
	for name, v := range map[string]byte{"zero": 0, "one": 1, "two": 2, "three": 3} {
		integer(name, v)
	}
	constants["end"] = tensor.Tensor{DType: tensor.Int64, Shape: []int64{1}, Raw: binary.LittleEndian.AppendUint64(nil, uint64(side))}
	var parts []string
	for _, from := range [][2]string{{"zero", "zero"}, {"one", "zero"}, {"zero", "one"}, {"one", "one"}} {
		rows, part := "rows_"+from[0]+"_"+from[1], "part_"+from[0]+"_"+from[1]
		add("Slice", rows, []string{"images", from[0], "end", "two", "two"})
		add("Slice", part, []string{rows, from[1], "end", "three", "two"})
		parts = append(parts, part)
	}
	add("Concat", "focus", parts, onnx.IntAttr("axis", 1))
	// Values of both signs that look random and are always the same; scale says by how much those of an output and an input channel grow.
	weights := func(name string, outputs, inputs, side int, scale func(o, i int) float32) {
		v := make([]float32, 0, outputs*inputs*side*side)
		state := uint32(len(name) + outputs)
		for o := range outputs {
			for i := range inputs {
				for range side * side {
					state = state*1664525 + 1013904223
					v = append(v, (float32(state>>8)/(1<<24)-0.45)*scale(o, i))
				}
			}
		}
		constants[name] = tensor.Floats(v, int64(outputs), int64(inputs), int64(side), int64(side))
	}
	const channels = 8
	but := func(first, others float32) func(int) float32 {
		return func(c int) float32 {
			if c == 0 {
				return first
			}
			return others
		}
	}
	stem, neck := but(1, 1./256), but(1./40, 1)
	weights("stem.weight", channels, 12, 3, func(o, _ int) float32 { return stem(o) })
	weights("neck.weight", channels, channels, 3, func(_, i int) float32 { return neck(i) })
	weights("head.weight", 4, channels, 1, func(_, _ int) float32 { return 0.2 })
	add("Conv", "stem", []string{"focus", "stem.weight"}, ints("pads", 1, 1, 1, 1))
	add("Sigmoid", "gate", []string{"stem"})
	add("Mul", "gated", []string{"stem", "gate"})
	add("Conv", "neck", []string{"gated", "neck.weight"}, ints("pads", 1, 1, 1, 1), ints("strides", 2, 2))
	add("Relu", "bent", []string{"neck"})
	add("Conv", "y", []string{"bent", "head.weight"})
	g := &onnxpb.GraphProto{
		Name: proto.String("stem"), Node: nodes,
		Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("images", tensor.Float32, []int64{1, 3, side, side})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
	}
	for name, v := range constants {
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, v))
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(13)}}, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "stem.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
