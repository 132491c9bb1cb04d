package ort

import (
	"math"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// typeBytes is what a tensor of a type takes: 0 if that is not known, the most there is if it cannot be counted.
func typeBytes(t onnxruntime.Type) int64 {
	if !t.Fixed() {
		return 0
	}
	n, err := tensor.Count(t.Shape)
	if err != nil {
		return math.MaxInt64
	}
	return int64(tensor.ByteSize(t.DType, n))
}

// cuts divides the nodes into segments whose taps take about budget bytes each, and gives the positions between
// segments. A cut is made where the tensors that must be carried over it are smallest, within the last half of a
// segment. There is no cut where something else than a tensor would have to be carried.
func cuts(x *onnx.Index, types map[string]onnxruntime.Type, tapped map[string]bool, c carried, budget int64) []int {
	made := make([]int64, len(x.Nodes))
	for i, n := range x.Nodes {
		for _, out := range n.GetOutput() {
			if tapped[out] {
				made[i] += typeBytes(types[out])
			}
		}
	}
	var positions []int
	start := 0
	for start < len(x.Nodes) {
		end, half, sum := start, -1, int64(0)
		for end < len(x.Nodes) && (sum+made[end] <= budget || end == start) {
			sum += made[end]
			end++
			if half < 0 && sum*2 >= budget {
				half = end
			}
		}
		if end == len(x.Nodes) {
			break
		}
		best := c.least(max(half, start+1), end)
		for at := end + 1; best < 0 && at < len(x.Nodes); at++ {
			if !c.barred(at) {
				best = at
			}
		}
		if best < 0 {
			break
		}
		positions = append(positions, best)
		start = best
	}
	return positions
}

// follow puts cuts behind the nodes that make the last tensor of each group, so that segment k holds at least the
// groups up to k.
func follow(x *onnx.Index, groups [][]string) []int {
	var positions []int
	at := 0
	for _, group := range groups[:max(len(groups)-1, 0)] {
		for _, name := range group {
			if p, ok := x.Producer[name]; ok {
				at = max(at, p+1)
			}
		}
		positions = append(positions, at)
	}
	return positions
}

// steps says which of the positions end a segment: the others divide one into pieces.
func steps(segments, all []int) []int {
	ends := make([]int, 0, len(segments)+1)
	k := 0
	for _, end := range segments {
		for all[k] != end {
			k++
		}
		k++
		ends = append(ends, k)
	}
	return append(ends, len(all)+1)
}

// segment is a part of the model with its session.
type segment struct {
	session *compiled // nil if the segment has no nodes whose outputs are wanted
	inputs  []string
	outputs []output
	taps    []string
}

// output is a tensor that a segment makes for a tap, for later segments, or both.
type output struct {
	name  string
	typ   onnxruntime.Type
	users int // later segments that take it, plus one for the tap
	tap   bool
}

// divide makes the segments between the positions.
func divide(r Engine, m *onnx.Model, x *onnx.Index, types map[string]onnxruntime.Type, tapped map[string]bool, positions []int) ([]*segment, error) {
	bounds := append(append([]int{0}, positions...), len(x.Nodes))
	uses := make([][]string, len(bounds)-1) // tensors each segment takes from before
	users := map[string]int{}               // segments that take a tensor which an earlier one made
	for k := range uses {
		uses[k] = taken(x, bounds[k], bounds[k+1])
		for _, name := range uses[k] {
			users[name]++
		}
	}
	var segments []*segment
	for k := range uses {
		s := &segment{inputs: uses[k]}
		for _, n := range x.Nodes[bounds[k]:bounds[k+1]] {
			for _, name := range n.GetOutput() {
				if name == "" {
					continue
				}
				o := output{name: name, typ: types[name], tap: tapped[name], users: users[name]}
				if o.tap {
					o.users++
					s.taps = append(s.taps, name)
				}
				if o.users > 0 {
					s.outputs = append(s.outputs, o)
				}
			}
		}
		if len(s.outputs) > 0 {
			inputs := make([]*onnxpb.ValueInfoProto, len(s.inputs))
			for i, name := range s.inputs {
				inputs[i] = onnx.ValueInfo(name, types[name].DType, types[name].Shape)
			}
			names := make([]string, len(s.outputs))
			for i, o := range s.outputs {
				names[i] = o.name
			}
			var err error
			if s.session, err = compile(r, graph{m: m, x: x, from: bounds[k], to: bounds[k+1], inputs: inputs, outputs: names}); err != nil {
				closeAll(segments)
				return nil, err
			}
			if err := s.settle(types); err != nil {
				closeAll(append(segments, s))
				return nil, err
			}
		}
		segments = append(segments, s)
	}
	return segments, nil
}

// settle asks the session for the types of outputs that are not known.
func (s *segment) settle(types map[string]onnxruntime.Type) error {
	if !slices.ContainsFunc(s.outputs, func(o output) bool { _, known := types[o.name]; return !known }) {
		return nil
	}
	list, err := s.session.OutputTypes()
	if err != nil {
		return err
	}
	for i := range s.outputs {
		s.outputs[i].typ = list[i]
	}
	return nil
}

// taken lists what the nodes [from, to) use and do not make: no initializers.
func taken(x *onnx.Index, from, to int) []string {
	var names []string
	seen := map[string]bool{}
	for _, n := range x.Nodes[from:to] {
		for _, name := range onnx.Uses(n) {
			p, made := x.Producer[name]
			if (made && p < from || x.Input[name]) && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func closeAll(segments []*segment) {
	for _, s := range segments {
		if s.session != nil {
			s.session.Close()
		}
	}
}
