package floattwin_test

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/floattwin"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

const ms = "com.microsoft"

func node(op, domain string, inputs []string, outputs []string, attributes ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	n := &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String("node " + outputs[0]), Input: inputs, Output: outputs, Attribute: attributes}
	if domain != "" {
		n.Domain = proto.String(domain)
	}
	return n
}

func bytes[T int8 | uint8](d tensor.DType, values []T, shape ...int64) tensor.Tensor {
	raw := make([]byte, len(values))
	for i, v := range values {
		raw[i] = byte(v)
	}
	return tensor.Tensor{DType: d, Shape: shape, Raw: raw}
}

func int32s(values []int32, shape ...int64) tensor.Tensor {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	return tensor.Tensor{DType: tensor.Int32, Shape: shape, Raw: raw}
}

func int64s(values ...int64) tensor.Tensor {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(values))}, Raw: raw}
}

func scalar(v float32) tensor.Tensor { return tensor.Floats([]float32{v}) }

func zero(d tensor.DType, v int8) tensor.Tensor { return tensor.Tensor{DType: d, Raw: []byte{byte(v)}} }

func random(rng *rand.Rand, count int) []int8 {
	list := make([]int8, count)
	for i := range list {
		list[i] = int8(rng.IntN(255) - 127)
	}
	return list
}

