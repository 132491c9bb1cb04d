package rewrite

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

var swapInputChannels = Pass{
	Name: "swap-input-channels", Title: "a Split and Concat, or a Gather, that reorders channels goes into the kernel of the Conv behind it", Tolerance: 1e-5,
	Order: "before the fusions in front of Conv, whose constants it may have to reorder",
	Why:   "Converters put Split and Concat in front of a model to turn RGB into BGR; on the DSP they copy the whole picture and take a large share of the time.",
	Doc: `
    Before   x ─ Split ─ Concat(order p) ─ … ─ Conv(W) ─ y         or   x ─ Gather(p, axis 1) ─ … ─ Conv(W) ─ y
    After    x ─ … ─ Conv(W') ─ y                                  W'[:, p[j], …] = W[:, j, …]

Conditions: the Split makes one channel each, all of them go into the Concat and nowhere else; between it and the Conv stand
only element-wise operators with one consumer, whose constants are scalar or one per channel (these are reordered too); the
Conv has one group and constant weights.
`,
	apply: func(s *sweep) error {
		for i, n := range s.x.Nodes {
			from, order, before, err := s.reorder(i, n)
			if err != nil {
				return err
			}
			if order == nil || !s.free(append(before, i)...) {
				continue
			}
			chain, conv, ok, err := s.toConv(n.GetOutput()[0], len(order))
			if err != nil {
				return err
			}
			if !ok {
				s.leave(n, "what stands behind it is no Conv that could take the order in")
				continue
			}
			if slices.IsSorted(order) { // it changes nothing
				conv = nil
			}
			s.moveOrder(i, n, from, order, before, chain, conv)
		}
		return nil
	},
}

// link is an element-wise operator on the way, with the constant that has one value per channel, −1 if it has none.
type link struct{ node, constant int }

// reorder recognizes an operator that gives the channels of `from` in another order; before are operators that go with it.
func (f *facts) reorder(i int, n *onnxpb.NodeProto) (from string, order []int, before []int, err error) {
	switch n.GetOpType() {
	case "Gather":
		if onnx.AttrInt(n, "axis", 0) != 1 || len(n.GetInput()) != 2 {
			return "", nil, nil, nil
		}
		indices, ok, err := f.ints(n.GetInput()[1])
		shape, known := f.shapes(n.GetInput()[0])
		if err != nil || !ok || !known || len(shape) < 3 || int64(len(indices)) != shape[1] || len(f.x.Initializer[n.GetInput()[1]].GetDims()) != 1 {
			return "", nil, nil, err
		}
		for _, c := range indices {
			order = append(order, int(c))
		}
		from = n.GetInput()[0]
	case "Concat":
		if onnx.AttrInt(n, "axis", 0) != 1 || len(n.GetInput()) < 2 {
			return "", nil, nil, nil
		}
		split, made := f.x.Producer[n.GetInput()[0]]
		if !made || f.x.Nodes[split].GetOpType() != "Split" || onnx.AttrInt(f.x.Nodes[split], "axis", 0) != 1 {
			return "", nil, nil, nil
		}
		parts := f.x.Nodes[split].GetOutput()
		from = f.x.Nodes[split].GetInput()[0]
		shape, known := f.shapes(from)
		if !known || len(shape) < 3 || shape[1] != int64(len(parts)) || len(parts) != len(n.GetInput()) {
			return "", nil, nil, nil
		}
		for _, in := range n.GetInput() {
			k, sole := f.x.SoleConsumer(in)
			at := slices.Index(parts, in)
			if !sole || k != i || at < 0 {
				return "", nil, nil, nil
			}
			order = append(order, at)
		}
		before = []int{split}
	default:
		return "", nil, nil, nil
	}
	seen := slices.Clone(order)
	slices.Sort(seen)
	for k, c := range seen {
		if k != c {
			return "", nil, nil, nil // no permutation
		}
	}
	return from, order, before, nil
}

// unary are element-wise operators that treat every channel alike.
var unary = []string{"Relu", "LeakyRelu", "Sigmoid", "Tanh", "Abs", "Neg", "Exp", "Sqrt", "Clip", "Cast", "Identity", "HardSigmoid", "HardSwish", "Elu"}

// toConv follows element-wise operators to the Conv behind them.
func (s *sweep) toConv(name string, channels int) ([]link, *linear, bool, error) {
	var chain []link
	for {
		k, sole := s.sole(name)
		if !sole {
			return nil, nil, false, nil
		}
		n := s.x.Nodes[k]
		if n.GetOpType() == "Conv" {
			l, ok, err := s.linearOf(k)
			if err != nil || !ok || n.GetInput()[0] != name || onnx.AttrInt(n, "group", 1) != 1 || l.inputs != channels {
				return nil, nil, false, err
			}
			return append(chain, link{k, -1}), l, true, nil
		}
		one := link{k, -1}
		switch {
		case slices.Contains(unary, n.GetOpType()):
		case slices.Contains([]string{"Mul", "Div", "Add", "Sub"}, n.GetOpType()) && len(n.GetInput()) == 2:
			at := 0
			if n.GetInput()[0] == name {
				at = 1
			}
			c, ok, err := s.constant(n.GetInput()[at])
			if err != nil || !ok {
				return nil, nil, false, err
			}
			shape, known := s.shapes(name)
			if !known {
				return nil, nil, false, nil
			}
			if _, ok := perChannel(c, int64(channels), len(shape), 1); !ok {
				return nil, nil, false, nil
			}
			if len(c.F32) > 1 {
				one.constant = at
			}
		default:
			return nil, nil, false, nil
		}
		chain = append(chain, one)
		name = n.GetOutput()[0]
	}
}

