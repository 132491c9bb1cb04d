package inspect

import (
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dlc"
	"quantcheck/internal/encodings"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Numbers of Qnn_DataType_t.
const (
	fixed8   dlc.DType = 0x408
	fixed16  dlc.DType = 0x416
	signed8  dlc.DType = 0x308
	signed32 dlc.DType = 0x332
	floating dlc.DType = 0x232
)

// container is a DLC of one graph: a Conv2d, a FullyConnected, and an output of float.
func container() *dlc.File {
	encoding := func(d dlc.DType, bits int, scales ...float32) *dlc.Encoding {
		axis := -1
		if len(scales) > 1 {
			axis = 3
		}
		return dlc.NewEncoding(d, bits, axis, scales, make([]int32, len(scales)))
	}
	return dlc.Described("DLC 4.1", dlc.Metadata{ConverterCommand: "convert", ConverterVersion: "2.20", QuantizerCommand: "snpe-dlc-quant use_per_channel_quantization=True act_bitwidth=16 act_quantizer=[]"}, []dlc.Graph{{
		Name: "g",
		Nodes: []dlc.Node{
			{Name: "conv", Type: "Conv2d", Inputs: []string{"x", "w", "b"}, Outputs: []string{"t_QuantizeLinear"}},
			{Name: "fc", Type: "FullyConnected", Inputs: []string{"t_QuantizeLinear", "v"}, Outputs: []string{"y"}},
		},
		Tensors: []dlc.Tensor{
			{Name: "x", Location: dlc.Input, Shape: []int{1, 4, 4, 3}, DType: fixed8, Encoding: encoding(fixed8, 8, 0.5)},
			{Name: "w", Location: dlc.Static, Shape: []int{3, 3, 3, 2}, DType: signed8, Encoding: encoding(signed8, 8, 0.25, 0.5)},
			{Name: "b", Location: dlc.Static, Shape: []int{2}, DType: signed32},
			{Name: "t_QuantizeLinear", Location: dlc.Native, Shape: []int{1, 2, 2, 2}, DType: fixed8, Encoding: encoding(fixed8, 8, 0.25)},
			{Name: "v", Location: dlc.Static, Shape: []int{5, 8}, DType: fixed16, Encoding: encoding(fixed16, 16, 0.125)},
			{Name: "y", Location: dlc.Output, Shape: []int{1, 5}, DType: floating},
		},
	}}, []string{"a note"})
}

func TestADLCIsViewed(t *testing.T) {
	t.Parallel()
	v := DLC("m.dlc", container())
	const conv, fc = 2 * 2 * 2 * 27, 5 * 8 // each output takes a kernel, or all inputs
	if v.MACs != conv+fc || len(v.Layers) != 2 || v.Layers[0].MACs != conv || v.Layers[1].MACs != fc || v.Parameters != 54+2+40 || v.Layers[0].Parameters != 56 {
		t.Errorf("%d multiply-adds, %d parameters: %+v", v.MACs, v.Parameters, v.Layers)
	}
	const weights, alive = 54 + 2*4 + 40*2, 48 + 8 // x and t; t and y take less
	if v.Memory != weights+alive {
		t.Errorf("%d bytes, want %d", v.Memory, weights+alive)
	}
	if v.Encoded != 4 || !slices.Equal(v.Unencoded, []string{"b", "y"}) {
		t.Errorf("%d encodings, without one %v", v.Encoded, v.Unencoded)
	}
	if !maps.Equal(v.Operators, map[string]int{"Conv2d": 1, "FullyConnected": 1}) || !maps.Equal(v.Precision, map[string]int{"uFxp_8": 1, "Float_32": 1}) {
		t.Errorf("%v %v", v.Operators, v.Precision)
	}
	if !maps.Equal(v.Settings, map[string]string{"use_per_channel_quantization": "True", "act_bitwidth": "16", "act_quantizer": "tf (default)"}) {
		t.Errorf("%v", v.Settings)
	}
	if w := v.Layers[0].Weights[0].Encoding; w == nil || w.Channels != 2 || w.Axis != 3 || w.Bits != 8 || v.Inputs[0].Encoding.Channels != 0 {
		t.Errorf("%+v, %+v", w, v.Inputs[0].Encoding)
	}
	if !slices.Equal(v.Notes, []string{"a note"}) || v.Version != "2.20" || Makers(v)["y"] != "fc" || v.Graph != "g" {
		t.Errorf("%+v", v)
	}
	now := time.Unix(1e9, 0)
	if file := v.File("mine", now); file.Name != "mine" || !file.Added.Equal(now) || len(file.Layers) != 2 || file.Layers[0].Layer != "t" || file.Layers[0].Node != "conv" || file.MACs != v.MACs {
		t.Errorf("%+v", file)
	}
	for graphs, note := range map[int]string{0: "it holds no graph", 2: "it holds 2 graphs; this is the first"} {
		if v := DLC("m.dlc", dlc.Described("", dlc.Metadata{}, make([]dlc.Graph, graphs), nil)); !slices.Equal(v.Notes, []string{note}) {
			t.Errorf("%d graphs: %v", graphs, v.Notes)
		}
	}
}

func TestMultiplyAddsOfADLC(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		op           string
		in, w, out   []int
		multiplyAdds int64
	}{
		{"Relu", []int{1, 4}, []int{4}, []int{1, 4}, 0},
		{"Conv2d", []int{1, 8, 8, 3}, []int{3, 3, 3, 16}, []int{1, 8, 8, 16}, 8 * 8 * 16 * 27},
		{"DepthWiseConv2d", []int{1, 8, 8, 16}, []int{3, 3, 1, 16}, []int{1, 8, 8, 16}, 8 * 8 * 16 * 9},
		{"TransposeConv2d", []int{1, 4, 4, 6}, []int{2, 2, 6, 5}, []int{1, 8, 8, 5}, 4 * 4 * 6 * 2 * 2 * 5},
		{"MatMul", []int{1, 7, 4}, []int{1, 4, 9}, []int{1, 7, 9}, 7 * 9 * 4},
		{"FullyConnected", []int{1, 12}, []int{3, 12}, []int{1, 3}, 3 * 12},
		{"Conv2d", []int{1, 8, 8, 3}, []int{5}, []int{1, 8, 8, 16}, -1},
		{"Conv2d", []int{1, -1, 8, 3}, []int{3, 3, 3, 16}, []int{1, 8, 8, 16}, -1},
		{"Conv2d", []int{1, 8, 8, 3}, nil, []int{1, 8, 8, 16}, -1},
	} {
		n := dlc.Node{Type: row.op, Inputs: []string{"in", "w"}, Outputs: []string{"out"}}
		tensors := []dlc.Tensor{{Name: "in", Shape: row.in}, {Name: "out", Shape: row.out}}
		if row.w != nil {
			tensors = append(tensors, dlc.Tensor{Name: "w", Shape: row.w, Location: dlc.Static})
		}
		f := dlc.Described("", dlc.Metadata{}, []dlc.Graph{{Tensors: tensors, Nodes: []dlc.Node{n}}}, nil)
		if got := macsOf(&f.Graphs[0], n); got != row.multiplyAdds {
			t.Errorf("%s of %v by %v: %d, want %d", row.op, row.in, row.w, got, row.multiplyAdds)
		}
	}
}

