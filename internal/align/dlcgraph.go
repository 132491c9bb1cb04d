package align

import (
	"slices"

	"quantcheck/internal/dlc"
)

// dlcGraph is a DLC's first graph, with who makes and who takes a tensor, and which tensors hold the same values.
type dlcGraph struct {
	*dlc.Graph
	file      *dlc.File
	producer  map[string]int
	consumers map[string][]int
	copyOf    map[string]string // tensor → that which it has the same values as, in another layout or type
}

// copying are operators of a DLC whose output has the values of their input: converters add them for layouts and types.
var copying = []string{"Transpose", "Permute", "permute", "Convert", "Quantize", "Dequantize", "Cast", "Reshape"}

func newDLCGraph(file *dlc.File) *dlcGraph {
	g := &dlcGraph{Graph: &file.Graphs[0], file: file, producer: map[string]int{}, consumers: map[string][]int{}, copyOf: map[string]string{}}
	for i, n := range g.Nodes {
		for _, out := range n.Outputs {
			g.producer[out] = i
		}
		for _, in := range n.Inputs {
			if list := g.consumers[in]; len(list) == 0 || list[len(list)-1] != i {
				g.consumers[in] = append(list, i)
			}
		}
		if slices.Contains(copying, n.Type) && len(n.Inputs) > 0 && len(n.Outputs) == 1 {
			g.copyOf[n.Outputs[0]] = n.Inputs[0]
		}
	}
	return g
}

// sources are a tensor and all that it is a copy of.
func (g *dlcGraph) sources(tensor string) []string {
	list := []string{tensor}
	for range g.Nodes {
		from, ok := g.copyOf[tensor]
		if !ok {
			break
		}
		list = append(list, from)
		tensor = from
	}
	return list
}

// related says whether all are copies of the first.
func (g *dlcGraph) related(tensors []string) bool {
	for _, t := range tensors[1:] {
		if !slices.Contains(g.sources(t), tensors[0]) {
			return false
		}
	}
	return true
}

// sameInputs holds the tensors that a layer gets against those that an operator of the DLC gets, which may be copies.
func (g *dlcGraph) sameInputs(ours, theirs []string, anyOrder bool) bool {
	if len(ours) != len(theirs) {
		return false
	}
	used := make([]bool, len(theirs))
	for i, x := range ours {
		ok := false
		for k, y := range theirs {
			if used[k] || !anyOrder && k != i || !slices.Contains(g.sources(y), x) {
				continue
			}
			used[k], ok = true, true
			break
		}
		if !ok {
			return false
		}
	}
	return true
}

// takenAs says whether some operator of the DLC that an ONNX operator can have become takes a tensor, or a copy of it.
func (g *dlcGraph) takenAs(tensor, op string) bool {
	for _, k := range g.consumers[tensor] {
		n := &g.Nodes[k]
		if slices.Contains(copying, n.Type) {
			if len(n.Outputs) == 1 && g.takenAs(n.Outputs[0], op) {
				return true
			}
		} else if becomes(op, n) {
			return true
		}
	}
	return false
}
