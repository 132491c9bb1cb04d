package onnx_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

func node(op string, inputs []string, outputs ...string) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Input: inputs, Output: outputs}
}

func model(nodes []*onnxpb.NodeProto, outputs ...string) *onnxpb.ModelProto {
	g := &onnxpb.GraphProto{Node: nodes, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{1, 2})}}
	for _, o := range outputs {
		g.Output = append(g.Output, onnx.Untyped(o))
	}
	return &onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: g,
		OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
	}
}

func bytes(t testing.TB, m *onnxpb.ModelProto) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	good := bytes(t, model([]*onnxpb.NodeProto{node("Relu", []string{"x"}, "y")}, "y"))
	twice := model([]*onnxpb.NodeProto{node("Relu", []string{"x"}, "y"), node("Abs", []string{"x"}, "y")}, "y")
	unknown := model([]*onnxpb.NodeProto{node("Relu", []string{"nowhere"}, "y")}, "y")
	cycle := model([]*onnxpb.NodeProto{node("Add", []string{"x", "b"}, "a"), node("Relu", []string{"a"}, "b")}, "b")
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"text":             {[]byte("this is not a model"), "not an ONNX file"},
		"empty":            {nil, "not an ONNX file"},
		"truncated":        {good[:len(good)-5], "truncated or damaged"},
		"no graph":         {bytes(t, &onnxpb.ModelProto{IrVersion: proto.Int64(8)}), "holds no graph"},
		"made twice":       {bytes(t, twice), `tensor "y" is made twice`},
		"unknown tensor":   {bytes(t, unknown), `uses tensor "nowhere"`},
		"cycle":            {bytes(t, cycle), "cycle"},
		"unknown output":   {bytes(t, model([]*onnxpb.NodeProto{node("Relu", []string{"x"}, "y")}, "z")), `output "z"`},
		"no operator type": {bytes(t, model([]*onnxpb.NodeProto{node("", []string{"x"}, "y")}, "y")), "no operator type"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := onnx.Parse(c.data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	if _, err := onnx.Parse(good); err != nil {
		t.Error(err)
	}
}

func TestUnsortedNodesAreSorted(t *testing.T) {
	m, err := onnx.Parse(bytes(t, model([]*onnxpb.NodeProto{
		node("Add", []string{"a", "b"}, "c"), node("Relu", []string{"x"}, "a"), node("Abs", []string{"a"}, "b"),
	}, "c")))
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, n := range m.Graph().GetNode() {
		order = append(order, n.GetOutput()[0])
	}
	if !slices.Equal(order, []string{"a", "b", "c"}) {
		t.Error(order)
	}
}

func TestEveryTruncationIsAnError(t *testing.T) {
	data, err := os.ReadFile(fixture.Path(t, "qnn", "zoo.onnx"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := onnx.Parse(data); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(data)-200; n += 64 { // the last fields are outputs and operator sets
		if _, err := onnx.Parse(data[:n]); err == nil {
			t.Errorf("the first %d of %d bytes were taken", n, len(data))
		}
	}
}

func TestFixInputs(t *testing.T) {
	open := func(dims ...string) *onnx.Model {
		p := model([]*onnxpb.NodeProto{node("Relu", []string{"x"}, "y")}, "y")
		s := &onnxpb.TensorShapeProto{}
		for _, d := range dims {
			dim := &onnxpb.TensorShapeProto_Dimension{Value: &onnxpb.TensorShapeProto_Dimension_DimParam{DimParam: d}}
			if d == "3" {
				dim.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: 3}
			}
			s.Dim = append(s.Dim, dim)
		}
		p.Graph.Input[0].Type.TensorType.Shape = s
		m, err := onnx.Parse(bytes(t, p))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	shape := func(m *onnx.Model) []int64 {
		_, s, _ := onnx.TypeOf(m.Inputs()[0])
		return s
	}
	m, batched, err := onnx.FixInputs(open("N", "3"), nil)
	if err != nil || !slices.Equal(shape(m), []int64{1, 3}) || !slices.Equal(batched, []string{"x"}) {
		t.Errorf("open batch: %v %v %v", shape(m), batched, err)
	}
	for _, key := range []string{"", "x"} {
		if m, _, err = onnx.FixInputs(open("N", "3", "H"), map[string][]int64{key: {1, 3, 8}}); err != nil || !slices.Equal(shape(m), []int64{1, 3, 8}) {
			t.Errorf("given shape: %v", err)
		}
	}
	for want, shapes := range map[string]map[string][]int64{
		"--input-shape":    nil,
		"cannot be 4":      {"x": {1, 4, 8}},
		"has 3 dimensions": {"x": {1, 3}},
		`no input "z"`:     {"z": {1, 3, 8}},
	} {
		if _, _, err := onnx.FixInputs(open("N", "3", "H"), shapes); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", shapes, err, want)
		}
	}
}

func TestExternalData(t *testing.T) {
	dir := t.TempDir()
	write := func(location, offset, length string) string {
		p := model([]*onnxpb.NodeProto{node("Add", []string{"x", "w"}, "y")}, "y")
		external := onnxpb.TensorProto_EXTERNAL
		w := &onnxpb.TensorProto{Name: proto.String("w"), Dims: []int64{2}, DataType: proto.Int32(1), DataLocation: &external}
		for k, v := range map[string]string{"location": location, "offset": offset, "length": length} {
			w.ExternalData = append(w.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(k), Value: proto.String(v)})
		}
		p.Graph.Initializer = append(p.Graph.Initializer, w)
		path := filepath.Join(dir, "m.onnx")
		if err := os.WriteFile(path, bytes(t, p), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), tensor.Floats([]float32{9, 1, 2}).LittleEndian(), 0o600); err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Load(write("w.bin", "4", "8"))
	if err != nil {
		t.Fatal(err)
	}
	w, err := m.Tensor(m.Graph().GetInitializer()[0])
	if err != nil || !slices.Equal(w.F32, []float32{1, 2}) {
		t.Errorf("%v %v", w.F32, err)
	}
	if inline, err := onnx.Inline(m); err != nil || len(inline.Graph().GetInitializer()[0].GetRawData()) != 8 || len(inline.Graph().GetInitializer()[0].GetExternalData()) != 0 {
		t.Errorf("inlined: %v %v", inline, err)
	}
	for want, args := range map[string][3]string{
		"missing.bin":           {"missing.bin", "0", "8"},
		"too short":             {"w.bin", "8", "8"},
		"not lie beside":        {"../w.bin", "0", "8"},
		`offset "-1" is not`:    {"w.bin", "-1", "8"},
		"copy it beside the mo": {"missing.bin", "0", "8"},
	} {
		if _, err := onnx.Load(write(args[0], args[1], args[2])); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	if _, err := onnx.Load(filepath.Join(dir, "none.onnx")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	if _, err := onnx.Load(dir); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Error(err)
	}
}

func TestTensorsSurviveEveryWayOfStoring(t *testing.T) {
	m := &onnx.Model{Proto: model(nil)}
	for name, c := range map[string]struct {
		p    *onnxpb.TensorProto
		want []float32
	}{
		"raw float":  {onnx.TensorProto("t", tensor.Floats([]float32{1, -2.5}, 2)), []float32{1, -2.5}},
		"float_data": {&onnxpb.TensorProto{Dims: []int64{2}, DataType: proto.Int32(1), FloatData: []float32{3, 4}}, []float32{3, 4}},
		"int8":       {&onnxpb.TensorProto{Dims: []int64{2}, DataType: proto.Int32(3), Int32Data: []int32{-1, 5}}, []float32{-1, 5}},
		"int64":      {&onnxpb.TensorProto{Dims: []int64{1}, DataType: proto.Int32(7), Int64Data: []int64{-7}}, []float32{-7}},
		"uint4":      {&onnxpb.TensorProto{Dims: []int64{3}, DataType: proto.Int32(21), Int32Data: []int32{0xf1, 2}}, []float32{1, 15, 2}},
		"int4 raw":   {&onnxpb.TensorProto{Dims: []int64{2}, DataType: proto.Int32(22), RawData: []byte{0x8f}}, []float32{-1, -8}},
		"double":     {&onnxpb.TensorProto{Dims: []int64{1}, DataType: proto.Int32(11), DoubleData: []float64{0.5}}, []float32{0.5}},
		"half":       {&onnxpb.TensorProto{Dims: []int64{1}, DataType: proto.Int32(10), Int32Data: []int32{0x3c00}}, []float32{1}},
	} {
		got, err := m.Tensor(c.p)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if values, ok := got.AsFloat32(); !ok || !slices.Equal(values, c.want) {
			t.Errorf("%s: %v", name, values)
		}
	}
	for name, p := range map[string]*onnxpb.TensorProto{
		"too few":  {Dims: []int64{3}, DataType: proto.Int32(1), FloatData: []float32{1}},
		"negative": {Dims: []int64{-3}, DataType: proto.Int32(1)},
		"overflow": {Dims: []int64{1 << 40, 1 << 40}, DataType: proto.Int32(1)},
		"huge":     {Dims: []int64{1 << 40}, DataType: proto.Int32(6)},
	} {
		if _, err := m.Tensor(p); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(bytes(f, model([]*onnxpb.NodeProto{node("Relu", []string{"x"}, "y")}, "y")))
	f.Add([]byte{8, 8, 58, 0})
	if data, err := os.ReadFile(filepath.Join(fixture.Root(), "..", "shared", "fixtures", "qnn", "zoo.onnx")); err == nil {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := onnx.Parse(data)
		if err != nil {
			return
		}
		x := onnx.NewIndex(m)
		x.Constants()
		for _, p := range m.Graph().GetInitializer() {
			_, _ = m.Tensor(p)
		}
		if fixed, _, err := onnx.FixInputs(m, nil); err == nil {
			onnx.Extract(fixed, onnx.NewIndex(fixed), 0, len(x.Nodes)/2, nil, nil)
			if _, err := fixed.Bytes(); err != nil && !strings.Contains(err.Error(), "UTF-8") {
				t.Fatal(err)
			}
		}
	})
}
