package qdq

import (
	"bytes"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/quant"
	"quantcheck/internal/tensor"
)

// Boundary is a quantized model as a device runs it: integers go in and come out, and whoever runs it quantizes and
// dequantizes outside, in float32.
//
//	float graph:     x ─► Q ─► DQ ─► op ─► Q ─► DQ ─► y
//	boundary graph:       x' ─► DQ ─► op ─► y'
//
// It takes a quarter of the memory, and no rounding of the engine's own stands between the values and their grid.
type Boundary struct {
	Model   *onnx.Model
	Inputs  []Port
	Outputs []Port // parallel to the tensors that were asked for
}

// Port is an input or output of a boundary graph.
type Port struct {
	Name   string      // in the boundary graph
	Tensor string      // the float tensor that it carries
	Grid   *quant.Grid // nil: the float tensor itself
}

// Integers gives the boundary graph of a model whose outputs are the given tensors.
func Integers(m *onnx.Model, taps []string) (*Boundary, error) { return integers(m, taps, false) }

// FlatIntegers is Integers with every output behind a Reshape to one axis, which keeps its values in their order. ONNX Runtime moves a
// Transpose to the end of a graph, between a quantizer and the output behind it, where the HTP refuses it; over a Reshape it moves none.
func FlatIntegers(m *onnx.Model, taps []string) (*Boundary, error) { return integers(m, taps, true) }

func integers(m *onnx.Model, taps []string, flat bool) (*Boundary, error) {
	x := onnx.NewIndex(m)
	b := &Boundary{}
	gone := map[*onnxpb.NodeProto]bool{}
	rename := map[string]string{}
	var inputs []*onnxpb.ValueInfoProto
	for _, in := range m.Inputs() {
		p := Port{Name: in.GetName(), Tensor: in.GetName()}
		first, grid, err := Entry(m, x, in.GetName())
		if err != nil {
			return nil, err
		}
		if grid != nil {
			p.Name, p.Grid = first.GetOutput()[0], grid
			for _, k := range x.Consumers[in.GetName()] {
				gone[x.Nodes[k]] = true
				rename[x.Nodes[k].GetOutput()[0]] = p.Name
			}
			_, shape, _ := onnx.TypeOf(in)
			in = onnx.ValueInfo(p.Name, grid.DType, shape)
		}
		inputs = append(inputs, in)
		b.Inputs = append(b.Inputs, p)
	}
	var outputs []*onnxpb.ValueInfoProto
	listed, repeated, used := map[string]bool{}, map[string]string{}, onnx.NewNames(m)
	var added []*onnxpb.NodeProto
	one := onnx.TensorProto(used.Unique("flat_shape"), tensor.Tensor{DType: tensor.Int64, Shape: []int64{1}, Raw: bytes.Repeat([]byte{0xff}, 8)}) // −1: all in one axis
	for _, tap := range taps {
		p := Port{Name: tap, Tensor: tap}
		var quantizer *onnxpb.NodeProto
		if k, ok := x.Producer[tap]; ok && x.Nodes[k].GetOpType() == "DequantizeLinear" {
			n := x.Nodes[k]
			if maker, made := x.Producer[n.GetInput()[0]]; made && !gone[x.Nodes[maker]] {
				grid, err := gridOf(m, x, n)
				if err != nil {
					return nil, err
				}
				if grid != nil {
					p.Name, p.Grid, quantizer = n.GetInput()[0], grid, x.Nodes[maker]
				}
				if grid != nil && !flat && dequantized(x, x.Nodes[maker]) {
					if repeated[tap] == "" {
						repeated[tap] = used.Unique(tap + againSuffix)
						added = append(added, again(tap, used.Unique(tap+"_joined"), repeated[tap], x.Nodes[maker])...)
					}
					p.Name = repeated[tap]
				}
			}
		}
		if flat {
			if repeated[tap] == "" {
				var behind []*onnxpb.NodeProto
				repeated[tap], behind = flattened(used, tap, one.GetName(), quantizer)
				added = append(added, behind...)
			}
			p.Name = repeated[tap]
		}
		if !listed[p.Name] {
			listed[p.Name] = true
			outputs = append(outputs, onnx.Untyped(p.Name))
		}
		b.Outputs = append(b.Outputs, p)
	}
	var nodes []*onnxpb.NodeProto
	for _, n := range x.Nodes {
		if gone[n] {
			continue
		}
		c := n
		for i, in := range n.GetInput() {
			if to, ok := rename[in]; ok && to != in {
				if c == n {
					c = proto.CloneOf(n)
				}
				c.Input[i] = to
			}
		}
		nodes = append(nodes, c)
	}
	nodes, taken := needed(append(nodes, added...), outputs)
	for i := len(inputs) - 1; i >= 0; i-- { // an input that nothing takes is none
		if !taken[inputs[i].GetName()] {
			inputs, b.Inputs = slices.Delete(inputs, i, i+1), slices.Delete(b.Inputs, i, i+1)
		}
	}
	after := onnx.Rebuild(m, nodes, one)
	after.Graph().Input, after.Graph().Output = inputs, outputs
	b.Model = after
	return b, nil
}

