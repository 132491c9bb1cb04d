package onnx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Batch is what was changed of a model that takes several samples at once, so that it takes one.
type Batch struct {
	Size      int64
	constants map[string]*onnxpb.TensorProto // by their names in the changed model: as they were
}

// BatchSize is the first dimension of all inputs where that is the same number above 1, else 1.
func BatchSize(m *Model) int64 {
	size := int64(0)
	for _, in := range m.Inputs() {
		_, shape, ok := TypeOf(in)
		if !ok || len(shape) < 2 || size > 0 && shape[0] != size {
			return 1
		}
		size = shape[0]
	}
	return max(size, 1)
}

// Unbatch gives a model that takes one sample in the place of one whose constants are folded and which takes BatchSize samples at once:
//
//	Before: x[B,…] → Reshape[B,k] → Add(c[B,k], all rows equal)
//	After:  x[1,…] → Reshape[1,k] → Add(c[1,k])
//
// shape gives the shapes of the original's tensors. What the two compute is equal only if the network treats samples alike, which is for
// the caller to find out by running both. An error names a constant that is another one for each sample.
func Unbatch(m *Model, shape func(name string) ([]int64, bool)) (*Model, *Batch, error) {
	u := unbatching{m: m, x: NewIndex(m), shape: shape, names: NewNames(m), batch: &Batch{Size: BatchSize(m), constants: map[string]*onnxpb.TensorProto{}}}
	var nodes []*onnxpb.NodeProto
	for _, n := range u.x.Nodes {
		c, err := u.node(n)
		if err != nil {
			return nil, nil, err
		}
		nodes = append(nodes, c)
	}
	one := Rebuild(m, nodes, u.added...)
	one.Proto.Graph.Input = nil
	for _, in := range m.Inputs() {
		d, dims, _ := TypeOf(in)
		one.Proto.Graph.Input = append(one.Proto.Graph.Input, ValueInfo(in.GetName(), d, append([]int64{1}, dims[1:]...)))
	}
	one.Proto.Graph.Output = nil
	for _, out := range m.Outputs() {
		one.Proto.Graph.Output = append(one.Proto.Graph.Output, Untyped(out))
	}
	one.SHA256 = m.SHA256
	return one, u.batch, nil
}

// Restore gives a model that was made of one that Unbatch gave its batch again, as far as its constants still have their names.
func (b *Batch) Restore(m *Model) *Model {
	g := m.Graph()
	c := &onnxpb.GraphProto{Name: g.Name, Node: g.GetNode(), SparseInitializer: g.GetSparseInitializer()}
	for _, t := range g.GetInitializer() {
		if was := b.constants[t.GetName()]; was != nil {
			t = &onnxpb.TensorProto{
				Name: t.Name, Dims: was.GetDims(), DataType: was.DataType, RawData: was.RawData, FloatData: was.GetFloatData(), Int32Data: was.GetInt32Data(), Int64Data: was.GetInt64Data(),
				DoubleData: was.GetDoubleData(), Uint64Data: was.GetUint64Data(), ExternalData: was.GetExternalData(), DataLocation: was.DataLocation,
			}
		}
		c.Initializer = append(c.Initializer, t)
	}
	for _, in := range m.Inputs() {
		d, dims, _ := TypeOf(in)
		c.Input = append(c.Input, ValueInfo(in.GetName(), d, append([]int64{b.Size}, dims[1:]...)))
	}
	for _, out := range m.Outputs() {
		c.Output = append(c.Output, Untyped(out))
	}
	restored := m.With(c)
	restored.SHA256 = m.SHA256
	return restored
}

type unbatching struct {
	m     *Model
	x     *Index
	shape func(string) ([]int64, bool)
	names Names
	batch *Batch
	added []*onnxpb.TensorProto
}

// perSample are operators whose constants may hold a row for each sample of a batch: those that broadcast, and Concat.
var perSample = map[string]bool{
	"Add": true, "Sub": true, "Mul": true, "Div": true, "Pow": true, "Max": true, "Min": true, "Sum": true, "Mean": true, "Where": true, "And": true, "Or": true, "Xor": true,
	"Equal": true, "Greater": true, "Less": true, "GreaterOrEqual": true, "LessOrEqual": true, "PRelu": true, "MatMul": true, "Concat": true, "Mod": true,
}

