package onnx

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Protobuf messages end at 2 GiB; models near that keep their weights in a file beside them.
const (
	externalFrom  = 1 << 30 // bytes of weights
	externalLeast = 1 << 10 // of one tensor
	externalAlign = 1 << 12 // so that it can be mapped
)

// Save writes a model to path, whole or not at all. External data it was read with, and weights of more than 1 GiB, go to
// path + ".data"; else it is one file. Folders are made.
func Save(m *Model, path string) error {
	var b atomicfile.Batch
	defer b.Discard()
	if err := SaveTo(&b, m, path); err != nil {
		return err
	}
	return b.Commit()
}

// WeightsBeside is the file that Save writes weights to that do not go into the model's own.
func WeightsBeside(path string) string { return path + ".data" }

// SaveTo is Save as a part of a batch, which puts the model into its place when it is committed: its weights first.
func SaveTo(b *atomicfile.Batch, m *Model, path string) error { return save(b, m, path, externalFrom) }

func save(b *atomicfile.Batch, m *Model, path string, from int64) error {
	total := int64(0)
	for _, p := range m.Graph().GetInitializer() {
		if n, err := tensor.Count(p.GetDims()); err == nil {
			total += int64(tensor.ByteSize(tensor.DType(p.GetDataType()), n))
		}
	}
	if total < from {
		return b.Write(path, func(f *os.File) error { return stream(m, f) })
	}
	beside := WeightsBeside(path)
	g := m.Graph()
	c := &onnxpb.GraphProto{Name: g.Name, Node: g.GetNode(), Input: g.GetInput(), Output: g.GetOutput(), SparseInitializer: g.GetSparseInitializer()}
	err := b.Write(beside, func(f *os.File) error {
		at := int64(0)
		for _, p := range g.GetInitializer() {
			n, err := tensor.Count(p.GetDims())
			if err != nil || tensor.ByteSize(tensor.DType(p.GetDataType()), n) < externalLeast || tensor.DType(p.GetDataType()) == tensor.String {
				if p, err = m.inlined(p); err != nil {
					return err
				}
				c.Initializer = append(c.Initializer, p)
				continue
			}
			size := tensor.ByteSize(tensor.DType(p.GetDataType()), n)
			at = (at + externalAlign - 1) / externalAlign * externalAlign
			if err := writeValues(m, io.NewOffsetWriter(f, at), p, size); err != nil {
				return fmt.Errorf("tensor %q: %w", p.GetName(), err)
			}
			entry := func(key, value string) *onnxpb.StringStringEntryProto {
				return &onnxpb.StringStringEntryProto{Key: &key, Value: &value}
			}
			c.Initializer = append(c.Initializer, &onnxpb.TensorProto{
				Name: p.Name, Dims: p.GetDims(), DataType: p.DataType, DataLocation: onnxpb.TensorProto_EXTERNAL.Enum(),
				ExternalData: []*onnxpb.StringStringEntryProto{
					entry("location", filepath.Base(beside)), entry("offset", strconv.FormatInt(at, 10)), entry("length", strconv.Itoa(size)),
				},
			})
			at += int64(size)
		}
		return nil
	})
	if err != nil {
		return err
	}
	data, err := m.With(c).Bytes()
	if err != nil {
		return err
	}
	return b.WriteBytes(path, data)
}

// inlined gives an initializer that holds its values itself.
func (m *Model) inlined(p *onnxpb.TensorProto) (*onnxpb.TensorProto, error) {
	if p.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
		return p, nil
	}
	t, err := m.Tensor(p)
	if err != nil {
		return nil, err
	}
	return TensorProto(p.GetName(), t), nil
}
