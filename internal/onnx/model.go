// Package onnx reads, checks, indexes, cuts and writes ONNX models. It knows nothing of how they are run.
//
// A file becomes a Model (Load), whose graph is sorted and free of contradictions; an Index answers who makes and
// who uses a tensor; Extract cuts out a part that is a model of its own. Protobuf messages are shared between models
// and never changed in place: who changes a node or a tensor copies it first.
package onnx

import (
	"container/heap"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// maxFileBytes is protobuf's own limit on one message.
const maxFileBytes = 1<<31 - 1

// minIRVersion lets initializers stand outside of the graph's inputs.
const minIRVersion = 4

// Model is a checked ONNX model.
type Model struct {
	Proto  *onnxpb.ModelProto
	Path   string // where it was read, "" if it was built
	SHA256 string // of the file, lower-case hex; "" if it was built
}

// Graph is the model's main graph.
func (m *Model) Graph() *onnxpb.GraphProto { return m.Proto.GetGraph() }

// Dir is the folder that external tensor data is relative to, "" if there is none.
func (m *Model) Dir() string {
	if m.Path == "" {
		return ""
	}
	return filepath.Dir(m.Path)
}

// Load reads and checks a model file. External tensor data is checked to be there but not read.
func Load(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a folder, not an ONNX file", path)
	}
	if info.Size() > maxFileBytes {
		return nil, fmt.Errorf("%s has %d bytes; an ONNX file over 2 GB must keep its weights as external data", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	m, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	sum := sha256.Sum256(data)
	m.Path, m.SHA256 = path, hex.EncodeToString(sum[:])
	if err := m.checkExternalData(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

// ErrNotONNX means that the bytes are no ONNX model at all.
var ErrNotONNX = errors.New("not an ONNX file")

// Parse reads and checks a model from its bytes. Nodes are put into topological order where they are not.
func Parse(data []byte) (*Model, error) {
	p := &onnxpb.ModelProto{}
	err := proto.UnmarshalOptions{RecursionLimit: 200}.Unmarshal(data, p)
	switch {
	case err != nil && len(data) > 1 && data[0] == 0x08 && p.GetIrVersion() > 0 && p.GetIrVersion() < 100:
		return nil, errors.New("truncated or damaged ONNX file: its protobuf ends early or is inconsistent")
	case err != nil, p.GetIrVersion() == 0 && p.GetGraph() == nil:
		return nil, ErrNotONNX
	case p.GetGraph() == nil || len(p.GetGraph().GetNode()) == 0:
		return nil, errors.New("the ONNX file holds no graph; is it truncated?")
	}
	m := &Model{Proto: p}
	if err := check(p.GetGraph()); err != nil {
		return nil, err
	}
	if err := sortNodes(p.GetGraph()); err != nil {
		return nil, err
	}
	return m, nil
}

// Check says whether a graph that was built is sound: every tensor is made once, before it is used, and every output is made.
func Check(m *Model) error {
	if err := check(m.Graph()); err != nil {
		return err
	}
	made := map[string]bool{}
	for _, t := range m.Graph().GetInitializer() {
		made[t.GetName()] = true
	}
	for _, t := range m.Graph().GetSparseInitializer() {
		made[t.GetValues().GetName()] = true
	}
	for _, in := range m.Graph().GetInput() {
		made[in.GetName()] = true
	}
	for _, n := range m.Graph().GetNode() {
		for _, in := range Uses(n) {
			if !made[in] {
				return fmt.Errorf("%s (%s) takes %q, which nothing before it makes", n.GetName(), n.GetOpType(), in)
			}
		}
		for _, out := range n.GetOutput() {
			made[out] = true
		}
	}
	for _, out := range m.Outputs() {
		if !made[out] {
			return fmt.Errorf("nothing makes the output %q", out)
		}
	}
	return nil
}

func check(g *onnxpb.GraphProto) error {
	made := map[string]string{}
	initializers := map[string]bool{}
	for _, t := range g.GetInitializer() {
		if t.GetName() == "" {
			return errors.New("an initializer has no name")
		}
		initializers[t.GetName()] = true
	}
	for _, t := range g.GetSparseInitializer() {
		initializers[t.GetValues().GetName()] = true
	}
	for _, in := range g.GetInput() {
		made[in.GetName()] = "a graph input"
	}
	for i, n := range g.GetNode() {
		if n.GetOpType() == "" {
			return fmt.Errorf("node %d (%q) has no operator type", i, n.GetName())
		}
		for _, out := range n.GetOutput() {
			if out == "" {
				continue
			}
			if by, ok := made[out]; ok || initializers[out] {
				if !ok {
					by = "an initializer"
				}
				return fmt.Errorf("tensor %q is made twice: by %s and by node %d (%s)", out, by, i, n.GetOpType())
			}
			made[out] = fmt.Sprintf("node %d (%s)", i, n.GetOpType())
		}
	}
	known := func(name string) bool { return made[name] != "" || initializers[name] }
	for i, n := range g.GetNode() {
		for _, in := range Uses(n) {
			if !known(in) {
				return fmt.Errorf("node %d (%s) uses tensor %q, which nothing makes", i, n.GetOpType(), in)
			}
		}
	}
	for _, out := range g.GetOutput() {
		if !known(out.GetName()) {
			return fmt.Errorf("graph output %q is made by nothing", out.GetName())
		}
	}
	return nil
}

// sortNodes puts nodes behind their producers, keeping the file's order wherever it is possible.
func sortNodes(g *onnxpb.GraphProto) error {
	producer := map[string]int{}
	for i, n := range g.GetNode() {
		for _, out := range n.GetOutput() {
			producer[out] = i
		}
	}
	waits := make([]int, len(g.GetNode()))
	users := make([][]int, len(g.GetNode()))
	sorted := true
	for i, n := range g.GetNode() {
		for _, in := range Uses(n) {
			if p, ok := producer[in]; ok && in != "" {
				waits[i]++
				users[p] = append(users[p], i)
				sorted = sorted && p < i
			}
		}
	}
	if sorted {
		return nil
	}
	ready := &ordered{}
	for i, w := range waits {
		if w == 0 {
			heap.Push(ready, i)
		}
	}
	nodes := make([]*onnxpb.NodeProto, 0, len(waits))
	for ready.Len() > 0 {
		i := heap.Pop(ready).(int)
		nodes = append(nodes, g.GetNode()[i])
		for _, u := range users[i] {
			if waits[u]--; waits[u] == 0 {
				heap.Push(ready, u)
			}
		}
	}
	if len(nodes) < len(waits) {
		return errors.New("the graph has a cycle")
	}
	g.Node = nodes
	return nil
}

// ordered is a heap of numbers, the least first.
type ordered struct{ sort.IntSlice }

// Push implements heap.Interface.
func (o *ordered) Push(v any) { o.IntSlice = append(o.IntSlice, v.(int)) }

// Pop implements heap.Interface.
func (o *ordered) Pop() any {
	last := len(o.IntSlice) - 1
	v := o.IntSlice[last]
	o.IntSlice = o.IntSlice[:last]
	return v
}

// Inputs lists the graph's real inputs: those that no initializer provides.
func (m *Model) Inputs() []*onnxpb.ValueInfoProto {
	given := map[string]bool{}
	for _, t := range m.Graph().GetInitializer() {
		given[t.GetName()] = true
	}
	var inputs []*onnxpb.ValueInfoProto
	for _, in := range m.Graph().GetInput() {
		if !given[in.GetName()] {
			inputs = append(inputs, in)
		}
	}
	return inputs
}

// Outputs lists the names of the graph's outputs.
func (m *Model) Outputs() []string {
	var names []string
	for _, out := range m.Graph().GetOutput() {
		names = append(names, out.GetName())
	}
	return names
}

// Opset is the version of the default operator set, 0 if none is imported.
func (m *Model) Opset() int64 {
	for _, o := range m.Proto.GetOpsetImport() {
		if o.GetDomain() == "" || o.GetDomain() == "ai.onnx" {
			return o.GetVersion()
		}
	}
	return 0
}

// With gives a copy of the model with another graph; everything but the graph is shared. The intermediate tensors'
// recorded types are dropped, since they need not hold for the new graph.
func (m *Model) With(g *onnxpb.GraphProto) *Model {
	p := &onnxpb.ModelProto{
		IrVersion:     proto.Int64(max(m.Proto.GetIrVersion(), minIRVersion)),
		ProducerName:  proto.String("quantcheck"),
		Domain:        m.Proto.Domain,
		ModelVersion:  m.Proto.ModelVersion,
		OpsetImport:   m.Proto.GetOpsetImport(),
		MetadataProps: m.Proto.GetMetadataProps(),
		Functions:     m.Proto.GetFunctions(),
		Graph:         g,
	}
	return &Model{Proto: p, Path: m.Path}
}

// WithDomain gives the same model with an operator set imported, if it is not yet.
func (m *Model) WithDomain(domain string, version int64) *Model {
	for _, o := range m.Proto.GetOpsetImport() {
		if o.GetDomain() == domain {
			return m
		}
	}
	c := m.With(m.Graph())
	c.Proto.OpsetImport = append(append([]*onnxpb.OperatorSetIdProto(nil), c.Proto.GetOpsetImport()...),
		&onnxpb.OperatorSetIdProto{Domain: proto.String(domain), Version: proto.Int64(version)})
	return c
}

// Bytes is the model as a file's content, the same for the same model.
func (m *Model) Bytes() ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m.Proto)
	if err != nil {
		return nil, fmt.Errorf("write ONNX: %w", err)
	}
	if len(data) > maxFileBytes {
		return nil, fmt.Errorf("the ONNX model has %d bytes, more than the 2 GB one file can hold", len(data))
	}
	return data, nil
}

// ValueInfo describes a tensor of fixed type; a negative dimension is left open, and so is the rank if shape is nil.
func ValueInfo(name string, d tensor.DType, shape []int64) *onnxpb.ValueInfoProto {
	s := &onnxpb.TensorShapeProto{}
	if shape == nil {
		s = nil
	}
	for _, dim := range shape {
		p := &onnxpb.TensorShapeProto_Dimension{}
		if dim >= 0 {
			p.Value = &onnxpb.TensorShapeProto_Dimension_DimValue{DimValue: dim}
		}
		s.Dim = append(s.Dim, p)
	}
	return &onnxpb.ValueInfoProto{Name: proto.String(name), Type: &onnxpb.TypeProto{
		TensorType: &onnxpb.TypeProto_Tensor{ElemType: proto.Int32(int32(d)), Shape: s},
	}}
}

// TypeOf reads a tensor's declared type; dimensions that are symbolic or missing are −1, the shape is nil if not even
// the rank is known, ok is false if it is no tensor.
func TypeOf(v *onnxpb.ValueInfoProto) (d tensor.DType, shape []int64, ok bool) {
	t := v.GetType().GetTensorType()
	if t == nil {
		return 0, nil, false
	}
	if t.GetShape() != nil {
		shape = []int64{}
	}
	for _, dim := range t.GetShape().GetDim() {
		value := int64(-1)
		if v, fixed := dim.GetValue().(*onnxpb.TensorShapeProto_Dimension_DimValue); fixed && v.DimValue > 0 {
			value = v.DimValue
		}
		shape = append(shape, value)
	}
	return tensor.DType(t.GetElemType()), shape, true
}
