package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"

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
		raw, err := m.readExternal(p, tensor.ByteSize(d, count))
		if err != nil {
			return tensor.Tensor{}, err
		}
		return tensor.FromLittleEndian(d, p.GetDims(), raw)
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

// external is where a tensor's bytes lie outside of the model file.
type external struct {
	file           string
	offset, length int64 // length −1: to the end of what the shape asks for
}

func (m *Model) external(p *onnxpb.TensorProto) (external, error) {
	e := external{length: -1}
	var err error
	for _, kv := range p.GetExternalData() {
		switch kv.GetKey() {
		case "location":
			e.file = kv.GetValue()
		case "offset":
			e.offset, err = strconv.ParseInt(kv.GetValue(), 10, 64)
		case "length":
			e.length, err = strconv.ParseInt(kv.GetValue(), 10, 64)
		}
		if err != nil || e.offset < 0 || e.length < -1 {
			return e, fmt.Errorf("external data %s %q is not a size", kv.GetKey(), kv.GetValue())
		}
	}
	if !filepath.IsLocal(e.file) {
		return e, fmt.Errorf("external data location %q does not lie beside the model", e.file)
	}
	if err := within(m.Dir(), e.file); err != nil {
		return e, fmt.Errorf("external data location %q: %w", e.file, err)
	}
	e.file = filepath.Join(m.Dir(), e.file)
	return e, nil
}

// within says whether what a name below a folder stands for, once its links are followed, is a file in that folder: a model must not
// make the program read anything else. A name that stands for nothing is left to whoever opens it.
func within(dir, name string) error {
	if dir == "" {
		dir = "."
	}
	file, err := filepath.EvalSymlinks(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	if relative, err := filepath.Rel(root, file); err != nil || !filepath.IsLocal(relative) {
		return errors.New("it is a link that leaves the model's folder; copy the file there")
	}
	if info, err := os.Stat(file); err != nil || !info.Mode().IsRegular() {
		return errors.New("it is not a file")
	}
	return nil
}

func (m *Model) readExternal(p *onnxpb.TensorProto, size int) ([]byte, error) {
	e, err := m.external(p)
	if err != nil {
		return nil, err
	}
	if e.length >= 0 && e.length != int64(size) {
		return nil, fmt.Errorf("%d bytes of external data where the shape has %d", e.length, size)
	}
	f, err := os.Open(e.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if e.offset > info.Size() || int64(size) > info.Size()-e.offset {
		return nil, fmt.Errorf("external data %s is too short: %d bytes from %d on, the file has %d", e.file, size, e.offset, info.Size())
	}
	raw := make([]byte, size)
	if _, err := f.ReadAt(raw, e.offset); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return raw, nil
}

// ExternalFiles names the files beside the model in which tensors lie, sorted.
func (m *Model) ExternalFiles() []string {
	files := map[string]bool{}
	for _, p := range m.Graph().GetInitializer() {
		if p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
			if e, err := m.external(p); err == nil { // Load has refused any other
				files[e.file] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(files))
}

// ExternalBytes is what the initializers take that lie outside of the model file.
func (m *Model) ExternalBytes() int64 {
	sum := int64(0)
	for _, p := range m.Graph().GetInitializer() {
		if p.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			continue
		}
		if n, err := tensor.Count(p.GetDims()); err == nil {
			sum += int64(tensor.ByteSize(tensor.DType(p.GetDataType()), n))
		}
	}
	return sum
}

// checkExternalData sees that every external file is there and long enough.
func (m *Model) checkExternalData() error {
	sizes := map[string]int64{}
	for _, p := range m.Graph().GetInitializer() {
		if p.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
			continue
		}
		e, err := m.external(p)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", p.GetName(), err)
		}
		size, seen := sizes[e.file]
		if !seen {
			info, err := os.Stat(e.file)
			if err != nil {
				return fmt.Errorf("the weights lie in %s, which cannot be read (%w); copy it beside the model", e.file, err)
			}
			size = info.Size()
			sizes[e.file] = size
		}
		if e.offset > size || max(e.length, 0) > size-e.offset { // no overflow: none is negative
			return fmt.Errorf("tensor %q: external data %s is too short", p.GetName(), e.file)
		}
	}
	return nil
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
