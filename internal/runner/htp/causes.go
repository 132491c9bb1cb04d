package htp

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// What is said of an operator whose refusal shows in those around it only.
const (
	controlFlow = "control flow does not run on the HTP"
	behindRound = "the HTP does not take it, so that the rounding of what it reads stands alone"
)

// causes names, of what the libraries refused, the operators of the model that are the cause. They speak of the dequantized weights of an
// operator that they do not take, and of operators that they have put in themselves.
func causes(m *onnx.Model, refused []Refusal) []Refusal {
	x := onnx.NewIndex(m)
	at := map[string]int{}
	for i, n := range x.Nodes {
		at[n.GetName()] = i
	}
	var list, foreign []Refusal
	add := func(r Refusal) {
		i := slices.IndexFunc(list, func(o Refusal) bool { return o.Node == r.Node })
		switch {
		case i < 0:
			list = append(list, r)
		case list[i].Reason == behindRound && r.Reason != noReason: // it says itself why
			list[i].Reason = r.Reason
		}
	}
	for _, r := range refused {
		i, ours := at[r.Node]
		if !ours {
			foreign = append(foreign, r)
			continue
		}
		if !rounds(x.Nodes[i]) {
			add(r)
			continue
		}
		readers := readersOf(x, x.Nodes[i])
		for _, n := range readers {
			reason := behindRound
			if made := controlled(x, n); made != nil {
				n = made
			}
			if onnx.ControlFlow(n.GetOpType()) {
				reason = controlFlow
			}
			add(Refusal{Node: n.GetName(), Op: n.GetOpType(), Reason: reason})
		}
		if len(readers) == 0 {
			add(r)
		}
	}
	if len(list) == 0 {
		for _, r := range foreign {
			r.Reason += " (ONNX Runtime has put it in to change a tensor's layout)"
			list = append(list, r)
		}
	}
	slices.SortStableFunc(list, func(a, b Refusal) int { return consequence(a) - consequence(b) })
	return list
}

// controlled is the control flow that makes what an operator reads, or reads what it makes; nil: none does. It takes and makes real
// numbers, so that the operator beside it is not taken for a quantized one, and the rounding of its weights stands alone.
func controlled(x *onnx.Index, n *onnxpb.NodeProto) *onnxpb.NodeProto {
	for _, out := range n.GetOutput() {
		for _, k := range x.Consumers[out] {
			if onnx.ControlFlow(x.Nodes[k].GetOpType()) {
				return x.Nodes[k]
			}
		}
	}
	for _, in := range n.GetInput() {
		if k, made := x.Producer[in]; made && onnx.ControlFlow(x.Nodes[k].GetOpType()) {
			return x.Nodes[k]
		}
	}
	return nil
}

func rounds(n *onnxpb.NodeProto) bool {
	return n.GetOpType() == "QuantizeLinear" || n.GetOpType() == "DequantizeLinear"
}

// readersOf are the operators that read what a rounding makes, behind further roundings.
func readersOf(x *onnx.Index, n *onnxpb.NodeProto) []*onnxpb.NodeProto {
	var list []*onnxpb.NodeProto
	seen := map[int]bool{}
	var walk func(n *onnxpb.NodeProto)
	walk = func(n *onnxpb.NodeProto) {
		for _, out := range n.GetOutput() {
			for _, k := range x.Consumers[out] {
				if seen[k] {
					continue
				}
				seen[k] = true
				if rounds(x.Nodes[k]) {
					walk(x.Nodes[k])
				} else {
					list = append(list, x.Nodes[k])
				}
			}
		}
	}
	walk(n)
	return list
}
