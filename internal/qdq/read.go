package qdq

import (
	"slices"
	"strings"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// Found is what a ready QDQ model holds: for each quantized tensor its encoding and the tensor behind its pair.
type Found struct {
	Index     *onnx.Index
	Taps      map[string]string         // quantized tensor → dequantized tensor
	Encodings map[string]quant.Encoding // by the quantized tensor; none for types that have no integer grid
	Inputs    map[string]quant.Encoding // of graph inputs
	Params    []ParamEncoding
	constants map[string]string // dequantized constant → name of its quantized form
}

// Floats finds the float originals of the dequantized constants in the float model, by name and shape.
func (f *Found) Floats(float *onnx.Model) map[string]*onnxpb.TensorProto {
	originals := map[string]*onnxpb.TensorProto{}
	for _, t := range float.Graph().GetInitializer() {
		originals[t.GetName()] = t
	}
	floats := map[string]*onnxpb.TensorProto{}
	for dequantized, stored := range f.constants {
		for _, name := range []string{strings.TrimSuffix(stored, "_quantized"), dequantized, strings.TrimSuffix(dequantized, dequantizeSuffix)} {
			t := originals[name]
			if t != nil && tensor.DType(t.GetDataType()) == tensor.Float32 && slices.Equal(t.GetDims(), f.Index.Initializer[stored].GetDims()) {
				floats[dequantized] = t
				break
			}
		}
	}
	return floats
}

// Read finds the quantizers of a model that was quantized elsewhere. Fold its constants first.
func Read(m *onnx.Model) (*Found, error) {
	x := onnx.NewIndex(m)
	f := &Found{Index: x, Taps: map[string]string{}, Encodings: map[string]quant.Encoding{}, Inputs: map[string]quant.Encoding{}, constants: map[string]string{}}
	for _, n := range x.Nodes {
		switch n.GetOpType() {
		case "QuantizeLinear":
			if err := f.quantizer(m, n); err != nil {
				return nil, err
			}
		case "DequantizeLinear":
			if stored := x.Initializer[n.GetInput()[0]]; stored != nil {
				f.constants[n.GetOutput()[0]] = n.GetInput()[0]
				list, axis, err := encodings(m, x, n, tensor.DType(stored.GetDataType()))
				if err != nil {
					return nil, err
				}
				if len(list) > 0 {
					name := strings.TrimSuffix(n.GetInput()[0], "_quantized")
					p := ParamEncoding{Tensor: name, Axis: axis, Encodings: list}
					if size := onnx.AttrInt(n, "block_size", 0); size > 0 {
						p.Blocks = blocksOf(stored.GetDims(), x.Initializer[n.GetInput()[1]].GetDims(), axis, size)
						if p.Blocks == nil {
							continue // not as ONNX has it; its runtime refuses it
						}
						p.Axis = p.Blocks.Axis
					}
					f.Params = append(f.Params, p)
				}
			}
		}
	}
	return f, nil
}

// blocksOf says how a constant of a shape is divided whose scales have another shape; nil if the two do not fit.
func blocksOf(shape, scales []int64, axis int, size int64) *quant.Blocks {
	if axis < 0 {
		axis += len(shape)
	}
	if len(scales) != len(shape) || axis < 0 || axis >= len(shape) {
		return nil
	}
	for d, n := range scales {
		if d == axis && n != (shape[d]+size-1)/size || d != axis && n != shape[d] {
			return nil
		}
	}
	return &quant.Blocks{Axis: axis, Size: int(size), Grid: scales}
}

func (f *Found) quantizer(m *onnx.Model, n *onnxpb.NodeProto) error {
	x := f.Index
	if len(n.GetInput()) < 2 || len(n.GetOutput()) < 1 {
		return nil
	}
	for _, k := range x.Consumers[n.GetOutput()[0]] {
		dq := x.Nodes[k]
		if dq.GetOpType() != "DequantizeLinear" || len(dq.GetOutput()) == 0 {
			continue
		}
		from, to := n.GetInput()[0], dq.GetOutput()[0]
		if strings.HasSuffix(from, unconverted) { // it was found with the pair before it
			return nil
		}
		if k, sole := x.SoleConsumer(to); sole && strings.HasSuffix(to, unconverted) && x.Nodes[k].GetOpType() == "QuantizeLinear" {
			n = x.Nodes[k]
			if k, sole = x.SoleConsumer(n.GetOutput()[0]); sole && x.Nodes[k].GetOpType() == "DequantizeLinear" {
				to = x.Nodes[k].GetOutput()[0]
			}
		}
		list, _, err := encodings(m, x, n, tensor.Uint8)
		if err != nil {
			return err
		}
		// A graph output keeps its name behind the pair; ONNX Runtime's quantizer renames what is before it.
		for _, name := range []string{from, strings.TrimSuffix(from, preSuffix), to} {
			if _, ok := f.Taps[name]; ok {
				continue
			}
			f.Taps[name] = to
			if len(list) == 1 {
				f.Encodings[name] = list[0]
			}
		}
		if x.Input[from] && len(list) == 1 {
			f.Inputs[from] = list[0]
		}
		return nil
	}
	return nil
}

// encodings reads a Q or DQ node's scale and zero point. It gives none for types without an integer grid and for
// scales that are not constant. Without a zero point the type is the one given.
func encodings(m *onnx.Model, x *onnx.Index, n *onnxpb.NodeProto, d tensor.DType) (list []quant.Encoding, axis int, err error) {
	values, zeros, d, err := scalesAndZeros(m, x, n, d)
	if err != nil || len(values) == 0 {
		return nil, -1, err
	}
	signed := d == tensor.Int8 || d == tensor.Int16 || d == tensor.Int4 || d == tensor.Int32
	bits := d.Bits()
	if d.IsFloat() || bits == 0 || bits > 32 {
		return nil, -1, nil
	}
	for i, s := range values {
		offset := -int(zeros[i])
		if signed {
			offset -= 1 << (bits - 1)
		}
		list = append(list, quant.FromScale(bits, signed && zeros[i] == 0, float64(s), offset))
	}
	axis = -1
	if len(values) > 1 || onnx.AttrInt(n, "block_size", 0) > 0 {
		axis = int(onnx.AttrInt(n, "axis", 1))
	}
	return list, axis, nil
}

// scalesAndZeros reads a Q or DQ node's constants: as many scales as zero points, none if they are not constant, and the
// integers' type. Without a zero point it is 0, and the type the one given.
func scalesAndZeros(m *onnx.Model, x *onnx.Index, n *onnxpb.NodeProto, d tensor.DType) (scales []float32, zeros []int64, _ tensor.DType, _ error) {
	if len(n.GetInput()) < 2 || x.Initializer[n.GetInput()[1]] == nil {
		return nil, nil, d, nil
	}
	t, err := m.Tensor(x.Initializer[n.GetInput()[1]])
	if err != nil {
		return nil, nil, d, err
	}
	scales, ok := t.AsFloat32()
	if !ok {
		return nil, nil, d, nil
	}
	if len(n.GetInput()) < 3 || n.GetInput()[2] == "" {
		return scales, make([]int64, len(scales)), d, nil
	}
	z := x.Initializer[n.GetInput()[2]]
	if z == nil {
		return nil, nil, d, nil
	}
	if t, err = m.Tensor(z); err != nil {
		return nil, nil, d, err
	}
	if zeros, ok = t.Ints(); !ok || len(zeros) != len(scales) {
		return nil, nil, d, nil
	}
	return scales, zeros, t.DType, nil
}