func model(t *testing.T, shape []int64, constants map[string]tensor.Tensor, outputs []string, nodes ...*onnxpb.NodeProto) *onnx.Model {
	t.Helper()
	g := &onnxpb.GraphProto{Name: proto.String("g"), Node: nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, shape)}}
	for _, n := range nodes {
		for _, in := range onnx.Uses(n) {
			if c, ok := constants[in]; ok && !slices.ContainsFunc(g.GetInitializer(), func(p *onnxpb.TensorProto) bool { return p.GetName() == in }) {
				g.Initializer = append(g.Initializer, onnx.TensorProto(in, c))
			}
		}
	}
	for _, o := range outputs {
		g.Output = append(g.Output, onnx.ValueInfo(o, tensor.Float32, nil))
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(10), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{
		{Domain: proto.String(""), Version: proto.Int64(21)}, {Domain: proto.String(ms), Version: proto.Int64(1)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func body(name, out string, nodes ...*onnxpb.NodeProto) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_GRAPH.Enum(), G: &onnxpb.GraphProto{
		Name: proto.String(name), Node: nodes, Output: []*onnxpb.ValueInfoProto{onnx.ValueInfo(out, tensor.Float32, nil)},
	}}
}

func constantNode(name string, v tensor.Tensor) *onnxpb.NodeProto {
	return node("Constant", "", nil, []string{name}, &onnxpb.AttributeProto{Name: proto.String("value"), Type: onnxpb.AttributeProto_TENSOR.Enum(), T: onnx.TensorProto("", v)})
}

// quantizedModel is a model with what its twin must be.
type quantizedModel struct {
	m         *onnx.Model
	kinds     []floattwin.Kind
	operators map[string]int // of the twin
	least     float64        // dB that the quantized model has against the twin: its roundings
	clamps    int
	stays     int
	weights   map[string][]float32 // values of some of the twin's constants
}

func models(t *testing.T) map[string]quantizedModel {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	c := map[string]tensor.Tensor{
		"s": scalar(0.03), "z": zero(tensor.Uint8, 100), "ys": scalar(0.4), "yz": zero(tensor.Uint8, 127), "half": scalar(0.05), "bottom": zero(tensor.Uint8, 0),
		"w_quantized": bytes(tensor.Int8, random(rng, 4*3*3*3), 4, 3, 3, 3), "ws": tensor.Floats([]float32{0.01, 0.02, 0.005, 0.01}, 4), "wz": bytes(tensor.Int8, []int8{0, 0, 0, 0}, 4),
		"w1": scalar(0.01), "w1z": zero(tensor.Int8, 3),
		"b_quantized": int32s([]int32{100, -2000, 300, 40}, 4), "bs": tensor.Floats([]float32{0.0003, 0.0006, 0.00015, 0.0003}, 4), "bz": int32s([]int32{0, 0, 0, 0}, 4),
		"m_quantized": bytes(tensor.Int8, random(rng, 8*5), 8, 5), "ms": scalar(0.01), "mz": zero(tensor.Int8, 0), "mc": tensor.Floats([]float32{0.01, 0.02, 0.03, 0.01, 0.005}, 5), "mcz": bytes(tensor.Int8, []int8{0, 1, 2, 3, -4}, 5),
		"w":               tensor.Floats([]float32{1, -2, 3, 0.5, 0.25, -1, 2, 1.5, -0.5, 0.3, 0.2, 0.1}, 4, 3, 1, 1),
		"table_quantized": bytes(tensor.Int8, random(rng, 6*3), 6, 3), "rows": int64s(4, 0, 5), "shape": int64s(1, 3, 36), "f": tensor.Floats([]float32{1.5, -2, 0.75, 4, 0.1}, 5),
		"blocked": bytes(tensor.Int8, []int8{1, 2, 3, 4, 5, 6, 7, 8, -1, -2, -3, -4}, 4, 3), "bias": tensor.Floats([]float32{0.5, -1, 2, 0.25}, 4), "channels": int64s(1, 4, 1, 1), "blocks": tensor.Floats([]float32{1, 2, 3, 0.5, 0.25, 0.125}, 2, 3),
	}
	c["gb"] = int32s([]int32{10, -1000, 20, 0, 1000}, 5)
	c["qkv_quantized"], c["qkvb"] = bytes(tensor.Int8, random(rng, 8*24), 8, 24), tensor.Floats(make([]float32, 24), 24)
	nbits := make([]uint8, 3*2*8)
	for i := range nbits {
		nbits[i] = uint8(rng.IntN(256))
	}
	c["nbits"], c["nscales"], c["nzeros"] = bytes(tensor.Uint8, nbits, 3, 2, 8), tensor.Floats([]float32{0.1, 0.2, 0.05, 0.3, 0.15, 0.25}, 6), bytes(tensor.Uint8, []uint8{0x78, 0x59, 0xa3}, 3)
	c["lw_quantized"], c["lr_quantized"], c["lb"] = bytes(tensor.Int8, random(rng, 4*8), 1, 4, 8), bytes(tensor.Int8, random(rng, 2*8), 1, 2, 8), tensor.Floats(make([]float32, 16), 1, 16)
	c["lws"], c["lwz"] = tensor.Floats([]float32{0.01}, 1), bytes(tensor.Int8, []int8{0}, 1)
	picture, rows := []int64{1, 3, 6, 6}, []int64{4, 8}
	q := func(in, s, z, out string) *onnxpb.NodeProto {
		return node("QuantizeLinear", "", []string{in, s, z}, []string{out})
	}
	dq := func(in, s, z, out string, a ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
		return node("DequantizeLinear", "", []string{in, s, z}, []string{out}, a...)
	}
	dynamic := func(in string) *onnxpb.NodeProto {
		return node("DynamicQuantizeLinear", "", []string{in}, []string{in + "_q", in + "_s", in + "_z"})
	}
	pads := &onnxpb.AttributeProto{Name: proto.String("pads"), Ints: []int64{1, 1, 1, 1}, Type: onnxpb.AttributeProto_INTS.Enum()}
	blocked := func() []*onnxpb.AttributeProto {
		return []*onnxpb.AttributeProto{onnx.IntAttr("axis", 0), onnx.IntAttr("block_size", 2)}
	}
	return map[string]quantizedModel{
		"QDQ, per channel, with a bias": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "s", "z", "xd"), dq("w_quantized", "ws", "wz", "wd", onnx.IntAttr("axis", 0)), dq("b_quantized", "bs", "bz", "bd", onnx.IntAttr("axis", 0)),
				node("Conv", "", []string{"xd", "wd", "bd"}, []string{"y_QuantizeLinear_Input"}), q("y_QuantizeLinear_Input", "ys", "yz", "yq"), dq("yq", "ys", "yz", "y")),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Conv": 1}, least: 25, weights: map[string][]float32{"b": {0.03, -1.2, 0.045, 0.012}},
		},
		"QDQ, a Relu that the range stands for": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "s", "z", "xd"), node("Conv", "", []string{"xd", "w"}, []string{"a"}), q("a", "half", "bottom", "aq"), dq("aq", "half", "bottom", "ad"),
				node("Neg", "", []string{"ad"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Conv": 1, "Relu": 1, "Neg": 1}, least: 25, clamps: 1,
		},
		"QDQ, a Relu that is there still": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "s", "z", "xd"), node("Conv", "", []string{"xd", "w"}, []string{"a"}), q("a", "half", "bottom", "aq"), dq("aq", "half", "bottom", "ad"),
				node("Relu", "", []string{"ad"}, []string{"r"}), q("r", "half", "bottom", "rq"), dq("rq", "half", "bottom", "y")),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Conv": 1, "Relu": 1}, least: 25,
		},
		"QDQ, no Relu where nothing is negative": {
			m:     model(t, picture, c, []string{"y"}, node("Sigmoid", "", []string{"x"}, []string{"a"}), q("a", "half", "bottom", "aq"), dq("aq", "half", "bottom", "ad"), node("Neg", "", []string{"ad"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Sigmoid": 1, "Neg": 1}, least: 25,
		},
		"QDQ, integers that are moved": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), node("Reshape", "", []string{"xq", "shape"}, []string{"rq"}), node("Concat", "", []string{"rq", "rq"}, []string{"cq"}, onnx.IntAttr("axis", 1)),
				dq("cq", "s", "z", "y")),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Reshape": 1, "Concat": 1}, least: 25,
		},
		"QDQ, read on another grid": {
			m:     model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "half", "bottom", "y")),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Mul": 1, "Add": 1}, least: 25,
		},
		"QDQ, integers are an output's": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "s", "z", "xd"), node("Cast", "", []string{"xq"}, []string{"i"}, onnx.IntAttr("to", int64(tensor.Float32))),
				node("Mul", "", []string{"xd", "i"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"QuantizeLinear": 1, "Cast": 1, "Mul": 1}, least: 20, stays: 1,
		},
		"blocks of weights": {
			m:     model(t, []int64{2, 4}, c, []string{"y"}, node("DequantizeLinear", "", []string{"blocked", "blocks"}, []string{"wd"}, blocked()...), node("MatMul", "", []string{"x", "wd"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.Weights}, operators: map[string]int{"MatMul": 1}, least: 200, weights: map[string][]float32{"wd": {1, 4, 9, 4, 10, 18, 3.5, 2, -0.125, -1, -0.75, -0.5}},
		},
		"QLinearConv and QLinearAdd": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"),
				node("QLinearConv", "", []string{"xq", "s", "z", "w_quantized", "ws", "wz", "ys", "yz", "b_quantized"}, []string{"cq"}, pads),
				node("QLinearAdd", ms, []string{"cq", "ys", "yz", "cq", "ys", "yz", "ys", "yz"}, []string{"aq"}), dq("aq", "ys", "yz", "y")),
			kinds: []floattwin.Kind{floattwin.QOperator}, operators: map[string]int{"Conv": 1, "Add": 1}, least: 20, weights: map[string][]float32{"b": {0.03, -1.2, 0.045, 0.012}},
		},
		"QLinearMatMul": {
			m:     model(t, rows, c, []string{"y"}, q("x", "s", "z", "xq"), node("QLinearMatMul", "", []string{"xq", "s", "z", "m_quantized", "ms", "mz", "ys", "yz"}, []string{"yq"}), dq("yq", "ys", "yz", "y")),
			kinds: []floattwin.Kind{floattwin.QOperator}, operators: map[string]int{"MatMul": 1}, least: 23,
		},
		"MatMulInteger, per column": {
			m: model(t, rows, c, []string{"y"}, dynamic("x"), node("MatMulInteger", "", []string{"x_q", "m_quantized", "x_z", "mcz"}, []string{"i"}), node("Cast", "", []string{"i"}, []string{"fl"}, onnx.IntAttr("to", int64(tensor.Float32))),
				node("Mul", "", []string{"x_s", "mc"}, []string{"both"}), node("Mul", "", []string{"fl", "both"}, []string{"scaled"}), node("Add", "", []string{"scaled", "f"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.Dynamic}, operators: map[string]int{"MatMul": 1, "Add": 1}, least: 35,
		},
		"ConvInteger with an integer bias": {
			m: model(t, picture, c, []string{"y"}, dynamic("x"), node("Mul", "", []string{"x_s", "w1"}, []string{"both"}), node("Div", "", []string{"bias", "both"}, []string{"steps"}), node("Floor", "", []string{"steps"}, []string{"floor"}),
				node("Cast", "", []string{"floor"}, []string{"bi"}, onnx.IntAttr("to", int64(tensor.Int32))), node("Reshape", "", []string{"bi", "channels"}, []string{"br"}),
				node("ConvInteger", "", []string{"x_q", "w_quantized", "x_z", "w1z"}, []string{"i"}, pads), node("Add", "", []string{"i", "br"}, []string{"sum"}), node("Cast", "", []string{"sum"}, []string{"fl"}, onnx.IntAttr("to", int64(tensor.Float32))),
				node("Mul", "", []string{"fl", "both"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.Dynamic}, operators: map[string]int{"Conv": 1}, least: 30,
		},
		"DynamicQuantizeMatMul": {
			m:     model(t, rows, c, []string{"y"}, node("DynamicQuantizeMatMul", ms, []string{"x", "m_quantized", "mc", "mcz", "f"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.Dynamic}, operators: map[string]int{"MatMul": 1, "Add": 1}, least: 35,
		},
		"MatMulIntegerToFloat": {
			m:     model(t, rows, c, []string{"y"}, dynamic("x"), node("MatMulIntegerToFloat", ms, []string{"x_q", "m_quantized", "x_s", "mc", "x_z", "mcz", "f"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.Dynamic}, operators: map[string]int{"MatMul": 1, "Add": 1}, least: 35,
		},
		"quantizers in the bodies of an If": {
			m: model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "s", "z", "xd"), node("ReduceSum", "", []string{"xd"}, []string{"sum"}, onnx.IntAttr("keepdims", 0)),
				node("Cast", "", []string{"sum"}, []string{"on"}, onnx.IntAttr("to", int64(tensor.Bool))),
				node("If", "", []string{"on"}, []string{"i"},
					body("then_branch", "nd", node("Neg", "", []string{"xd"}, []string{"n"}), q("n", "s", "z", "nq"), dq("nq", "s", "z", "nd")),
					body("else_branch", "e", dq("w_quantized", "ws", "wz", "wd", onnx.IntAttr("axis", 0)), node("Conv", "", []string{"xd", "wd"}, []string{"e"}, pads))),
				node("Neg", "", []string{"i"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"If": 1, "ReduceSum": 1, "Cast": 1, "Neg": 1}, least: 20,
		},
		"scales in Constant nodes": {
			m:     model(t, picture, c, []string{"y"}, constantNode("cs", scalar(0.03)), constantNode("cz", zero(tensor.Uint8, 100)), q("x", "cs", "cz", "xq"), dq("xq", "cs", "cz", "xd"), node("Neg", "", []string{"xd"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Neg": 1}, least: 25,
		},
		"a graph output and input at once": {
			m:     model(t, picture, c, []string{"y"}, q("x", "s", "z", "xq"), dq("xq", "s", "z", "y")),
			kinds: []floattwin.Kind{floattwin.QDQ}, operators: map[string]int{"Identity": 1}, least: 25,
		},
		"QGemm": {
			m:     model(t, rows, c, []string{"y"}, q("x", "s", "z", "xq"), node("QGemm", ms, []string{"xq", "s", "z", "m_quantized", "ms", "mz", "gb", "ys", "yz"}, []string{"yq"}), dq("yq", "ys", "yz", "y")),
			kinds: []floattwin.Kind{floattwin.QOperator}, operators: map[string]int{"Gemm": 1}, least: 20, weights: map[string][]float32{"gb_": {0.003, -0.3, 0.006, 0, 0.3}},
		},
		"QAttention": {
			m: model(t, []int64{1, 4, 8}, c, []string{"y"}, q("x", "s", "z", "xq"),
				node("QAttention", ms, []string{"xq", "qkv_quantized", "qkvb", "s", "ms", "", "z", "mz"}, []string{"y"}, onnx.IntAttr("num_heads", 2))),
			kinds: []floattwin.Kind{floattwin.QOperator}, operators: map[string]int{"Attention": 1}, least: 20,
		},
		"MatMulNBits, four bits": {
			m:     model(t, []int64{2, 32}, c, []string{"y"}, node("MatMulNBits", ms, []string{"x", "nbits", "nscales", "nzeros"}, []string{"y"}, onnx.IntAttr("K", 32), onnx.IntAttr("N", 3), onnx.IntAttr("bits", 4), onnx.IntAttr("block_size", 16))),
			kinds: []floattwin.Kind{floattwin.Weights}, operators: map[string]int{"MatMul": 1}, least: 100,
		},
		"DynamicQuantizeLSTM": {
			m:     model(t, []int64{5, 1, 4}, c, []string{"y"}, node("DynamicQuantizeLSTM", ms, []string{"x", "lw_quantized", "lr_quantized", "lb", "", "", "", "", "lws", "lwz", "lws", "lwz"}, []string{"y"}, onnx.IntAttr("hidden_size", 2))),
			kinds: []floattwin.Kind{floattwin.Dynamic}, operators: map[string]int{"LSTM": 1}, least: 30,
		},
		"a table whose rows are dequantized": {
			m:     model(t, []int64{1, 3}, c, []string{"y"}, node("Gather", "", []string{"table_quantized", "rows"}, []string{"gq"}), dq("gq", "ms", "mz", "gd"), node("Add", "", []string{"gd", "x"}, []string{"y"})),
			kinds: []floattwin.Kind{floattwin.Weights}, operators: map[string]int{"Gather": 1, "Add": 1}, least: 200,
		},
	}
}

func TestTheTwinComputesInFloatWhatTheModelComputes(t *testing.T) {
	engine := fixture.Runtime(t)
	for name, want := range models(t) {
		t.Run(name, func(t *testing.T) {
			m := want.m
			found := floattwin.Find(m)
			if found == nil || !slices.Equal(found.Kinds, want.kinds) {
				t.Fatalf("found %+v, want %v", found, want.kinds)
			}
			before := proto.CloneOf(m.Proto)
			twin, report, err := floattwin.Make(m)
			if err != nil {
				t.Fatal(err)
			}
			if !proto.Equal(before, m.Proto) {
				t.Error("the model itself was changed")
			}
			operators := map[string]int{}
			for _, n := range twin.Graph().GetNode() {
				operators[n.GetOpType()]++
			}
			for op, count := range want.operators {
				if operators[op] != count {
					t.Errorf("%d %s, want %d", operators[op], op, count)
				}
				delete(operators, op)
			}
			if len(operators) > 0 {
				t.Errorf("the twin has %v, too", operators)
			}
			if len(report.Clamps) != want.clamps || len(report.Stays) != want.stays {
				t.Errorf("clamps %v, stays %v", report.Clamps, report.Stays)
			}
			if again := floattwin.Find(twin); (again == nil) != (want.stays == 0) {
				t.Errorf("the twin is quantized: %v", again)
			}
			x := onnx.NewIndex(twin)
			for constant, values := range want.weights {
				got, err := twin.Tensor(x.Initializer[constant])
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range values {
					if math.Abs(float64(got.F32[i]-v)) > 1e-6 {
						t.Errorf("%s: %v, want %v", constant, got.F32, values)
						break
					}
				}
			}
			_, shape, _ := onnx.TypeOf(m.Inputs()[0])
			count, _ := tensor.Count(shape)
			rng := rand.New(rand.NewPCG(5, 6))
			values := make([]float32, count)
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
			sample := map[string]tensor.Tensor{"x": tensor.Floats(values, shape...)}
			float, err := ort.Once(context.Background(), engine, twin, sample)
			if err != nil {
				t.Fatal(err)
			}
			quantized, err := ort.Once(context.Background(), engine, m, sample)
			if err != nil {
				t.Fatal(err)
			}
			signal, noise := 1e-30, 1e-30
			for i, v := range float["y"].F32 {
				d := float64(v) - float64(quantized["y"].F32[i])
				signal, noise = signal+float64(v)*float64(v), noise+d*d
			}
			if db := 10 * math.Log10(signal/noise); db < want.least {
				t.Errorf("%.1f dB between the two, at least %.0f were expected", db, want.least)
			}
		})
	}
}

func TestAFloatModelHasNothingToStrip(t *testing.T) {
	t.Parallel()
	m := model(t, []int64{1, 3}, nil, []string{"y"}, node("Relu", "", []string{"x"}, []string{"y"}))
	if f := floattwin.Find(m); f != nil {
		t.Errorf("found %v", f)
	}
	twin, _, err := floattwin.Make(m)
	if err != nil || twin != m {
		t.Errorf("%v, %v", twin, err)
	}
}
