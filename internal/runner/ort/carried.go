package ort

import (
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// carried says, for each position between two nodes, what the tensors that are made before it and used behind it take. It is found in one
// walk over the graph, whatever its size.
type carried struct {
	bytes []int64 // by position; the last is the end of the graph
	other []int   // how many of them are no tensors that a session could be given
}

func newCarried(x *onnx.Index, types map[string]onnxruntime.Type) carried {
	c := carried{bytes: make([]int64, len(x.Nodes)+1), other: make([]int, len(x.Nodes)+1)}
	over := func(name string, made int) {
		from, to := made+1, x.LastUser(name) // it is carried over the positions from made+1 to its last user
		if from > to {
			return
		}
		t := types[name]
		size, other := typeBytes(t), 0
		if !t.Tensor || t.DType == tensor.String {
			size, other = 0, 1
		}
		c.bytes[from] += size
		c.other[from] += other
		c.bytes[to+1] -= size
		c.other[to+1] -= other
	}
	for name := range x.Input {
		over(name, -1)
	}
	for i, n := range x.Nodes {
		for _, out := range n.GetOutput() {
			if out != "" {
				over(out, i)
			}
		}
	}
	for at := 1; at < len(c.bytes); at++ {
		c.bytes[at] += c.bytes[at-1]
		c.other[at] += c.other[at-1]
	}
	return c
}

// barred says whether something else than a tensor would have to be carried over a position.
func (c carried) barred(at int) bool { return c.other[at] > 0 }

// least is the position in [from, to] over which least is carried, the last of several; −1 if all are barred.
func (c carried) least(from, to int) int {
	best := -1
	for at := from; at <= to; at++ {
		if !c.barred(at) && (best < 0 || c.bytes[at] <= c.bytes[best]) {
			best = at
		}
	}
	return best
}

// pieceNodes is how many nodes a session gets at most. ONNX Runtime compiles a graph in a time that grows with the square of its nodes
// and initializers: 3,000 nodes with their quantizers take fifteen times as long as 750.
const pieceNodes = 512

// pieces adds positions to those between segments, so that no two are further apart than most nodes, where that can be.
func (c carried) pieces(positions []int, nodes, most int) []int {
	var list []int
	start := 0
	for _, end := range append(append([]int(nil), positions...), nodes) {
		for end-start > most {
			at := c.least(start+most/2, start+most)
			for next := start + most + 1; at < 0 && next < end; next++ {
				if !c.barred(next) {
					at = next
				}
			}
			if at < 0 {
				break
			}
			list = append(list, at)
			start = at
		}
		list = append(list, end)
		start = end
	}
	return list[:len(list)-1]
}