// moveOrder removes the reordering at node i and puts it into the Conv and the constants on the way; without a Conv it only
// removes it.
func (s *sweep) moveOrder(i int, n *onnxpb.NodeProto, from string, order, before []int, chain []link, conv *linear) {
	s.rename[n.GetOutput()[0]] = from
	s.replace(i)
	for _, b := range before {
		s.replace(b)
	}
	s.changed("%s (%s): channels %v", nameOf(n), n.GetOpType(), order)
	for _, one := range chain {
		s.touch(one.node)
	}
	if conv == nil {
		return
	}
	for _, one := range chain[:len(chain)-1] {
		if one.constant < 0 {
			continue
		}
		c := proto.CloneOf(s.x.Nodes[one.node])
		old := c.GetInput()[one.constant]
		value, _, _ := s.constant(old) // it was read before
		turned := value.Clone()
		for j, p := range order {
			turned.F32[p] = value.F32[j]
		}
		c.Input[one.constant] = s.put(old, one.node, turned)
		s.replace(one.node, c)
	}
	k := chain[len(chain)-1].node
	s.replace(k, conv.rewritten(s, k, conv.reordered(order), conv.bias))
}

// reordered gives the weights for an input whose channel p[j] holds what was channel j.
func (l *linear) reordered(order []int) []float64 {
	kernel := 1
	for _, d := range l.weight.Shape[2:] {
		kernel *= int(d)
	}
	inputs := int(l.weight.Shape[1])
	weight := make([]float64, len(l.weight.F32))
	for e, w := range l.weight.F32 {
		j := e / kernel % inputs
		weight[e+(order[j]-j)*kernel] = float64(w)
	}
	return weight
}

// SwapInput gives the model that takes its picture with the three channels in reverse order: the kernels behind the input
// are turned. input names the graph input.
func SwapInput(m *onnx.Model, input string, env Env) (*onnx.Model, error) {
	p := Pass{Name: "the colours of the input", apply: func(s *sweep) error {
		var turn func(name string) error
		turn = func(name string) error {
			users := s.x.Consumers[name]
			if len(users) == 0 || s.x.Output[name] {
				return fmt.Errorf("%s goes where its channels cannot be turned", name)
			}
			for _, k := range users {
				n := s.x.Nodes[k]
				if s.touched[k] {
					return fmt.Errorf("%s takes the picture twice", nameOf(n))
				}
				l, ok, err := s.linearOf(k)
				switch {
				case err != nil:
					return err
				case ok && n.GetOpType() == "Conv" && onnx.AttrInt(n, "group", 1) == 1 && l.inputs == 3 && n.GetInput()[0] == name:
					s.replace(k, l.rewritten(s, k, l.reordered([]int{2, 1, 0}), l.bias))
					s.changed("%s", nameOf(n))
				case slices.Contains(unary, n.GetOpType()):
					s.touch(k)
					if err := turn(n.GetOutput()[0]); err != nil {
						return err
					}
				case slices.Contains([]string{"Mul", "Div", "Add", "Sub"}, n.GetOpType()) && len(n.GetInput()) == 2:
					if err := s.turnConstant(k, name); err != nil {
						return err
					}
					if err := turn(n.GetOutput()[0]); err != nil {
						return err
					}
				default:
					return fmt.Errorf("%s (%s) stands between the picture and the first Conv; its channels cannot be turned", nameOf(n), n.GetOpType())
				}
			}
			return nil
		}
		return turn(input)
	}}
	r, err := p.Run(m, env)
	if err != nil {
		return nil, err
	}
	return r.Model, nil
}

// turnConstant reverses the constant of an element-wise operator if it has one value per channel.
func (s *sweep) turnConstant(k int, name string) error {
	n := s.x.Nodes[k]
	at := 0
	if n.GetInput()[0] == name {
		at = 1
	}
	c, ok, err := s.constant(n.GetInput()[at])
	if err != nil {
		return err
	}
	shape, known := s.shapes(name)
	if !ok || !known {
		return fmt.Errorf("%s (%s) takes something else than constants", nameOf(n), n.GetOpType())
	}
	if _, ok := perChannel(c, 3, len(shape), 1); !ok {
		return fmt.Errorf("the constant of %s (%s) varies along more than the channels", nameOf(n), n.GetOpType())
	}
	s.touch(k)
	if len(c.F32) == 1 {
		return nil
	}
	d := proto.CloneOf(n)
	turned := c.Clone()
	slices.Reverse(turned.F32)
	d.Input[at] = s.put(n.GetInput()[at], k, tensor.Floats(turned.F32, c.Shape...))
	s.replace(k, d)
	return nil
}
