package onnx

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// Raised is what Raise changed.
type Raised struct {
	Types     []tensor.DType // that were there: Float16, BFloat16, both; none: nothing was changed
	Constants int            // initializers and constants of nodes
	Casts     int            // that made half precision of other numbers
}

// Raise gives the model with single precision (float32) in place of half precision (float16, bfloat16): its constants, of which that
// changes no value, the types of inputs and outputs, and the types that nodes name, as Cast does; in subgraphs and functions
// too. What a Cast to half precision rounded is not rounded any more. A model without half precision is given back as it is.
func Raise(m *Model) (*Model, Raised, error) {
	found := FindHalves(m)
	if len(found.Types) == 0 {
		return m, found, nil
	}
	raised := &Model{Proto: proto.CloneOf(m.Proto), Path: m.Path, SHA256: m.SHA256}
	change := halves{
		constant: func(t *onnxpb.TensorProto) error {
			values, err := m.Tensor(t)
			if err != nil {
				return err
			}
			floats, _ := values.AsFloat32()
			name := t.Name
			proto.Reset(t)
			proto.Merge(t, TensorProto("", tensor.Floats(floats, values.Shape...)))
			t.Name = name
			return nil
		},
		kind:  func(t *onnxpb.TypeProto_Tensor) { t.ElemType = proto.Int32(int32(tensor.Float32)) },
		names: func(_ *onnxpb.NodeProto, a *onnxpb.AttributeProto) { a.I = proto.Int64(int64(tensor.Float32)) },
	}
	return raised, found, change.model(raised.Proto)
}

// FindHalves says what a model has in half precision.
func FindHalves(m *Model) Raised {
	var found Raised
	look := halves{
		constant: func(t *onnxpb.TensorProto) error { found.saw(t.GetDataType()); found.Constants++; return nil },
		kind:     func(t *onnxpb.TypeProto_Tensor) { found.saw(t.GetElemType()) },
		names: func(n *onnxpb.NodeProto, a *onnxpb.AttributeProto) {
			found.saw(int32(a.GetI()))
			if n.GetOpType() == "Cast" {
				found.Casts++
			}
		},
	}
	_ = look.model(m.Proto) // none of these fails
	slices.Sort(found.Types)
	return found
}

func (r *Raised) saw(d int32) {
	if !slices.Contains(r.Types, tensor.DType(d)) {
		r.Types = append(r.Types, tensor.DType(d))
	}
}

// halves walks over what is in half precision.
type halves struct {
	constant func(*onnxpb.TensorProto) error
	kind     func(*onnxpb.TypeProto_Tensor)                  // of an input, an output, a tensor between
	names    func(*onnxpb.NodeProto, *onnxpb.AttributeProto) // a node's attribute names the type
}

// typed are the attributes that name a type of tensors.
var typed = []string{"to", "dtype", "output_dtype", "output_datatype", "stash_type"}

func half(d int32) bool {
	return tensor.DType(d) == tensor.Float16 || tensor.DType(d) == tensor.BFloat16
}

func (h halves) model(m *onnxpb.ModelProto) error {
	for _, f := range m.GetFunctions() {
		if err := h.nodes(f.GetNode()); err != nil {
			return err
		}
	}
	return h.graph(m.GetGraph())
}

func (h halves) graph(g *onnxpb.GraphProto) error {
	for _, list := range [][]*onnxpb.ValueInfoProto{g.GetInput(), g.GetOutput(), g.GetValueInfo()} {
		for _, v := range list {
			if t := v.GetType().GetTensorType(); half(t.GetElemType()) {
				h.kind(t)
			}
		}
	}
	if err := h.tensors(g.GetInitializer()...); err != nil {
		return err
	}
	for _, t := range g.GetSparseInitializer() {
		if err := h.tensors(t.GetValues()); err != nil {
			return err
		}
	}
	return h.nodes(g.GetNode())
}

func (h halves) nodes(list []*onnxpb.NodeProto) error {
	for _, n := range list {
		for _, a := range n.GetAttribute() {
			if a.I != nil && slices.Contains(typed, a.GetName()) && half(int32(a.GetI())) {
				h.names(n, a)
			}
			if err := h.tensors(append([]*onnxpb.TensorProto{a.GetT(), a.GetSparseTensor().GetValues()}, a.GetTensors()...)...); err != nil {
				return err
			}
			for _, g := range append([]*onnxpb.GraphProto{a.GetG()}, a.GetGraphs()...) {
				if err := h.graph(g); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (h halves) tensors(list ...*onnxpb.TensorProto) error {
	for _, t := range list {
		if t != nil && half(t.GetDataType()) {
			if err := h.constant(t); err != nil {
				return err
			}
		}
	}
	return nil
}

// WithInputTypes gives the model with inputs of these types, by name: a Cast behind such an input makes the type of before. A model
// that has the types already is given back as it is.
func WithInputTypes(m *Model, types map[string]tensor.DType) *Model {
	rename := map[string]string{}
	used := NewNames(m)
	var inputs []*onnxpb.ValueInfoProto
	var nodes []*onnxpb.NodeProto
	for _, in := range m.Graph().GetInput() {
		name := in.GetName()
		d, shape, ok := TypeOf(in)
		want, asked := types[name]
		if ok && asked && want != d {
			rename[name] = used.Unique(name + "_as_" + d.String())
			nodes = append(nodes, &onnxpb.NodeProto{
				OpType: proto.String("Cast"), Name: proto.String(rename[name]), Input: []string{name}, Output: []string{rename[name]}, Attribute: []*onnxpb.AttributeProto{IntAttr("to", int64(d))},
			})
			in = ValueInfo(name, want, shape)
		}
		inputs = append(inputs, in)
	}
	if len(rename) == 0 {
		return m
	}
	g := m.Graph()
	for _, n := range g.GetNode() {
		if slices.ContainsFunc(Uses(n), func(in string) bool { return rename[in] != "" }) {
			n = proto.CloneOf(n)
			RenameUses(n, rename)
		}
		nodes = append(nodes, n)
	}
	c := m.With(&onnxpb.GraphProto{Name: g.Name, Node: nodes, Initializer: g.GetInitializer(), SparseInitializer: g.GetSparseInitializer(), Input: inputs, Output: g.GetOutput()})
	c.SHA256 = m.SHA256
	return c
}

// RenameUses has a node, which it changes, take other tensors, in its subgraphs too.
func RenameUses(n *onnxpb.NodeProto, rename map[string]string) {
	for i, in := range n.GetInput() {
		if to, ok := rename[in]; ok {
			n.Input[i] = to
		}
	}
	for _, a := range n.GetAttribute() {
		for _, g := range append(a.GetGraphs(), a.GetG()) {
			for _, inner := range g.GetNode() {
				RenameUses(inner, rename)
			}
			for _, out := range g.GetOutput() { // a subgraph may hand a tensor of the graph around it on
				if to, ok := rename[out.GetName()]; ok {
					out.Name = &to
				}
			}
		}
	}
}