// network is Conv and Relu on [1,3,4,4], or the same with a quantizer behind each and constants of eight bits.
func network(quantized bool) *onnx.Model {
	node := func(op string, in, out []string) *onnxpb.NodeProto {
		return &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(strings.ToLower(op)), Input: in, Output: out}
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 3, 4, 4})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
		Node:        []*onnxpb.NodeProto{node("Conv", []string{"x", "w"}, []string{"t"}), node("Relu", []string{"t"}, []string{"y"})},
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", tensor.Floats(make([]float32, 2*27), 2, 3, 3, 3))},
	}
	if quantized {
		bytes := func(name string, d tensor.DType, values ...byte) *onnxpb.TensorProto {
			return onnx.TensorProto(name, tensor.Tensor{DType: d, Raw: values})
		}
		g.Node = []*onnxpb.NodeProto{
			node("DequantizeLinear", []string{"w_quantized", "ws", "wz"}, []string{"w"}), node("Conv", []string{"x", "w"}, []string{"t"}),
			node("QuantizeLinear", []string{"t", "s", "z"}, []string{"tq"}), node("DequantizeLinear", []string{"tq", "s", "z"}, []string{"td"}), node("Relu", []string{"td"}, []string{"y"}),
		}
		g.Initializer = []*onnxpb.TensorProto{
			onnx.TensorProto("w_quantized", tensor.Tensor{DType: tensor.Int8, Shape: []int64{2, 3, 3, 3}, Raw: make([]byte, 54)}), onnx.TensorProto("ws", tensor.Floats([]float32{0.5})), bytes("wz", tensor.Int8, 0),
			onnx.TensorProto("s", tensor.Floats([]float32{0.25})), bytes("z", tensor.Uint8, 3),
		}
	}
	return &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), ProducerName: proto.String("me"), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(13)}}}}
}

