package qdq_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// blockCase is a weight whose encodings lie in some order; channel and along are its axes of channels and of blocks.
type blockCase struct {
	op             string
	shape          []int64
	channel, along int
	axis           int   // that the entry names; −1: none
	block          int64 // values along the axis
	signed         bool
	attributes     []*onnxpb.AttributeProto
}

// oracle is the value of every element by the formula: scale · (clamp(round(x / scale) − offset) + offset), in single precision, with the
// encoding of its channel and block, which the list has channel by channel, or in the order of the tensor.
func (c blockCase) oracle(values []float32, list []quant.Encoding) []float32 {
	blocks, channels := c.shape[c.along]/c.block, c.shape[c.channel]
	out := make([]float32, len(values))
	for i := range values {
		rest, place := int64(i), make([]int64, len(c.shape))
		for d := len(c.shape) - 1; d >= 0; d-- {
			place[d], rest = rest%c.shape[d], rest/c.shape[d]
		}
		channel, block := place[c.channel], place[c.along]/c.block
		at := channel*blocks + block
		if c.axis >= 0 && c.along < c.channel {
			at = block*channels + channel
		}
		e := list[at]
		scale := float32(e.Scale)
		q := math.RoundToEven(float64(values[i])/float64(scale)) - float64(e.Offset)
		out[i] = float32(min(max(q, 0), math.Ldexp(1, e.Bits)-1)+float64(e.Offset)) * scale
	}
	return out
}

func (c blockCase) model(t *testing.T, opset int64, values []float32) *onnx.Model {
	t.Helper()
	input, n := []int64{3, c.shape[c.along]}, node(c.op, []string{"x", "w"}, "y")
	if c.op == "Conv" {
		input = []int64{1, c.shape[1], 4, 4}
	}
	n.Attribute = c.attributes
	g := &onnxpb.GraphProto{
		Name: proto.String("g"), Node: []*onnxpb.NodeProto{n}, Input: []*onnxpb.ValueInfoProto{onnx.ValueInfo("x", tensor.Float32, input)}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped("y")},
		Initializer: []*onnxpb.TensorProto{onnx.TensorProto("w", tensor.Floats(values, c.shape...))},
	}
	data, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(10), Graph: g, OpsetImport: []*onnxpb.OperatorSetIdProto{{Domain: proto.String(""), Version: &opset}}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := onnx.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBlocksAreQuantizedByTheFormula(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 8))
	observed := func(_ string, s variant.Spec) (quant.Encoding, bool) {
		return quant.MinMax(quant.Range{Min: -2, Max: 3, Seen: true}, s.ActBits, false), true
	}
	for _, c := range []blockCase{
		{"MatMul", []int64{8, 6}, 1, 0, -1, 4, true, nil}, {"MatMul", []int64{8, 6}, 1, 0, 0, 4, true, nil}, {"MatMul", []int64{8, 6}, 1, 0, 0, 2, false, nil},
		{"Gemm", []int64{6, 8}, 0, 1, -1, 4, true, []*onnxpb.AttributeProto{onnx.IntAttr("transB", 1)}}, {"Gemm", []int64{8, 6}, 1, 0, -1, 8, false, nil},
		{"Conv", []int64{5, 6, 3, 2}, 0, 1, -1, 3, true, nil}, {"Conv", []int64{5, 6, 3, 2}, 0, 1, 1, 2, false, nil},
	} {
		for _, bits := range []int{4, 8, 16} {
			count, _ := tensor.Count(c.shape)
			values := make([]float32, count)
			for i := range values {
				values[i] = float32(rng.NormFloat64())
			}
			given := qdq.Given{Bits: bits, Axis: c.axis, Block: int(c.block)}
			for range c.shape[c.channel] * c.shape[c.along] / c.block {
				offset := -1 << (bits - 1)
				if !c.signed {
					offset = -rng.IntN(1 << bits)
				}
				given.Encodings = append(given.Encodings, quant.FromScale(bits, c.signed, math.Ldexp(1+rng.Float64(), 1-bits), offset))
			}
			want := c.oracle(values, given.Encodings)
			for _, opset := range []int64{17, 21} {
				m := c.model(t, opset, values)
				p := qdq.Find(m, allFloat)
				for _, engine := range []variant.Engine{variant.CPU, variant.HTP} {
					b, err := qdq.BuildGiven(m, p, engine, map[string]qdq.Given{"w": given}, observed)
					if err != nil {
						t.Fatalf("%+v: %v", c, err)
					}
					written := engine == variant.HTP && opset >= qdq.BlockOpset
					for _, form := range []*onnx.Model{b.Model, floats(t, b.Model)} {
						got, integers := weightOf(t, form)
						if !slices.Equal(got, want) {
							t.Errorf("%+v, %d bits, set %d, %q: the weight is not what the formula gives", c, bits, opset, engine)
						}
						if integers != (written && form == b.Model) {
							t.Errorf("%+v, %d bits, set %d, %q: held as integers: %v", c, bits, opset, engine, integers)
						}
					}
					if len(b.Params) != 1 || b.Params[0].Blocks == nil || b.Params[0].Blocks.Size != int(c.block) || b.Params[0].Axis != c.along || len(b.Warnings) > 0 != (engine == variant.HTP) {
						t.Errorf("%+v: %+v, %q", c, b.Params, b.Warnings)
					}
					if !written {
						continue
					}
					read, err := qdq.Read(b.Model)
					if err != nil {
						t.Fatal(err)
					}
					again := read.Params[0]
					if again.Blocks == nil || again.Blocks.Size != int(c.block) || again.Axis != c.along {
						t.Fatalf("%+v is read as %+v", c, again)
					}
					back, err := qdq.BuildGiven(m, p, variant.CPU, map[string]qdq.Given{"w": {Bits: bits, Axis: again.Axis, Block: again.Blocks.Size, Encodings: again.Encodings}}, observed)
					if err != nil {
						t.Fatal(err)
					}
					if got, _ := weightOf(t, back.Model); !slices.Equal(got, want) {
						t.Errorf("%+v: the encodings that are read from the written model give another weight", c)
					}
				}
			}
		}
	}
}

