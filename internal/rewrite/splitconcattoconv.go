package rewrite

import (
	"slices"

	"quantcheck/internal/onnx/onnxpb"
)

var splitConcatToConv = Pass{
	Name: "split-concat-to-conv", Doubtful: true, Title: "channels that Split, Slices, Gather and Concat, or a channel shuffle, reorder or repeat go into the Conv behind them; asked for by name, what is left becomes a 1×1 Conv", Tolerance: 1e-5,
	Order: "after swap-input-channels: it takes what that has left, and before the fusions for the same reason",
	Why:   "Split, Slice and Concat copy every value; in the weights the order costs nothing. A 1×1 Conv of its own runs on the matrix unit, which pays only where an estimate says so: a shuffle of 64 channels between a Conv and a depthwise Conv from 0.640 M to 0.237 M cycles, RGB to BGR for two readers from 0.756 M to 0.596 M.",
	Doc: `
    Before   x ─ Split or Slices or Gather ─ Concat(order p) ─ Conv(W) ─ y     or   x ─ Reshape ─ Transpose(0,2,1,3,4) ─ Reshape ─ Conv(W) ─ y
    After    x ─ Conv(W') ─ y                                                  W'[:, c, …] = Σ W[:, j, …] over the j with p[j] = c

    Before   x ─ … ─ Concat(order p) ─ y, no such Conv behind it               (only with --pass)
    After    x ─ Conv(P [J,C,1,1]) ─ y                                         P[j, p[j]] = 1, all else 0

Conditions: the parts are of any number of channels, of one tensor, and every channel of it is used; nobody else uses what
lies between. Into the Conv behind: it has one group and constant weights and is the only one that takes the channels; if none
is repeated, element-wise operators may stand before it, as with swap-input-channels. As a Conv of its own: float32 values,
none of them infinite, at most 4 M weights. An order that changes nothing is removed.
`,
	apply: func(s *sweep) error {
		for i, n := range slices.Backward(s.x.Nodes) { // what lies farthest from the source takes the others along
			if !slices.Contains([]string{"Concat", "Gather", "Reshape"}, n.GetOpType()) || n.GetDomain() != "" || !s.free(i) {
				continue
			}
			v, _, err := s.viewOf(n.GetOutput()[0])
			if err != nil {
				return err
			}
			if v == nil || !s.free(v.nodes...) || !v.whole() || !v.complete() {
				continue
			}
			if err := s.order(i, n, v); err != nil {
				return err
			}
		}
		return nil
	},
}

// order takes the operators away that give a view, of which i is the last: it puts the order of the channels into the Conv
// behind it, or makes one.
func (s *sweep) order(i int, n *onnxpb.NodeProto, v *view) error {
	order := v.channels()
	permutes := int64(len(order)) == v.shape[1]
	if v.same() {
		if s.bypass(i, v.from, n.GetOutput()[0]) {
			for _, k := range v.nodes {
				s.replace(k)
			}
			s.changed("%s (%s): the order is as before", nameOf(n), n.GetOpType())
		}
		return nil
	}
	chain, conv, ok, err := s.toConv(n.GetOutput()[0], len(order))
	switch {
	case err != nil:
		return err
	case ok && permutes:
		before := slices.DeleteFunc(slices.Clone(v.nodes), func(k int) bool { return k == i })
		s.moveOrder(i, n, v.from, order, before, chain, conv)
	case ok && len(chain) == 1 && conv.rank == 4: // right behind it
		weight, shape := v.interleaved(conv.weight.F32, conv.weight.Shape)
		c := conv.reshaped(s, chain[0].node, shape, weight, conv.bias)
		c.Input[0] = v.from
		for _, k := range v.nodes {
			s.replace(k)
		}
		s.replace(chain[0].node, c)
		s.changed("%s (%s): %d channels of %d into %s", nameOf(n), n.GetOpType(), len(order), v.shape[1], nameOf(conv.node))
	case !s.asked:
		s.leave(n, "what stands behind it is no Conv that could take the order in; --pass split-concat-to-conv makes it a Conv of its own")
	default:
		putConv(s, i, n, v)
	}
	return nil
}