func TestAnONNXModelIsViewed(t *testing.T) {
	t.Parallel()
	shapes := map[string][]int64{"x": {1, 3, 4, 4}, "t": {1, 2, 2, 2}, "td": {1, 2, 2, 2}, "y": {1, 2, 2, 2}, "w": {2, 3, 3, 3}}
	types := func(name string) (tensor.DType, []int64, bool) { s, ok := shapes[name]; return tensor.Float32, s, ok }
	const conv = 2 * 2 * 2 * 27
	float, err := ONNX("m.onnx", network(false), types)
	if err != nil {
		t.Fatal(err)
	}
	if float.MACs != conv || float.Parameters != 54 || len(float.Layers) != 2 || float.Encoded != 0 || len(float.Unencoded) != 0 || float.Memory != 4*(54+48+8) {
		t.Errorf("%+v", float)
	}
	if float.Format != "ONNX opset 13" || float.Converter != "me" || float.Inputs[0].DType != "float32" || !slices.Equal(float.Outputs[0].Shape, shapes["y"]) {
		t.Errorf("%+v", float)
	}
	qdq, err := ONNX("q.onnx", network(true), types)
	if err != nil {
		t.Fatal(err)
	}
	if qdq.MACs != conv || len(qdq.Layers) != 2 || !maps.Equal(qdq.Operators, float.Operators) || !slices.Contains(qdq.Unencoded, "y") || slices.Contains(qdq.Unencoded, "t") {
		t.Errorf("%+v", qdq)
	}
	if e := qdq.Layers[0].Outputs[0].Encoding; e == nil || e.Bits != 8 || e.Scale != 0.25 || e.Offset != -3 {
		t.Errorf("the Conv's output: %+v", e)
	}
	if w := qdq.Layers[0].Weights; len(w) != 1 || w[0].Name != "w_quantized" || w[0].Encoding == nil || w[0].Encoding.Scale != 0.5 || w[0].DType != "int8" {
		t.Errorf("its weights: %+v", w)
	}
}

