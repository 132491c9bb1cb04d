package htp

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// drawn is a QDQ model that a test draws, on one grid for all activations.
type drawn struct {
	g     onnxpb.GraphProto
	taps  []string
	shape map[string][]int64
}

const drawnStep = 1.0 / 16

func draw(input []int64) *drawn {
	d := &drawn{shape: map[string][]int64{}}
	d.g.Name = proto.String("drawn")
	d.g.Input = []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, input)}
	d.g.Initializer = []*onnxpb.TensorProto{
		onnx.TensorProto("scale", tensor.Floats([]float32{drawnStep})),
		onnx.TensorProto("zero", tensor.Tensor{DType: tensor.Uint8, Raw: []byte{100}}),
		onnx.TensorProto("steps", tensor.Floats([]float32{1.0 / 64})),
		onnx.TensorProto("middle", tensor.Tensor{DType: tensor.Int8, Raw: []byte{0}}),
	}
	d.g.Initializer[0].Dims, d.g.Initializer[2].Dims = nil, nil
	d.round("x", "x.dq")
	return d
}

func (d *drawn) round(from, to string) {
	d.g.Node = append(d.g.Node,
		&onnxpb.NodeProto{OpType: proto.String("QuantizeLinear"), Input: []string{from, "scale", "zero"}, Output: []string{to + ".q"}},
		&onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Input: []string{to + ".q", "scale", "zero"}, Output: []string{to}})
}

// op adds an operator whose output is rounded and tapped.
func (d *drawn) op(op, name string, shape []int64, inputs []string, attributes ...*onnxpb.AttributeProto) {
	d.g.Node = append(d.g.Node, &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(name), Input: inputs, Output: []string{name + ".float"}, Attribute: attributes})
	d.round(name+".float", name)
	d.taps, d.shape[name] = append(d.taps, name), shape
}

// weight adds a constant, [-n, n) sixty-fourths.
func (d *drawn) weight(name string, shape ...int64) string {
	n, _ := tensor.Count(shape)
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(int8((i*29)%41 - 20))
	}
	d.g.Initializer = append(d.g.Initializer, onnx.TensorProto(name+".int", tensor.Tensor{DType: tensor.Int8, Shape: shape, Raw: raw}))
	d.g.Node = append(d.g.Node, &onnxpb.NodeProto{OpType: proto.String("DequantizeLinear"), Input: []string{name + ".int", "steps", "middle"}, Output: []string{name}})
	return name
}

// target adds the shape that a Reshape takes.
func (d *drawn) target(name string, shape []int64) string {
	t := tensor.Tensor{DType: tensor.Int64, Shape: []int64{int64(len(shape))}}
	for _, n := range shape {
		t.Raw = binary.LittleEndian.AppendUint64(t.Raw, uint64(n))
	}
	d.g.Initializer = append(d.g.Initializer, onnx.TensorProto(name, t))
	return name
}

func perm(axes ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String("perm"), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: axes}
}

