package align

import (
	"context"
	"math"
	"slices"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fixture"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner/ort"
)

// load makes the float side of an alignment from a model.
func load(t *testing.T, path string) Float {
	t.Helper()
	m, err := onnx.Load(path)
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

func openDLC(t *testing.T, path string) *dlc.File {
	t.Helper()
	f, err := dlc.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestEveryQuantizedActivationIsMatched holds the alignment of every DLC with its model's against the Q/DQ model that the
// DLC was written from: the tensor that was found has the scale and the offset of the layer's quantizer.
func TestEveryQuantizedActivationIsMatched(t *testing.T) {
	type files struct{ name, float, model, container string }
	var cases []files
	for _, name := range []string{"zoo_w8a8_per_tensor", "zoo_w8a8_per_channel", "zoo_w8a16_per_channel", "zoo_w16a16_per_tensor", "zoo_w4a8_per_channel"} {
		cases = append(cases, files{name, fixture.Path(t, "qnn", "zoo.onnx"), fixture.Path(t, "qnn", name+".onnx"), fixture.Path(t, "qnn", name+".dlc")})
	}
	// The project's own detector has a quantizer, of a Concat behind which a Transpose stands, of which the libraries leave nothing.
	for _, name := range []string{"yolox_nano_w8a8_per_channel", "yolox_nano_w8a16_per_channel"} {
		if float, ok := fixture.Also(t, "models", "yolox_nano.onnx"); ok {
			cases = append(cases, files{name, float, fixture.Beside(t, "qnn", name+".onnx"), fixture.Beside(t, "qnn", name+".dlc")})
		}
	}
	for _, c := range cases {
		float := load(t, c.float)
		file := openDLC(t, c.container)
		got, err := Contain(float, file)
		if err != nil {
			t.Fatal(err)
		}
		m, err := onnx.Load(c.model)
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
	float := load(t, fixture.Path(t, "qnn", "zoo.onnx"))
	got, err := Contain(float, openDLC(t, fixture.Path(t, "qnn", "zoo.dlc")))
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
