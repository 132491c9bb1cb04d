package inspect

import (
	"fmt"

	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/quant"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/tensor"
)

// Types tells a tensor's type and shape; ok is false if nothing is known of it.
type Types func(name string) (d tensor.DType, shape []int64, ok bool)

// ONNX views a model, float or QDQ.
func ONNX(path string, m *onnx.Model, types Types) (*View, error) {
	v := &View{Path: path, Format: fmt.Sprintf("ONNX opset %d", m.Opset()), Graph: m.Graph().GetName(), Converter: m.Proto.GetProducerName(), Version: m.Proto.GetProducerVersion()}
	v.begin()
	found, err := qdq.Read(m)
	if err != nil {
		return nil, err
	}
	params := map[string]qdq.ParamEncoding{}
	for _, p := range found.Params {
		params[p.Tensor] = p
	}
	describe := func(name string) Tensor {
		t := Tensor{Name: name, DType: tensor.Undefined.String(), Shape: []int64{}}
		if d, shape, ok := types(name); ok {
			t.DType, t.Shape = d.String(), append(t.Shape, shape...)
		}
		if e, ok := found.Encodings[name]; ok {
			t.Encoding = encodingOf(-1, e)
		} else if e, ok := found.Inputs[name]; ok {
			t.Encoding = encodingOf(-1, e)
		}
		return t
	}
	x := onnx.NewIndex(m)
	for _, in := range m.Inputs() {
		v.Inputs = append(v.Inputs, describe(in.GetName()))
	}
	for _, out := range m.Outputs() {
		v.Outputs = append(v.Outputs, describe(out))
	}
	for _, t := range m.Graph().GetInitializer() {
		if n, err := tensor.Count(t.GetDims()); err == nil {
			v.Parameters += int64(n)
		}
	}
	v.Encoded = len(found.Encodings) + len(found.Params)
	shapes := func(name string) ([]int64, bool) {
		if _, shape, ok := types(name); ok {
			return shape, true
		}
		if t := x.Initializer[name]; t != nil {
			return t.GetDims(), true
		}
		return nil, false
	}
	quantized := len(found.Encodings) > 0
	for _, n := range x.Nodes {
		if op := n.GetOpType(); quantized && (op == "QuantizeLinear" || op == "DequantizeLinear") {
			continue // they are shown as encodings
		}
		l := Layer{Name: n.GetName(), Op: n.GetOpType(), Inputs: []string{}, Outputs: []Tensor{}, MACs: rewrite.MACs(n, shapes)}
		for _, in := range n.GetInput() {
			if in == "" {
				continue
			}
			l.Inputs = append(l.Inputs, in)
			stored := in
			if p, made := x.Producer[in]; made && x.Nodes[p].GetOpType() == "DequantizeLinear" {
				stored = x.Nodes[p].GetInput()[0]
			}
			if t := x.Initializer[stored]; t != nil {
				w := Tensor{Name: stored, DType: tensor.DType(t.GetDataType()).String(), Shape: append([]int64{}, t.GetDims()...)}
				for _, key := range []string{stored, trimQuantized(stored)} {
					if p, ok := params[key]; ok {
						w.Encoding = encodingOf(p.Axis, p.Encodings...)
					}
				}
				l.Weights = append(l.Weights, w)
				if k, err := tensor.Count(t.GetDims()); err == nil {
					l.Parameters += int64(k)
				}
			}
		}
		for _, out := range n.GetOutput() {
			if out != "" {
				o := describe(out)
				if quantized && o.Encoding == nil {
					v.Unencoded = append(v.Unencoded, out)
				}
				l.Outputs = append(l.Outputs, o)
			}
		}
		v.add(l)
	}
	bytes := func(name string) int64 {
		d, shape, ok := types(name)
		n, err := tensor.Count(shape)
		if !ok || err != nil {
			return 0
		}
		return int64(tensor.ByteSize(d, n))
	}
	v.Memory = v.memory(bytes)
	for _, t := range m.Graph().GetInitializer() {
		if n, err := tensor.Count(t.GetDims()); err == nil {
			v.Memory += int64(tensor.ByteSize(tensor.DType(t.GetDataType()), n))
		}
	}
	return v, nil
}

func trimQuantized(name string) string {
	const suffix = "_quantized"
	if len(name) > len(suffix) && name[len(name)-len(suffix):] == suffix {
		return name[:len(name)-len(suffix)]
	}
	return name
}

func encodingOf(axis int, list ...quant.Encoding) *Encoding {
	e := &Encoding{Bits: list[0].Bits, Scale: list[0].Scale, Offset: list[0].Offset, Min: list[0].Min, Max: list[0].Max}
	if axis >= 0 {
		e.Channels, e.Axis = len(list), axis
	}
	return e
}