// againSuffix names a tensor that was quantized once more on the same grid.
const againSuffix = "_again"

// again gives a tensor that a quantizer made of another width's once more, as to and through joined, by an operator that changes nothing. The HTP gives
// tensors to the outside in another layout than its own, and refuses to bring one into that between two widths.
func again(tap, joined, to string, quantizer *onnxpb.NodeProto) []*onnxpb.NodeProto {
	join := &onnxpb.NodeProto{OpType: proto.String("Concat"), Name: proto.String(joined), Input: []string{tap}, Output: []string{joined}, Attribute: []*onnxpb.AttributeProto{onnx.IntAttr("axis", 0)}}
	q := proto.CloneOf(quantizer)
	q.Name, q.Input[0], q.Output[0] = proto.String(to), joined, to
	return []*onnxpb.NodeProto{join, q}
}

// flattened gives a tensor with one axis, on the grid of its quantizer if it has one, under the name that is returned.
func flattened(used onnx.Names, tap, shape string, quantizer *onnxpb.NodeProto) (string, []*onnxpb.NodeProto) {
	name := used.Unique(tap + "_flat")
	nodes := []*onnxpb.NodeProto{{OpType: proto.String("Reshape"), Name: proto.String(name), Input: []string{tap, shape}, Output: []string{name}}}
	if quantizer != nil {
		q := proto.CloneOf(quantizer)
		q.Input[0] = name
		name = used.Unique(name + "_quantized")
		q.Name, q.Output[0] = proto.String(name), name
		nodes = append(nodes, q)
	}
	return name, nodes
}

// dequantized says whether what a node takes comes from an activation's quantizer.
func dequantized(x *onnx.Index, n *onnxpb.NodeProto) bool {
	p, made := x.Producer[n.GetInput()[0]]
	return made && x.Nodes[p].GetOpType() == "DequantizeLinear" && x.Initializer[x.Nodes[p].GetInput()[0]] == nil
}

// Entry finds the grid that a graph input is put on, and the first quantizer that does, if all that use the input put it on the same one.
func Entry(m *onnx.Model, x *onnx.Index, name string) (*onnxpb.NodeProto, *quant.Grid, error) {
	var first *onnxpb.NodeProto
	var grid *quant.Grid
	if x.Output[name] {
		return nil, nil, nil
	}
	for _, k := range x.Consumers[name] {
		n := x.Nodes[k]
		if n.GetOpType() != "QuantizeLinear" || n.GetInput()[0] != name {
			return nil, nil, nil
		}
		g, err := gridOf(m, x, n)
		if err != nil || g == nil {
			return nil, nil, err
		}
		if first == nil {
			first, grid = n, g
		} else if *g != *grid {
			return nil, nil, nil
		}
	}
	return first, grid, nil
}

// gridOf reads a Q or DQ node's grid, nil if it is none of one scale and a type of 8 or 16 bits.
func gridOf(m *onnx.Model, x *onnx.Index, n *onnxpb.NodeProto) (*quant.Grid, error) {
	scales, zeros, d, err := scalesAndZeros(m, x, n, tensor.Uint8)
	if err != nil || len(scales) != 1 {
		return nil, err
	}
	g := &quant.Grid{DType: d, Scale: scales[0], Zero: int32(zeros[0])}
	if !g.Known() {
		return nil, nil
	}
	return g, nil
}

// needed leaves out the nodes that no output depends on: a device would refuse, or compute for nothing, what is left over.
// It gives the names of all tensors that are left, too.
func needed(nodes []*onnxpb.NodeProto, outputs []*onnxpb.ValueInfoProto) (kept []*onnxpb.NodeProto, wanted map[string]bool) {
	wanted = map[string]bool{}
	for _, o := range outputs {
		wanted[o.GetName()] = true
	}
	keep := make([]bool, len(nodes))
	for i := len(nodes) - 1; i >= 0; i-- {
		for _, out := range nodes[i].GetOutput() {
			keep[i] = keep[i] || out != "" && wanted[out]
		}
		if keep[i] {
			for _, in := range onnx.Uses(nodes[i]) {
				wanted[in] = true
			}
		}
	}
	for i, n := range nodes {
		if keep[i] {
			kept = append(kept, n)
		}
	}
	return kept, wanted
}
