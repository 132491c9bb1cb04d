package align

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
)

func op(kind string, in []string, out string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: &kind, Name: proto.String(out), Input: in, Output: []string{out}}
}

// built is a model of these nodes over x, with the constants w, zero, six and scales and zero points of one number each.
func built(outputs []string, constants map[string]tensor.Tensor, nodes ...*onnxpb.NodeProto) *onnx.Model {
	g := &onnxpb.GraphProto{Node: nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 4, 4})}}
	for name, t := range map[string]tensor.Tensor{"w": tensor.Floats(make([]float32, 9), 3, 3, 1, 1), "zero": tensor.Floats([]float32{0}), "six": tensor.Floats([]float32{6})} {
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, t))
	}
	for name, t := range constants {
		g.Initializer = append(g.Initializer, onnx.TensorProto(name, t))
	}
	for _, out := range outputs {
		g.Output = append(g.Output, onnx.Untyped(out))
	}
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}, Graph: g}}
}

func TestALayerWithItsActivationsEncodingIsFused(t *testing.T) {
	t.Parallel()
	from := func(lo, hi float64) quant.Encoding {
		return quant.MinMax(quant.Range{Min: lo, Max: hi, Seen: true}, 8, false)
	}
	conv := op("Conv", []string{"x", "w"}, "c")
	for name, row := range map[string]struct {
		nodes   []*onnxpb.NodeProto
		outputs []string
		c, a    quant.Encoding // of the layer and behind the activation; the zero Encoding: none
		want    string
	}{
		"Conv, Relu":                        {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a")}, nil, from(0, 3), from(0, 3), "a"},
		"Add, Relu":                         {[]*onnxpb.NodeProto{op("Add", []string{"x", "x"}, "c"), op("Relu", []string{"c"}, "a")}, nil, from(0, 3), from(0, 3), "a"},
		"Mul, Relu":                         {[]*onnxpb.NodeProto{op("Mul", []string{"x", "x"}, "c"), op("Relu", []string{"c"}, "a")}, nil, from(0, 3), from(0, 3), "a"},
		"Conv, Clip":                        {[]*onnxpb.NodeProto{conv, op("Clip", []string{"c", "zero", "six"}, "a")}, nil, from(0, 5), from(0, 5), "a"},
		"moved in between":                  {[]*onnxpb.NodeProto{conv, op("Flatten", []string{"c"}, "f"), op("Relu", []string{"f"}, "a")}, nil, from(0, 3), from(0, 3), "a"},
		"the activation has no encoding":    {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a")}, nil, from(0, 3), quant.Encoding{}, "a"},
		"it holds negative values":          {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a")}, nil, from(-3, 3), from(0, 3), ""},
		"the same, symmetric":               {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a")}, nil, from(-3, 3), from(-3, 3), ""},
		"an encoding of its own":            {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a")}, nil, from(0, 3), from(0, 2), ""},
		"another reads it":                  {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a"), op("Neg", []string{"c"}, "n")}, []string{"n"}, from(0, 3), from(0, 3), ""},
		"it is an output":                   {[]*onnxpb.NodeProto{conv, op("Relu", []string{"c"}, "a")}, []string{"c"}, from(0, 3), from(0, 3), ""},
		"no activation":                     {[]*onnxpb.NodeProto{conv, op("Sigmoid", []string{"c"}, "a")}, nil, from(0, 3), from(0, 3), ""},
		"it has no negative values":         {[]*onnxpb.NodeProto{op("Sigmoid", []string{"x"}, "c"), op("Relu", []string{"c"}, "a")}, nil, from(0, 1), from(0, 1), ""},
		"Clip to more than the range holds": {[]*onnxpb.NodeProto{conv, op("Clip", []string{"c", "zero", "six"}, "a")}, nil, from(0, 8), from(0, 8), ""},
	} {
		x := onnx.NewIndex(built(append(row.outputs, "a"), nil, row.nodes...))
		into, ok := Clamped(x, "c", func(name string) (quant.Encoding, bool) {
			e := map[string]quant.Encoding{"c": row.c, "a": row.a}[name]
			return e, e.Bits > 0
		})
		if into != row.want || ok != (row.want != "") {
			t.Errorf("%s: %q %v, want %q", name, into, ok, row.want)
		}
	}
}

// TestAQDQFilesConvWithItsRelusRange reads files in which the quantizer of a Conv has the Relu's range.
func TestAQDQFilesConvWithItsRelusRange(t *testing.T) {
	t.Parallel()
	float := onnx.NewIndex(built([]string{"y"}, nil, op("Conv", []string{"x", "w"}, "c"), op("Relu", []string{"c"}, "r"), op("Conv", []string{"r", "w"}, "y")))
	byte1 := func(v byte) tensor.Tensor {
		return tensor.Tensor{DType: tensor.Uint8, Shape: []int64{}, Raw: []byte{v}}
	}
	constants := map[string]tensor.Tensor{"s": tensor.Floats([]float32{0.02}), "z": byte1(0), "middle": byte1(128)}
	pair := func(name, zero string) []*onnxpb.NodeProto {
		return []*onnxpb.NodeProto{op("QuantizeLinear", []string{name, "s", zero}, name+"_q"), op("DequantizeLinear", []string{name + "_q", "s", zero}, name+"_dq")}
	}
	for name, row := range map[string]struct {
		zero   string
		behind bool // the Relu has a pair, too
		conv   result.Status
		relu   result.Status
		tap    string
	}{
		"the Relu's range, both have a pair": {"z", true, result.Fused, result.Compared, "r_dq"},
		"the Relu's range, one pair":         {"z", false, result.Fused, result.Compared, "r"},
		"its own range":                      {"middle", false, result.Compared, result.NotQuantized, "r"},
	} {
		nodes := append([]*onnxpb.NodeProto{op("Conv", []string{"x", "w"}, "c")}, pair("c", row.zero)...)
		nodes = append(nodes, op("Relu", []string{"c_dq"}, "r"))
		last := "r"
		if row.behind {
			nodes, last = append(nodes, pair("r", row.zero)...), "r_dq"
		}
		f, err := qdq.Read(built([]string{"y"}, constants, append(nodes, op("Conv", []string{last, "w"}, "y"))...))
		if err != nil {
			t.Fatal(err)
		}
		c, r := Ready("c", float, f), Ready("r", float, f)
		if c.Status != row.conv || r.Status != row.relu || r.Tap != row.tap || (r.Encoding != nil) != (r.Status == result.Compared) {
			t.Errorf("%s: the Conv is %+v, the Relu %+v", name, c, r)
		}
	}
}
