package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Tensor decodes an initializer or a constant, reading external data from beside the model if it has any.
func (m *Model) Tensor(p *onnxpb.TensorProto) (tensor.Tensor, error) {
	t, err := m.decode(p)
	if err != nil {
		return tensor.Tensor{}, fmt.Errorf("tensor %q: %w", p.GetName(), err)
	}
	return t, nil
}

func (m *Model) decode(p *onnxpb.TensorProto) (tensor.Tensor, error) {
	d := tensor.DType(p.GetDataType())
	count, err := tensor.Count(p.GetDims())
	if err != nil {
		return tensor.Tensor{}, err
	}
	if d.Bits() == 0 {
		return tensor.Tensor{}, fmt.Errorf("%s values are not numbers", d)
	}
	if p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		return m.readExternal(p, d, count)
	}
	if p.RawData != nil || count == 0 {
		return tensor.FromLittleEndian(d, p.GetDims(), p.GetRawData())
	}
	return decodeTyped(p, d, count)
}

// decodeTyped reads the fields that hold one number per element.
func decodeTyped(p *onnxpb.TensorProto, d tensor.DType, count int) (tensor.Tensor, error) {
	var have int
	var put func(raw []byte, i int)
	le := binary.LittleEndian
	switch d {
	case tensor.Float32:
		if len(p.GetFloatData()) != count {
			return tensor.Tensor{}, fmt.Errorf("%d values where the shape %v has %d", len(p.GetFloatData()), p.GetDims(), count)
		}
		return tensor.Floats(append([]float32(nil), p.GetFloatData()...), p.GetDims()...), nil
	case tensor.Float64:
		have = len(p.GetDoubleData())
		put = func(raw []byte, i int) { le.PutUint64(raw[8*i:], math.Float64bits(p.GetDoubleData()[i])) }
	case tensor.Int64:
		have = len(p.GetInt64Data())
		put = func(raw []byte, i int) { le.PutUint64(raw[8*i:], uint64(p.GetInt64Data()[i])) }
	case tensor.Uint64:
		have = len(p.GetUint64Data())
		put = func(raw []byte, i int) { le.PutUint64(raw[8*i:], p.GetUint64Data()[i]) }
	case tensor.Uint32:
		have = len(p.GetUint64Data())
		put = func(raw []byte, i int) { le.PutUint32(raw[4*i:], uint32(p.GetUint64Data()[i])) }
	case tensor.Int4, tensor.Uint4:
		if len(p.GetInt32Data()) != tensor.ByteSize(d, count) {
			return tensor.Tensor{}, errors.New("4-bit data of the wrong length")
		}
		have = count
		put = func(raw []byte, i int) { raw[i/2] = byte(p.GetInt32Data()[i/2]) }
	default:
		have = len(p.GetInt32Data())
		switch d.Bits() {
		case 8:
			put = func(raw []byte, i int) { raw[i] = byte(p.GetInt32Data()[i]) }
		case 16:
			put = func(raw []byte, i int) { le.PutUint16(raw[2*i:], uint16(p.GetInt32Data()[i])) }
		default:
			put = func(raw []byte, i int) { le.PutUint32(raw[4*i:], uint32(p.GetInt32Data()[i])) }
		}
	}
	if have != count {
		return tensor.Tensor{}, fmt.Errorf("%d values where the shape %v has %d", have, p.GetDims(), count)
	}
	raw := make([]byte, tensor.ByteSize(d, count))
	for i := range count {
		put(raw, i)
	}
	return tensor.FromLittleEndian(d, p.GetDims(), raw)
}

// TensorProto encodes a tensor under a name.
func TensorProto(name string, t tensor.Tensor) *onnxpb.TensorProto {
	p := &onnxpb.TensorProto{Name: proto.String(name), Dims: t.Shape, DataType: proto.Int32(int32(t.DType))}
	p.RawData = t.LittleEndian()
	if p.RawData == nil {
		p.RawData = []byte{}
	}
	return p
}

// Inline gives a copy of the model that holds its external tensor data itself, so that it can be written anywhere.
func Inline(m *Model) (*Model, error) {
	g := m.Graph()
	c := &onnxpb.GraphProto{Name: g.Name, Node: g.GetNode(), Input: g.GetInput(), Output: g.GetOutput(), SparseInitializer: g.GetSparseInitializer()}
	for _, p := range g.GetInitializer() {
		p, err := m.inlined(p)
		if err != nil {
			return nil, err
		}
		c.Initializer = append(c.Initializer, p)
	}
	return m.With(c), nil
}
