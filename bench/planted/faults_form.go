package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/calib"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/session/cpuvariant"
	"quantcheck/internal/session/qdqvariant"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Faults of the form that a network or its file has: quantized partly; quantizers with a foreign range; NaN; an engine that errs.

func initializer(m *onnx.Model, name string) *onnxpb.TensorProto {
	for _, p := range m.Graph().GetInitializer() {
		if p.GetName() == name {
			return p
		}
	}
	return nil
}

func put(m *onnx.Model, name string, t tensor.Tensor) {
	g := m.Graph()
	g.Initializer = append(slices.DeleteFunc(g.Initializer, func(p *onnxpb.TensorProto) bool { return p.GetName() == name }), onnx.TensorProto(name, t))
}

// quantizers lists the pairs of a file: the float tensor, and the two nodes.
func quantizers(m *onnx.Model) (names []string, of map[string][2]*onnxpb.NodeProto) {
	x := onnx.NewIndex(m)
	of = map[string][2]*onnxpb.NodeProto{}
	for _, n := range x.Nodes {
		if n.GetOpType() != "QuantizeLinear" {
			continue
		}
		for _, k := range x.Consumers[n.GetOutput()[0]] {
			if d := x.Nodes[k]; d.GetOpType() == "DequantizeLinear" {
				names = append(names, n.GetInput()[0])
				of[n.GetInput()[0]] = [2]*onnxpb.NodeProto{n, d}
			}
		}
	}
	return names, of
}

// requantize gives the quantizer of a tensor another range, made of its own, and width.
func requantize(m *onnx.Model, name string, change func(low, high float64) (float64, float64), bits int) error {
	_, of := quantizers(m)
	pair, ok := of[name]
	if !ok {
		if pair, ok = of[name+"_QuantizeLinear_Input"]; !ok {
			return fmt.Errorf("%s has no quantizer", name)
		}
	}
	in := pair[0].GetInput()
	scale, err := m.Tensor(initializer(m, in[1]))
	if err != nil {
		return err
	}
	zero, err := m.Tensor(initializer(m, in[2]))
	if err != nil {
		return err
	}
	z, levels := float64(zero.Raw[0]), 255.0
	if zero.DType == tensor.Uint16 {
		z, levels = z+256*float64(zero.Raw[1]), 65535
	}
	s := float64(scale.F32[0])
	low, high := change(-z*s, (levels-z)*s)
	t := tensor.Tensor{DType: tensor.Uint8, Raw: make([]byte, 1)}
	if levels = 255; bits == 16 {
		t, levels = tensor.Tensor{DType: tensor.Uint16, Raw: make([]byte, 2)}, 65535
	}
	s = (high - low) / levels
	point := int(math.Round(-low / s))
	t.Raw[0] = byte(point)
	if bits == 16 {
		t.Raw[1] = byte(point >> 8)
	}
	put(m, "planted.scale", tensor.Floats([]float32{float32(s)}))
	put(m, "planted.zero", t)
	for _, n := range pair {
		n.Input[1], n.Input[2] = "planted.scale", "planted.zero"
	}
	return nil
}

// plantFusedRange gives a Conv's quantizer in a ready file the range of a Relu, which does not follow.
func plantFusedRange(s *site) error {
	m, err := s.quantized(s.path, "w8a8")
	if err != nil {
		return err
	}
	_, of := quantizers(m)
	var list []string
	for _, conv := range append(s.convs(false), s.convs(true)...) {
		low, high, ok := s.rangeOf(conv)
		users := s.index.Consumers[conv]
		if _, own := of[conv]; !own || !ok || low > -0.3*high || len(users) == 0 {
			continue
		}
		if !slices.ContainsFunc(users, func(k int) bool {
			return slices.Contains([]string{"Relu", "Clip", "BatchNormalization"}, s.index.Nodes[k].GetOpType())
		}) {
			list = append(list, conv)
		}
	}
	conv, err := one(s, list)
	if err != nil {
		return err
	}
	s.where = []string{conv}
	if err := requantize(m, conv, func(_, high float64) (float64, float64) { return 0, high }, 8); err != nil {
		return err
	}
	return s.ready(m)
}

// plantPartlyQuantized leaves the last third of the network float: in the body of an If, or without quantizers in a ready file.
func plantPartlyQuantized(s *site) error {
	if s.name == "text-det" || s.name == "yolox" {
		return branch(s)
	}
	m, err := s.quantized(s.path, "w8a8")
	if err != nil {
		return err
	}
	names, of := quantizers(m)
	rename, gone := map[string]string{}, map[*onnxpb.NodeProto]bool{}
	for _, name := range names[2*len(names)/3:] {
		pair := of[name]
		if slices.Contains(m.Outputs(), pair[1].GetOutput()[0]) {
			continue
		}
		rename[pair[1].GetOutput()[0]] = name
		gone[pair[0]], gone[pair[1]] = true, true
	}
	g := m.Graph()
	g.Node = slices.DeleteFunc(g.Node, func(n *onnxpb.NodeProto) bool { return gone[n] })
	for _, n := range g.Node {
		onnx.RenameUses(n, rename)
	}
	return s.ready(m)
}

