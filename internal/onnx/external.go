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

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

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

// section is a tensor's bytes in an external file, which it holds open.
type section struct {
	*io.SectionReader
	file *os.File
	path string
}

// Close closes the file.
func (s section) Close() error { return s.file.Close() }

// openExternal opens the bytes of an external tensor that takes size of them.
func (m *Model) openExternal(p *onnxpb.TensorProto, size int) (section, error) {
	e, err := m.external(p)
	if err != nil {
		return section{}, err
	}
	if e.length >= 0 && e.length != int64(size) {
		return section{}, fmt.Errorf("%d bytes of external data where the shape has %d", e.length, size)
	}
	f, err := os.Open(e.file)
	if err != nil {
		return section{}, err
	}
	info, err := f.Stat()
	if err == nil && (e.offset > info.Size() || int64(size) > info.Size()-e.offset) {
		err = fmt.Errorf("external data %s is too short: %d bytes from %d on, the file has %d", e.file, size, e.offset, info.Size())
	}
	if err != nil {
		f.Close()
		return section{}, err
	}
	return section{io.NewSectionReader(f, e.offset, int64(size)), f, e.file}, nil
}

// fill reads the next bytes of the section. A file that has become shorter since it was opened is an error, which a mapped one would be a
// signal for.
func (s section) fill(b []byte) error {
	_, err := io.ReadFull(s, b)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("external data %s has become shorter while it was read", s.path)
	}
	return err
}

// copyTo writes the bytes, a window at a time.
func (s section) copyTo(w io.Writer) error {
	window := make([]byte, min(int64(windowBytes), s.Size()))
	for left := s.Size(); left > 0; left -= int64(len(window)) {
		window = window[:min(int64(len(window)), left)]
		if err := s.fill(window); err != nil {
			return err
		}
		if _, err := w.Write(window); err != nil {
			return err
		}
	}
	return nil
}

// windowBytes is how much of external data is held at once beside the tensor that is made of it.
const windowBytes = 1 << 20

// readExternal makes a tensor of count external values.
func (m *Model) readExternal(p *onnxpb.TensorProto, d tensor.DType, count int) (tensor.Tensor, error) {
	s, err := m.openExternal(p, tensor.ByteSize(d, count))
	if err != nil {
		return tensor.Tensor{}, err
	}
	defer s.Close()
	t := tensor.Tensor{DType: d, Shape: slices.Clone(p.GetDims())}
	if d != tensor.Float32 {
		t.Raw = make([]byte, s.Size())
		return t, s.fill(t.Raw)
	}
	t.F32 = make([]float32, count)
	window := make([]byte, min(int64(windowBytes), s.Size()))
	for values := t.F32; len(values) > 0; {
		window = window[:min(len(window), 4*len(values))]
		if err := s.fill(window); err != nil {
			return tensor.Tensor{}, err
		}
		for i := range len(window) / 4 {
			values[i] = math.Float32frombits(binary.LittleEndian.Uint32(window[4*i:]))
		}
		values = values[len(window)/4:]
	}
	return t, nil
}

// Whole says whether a constant holds as many bytes as its shape has; external ones are there (Load has looked) and are not read.
func (m *Model) Whole(p *onnxpb.TensorProto) bool {
	n, err := tensor.Count(p.GetDims())
	if err != nil {
		return false
	}
	d := tensor.DType(p.GetDataType())
	switch size := tensor.ByteSize(d, n); {
	case p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL:
		e, err := m.external(p)
		if err != nil || e.length >= 0 && e.length != int64(size) {
			return false
		}
		info, err := os.Stat(e.file)
		return err == nil && e.offset <= info.Size() && int64(size) <= info.Size()-e.offset
	case p.RawData != nil:
		return len(p.GetRawData()) == size
	case d == tensor.Float32:
		return len(p.GetFloatData()) == n
	case d == tensor.Float64:
		return len(p.GetDoubleData()) == n
	}
	return len(p.GetInt32Data()) == n && d.Bits() <= 32
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
