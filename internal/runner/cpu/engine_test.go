package cpu_test

import (
	"context"
	"errors"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// value describes an input or output of float32 values; dimensions below zero are open.
func value(name string, shape ...int64) *onnxpb.ValueInfoProto {
	return onnx.ValueInfo(name, tensor.Float32, shape)
}

func node(op string, in, out []string, attributes ...*onnxpb.AttributeProto) *onnxpb.NodeProto {
	return &onnxpb.NodeProto{OpType: proto.String(op), Name: proto.String(op + "_" + out[0]), Input: in, Output: out, Attribute: attributes}
}

// model is a graph as a file's bytes.
func model(t testing.TB, g *onnxpb.GraphProto) []byte {
	t.Helper()
	g.Name = proto.String("g")
	b, err := proto.Marshal(&onnxpb.ModelProto{IrVersion: proto.Int64(9), OpsetImport: []*onnxpb.OperatorSetIdProto{{Version: proto.Int64(17)}}, Graph: g})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// relu takes x and gives y, the positive part, z, where x is not zero (of unknown length), and s, a sequence.
func relu(t testing.TB) []byte {
	return model(t, &onnxpb.GraphProto{
		Node:   []*onnxpb.NodeProto{node("Relu", []string{"x"}, []string{"y"}), node("NonZero", []string{"x"}, []string{"z"}), node("SequenceConstruct", []string{"x"}, []string{"s"})},
		Input:  []*onnxpb.ValueInfoProto{value("x", 2, 3)},
		Output: []*onnxpb.ValueInfoProto{value("y", 2, 3), onnx.Untyped("z"), onnx.Untyped("s")},
	})
}

func compile(t *testing.T, e ort.Engine) ort.Session {
	t.Helper()
	s, err := e.NewSession(relu(t), []string{"x"}, []string{"y", "z", "s"}, onnxruntime.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func TestEnginesGiveTheSame(t *testing.T) {
	for name, e := range engines(t) {
		t.Run(name, func(t *testing.T) {
			s := compile(t, e)
			types, err := s.OutputTypes()
			if err != nil || len(types) != 3 || !types[0].Fixed() || types[1].Fixed() || types[1].DType != tensor.Int64 || types[2].Tensor {
				t.Fatal(types, err)
			}
			arena := e.NewArena(1 << 20)
			defer arena.Empty()
			for _, where := range []string{"arena", "heap"} {
				x := tensor.Floats([]float32{-1, 0, 2, 3, -4, 5}, 2, 3)
				outputs := []tensor.Tensor{tensor.Floats(make([]float32, 6), 2, 3), {}, {}}
				lend := func(_ int, d tensor.DType, shape []int64) (tensor.Tensor, error) {
					if where == "heap" {
						n, err := tensor.Count(shape)
						return tensor.Tensor{DType: d, Shape: shape, Raw: make([]byte, tensor.ByteSize(d, n))}, err
					}
					return arena.Lend(d, shape), nil
				}
				if where == "arena" {
					lent := arena.Lend(tensor.Float32, x.Shape)
					copy(lent.F32, x.F32)
					x, outputs[0] = lent, arena.Lend(tensor.Float32, x.Shape)
				}
				if err := s.Run(t.Context(), []tensor.Tensor{x}, outputs, lend); err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(outputs[0].F32, []float32{0, 0, 2, 3, 0, 5}) {
					t.Error(where, outputs[0].F32)
				}
				places, _ := outputs[1].Ints()
				if !slices.Equal(places, []int64{0, 0, 1, 1, 1, 0, 2, 0, 1, 2}) || !slices.Equal(outputs[1].Shape, []int64{2, 5}) {
					t.Error(where, places, outputs[1].Shape)
				}
				if outputs[2].DType != tensor.Undefined {
					t.Error(where, "a sequence is no tensor")
				}
				if where == "arena" {
					for _, v := range append(outputs[:2], x) {
						arena.GiveBack(v)
					}
				}
			}
			if arena.Lent() != 0 {
				t.Error(arena.Lent(), "tensors have not come back")
			}
		})
	}
}

func TestEnginesFailAlike(t *testing.T) {
	texts := map[string][]string{}
	for name, e := range engines(t) {
		s := compile(t, e)
		lend := func(int, tensor.DType, []int64) (tensor.Tensor, error) {
			return tensor.Tensor{}, errors.New("none left")
		}
		x := []tensor.Tensor{tensor.Floats(make([]float32, 6), 2, 3)}
		_, broken := e.NewSession([]byte("no model"), nil, nil, onnxruntime.Options{})
		var library *onnxruntime.Error
		if !errors.As(broken, &library) {
			t.Error(name, broken)
		}
		for _, err := range []error{
			s.Run(t.Context(), nil, make([]tensor.Tensor, 3), lend),
			s.Run(t.Context(), []tensor.Tensor{tensor.Floats(make([]float32, 4), 2, 2)}, make([]tensor.Tensor, 3), lend),
			s.Run(t.Context(), x, make([]tensor.Tensor, 3), lend),
			broken,
		} {
			if err == nil {
				t.Fatal(name, "no error")
			}
			texts[name] = append(texts[name], err.Error())
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if err := s.Run(ended, x, make([]tensor.Tensor, 3), lend); !errors.Is(err, context.Canceled) {
			t.Error(name, err)
		}
	}
	if !slices.Equal(texts["in process"], texts["worker"]) {
		t.Errorf("%q\n%q", texts["in process"], texts["worker"])
	}
}