func TestWhatBecameOfAnEncoding(t *testing.T) {
	t.Parallel()
	f := container()
	held := Held(f.Graphs[0].Tensor("t_QuantizeLinear"))[0]
	kernel := Held(f.Graphs[0].Tensor("w"))
	moved := func(low, high float64) quant.Encoding { // by so many steps
		e := held
		e.Min, e.Max = e.Min+low*e.Scale, e.Max+high*e.Scale
		return e
	}
	other := held
	other.Scale *= 1.001
	for _, row := range []struct {
		name   string
		tensor string
		asked  encodings.Asked
		want   Kind
		steps  float64
	}{
		{"as it was asked for", "t", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{held}}, Equal, 0},
		{"another grid", "t", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{moved(0.25, 0.25)}}, Regridded, 0.25},
		{"another scale", "t", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{other}}, Regridded, 0},
		{"the held range is wider", "t", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{moved(3, -2)}}, Widened, 3},
		{"the held range is narrower", "t", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{moved(0, 2)}}, Narrowed, 2},
		{"another width", "t", encodings.Asked{Bits: 16, Encodings: []quant.Encoding{held}}, Width, 0},
		{"one for all channels", "w", encodings.Asked{Bits: 8, Encodings: kernel[:1]}, Granularity, 0},
		{"every channel", "w", encodings.Asked{Bits: 8, Encodings: kernel}, Equal, 0},
		{"float", "y", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{held}}, ToFloat, 0},
		{"half precision, and integers are held", "t", encodings.Asked{Float: true, Bits: 16}, Narrowed, 0},
		{"half precision, and single is held", "y", encodings.Asked{Float: true, Bits: 16}, Widened, 0},
		{"single precision, as it is held", "y", encodings.Asked{Float: true, Bits: 32}, Equal, 0},
		{"a tensor that is not there", "nowhere", encodings.Asked{Bits: 8, Encodings: []quant.Encoding{held}}, Missing, 0},
	} {
		list := Diff(map[string]encodings.Asked{row.tensor: row.asked, "half": {Float: true, Bits: 16}}, f)
		at := slices.IndexFunc(list, func(d Difference) bool { return d.Tensor == row.tensor })
		if at < 0 || list[at].Kind != row.want || math.Abs(list[at].Steps-row.steps) > 1e-9 {
			t.Errorf("%s: %+v, want %s", row.name, list, row.want)
			continue
		}
		if (list[at].In == "t_QuantizeLinear") != (row.tensor == "t") {
			t.Errorf("%s: it is found as %q", row.name, list[at].In)
		}
		extra := 0
		for _, d := range list {
			if d.Kind == Extra && d.Held != nil {
				extra++
			}
		}
		if half := slices.IndexFunc(list, func(d Difference) bool { return d.Tensor == "half" }); half < 0 || list[half].Kind != Missing || list[half].AskedFloat != 16 {
			t.Errorf("%s: a float that is not there: %+v", row.name, list)
		}
		if want := 3 + map[bool]int{true: 1}[row.want == Missing || row.tensor == "y"]; extra != want { // encodings that nobody asked for
			t.Errorf("%s: %d extra, want %d", row.name, extra, want)
		}
	}
	// Unsigned integers are spoken of, whatever the DLC holds.
	if e := kernel[1]; e.Offset != -128 || e.Scale != 0.5 || e.Min != -64 || !e.Symmetric {
		t.Errorf("%+v", e)
	}
}

func TestFilesThatAskForNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	float := filepath.Join(dir, "float.onnx")
	if err := onnx.Save(network(false), float); err != nil {
		t.Fatal(err)
	}
	quantized := filepath.Join(dir, "q.onnx")
	if err := onnx.Save(network(true), quantized); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for path, says := range map[string]string{
		write("a.json", "{"):  "ends in the middle",
		write("b.json", "{}"): "neither activation_encodings",
		write("c.json", `{"activation_encodings":{"a":[{"bitwidth":8}]}}`):                                        "neither min and max",
		write("d.json", `{"activation_encodings":[{"name":"a","bw":8,"scale":[1],"offset":[]}]}`):                 "1 and 0 values",
		write("e.json", `{"encodings":[{"name":"a","output_dtype":"float13","y_scale":1}]}`):                      "no type that is known",
		write("f.json", `{"activation_encodings":{"a":[{"bitwidth":8,"min":1,"max":1,"scale":0,"offset":0}]}}`):   "scale",
		write("g.json", `{"activation_encodings":{"a":[{"bitwidth":900,"min":1,"max":2,"scale":1,"offset":0}]}}`): "bitwidth of 900",
		write("h.dlc", "PK"):            "not a DLC",
		write("i.png", "a picture"):     "neither a .json",
		float:                           "no quantizers",
		filepath.Join(dir, "none.json"): "no such file",
	} {
		if asked, err := askedBy(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v, %v; want %q", filepath.Base(path), asked, err, says)
		}
	}
	if asked, err := askedBy(quantized); err != nil || len(asked["t"].Encodings) != 1 || asked["t"].Encodings[0].Scale != 0.25 {
		t.Errorf("%v %+v", err, asked)
	}
	if _, err := OpenDLC(write("j.dlc", "no container")); !errors.Is(err, usage.Err) {
		t.Errorf("%v is no error of the request", err)
	}
}

