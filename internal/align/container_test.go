package align

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner/ort"
)

// load makes the float side of an alignment from a model.
func load(t *testing.T, elem ...string) Float {
	t.Helper()
	m, err := onnx.Load(fixture.Path(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	folded, constant, types, err := ort.Fold(context.Background(), fixture.Runtime(t), m)
	if err != nil {
		t.Fatal(err)
	}
	f := Float{
		Index: onnx.NewIndex(folded), Constant: func(name string) bool { return constant[name] },
		Shape: func(name string) ([]int64, bool) { x, ok := types[name]; return x.Shape, ok && x.Tensor },
	}
	for _, n := range f.Index.Nodes {
		for _, out := range n.GetOutput() {
			if out != "" {
				f.Layers = append(f.Layers, out)
			}
		}
	}
	return f
}

func openDLC(t *testing.T, elem ...string) *dlc.File {
	t.Helper()
	f, err := dlc.Open(fixture.Path(t, elem...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestEveryQuantizedActivationIsMatched holds the alignment of every DLC with its model's against the Q/DQ model that the
// DLC was written from: the tensor that was found has the scale and the offset of the layer's quantizer.
func TestEveryQuantizedActivationIsMatched(t *testing.T) {
	for _, c := range []struct{ name, float string }{
		{"zoo_w8a8_per_tensor", "qnn/zoo.onnx"}, {"zoo_w8a8_per_channel", "qnn/zoo.onnx"}, {"zoo_w8a16_per_channel", "qnn/zoo.onnx"},
		{"zoo_w16a16_per_tensor", "qnn/zoo.onnx"}, {"zoo_w4a8_per_channel", "qnn/zoo.onnx"},
		{"yolox_nano_w8a8_per_channel", "models/yolox_nano.onnx"}, {"yolox_nano_w8a16_per_channel", "models/yolox_nano.onnx"},
	} {
		float := load(t, strings.Split(c.float, "/")...)
		file := openDLC(t, "qnn", c.name+".dlc")
		got, err := Contain(float, file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Load(fixture.Path(t, "qnn", c.name+".onnx"))
		if err != nil {
			t.Fatal(err)
		}
		found, err := qdq.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		quantized, matched := 0, 0
		for _, layer := range float.Layers {
			e, ok := found.Encodings[layer]
			if !ok {
				continue
			}
			quantized++
			p := got.Pairs[layer]
			if p.Tensor == "" {
				t.Errorf("%s: %s is not matched: %+v", c.name, layer, p)
				continue
			}
			held := file.Graphs[0].Tensor(p.Tensor).Encoding
			offset := 0
			if held != nil {
				offset = int(held.Offset[0])
				if file.Graphs[0].Tensor(p.Tensor).DType.Signed() {
					offset -= 1 << (held.Bits - 1)
				}
			}
			if held == nil || math.Abs(float64(held.Scale[0])-e.Scale) > 1e-6*e.Scale || offset != e.Offset || p.Unknown != "" {
				t.Errorf("%s: %s has %+v in the model, %+v (%+v) in the DLC", c.name, layer, e, held, p)
			}
			matched++
		}
		if quantized < 19 || matched != quantized {
			t.Errorf("%s: %d of %d quantized activations are matched", c.name, matched, quantized)
		}
		for tensor, copied := range got.Added {
			if copied.Of == "" {
				t.Errorf("%s: nothing is known of the tensor %s", c.name, tensor)
			}
		}
		if len(got.Inputs) != 1 || len(got.Missing) > 0 {
			t.Errorf("%s: inputs %v, missing %v", c.name, got.Inputs, got.Missing)
		}
		t.Logf("%s: %d of %d, %v, %d added", c.name, matched, quantized, got.Counts, len(got.Added))
	}
}

func TestFloatDLCsAreMatchedToo(t *testing.T) {
	float := load(t, "qnn", "zoo.onnx")
	got, err := Contain(float, openDLC(t, "qnn", "zoo.dlc"))
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Missing) > 0 || len(got.Inputs) != 1 {
		t.Errorf("missing %v, inputs %v", got.Missing, got.Inputs)
	}
	t.Log(got.Counts, got.Added)
	// relu1 is no layer of its own, or it is one; each layer of four axes lies with its channels last, but for the input.
	if l := got.Pairs["/conv2/Conv_output_0"].Layout; !slices.Equal(l, channelLast(4)) {
		t.Errorf("layout %v", l)
	}
}
