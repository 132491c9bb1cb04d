package onnx

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Numbers of fields, in whose order messages are written.
const (
	modelGraph       protowire.Number = 7
	graphInitializer protowire.Number = 5
	tensorRawData    protowire.Number = 9
)

// stream writes the model as one file, with the values of external tensors in it: the bytes that Bytes gives of what Inline gives, with
// one tensor in memory at a time.
func stream(m *Model, w io.Writer) error {
	g := m.Graph()
	graphHead, graphTail := &onnxpb.GraphProto{Node: g.GetNode(), Name: g.Name}, &onnxpb.GraphProto{Input: g.GetInput(), Output: g.GetOutput(), SparseInitializer: g.GetSparseInitializer()}
	p := m.With(nil).Proto
	modelHead := &onnxpb.ModelProto{IrVersion: p.IrVersion, ProducerName: p.ProducerName, Domain: p.Domain, ModelVersion: p.ModelVersion}
	modelTail := &onnxpb.ModelProto{OpsetImport: p.GetOpsetImport(), MetadataProps: p.GetMetadataProps(), Functions: p.GetFunctions()}

	pieces := make([]initializerPiece, len(g.GetInitializer()))
	graphSize := proto.Size(graphHead) + proto.Size(graphTail)
	for i, t := range g.GetInitializer() {
		var err error
		if pieces[i], err = pieceOf(t); err != nil {
			return fmt.Errorf("tensor %q: %w", t.GetName(), err)
		}
		graphSize += protowire.SizeTag(graphInitializer) + protowire.SizeBytes(pieces[i].size)
	}
	whole := proto.Size(modelHead) + proto.Size(modelTail) + protowire.SizeTag(modelGraph) + protowire.SizeBytes(graphSize)
	if whole > maxFileBytes {
		return fmt.Errorf("the ONNX model has %d bytes, more than the 2 GB one file can hold", whole)
	}
	to := &messageWriter{w: bufio.NewWriterSize(w, windowBytes)}
	to.message(modelHead)
	to.begin(modelGraph, graphSize)
	to.message(graphHead)
	for _, t := range pieces {
		to.begin(graphInitializer, t.size)
		if !t.external {
			to.message(t.proto)
			continue
		}
		to.message(&onnxpb.TensorProto{Dims: t.proto.GetDims(), DataType: t.proto.DataType, Name: t.proto.Name})
		to.begin(tensorRawData, t.values)
		if to.err == nil {
			to.err = writeValues(m, to.w, t.proto, t.values)
		}
	}
	to.message(graphTail)
	to.message(modelTail)
	return errors.Join(to.err, to.w.Flush())
}

// initializerPiece is an initializer as a part of a stream, with its size there.
type initializerPiece struct {
	proto    *onnxpb.TensorProto
	size     int
	external bool
	values   int // bytes of an external one's values
}

func pieceOf(t *onnxpb.TensorProto) (initializerPiece, error) {
	if t.GetDataLocation() != onnxpb.TensorProto_EXTERNAL {
		return initializerPiece{proto: t, size: proto.Size(t)}, nil
	}
	n, err := tensor.Count(t.GetDims())
	if err != nil {
		return initializerPiece{}, err
	}
	d := tensor.DType(t.GetDataType())
	if d.Bits() == 0 {
		return initializerPiece{}, fmt.Errorf("%s values are not numbers", d)
	}
	values := tensor.ByteSize(d, n)
	size := proto.Size(&onnxpb.TensorProto{Dims: t.GetDims(), DataType: t.DataType, Name: t.Name}) + protowire.SizeTag(tensorRawData) + protowire.SizeBytes(values)
	return initializerPiece{proto: t, size: size, external: true, values: values}, nil
}

// messageWriter writes parts of messages; its error stays.
type messageWriter struct {
	w   *bufio.Writer
	err error
}

// begin writes what stands before a field of size bytes.
func (w *messageWriter) begin(field protowire.Number, size int) {
	w.write(protowire.AppendVarint(protowire.AppendTag(nil, field, protowire.BytesType), uint64(size)))
}

func (w *messageWriter) message(m proto.Message) {
	if w.err != nil {
		return
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if w.err = err; err == nil {
		w.write(data)
	}
}

func (w *messageWriter) write(data []byte) {
	if w.err == nil {
		_, w.err = w.w.Write(data)
	}
}

// writeValues writes the values of a tensor, which take size bytes, as they stand in raw data. External ones are not held.
func writeValues(m *Model, w io.Writer, p *onnxpb.TensorProto, size int) error {
	if p.GetDataLocation() == onnxpb.TensorProto_EXTERNAL {
		s, err := m.openExternal(p, size)
		if err != nil {
			return err
		}
		defer s.Close()
		return s.copyTo(w)
	}
	raw := p.GetRawData()
	if len(raw) != size {
		t, err := m.decode(p)
		if err != nil {
			return err
		}
		raw = t.LittleEndian()
	}
	_, err := w.Write(raw)
	return err
}
