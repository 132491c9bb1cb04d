// Package floattwin recognises models that are quantized already and makes their float twins.
//
// The float twin of a quantized model is a model that computes in float what the quantized one computes but for its roundings: its
// quantizers are gone, its integer weights are the real numbers that they stand for.
//
//  1. Find says what is quantized in a model, and how.
//  2. Make walks the graph once. An integer tensor whose scale is known has a float tensor that carries its value; a quantizer's is its
//     input, an integer operator's is the output of the float operator that takes its place. What needs the integers after all gets
//     them from a quantizer that stays, with the reason.
//  3. Operators that only served integers are left out, and scales behind products go into the weights.
package floattwin

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Kind is a way in which a model is quantized.
type Kind string

// The kinds.
const (
	QDQ       Kind = "QDQ"       // QuantizeLinear and DequantizeLinear around float operators
	QOperator Kind = "QOperator" // operators that compute with integers of known scales
	Dynamic   Kind = "dynamic"   // activations are quantized by the ranges that they have at run time
	Weights   Kind = "weights"   // only weights are integers
)

// kinds gives the kind that an operator belongs to. QuantizeLinear and DequantizeLinear are told apart by what they take.
var kinds = map[string]Kind{
	"QuantizeLinear": QDQ,
	"QLinearConv":    QOperator, "QLinearMatMul": QOperator, "QLinearAdd": QOperator, "QLinearMul": QOperator, "QLinearSigmoid": QOperator,
	"QLinearLeakyRelu": QOperator, "QLinearSoftmax": QOperator, "QLinearGlobalAveragePool": QOperator, "QLinearAveragePool": QOperator,
	"QLinearConcat": QOperator, "QLinearReduceMean": QOperator, "QLinearWhere": QOperator, "QGemm": QOperator, "QAttention": QOperator,
	"QEmbedLayerNormalization": QOperator, "QOrderedMatMul": QOperator, "QOrderedAttention": QOperator, "QOrderedGelu": QOperator,
	"QOrderedLayerNormalization": QOperator, "QOrderedLongformerAttention": QOperator, "QuantizeWithOrder": QOperator, "DequantizeWithOrder": QOperator,
	"DynamicQuantizeLinear": Dynamic, "MatMulInteger": Dynamic, "ConvInteger": Dynamic, "DynamicQuantizeMatMul": Dynamic,
	"MatMulIntegerToFloat": Dynamic, "DynamicQuantizeLSTM": Dynamic, "MatMulInteger16": Dynamic,
	"MatMulNBits": Weights, "MatMulBnb4": Weights, "GatherBlockQuantized": Weights, "MatMulFpQ4": Weights,
}

// Quantized says whether an operator is one of quantized models.
func Quantized(opType string) bool { return kinds[opType] != "" || opType == "DequantizeLinear" }

// Found is what is quantized in a model.
type Found struct {
	Operators   map[string]int // of quantized models, with how many there are
	Activations int            // tensors that a QuantizeLinear puts on a grid
	Constants   int            // integer constants that a DequantizeLinear makes real numbers of
	Kinds       []Kind
}

// Find looks for quantized operators, in the bodies of control flow and in functions too. Its result is nil for a model that has none.
func Find(m *onnx.Model) *Found {
	f := &Found{Operators: map[string]int{}}
	seen := map[Kind]bool{}
	var look func(nodes []*onnxpb.NodeProto, constants map[string]bool)
	graph := func(g *onnxpb.GraphProto, constants map[string]bool) {
		constants = maps.Clone(constants)
		for _, t := range g.GetInitializer() {
			constants[t.GetName()] = true
		}
		for _, n := range g.GetNode() {
			if n.GetOpType() == "Constant" {
				constants[n.GetOutput()[0]] = true
			}
		}
		look(g.GetNode(), constants)
	}
	look = func(nodes []*onnxpb.NodeProto, constants map[string]bool) {
		for _, n := range nodes {
			op := n.GetOpType()
			if Quantized(op) {
				f.Operators[op]++
				constant := len(n.GetInput()) > 0 && constants[n.GetInput()[0]]
				switch {
				case op == "DequantizeLinear" && constant:
					f.Constants++
				case op == "QuantizeLinear" && !constant:
					f.Activations++
				}
				if kind := kinds[op]; kind != "" {
					seen[kind] = true
				}
			}
			for _, a := range n.GetAttribute() {
				for _, g := range append([]*onnxpb.GraphProto{a.GetG()}, a.GetGraphs()...) {
					if g != nil {
						graph(g, constants)
					}
				}
			}
		}
	}
	graph(m.Graph(), map[string]bool{})
	for _, fn := range m.Proto.GetFunctions() {
		look(fn.GetNode(), map[string]bool{})
	}
	if len(f.Operators) == 0 {
		return nil
	}
	if seen[QOperator] && f.Activations <= f.Operators["QOperator"] || !seen[QDQ] && !seen[QOperator] && !seen[Dynamic] {
		seen[Weights] = seen[Weights] || !seen[QOperator]
	}
	for _, k := range []Kind{QDQ, QOperator, Dynamic, Weights} {
		if seen[k] && (k != QDQ || !seen[QOperator]) { // QOperator models have quantizers at their ends
			f.Kinds = append(f.Kinds, k)
		}
	}
	return f
}

// String says what is quantized: "QDQ: 12 quantized tensors, 8 quantized constants".
func (f *Found) String() string {
	var words []string
	for _, k := range f.Kinds {
		words = append(words, string(k))
	}
	var parts []string
	count := func(n int, one, many string) {
		switch {
		case n == 1:
			parts = append(parts, "1 "+one)
		case n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n, many))
		}
	}
	count(f.Activations, "quantized tensor", "quantized tensors")
	count(f.Constants, "quantized constant", "quantized constants")
	for _, op := range slices.Sorted(maps.Keys(f.Operators)) {
		if op != "QuantizeLinear" && op != "DequantizeLinear" {
			parts = append(parts, fmt.Sprintf("%d %s", f.Operators[op], op))
		}
	}
	return strings.Join(words, " and ") + ": " + strings.Join(parts, ", ")
}

// integer says whether a type is one that quantized values have.
func integer(d tensor.DType) bool {
	switch d {
	case tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16, tensor.Int32, tensor.Int4, tensor.Uint4:
		return true
	}
	return false
}