// ranOn makes a run of two layers in variants whose layers alone have so many dB; NaN: not measured.
func ranOn(name string, under float64, alone map[string][2]float64) *result.Run {
	r := &result.Run{Name: name, Spec: result.CheckSpec{DivergeUnder: under}, Layers: []result.Layer{{Name: "/c/Conv_output_0", Op: "Conv"}, {Name: "/m/Mul_output_0", Op: "Mul"}}}
	for _, v := range slices.Sorted(maps.Keys(alone)) {
		one := result.Variant{Spec: variant.Spec{Name: v}}
		for k, db := range alone[v] {
			l := result.LayerResult{Status: result.Compared, Tap: "tap", Encoding: &result.Coding{Bits: 8, Scale: 1, Min: 0, Max: float64(10 * (k + 1))}}
			if !math.IsNaN(db) {
				l.Local = &result.Local{}
				l.Local.Full.Summary[metric.SQNR].Mean = metric.Defined(db)
			}
			one.Layers = append(one.Layers, l)
		}
		r.Variants = append(r.Variants, one)
	}
	return r
}

func TestLayersAcrossRunsAndModels(t *testing.T) {
	t.Parallel()
	file := &result.ModelFile{Name: "m.dlc", Layers: []result.ModelLayer{
		{Tensor: "/c/Conv_output_0_QuantizeLinear", Layer: "/c/Conv_output_0", Op: "Conv2d", Encoding: &result.ModelEncoding{Bits: 16, Min: 0, Max: 40}},
		{Tensor: "/only/there", Layer: "/only/there", Op: "Relu"},
	}}
	a := Compare([]*result.Run{
		ranOn("n", 5, map[string][2]float64{"forgotten": {1, 1}}), // of the runs of one name the last counts
		ranOn("n", 20, map[string][2]float64{"w4a8": {10, 15}, "w8a8": {40, 18}, "w8a16": {50, math.NaN()}}),
	}, []*result.ModelFile{file})
	if !slices.Equal(a.Sources, []string{"n w4a8", "n w8a16", "n w8a8", "m.dlc"}) || a.Under != 20 || len(a.Layers) != 3 {
		t.Fatalf("%v, under %g, %+v", a.Sources, a.Under, a.Layers)
	}
	for i, want := range []struct {
		name               string
		problems, measured int
		spread             metric.Value
		worst              metric.Value
		places             int
	}{
		{"/m/Mul_output_0", 2, 2, metric.Defined(1), metric.Defined(15), 3},
		{"/c/Conv_output_0", 1, 3, metric.Defined(4), metric.Defined(10), 4},
		{"/only/there", 0, 0, metric.Value{}, metric.Value{}, 1},
	} {
		if l := a.Layers[i]; l.Name != want.name || l.Problems != want.problems || l.Measured != want.measured || l.Spread != want.spread || l.Worst != want.worst || len(l.Places) != want.places {
			t.Errorf("layer %d: %+v, want %+v", i, l, want)
		}
	}
	if len(a.Operators) != 2 || a.Operators[0] != (OperatorRow{"Mul", 2, 16.5, 15}) || a.Operators[1] != (OperatorRow{"Conv", 3, 100. / 3, 10}) {
		t.Errorf("%+v", a.Operators)
	}
	if s := a.OperatorShare; !s.OK || s.V <= 0 || s.V >= 1 {
		t.Errorf("%v", s)
	}
	for _, c := range a.Correlations {
		if with := map[string]int{"range": 5, "kurtosis": 0, "depth": 5}; c.Count != with[c.With] || c.Rho.OK != (c.Count > 0) {
			t.Errorf("%+v", c)
		}
	}
	if none := Compare(nil, nil); len(none.Layers) != 0 || none.OperatorShare.OK {
		t.Errorf("%+v", none)
	}
}
