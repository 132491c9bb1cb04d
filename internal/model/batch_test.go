package model_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

const batchOf = 4

// drawing is a network that is being written down.
type drawing struct{ g *onnxpb.GraphProto }

func (d drawing) op(kind, out string, in []string, attributes ...*onnxpb.AttributeProto) {
	d.g.Node = append(d.g.Node, &onnxpb.NodeProto{OpType: proto.String(kind), Name: proto.String(kind + "_" + out), Input: in, Output: []string{out}, Attribute: attributes})
}

func (d drawing) ints(name string, v ...int64) {
	d.g.Initializer = append(d.g.Initializer, &onnxpb.TensorProto{Name: proto.String(name), Dims: []int64{int64(len(v))}, DataType: proto.Int32(7), Int64Data: v})
}

// rows is a constant with a row per sample; each differs by step.
func (d drawing) rows(name string, step float32, shape ...int64) {
	n, _ := tensor.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i%(n/int(shape[0])))*0.1 + step*float32(i/(n/int(shape[0])))
	}
	d.g.Initializer = append(d.g.Initializer, onnx.TensorProto(name, tensor.Floats(values, shape...)))
}

// batches are networks that take x[4,6,8] and give y, and what is said of those that mix their samples.
var batches = map[string]struct {
	draw  func(d drawing)
	mixes string
}{
	"alone":                        {func(d drawing) { d.op("Relu", "y", []string{"x"}) }, ""},
	"weights as many as samples":   {func(d drawing) { d.rows("w", 0.3, 8, 4); d.op("MatMul", "y", []string{"x", "w"}) }, ""},
	"reshaped":                     {func(d drawing) { d.ints("s", 4, 48); d.op("Reshape", "y", []string{"x", "s"}) }, ""},
	"reshaped with what is left":   {func(d drawing) { d.ints("s", 4, -1); d.op("Reshape", "y", []string{"x", "s"}) }, ""},
	"reshaped to as many channels": {func(d drawing) { d.ints("s", 4, 4, 12); d.op("Reshape", "y", []string{"x", "s"}) }, ""},
	"heads beside the batch": {func(d drawing) {
		d.ints("s", 8, 3, 8)
		d.ints("back", 4, 6, 8)
		d.op("Reshape", "h", []string{"x", "s"})
		d.op("Softmax", "p", []string{"h"}, onnx.IntAttr("axis", 1))
		d.op("Reshape", "y", []string{"p", "back"})
	}, ""},
	"a mask for each, the same": {func(d drawing) { d.rows("c", 0, 4, 6, 8); d.op("Add", "y", []string{"x", "c"}) }, ""},
	"a mask of the same extent by chance": {func(d drawing) {
		d.rows("c", 0.5, 4, 1)
		d.op("Transpose", "t", []string{"x"}, &onnxpb.AttributeProto{Name: proto.String("perm"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: []int64{0, 2, 1}})
		d.ints("s", 4, 12, 4, 1)
		d.op("Reshape", "r", []string{"t", "s"})
		d.op("Add", "y", []string{"r", "c"})
	}, ""},
	"expanded": {func(d drawing) {
		d.rows("c", 0, 1, 1, 8)
		d.ints("s", 4, 6, 8)
		d.op("Expand", "e", []string{"c", "s"})
		d.op("Concat", "y", []string{"x", "e"}, onnx.IntAttr("axis", 1))
	}, ""},
	"a class token": {func(d drawing) {
		d.rows("c", 0, 4, 1, 8)
		d.op("Concat", "y", []string{"c", "x"}, onnx.IntAttr("axis", 1))
	}, ""},
	"a shape that is computed": {func(d drawing) {
		d.op("Shape", "of", []string{"x"})
		d.op("ConstantOfShape", "zero", []string{"of"})
		d.op("Add", "y", []string{"x", "zero"})
	}, ""},
	"a recurrent state": {func(d drawing) {
		d.op("Transpose", "t", []string{"x"}, &onnxpb.AttributeProto{Name: proto.String("perm"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: []int64{1, 0, 2}})
		d.rows("w", 0.1, 1, 15, 8)
		d.rows("r", 0.1, 1, 15, 5)
		d.g.Initializer = append(d.g.Initializer, onnx.TensorProto("h", tensor.Floats(make([]float32, 20), 1, 4, 5)))
		d.op("GRU", "g", []string{"t", "w", "r", "", "", "h"}, onnx.IntAttr("hidden_size", 5))
		d.op("Transpose", "y", []string{"g"}, &onnxpb.AttributeProto{Name: proto.String("perm"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: []int64{2, 0, 1, 3}})
	}, ""},
	"a mask for each, another one": {func(d drawing) { d.rows("c", 1, 4, 6, 8); d.op("Add", "y", []string{"x", "c"}) }, "constant c is another one for each sample"},
	"a softmax over the batch":     {func(d drawing) { d.op("Softmax", "y", []string{"x"}, onnx.IntAttr("axis", 0)) }, "mixes the samples"},
	"folded into the channels":     {func(d drawing) { d.ints("s", 1, 24, 8); d.op("Reshape", "y", []string{"x", "s"}) }, "mixes the samples"},
	"a sum over the batch": {func(d drawing) {
		d.op("ReduceMean", "m", []string{"x"}, &onnxpb.AttributeProto{Name: proto.String("axes"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: []int64{0}})
		d.op("Sub", "y", []string{"x", "m"})
	}, "mixes the samples"},
	"one sample of all": {func(d drawing) { d.ints("i", 0); d.op("Gather", "y", []string{"x", "i"}) }, "mixes the samples"},
}

// batchModel writes a network of batches.
func batchModel(t *testing.T, draw func(drawing)) string {
	t.Helper()
	g := &onnxpb.GraphProto{Name: proto.String("g"), Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, []int64{batchOf, 6, 8})}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")}}
	draw(drawing{g})
	m := &onnx.Model{Proto: &onnxpb.ModelProto{IrVersion: proto.Int64(8), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(14)}}}}
	path := filepath.Join(t.TempDir(), "m.onnx")
	if err := onnx.Save(m, path); err != nil {
		t.Fatal(err)
	}
	return path
}

// npySample writes a sample of a shape.
func npySample(t *testing.T, shape ...int64) string {
	t.Helper()
	n, _ := tensor.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(i%11) * 0.1
	}
	var npy bytes.Buffer
	if err := tensor.WriteNpy(&npy, tensor.Floats(values, shape...)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "s.npy")
	if err := os.WriteFile(path, npy.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAModelThatTakesABatchTakesOneSample(t *testing.T) {
	t.Parallel()
	r := fixture.Runtime(t)
	for name, c := range batches {
		t.Run(name, func(t *testing.T) {
			path := batchModel(t, c.draw)
			for _, shape := range [][]int64{{1, 6, 8}, {6, 8}} {
				ref, err := model.Open(context.Background(), r, path, dataset.Description{}, model.Options{Samples: npySample(t, shape...)})
				if c.mixes != "" {
					if err == nil || !strings.Contains(err.Error(), c.mixes) {
						t.Fatalf("%v", err)
					}
					continue
				}
				if err != nil {
					t.Fatal(err)
				}
				if got := ref.Types["x"].Shape; !slices.Equal(got, []int64{1, 6, 8}) || ref.Batch == nil {
					t.Fatalf("it takes %v", got)
				}
				if !slices.ContainsFunc(ref.Warnings, func(w string) bool { return strings.Contains(w, "takes 4 samples at once") }) {
					t.Errorf("nothing is said: %q", ref.Warnings)
				}
				whole := ref.Written(ref.Model)
				if _, dims, _ := onnx.TypeOf(whole.Inputs()[0]); !slices.Equal(dims, []int64{batchOf, 6, 8}) {
					t.Errorf("it is written with %v", dims)
				}
				sample := map[string]tensor.Tensor{"x": tensor.Floats(make([]float32, 48), 1, 6, 8)}
				stacked, err := ref.WrittenSample(sample)
				if err != nil {
					t.Fatal(err)
				}
				out, err := ort.Once(context.Background(), r, whole, stacked)
				if err != nil || out["y"].Shape[0] != batchOf {
					t.Errorf("what is written gives %v: %v", out["y"].Shape, err)
				}
			}
			// Samples of the whole batch, and none at all, leave it as it is.
			for _, samples := range []string{npySample(t, batchOf, 6, 8), ""} {
				ref, err := model.Open(context.Background(), r, path, dataset.Description{}, model.Options{Samples: samples})
				if err != nil || ref.Batch != nil || !slices.Equal(ref.Types["x"].Shape, []int64{batchOf, 6, 8}) {
					t.Errorf("%q: %v", samples, err)
				}
			}
		})
	}
}
