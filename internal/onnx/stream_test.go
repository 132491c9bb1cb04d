package onnx

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// outside is an initializer whose values lie in a file beside the model.
func outside(name, location, offset, length string, d tensor.DType, shape ...int64) *onnxpb.TensorProto {
	p := &onnxpb.TensorProto{Name: proto.String(name), Dims: shape, DataType: proto.Int32(int32(d)), DataLocation: onnxpb.TensorProto_EXTERNAL.Enum()}
	for _, kv := range [][2]string{{"location", location}, {"offset", offset}, {"length", length}} {
		if kv[1] != "" {
			p.ExternalData = append(p.ExternalData, &onnxpb.StringStringEntryProto{Key: proto.String(kv[0]), Value: proto.String(kv[1])})
		}
	}
	return p
}

// withOutside is a model in a folder of its own, with initializers of all kinds, of which some lie in a file w of so many bytes.
func withOutside(t testing.TB, size int, initializers ...*onnxpb.TensorProto) *Model {
	dir := t.TempDir()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	if err := os.WriteFile(filepath.Join(dir, "w"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), DocString: proto.String("gone"), Initializer: initializers,
		Input: []*onnxpb.ValueInfoProto{ValueInfo("x", tensor.Float32, []int64{1})}, Output: []*onnxpb.ValueInfoProto{Untyped("y")},
		ValueInfo: []*onnxpb.ValueInfoProto{ValueInfo("y", tensor.Float32, []int64{1})},
		Node:      []*onnxpb.NodeProto{{OpType: proto.String("Identity"), Name: proto.String("n"), Input: []string{"x"}, Output: []string{"y"}}},
		SparseInitializer: []*onnxpb.SparseTensorProto{{
			Values: TensorProto("s", tensor.Floats([]float32{1}, 1)), Indices: TensorProto("i", tensor.Tensor{DType: tensor.Int64, Shape: []int64{1}, Raw: make([]byte, 8)}), Dims: []int64{4},
		}},
	}
	return &Model{Path: filepath.Join(dir, "m.onnx"), Proto: &onnxpb.ModelProto{
		IrVersion: proto.Int64(3), ProducerName: proto.String("other"), Domain: proto.String("d"), ModelVersion: proto.Int64(5), DocString: proto.String("gone"), Graph: g,
		OpsetImport:   []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
		MetadataProps: []*onnxpb.StringStringEntryProto{{Key: proto.String("k"), Value: proto.String("v")}},
	}}
}

func TestAStreamedModelHasTheBytesOfOneInMemory(t *testing.T) {
	t.Parallel()
	empty := outside("empty", "w", "", "", tensor.Float32, 0)
	typed := &onnxpb.TensorProto{Name: proto.String("typed"), Dims: []int64{2}, DataType: proto.Int32(1), FloatData: []float32{1, 2}, DocString: proto.String("stays")}
	words := &onnxpb.TensorProto{Name: proto.String("words"), Dims: []int64{1}, DataType: proto.Int32(8), StringData: [][]byte{[]byte("word")}}
	large := int64(windowBytes/4 + 3)
	for name, list := range map[string][]*onnxpb.TensorProto{
		"none":          nil,
		"in the file":   {TensorProto("a", tensor.Floats([]float32{1, 2, 3}, 3)), typed, words},
		"beside":        {outside("a", "w", "4", "8", tensor.Float32, 2), outside("b", "w", "", "", tensor.Int8, 3, 1), outside("c", "w", "1", "", tensor.Int64, 2), empty},
		"half a byte":   {outside("a", "w", "0", "2", tensor.Int4, 3)},
		"of many kinds": {words, outside("a", "w", "8", "", tensor.Float16, 5), typed, outside("large", "w", "16", "", tensor.Float32, large)},
	} {
		m := withOutside(t, 4*int(large)+100, list...)
		whole, err := Inline(m)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want, err := whole.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := stream(m, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%s: %d bytes, want %d others", name, got.Len(), len(want))
		}
	}
}

func TestExternalDataThatShrinksIsAnError(t *testing.T) {
	t.Parallel()
	const count = windowBytes // four windows
	for _, left := range []int64{0, 3, windowBytes + 1, 4*count - 1} {
		m := withOutside(t, 4*count, outside("a", "w", "", "", tensor.Float32, count))
		p := m.Graph().GetInitializer()[0]
		if !m.Whole(p) {
			t.Fatal("it is there")
		}
		// Between opening and reading.
		s, err := m.openExternal(p, 4*count)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(filepath.Join(m.Dir(), "w"), left); err != nil {
			t.Fatal(err)
		}
		if err := s.copyTo(&bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "become shorter") {
			t.Errorf("%d bytes left: %v", left, err)
		}
		s.Close()
		// Before it is opened.
		if _, err := m.Tensor(p); err == nil || !strings.Contains(err.Error(), "too short") {
			t.Errorf("%d bytes left: %v", left, err)
		}
		if m.Whole(p) {
			t.Errorf("%d bytes left are all", left)
		}
		for _, from := range []int64{1, externalFrom} { // beside, and within
			path := filepath.Join(t.TempDir(), "n.onnx")
			if err := saveNow(m, path, from); err == nil || !strings.Contains(err.Error(), "too short") {
				t.Errorf("%d bytes left: %v", left, err)
			}
			if files, _ := filepath.Glob(path + "*"); len(files) > 0 {
				t.Errorf("%d bytes left: %v were written", left, files)
			}
		}
	}
}

// FuzzExternal holds what says where values lie against reading them: nothing panics, no more is allocated than a file holds, and what is
// whole can be read and written.
func FuzzExternal(f *testing.F) {
	f.Add("w", "0", "8", int32(1), int64(2), int64(1))
	f.Add("w", "-1", "9223372036854775807", int32(7), int64(1)<<40, int64(1)<<20)
	f.Add("../w", "12", "", int32(21), int64(5), int64(0))
	f.Add("", "1e3", "x", int32(8), int64(-1), int64(3))
	f.Add("w", "0", "", int32(1), int64(1)<<30, int64(1)<<29) // 2^64 bits
	f.Fuzz(func(t *testing.T, location, offset, length string, d int32, a, b int64) {
		p := outside("a", location, offset, length, tensor.DType(d), a, b)
		m := withOutside(t, 64, p)
		values, err := m.Tensor(p)
		if err == nil && values.Bytes() > 64 {
			t.Errorf("%d bytes of 64", values.Bytes())
		}
		whole := m.Whole(p) && tensor.DType(d).Bits() > 0
		if whole && err != nil {
			t.Errorf("whole, and yet: %v", err)
		}
		var out bytes.Buffer
		if err := stream(m, &out); whole && err != nil {
			t.Errorf("whole, and yet: %v", err)
		}
	})
}