func (d *drawn) model(t *testing.T) *onnx.Model {
	t.Helper()
	last := d.taps[len(d.taps)-1]
	d.g.Output = []*onnxpb.ValueInfoProto{onnx.ValueInfo(last, tensor.Float32, d.shape[last])}
	data, err := proto.Marshal(&onnxpb.ModelProto{
		IrVersion: proto.Int64(8), Graph: &d.g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: proto.Int64(17)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (d *drawn) options() Options {
	last := d.taps[len(d.taps)-1]
	return Options{Groups: [][]string{d.taps}, Outputs: []string{last}, Shape: func(tap string) []int64 { return d.shape[tap] }}
}

// transposed is a [1 a b] tensor's values in the order of [1 b a].
func transposed(values []float32, a, b int) []float32 {
	out := make([]float32, len(values))
	for i := range a {
		for j := range b {
			out[j*a+i] = values[i*b+j]
		}
	}
	return out
}

// attention is what every transformer has: a product with a transposed one.
func attention() *drawn {
	d := draw([]int64{1, 16, 32})
	d.op("MatMul", "k", []int64{1, 16, 32}, []string{"x.dq", d.weight("w", 32, 32)})
	d.op("Transpose", "kt", []int64{1, 32, 16}, []string{"k"}, perm(0, 2, 1))
	d.op("MatMul", "y", []int64{1, 16, 16}, []string{"x.dq", "kt"})
	return d
}

// A Transpose that is exposed is one that ONNX Runtime moves to where the HTP refuses it. All of its neighbours are exposed nevertheless, with their shapes.
func TestTransposesAreExposed(t *testing.T) {
	e := engine(t)
	d := attention()
	m := d.model(t)
	if p, err := e.open(t.Context(), Named(m), d.taps, false); !errors.As(err, new(*RefusedError)) {
		if err == nil {
			p.close()
		}
		t.Fatalf("the HTP takes the graph as it is, so that this test shows nothing: %v", err)
	}
	r, err := New(t.Context(), e, m, d.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Unexposed()) > 0 || r.Passes() != 1 {
		t.Errorf("%v is not exposed, %d passes", r.Unexposed(), r.Passes())
	}
	got := read(t, r, sampleOf(m))
	if want := transposed(got["k"], 16, 32); !slices.Equal(want, got["kt"]) || slices.Max(got["k"]) == slices.Min(got["k"]) {
		t.Error("kt is not k, transposed")
	}
	if same, of, err := r.SameWithoutTaps(t.Context(), sampleRun(m)); err != nil || same != 1 || of != 1 {
		t.Errorf("%d of %d outputs are the same without taps: %v", same, of, err)
	}
}

// The Reshapes behind taps change no bit where the HTP takes both forms.
func TestFlatTapsChangeNoBit(t *testing.T) {
	e := engine(t)
	d := draw([]int64{1, 8, 16, 16})
	d.op("Relu", "a", []int64{1, 8, 16, 16}, []string{"x.dq"})
	d.op("AveragePool", "b", []int64{1, 8, 8, 8}, []string{"a"}, ints("kernel_shape", 2, 2), ints("strides", 2, 2))
	d.op("Sigmoid", "c", []int64{1, 8, 8, 8}, []string{"b"})
	m := Named(d.model(t))
	var held [2]map[string][]byte
	for i, flat := range []bool{false, true} {
		p, err := e.open(t.Context(), m, d.taps, flat)
		if err != nil {
			t.Fatal(err)
		}
		r := &Runner{engine: e, model: m, groups: [][]string{d.taps}, passes: [][]*pass{{p}}, passOf: []int{0}, arena: newArena(), shape: d.options().Shape}
		f := r.Start(sampleRun(m))
		b, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tap := range b.Taps {
			if !slices.Equal(tap.Tensor.Shape, d.shape[tap.Name]) {
				t.Errorf("flat %v: %s has the shape %v", flat, tap.Name, tap.Tensor.Shape)
			}
		}
		held[i] = map[string][]byte{}
		for _, tap := range d.taps {
			raw, _ := r.Raw(tap)
			held[i][tap] = slices.Clone(raw)
		}
		b.Release()
		f.Close()
		r.Close()
	}
	for _, tap := range d.taps {
		if len(held[0][tap]) == 0 || !slices.Equal(held[0][tap], held[1][tap]) {
			t.Errorf("%s differs", tap)
		}
	}
}

func ints(name string, values ...int64) *onnxpb.AttributeProto {
	return &onnxpb.AttributeProto{Name: proto.String(name), Type: onnxpb.AttributeProto_INTS.Enum(), Ints: values}
}

// Windows of a picture are made by a Reshape to six axes, a Transpose and a Reshape, which the HTP takes together and not apart: what is
// between them is left out, with the reason, and all else is exposed.
func TestTensorsOfSixAxesAreLeftOut(t *testing.T) {
	e := engine(t)
	d := draw([]int64{1, 8, 8, 16})
	d.op("Relu", "a", []int64{1, 8, 8, 16}, []string{"x.dq"})
	d.op("Reshape", "six", []int64{1, 2, 4, 2, 4, 16}, []string{"a", d.target("to6", []int64{1, 2, 4, 2, 4, 16})})
	d.op("Transpose", "swapped", []int64{1, 2, 2, 4, 4, 16}, []string{"six"}, perm(0, 1, 3, 2, 4, 5))
	d.op("Reshape", "windows", []int64{4, 16, 16}, []string{"swapped", d.target("to3", []int64{4, 16, 16})})
	d.op("MatMul", "y", []int64{4, 16, 16}, []string{"windows", d.weight("w", 16, 16)})
	m := d.model(t)
	r, err := New(t.Context(), e, m, d.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	left := slices.Sorted(maps.Keys(r.Unexposed()))
	if !slices.Equal(left, []string{"six", "swapped"}) {
		t.Errorf("left out: %v", left)
	}
	got := read(t, r, sampleOf(m))
	if len(got) != 3 || len(got["windows"]) != 1024 {
		t.Fatalf("exposed: %d tensors", len(got))
	}
	for i, v := range got["a"] { // the window and the place in it of every value
		y, x, c := i/128, i/16%8, i%16
		if w := got["windows"][((y/4*2+x/4)*16+y%4*4+x%4)*16+c]; w != v {
			t.Fatalf("value %d is %v, in its window %v", i, v, w)
		}
	}
}

// What the HTP does not take without taps either is refused in the model's own operators, whatever else exposing would add.
func TestARefusalNamesTheModelsOperators(t *testing.T) {
	e := engine(t)
	d := attention()
	d.op("Erf", "erf", []int64{1, 16, 16}, []string{"y"})
	_, err := New(t.Context(), e, d.model(t), d.options())
	var refused *RefusedError
	if !errors.As(err, &refused) || len(refused.Refused) != 1 || refused.Refused[0].Node != "erf" {
		t.Errorf("%v", err)
	}
	e.Fallback = true
	r, err := New(t.Context(), e, d.model(t), d.options())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if !slices.Contains(r.OnCPU(), "erf") {
		t.Errorf("on the CPU: %v", r.OnCPU())
	}
}

func sampleRun(m *onnx.Model) runner.Sample { return runner.Sample{Inputs: sampleOf(m)} }

func newArena() *runner.Arena { return runner.NewArena(1 << 20) }