// branch puts all that follows a feature map into the body of an If.
func branch(s *site) error {
	list := s.maps(anyOp)
	if len(list) == 0 {
		return errUnfit
	}
	from := list[len(list)*2/3]
	behind := map[string]bool{from: true}
	g := s.model.Graph()
	var body, outside []*onnxpb.NodeProto
	for _, n := range g.GetNode() {
		if slices.ContainsFunc(onnx.Uses(n), func(name string) bool { return behind[name] }) {
			for _, out := range n.GetOutput() {
				behind[out] = true
			}
			body = append(body, n)
		} else {
			outside = append(outside, n)
		}
	}
	out := s.model.Outputs()[0]
	other := "Identity"
	then := &onnxpb.GraphProto{Name: proto.String("then"), Node: body, Output: []*onnxpb.ValueInfoProto{onnx.Untyped(out + ".then")}}
	for _, n := range body {
		for i, o := range n.GetOutput() {
			if o == out {
				n.Output[i] = out + ".then"
			}
		}
		onnx.RenameUses(n, map[string]string{out: out + ".then"})
	}
	els := &onnxpb.GraphProto{Name: proto.String("else"), Node: []*onnxpb.NodeProto{{OpType: &other, Input: []string{from}, Output: []string{out + ".else"}}}, Output: []*onnxpb.ValueInfoProto{onnx.Untyped(out + ".else")}}
	g.Node = outside
	s.node("ReduceMax", "planted.most", []string{from}, "keepdims", 0)
	s.node("Greater", "planted.condition", []string{"planted.most", s.floats("planted.least", []float32{-1e30})})
	s.node("If", out, []string{"planted.condition"}, "then_branch", then, "else_branch", els)
	s.where = []string{out}
	return s.save()
}

// plantNaN puts NaN into a constant, into the operators, or into the samples.
func plantNaN(s *site) error {
	switch s.name {
	case "text-rec": // the logarithm of what may be negative
		at, err := one(s, slices.DeleteFunc(s.maps(anyOp), func(name string) bool { low, _, _ := s.rangeOf(name); return low > -1e-2 }))
		if err != nil {
			return err
		}
		s.kind, s.where = "nan-source", []string{"planted.log"}
		s.splice(at, func(from string) {
			s.node("Log", "planted.log", []string{from})
			s.node("Mul", "planted.twice", []string{"planted.log", s.floats("planted.none", []float32{0}, 1)})
			s.node("Add", at, []string{from, "planted.twice"})
		})
		return s.save()
	case "faces":
		s.kind, s.where = "nan-source", []string{"input"}
		dir := filepath.Join(s.dir, "nan")
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		s.spec.Images = dir
		for i := range samples {
			x := make([]float32, 3*120*160)
			for k := range x {
				x[k] = float32(math.Sin(float64(k*(i+1)) / 50))
			}
			if i == 1 {
				x[s.rng.IntN(len(x))] = float32(math.NaN())
			}
			var b bytes.Buffer
			err := tensor.WriteNpy(&b, tensor.Floats(x, 1, 3, 120, 160))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.npy", i)), b.Bytes(), 0o600)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	conv, err := one(s, s.convs(false))
	if err != nil {
		return err
	}
	name := s.maker(conv).GetInput()[1]
	v, shape := s.values(name)
	v[s.rng.IntN(len(v))] = float32(math.NaN())
	s.replace(name, v, shape)
	s.where = []string{name}
	return s.save()
}

// erring is an engine that computes as ONNX Runtime does, but for one operator.
type erring struct {
	qdqvariant.FromRecipe
	out, op string // the tensor that it computes wrongly, and the operator that it takes for the right one
}

// Build implements session.Builder.
func (e erring) Build(b *session.Session, v *session.Variant, stats *calib.Statistics) error {
	if err := e.FromRecipe.Build(b, v, stats); err != nil {
		return err
	}
	v.Result.Counterpart = 0
	for _, n := range v.Model.Graph().GetNode() {
		if n.GetName() == e.out {
			n.OpType, n.Attribute = &e.op, nil
		}
	}
	return nil
}

// constantOperand says whether a node has a constant among its inputs: what it computes may hardly differ then.
func constantOperand(s *site, n *onnxpb.NodeProto) bool {
	return slices.ContainsFunc(n.GetInput(), func(in string) bool { v, _ := s.values(in); return v != nil })
}

// plantEngineError has an engine compute an operator wrongly.
func plantEngineError(s *site) error {
	wrong := map[string]string{"Exp": "Sigmoid", "Sigmoid": "Tanh", "HardSigmoid": "Tanh", "Add": "Sub", "GlobalAveragePool": "GlobalMaxPool"}
	var list []*onnxpb.NodeProto
	for k, l := range s.plain.Layers {
		if s.plain.Variants[0].Layers[k].Status == result.Compared && wrong[l.Op] != "" && k > len(s.plain.Layers)/4 && s.leads(l.Name) {
			if n := s.maker(l.Name); n != nil && n.GetName() != "" && !constantOperand(s, n) {
				list = append(list, n)
			}
		}
	}
	n, err := one(s, list)
	if err != nil {
		return err
	}
	session.Register(variant.Recipe, "planted", erring{out: n.GetName(), op: wrong[n.GetOpType()]}, cpuvariant.Opener{})
	s.spec.Variants = []string{"w8a8", "w8a8@planted"}
	s.where = n.GetOutput()[:1]
	return nil
}