// node gives a node that makes what one sample has of the node's output.
func (u *unbatching) node(n *onnxpb.NodeProto) (*onnxpb.NodeProto, error) {
	c := n
	for i, name := range n.GetInput() {
		t := u.x.Initializer[name]
		if t == nil {
			continue
		}
		changed, err := u.constant(n, i, t)
		if err != nil {
			return nil, err
		}
		if changed == nil {
			continue
		}
		if c == n {
			c = proto.CloneOf(n)
		}
		c.Input[i] = u.names.Unique(name + "_of_one")
		u.batch.constants[c.Input[i]] = t
		u.added = append(u.added, TensorProto(c.Input[i], *changed))
	}
	return c, nil
}

// constant gives what stands in the place of a node's constant; nil: it stays.
func (u *unbatching) constant(n *onnxpb.NodeProto, input int, t *onnxpb.TensorProto) (*tensor.Tensor, error) {
	size := u.batch.Size
	out, known := u.shape(n.GetOutput()[0])
	dims := t.GetDims()
	switch op := n.GetOpType(); {
	case input == 1 && (op == "Reshape" || op == "Expand"), input == 3 && (op == "Resize" || op == "Upsample"):
		return u.sizes(n, t)
	case input >= 4 && (op == "LSTM" || op == "GRU" || op == "RNN"):
		axis := map[bool]int{true: 0, false: 1}[input == 4 || AttrInt(n, "layout", 0) == 1]
		if len(dims) > axis && dims[axis] == size && input < 7 {
			return u.alike(t, axis)
		}
	case perSample[op] && known && len(out) > 0 && len(dims) == len(out) && dims[0] == size && out[0] == size && (op != "MatMul" || len(dims) > 2):
		return u.alike(t, 0)
	}
	return nil, nil
}

// sizes divides a shape by the batch: its first dimension that the batch goes into, where the tensor has that many more values.
func (u *unbatching) sizes(n *onnxpb.NodeProto, t *onnxpb.TensorProto) (*tensor.Tensor, error) {
	v, err := u.m.Tensor(t)
	if err != nil {
		return nil, err
	}
	list, ok := v.Ints()
	if !ok || v.DType != tensor.Int64 || len(list) == 0 {
		return nil, nil
	}
	if from, known := u.shape(n.GetInput()[0]); known && (len(from) == 0 || from[0]%u.batch.Size != 0) {
		return nil, nil // what is not of the batch, such as a constant's
	}
	at := 0
	if list[0] <= 0 || list[0]%u.batch.Size != 0 {
		if n.GetOpType() != "Reshape" || slices.Contains(list, -1) || list[0] == 0 {
			return nil, nil // −1 takes what is left, 0 what there is
		}
		if at = slices.IndexFunc(list, func(d int64) bool { return d > 0 && d%u.batch.Size == 0 }); at < 0 {
			return nil, nil
		}
	}
	raw := slices.Clone(v.Raw)
	binary.LittleEndian.PutUint64(raw[8*at:], uint64(list[at]/u.batch.Size))
	return &tensor.Tensor{DType: v.DType, Shape: v.Shape, Raw: raw}, nil
}

// alike gives the values of the first sample of a constant that has values for each along an axis, all the same.
func (u *unbatching) alike(t *onnxpb.TensorProto, axis int) (*tensor.Tensor, error) {
	v, err := u.m.Tensor(t)
	if err != nil {
		return nil, err
	}
	raw, width := v.LittleEndian(), v.DType.Bits()/8
	if width == 0 {
		return nil, nil
	}
	outer, inner := 1, width
	for _, d := range v.Shape[:axis] {
		outer *= int(d)
	}
	for _, d := range v.Shape[axis+1:] {
		inner *= int(d)
	}
	var one []byte
	for k := range outer {
		rows := raw[k*inner*int(u.batch.Size):]
		for b := 1; b < int(u.batch.Size); b++ {
			if !bytes.Equal(rows[b*inner:(b+1)*inner], rows[:inner]) {
				return nil, fmt.Errorf("its constant %s is another one for each sample of a batch", t.GetName())
			}
		}
		one = append(one, rows[:inner]...)
	}
	shape := slices.Clone(v.Shape)
	shape[axis] = 1
	first, err := tensor.FromLittleEndian(v.DType, shape, one)
	return &first, err
}