func floats(t *testing.T, m *onnx.Model) *onnx.Model {
	t.Helper()
	f, err := qdq.FloatConstants(m)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// weightOf evaluates what the product of a model takes as its weight; integers says that it comes from a DequantizeLinear with blocks.
func weightOf(t *testing.T, m *onnx.Model) (values []float32, integers bool) {
	t.Helper()
	x := onnx.NewIndex(m)
	for _, n := range x.Nodes {
		if op := n.GetOpType(); op != "MatMul" && op != "Gemm" && op != "Conv" {
			continue
		}
		name := n.GetInput()[1]
		if p := x.Initializer[name]; p != nil {
			v, err := m.Tensor(p)
			if err != nil {
				t.Fatal(err)
			}
			return v.F32, false
		}
		dq := x.Nodes[x.Producer[name]]
		read := func(i int) (tensor.Tensor, []int64) {
			v, err := m.Tensor(x.Initializer[dq.GetInput()[i]])
			if err != nil {
				t.Fatal(err)
			}
			whole, _ := v.Ints()
			return v, whole
		}
		q, ints := read(0)
		scales, _ := read(1)
		_, zeros := read(2)
		axis, size := onnx.AttrInt(dq, "axis", 1), onnx.AttrInt(dq, "block_size", 0)
		if dq.GetDomain() != "" || size == 0 || len(scales.Shape) != len(q.Shape) {
			t.Fatalf("%v", dq)
		}
		for i, v := range ints { // DequantizeLinear-21 by its definition: the scale of element [.., j, ..] is that of [.., j / size, ..]
			at, stride, rest := 0, 1, i
			for d := len(q.Shape) - 1; d >= 0; d-- {
				place := rest % int(q.Shape[d])
				rest /= int(q.Shape[d])
				if int64(d) == axis {
					place /= int(size)
				}
				at += place * stride
				stride *= int(scales.Shape[d])
			}
			values = append(values, float32(v-zeros[at])*scales.F32[at])
		}
		return values, true
	}
	t.Fatal("the model has no product")
	return nil, false
}
