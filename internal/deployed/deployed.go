// Package deployed makes the form in which a model runs on a device. DepthAI, and SNPE with native buffers, hand integers over in the order N, H, W, C
// and take them back so; a float model in half precision takes float tensors in that order. Whoever asks what a deployed model costs asks for
// this form: a conversion from float and a change of the axes in front of the first operator cost more than a small network.
package deployed

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/qdq"
)

// Port is an input or output of a model as it runs.
type Port struct {
	Name  string  `json:"name"` // of the model's own input or output
	Type  string  `json:"type"` // of its elements: "uint8", "float32"
	Shape []int64 `json:"shape"`
}

// Ports are the inputs and outputs of a form.
type Ports struct {
	Inputs  []Port `json:"inputs"`
	Outputs []Port `json:"outputs"`
}

// Form gives the form of a model, float or QDQ, whose inputs and outputs have known shapes. Those of rank 4 have their channels last; those that a
// quantizer stands beside are integers. Names of nodes stay; new ones are added. The error is that of a quantizer which cannot be read.
func Form(m *onnx.Model) (*onnx.Model, Ports, error) {
	m, err := ChannelsLast(m)
	if err != nil {
		return nil, Ports{}, err
	}
	b, err := qdq.Integers(m, m.Outputs())
	if err != nil {
		return nil, Ports{}, err
	}
	ports := AsItIs(m)
	for i, p := range b.Outputs {
		if p.Grid != nil {
			ports.Outputs[i].Type = p.Grid.DType.String()
		}
	}
	for _, p := range b.Inputs {
		k := slices.IndexFunc(ports.Inputs, func(in Port) bool { return in.Name == p.Tensor })
		if p.Grid != nil && k >= 0 {
			ports.Inputs[k].Type = p.Grid.DType.String()
		}
	}
	return b.Model, ports, nil
}

// AsItIs lists the inputs and outputs of a model as they are declared.
func AsItIs(m *onnx.Model) Ports {
	return Ports{ports(m.Inputs()), ports(m.Graph().GetOutput())}
}

func ports(list []*onnxpb.ValueInfoProto) []Port {
	of := make([]Port, len(list))
	for i, v := range list {
		d, shape, _ := onnx.TypeOf(v)
		of[i] = Port{v.GetName(), d.String(), shape}
	}
	return of
}

// The permutations between the two orders of axes.
var (
	toFirst = []int64{0, 3, 1, 2} // N, H, W, C to N, C, H, W
	toLast  = []int64{0, 2, 3, 1}
)

// ChannelsLast gives a model whose inputs and outputs of rank 4 have their channels last: a Transpose stands between them and the graph. On the way
// the tensor is quantized as beside it, so that the Transpose moves integers. An input with at most four values on its last axis, and more on its
// second, is taken to have its channels last already. The error is that of a quantizer which cannot be read.
func ChannelsLast(m *onnx.Model) (*onnx.Model, error) {
	x := onnx.NewIndex(m)
	e := edit{m: m, x: x, used: onnx.NewNames(m), rename: map[string]string{}}
	var inputs, outputs []*onnxpb.ValueInfoProto
	var front, behind []*onnxpb.NodeProto
	for _, in := range m.Inputs() {
		d, shape, ok := onnx.TypeOf(in)
		if !ok || !channelsFirst(shape) || x.Output[in.GetName()] {
			inputs = append(inputs, in)
			continue
		}
		inputs = append(inputs, onnx.ValueInfo(in.GetName(), d, permuted(shape, toLast)))
		nodes, err := e.input(in.GetName())
		if err != nil {
			return nil, err
		}
		front = append(front, nodes...)
	}
	produced := map[string]string{} // outputs that are made under another name
	for _, out := range m.Graph().GetOutput() {
		d, shape, ok := onnx.TypeOf(out)
		_, made := x.Producer[out.GetName()]
		if !ok || !made || !channelsFirst(shape) {
			outputs = append(outputs, out)
			continue
		}
		outputs = append(outputs, onnx.ValueInfo(out.GetName(), d, permuted(shape, toLast)))
		behind = append(behind, e.output(out.GetName(), produced)...)
	}
	if len(front)+len(behind) == 0 {
		return m, nil
	}
	nodes := front
	for _, n := range x.Nodes {
		c := proto.CloneOf(n)
		onnx.RenameUses(c, e.rename)
		onnx.RenameUses(c, produced)
		for i, o := range c.GetOutput() {
			if to, ok := produced[o]; ok {
				c.Output[i] = to
			}
		}
		nodes = append(nodes, c)
	}
	after := onnx.Rebuild(m, append(nodes, behind...))
	after.Graph().Input, after.Graph().Output = inputs, outputs
	return after, nil
}

// channelsFirst says whether a shape is that of maps with their channels on the second axis.
func channelsFirst(shape []int64) bool {
	if len(shape) != 4 {
		return false
	}
	for _, d := range shape {
		if d <= 0 {
			return false
		}
	}
	return shape[3] > 4 || shape[1] <= 4
}

func permuted(shape, perm []int64) []int64 {
	list := make([]int64, len(perm))
	for i, p := range perm {
		list[i] = shape[p]
	}
	return list
}

// edit is what is put between a graph and its inputs and outputs.
type edit struct {
	m      *onnx.Model
	x      *onnx.Index
	used   onnx.Names
	rename map[string]string // uses of inputs
}

// input gives the nodes between an input and what uses it.
func (e edit) input(name string) ([]*onnxpb.NodeProto, error) {
	turned := e.used.Unique(name + "_nchw")
	e.rename[name] = turned
	from, nodes := name, []*onnxpb.NodeProto(nil)
	_, grid, err := qdq.Entry(e.m, e.x, name)
	if err != nil {
		return nil, err
	}
	if p, ok := qdq.PairBehind(e.x, name); ok && grid != nil {
		nodes, from = p.Again(e.used, name, name+"_nhwc")
	}
	return append(nodes, onnx.Transpose(e.used.Unique(name+"_to_nchw"), from, turned, toFirst)), nil
}

// output gives the nodes behind a tensor, which is called otherwise from then on, that make the output.
func (e edit) output(name string, produced map[string]string) []*onnxpb.NodeProto {
	own := e.used.Unique(name + "_nchw")
	produced[name] = own
	label := e.used.Unique(name + "_to_nhwc")
	p, ok := qdq.PairBefore(e.x, name)
	if !ok {
		return []*onnxpb.NodeProto{onnx.Transpose(label, own, name, toLast)}
	}
	turned := e.used.Unique(name + "_nhwc")
	nodes, _ := p.Again(e.used, turned, name)
	nodes[1].Output[0] = name
	return append([]*onnxpb.NodeProto{onnx.Transpose(label, own, turned, toLast)}, nodes...)
}
