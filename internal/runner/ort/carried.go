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

// weighing is how many bytes of constants a session gets at most beside one node's: a session that is freed to make room for others has
// to be compiled again whole.
const weighing = 128 << 20

// weights gives, for each position, what the constants of the nodes before it take; one that several nodes use counts with the first.
func weights(x *onnx.Index) []int64 {
	sums, seen := make([]int64, len(x.Nodes)+1), map[string]bool{}
	for i, n := range x.Nodes {
		sums[i+1] = sums[i]
		for _, name := range onnx.Uses(n) {
			t := x.Initializer[name]
			if t == nil || seen[name] {
				continue
			}
			seen[name] = true
			if n, err := tensor.Count(t.GetDims()); err == nil {
				sums[i+1] += int64(tensor.ByteSize(tensor.DType(t.GetDataType()), n))
			}
		}
	}
	return sums
}

// reach is the last position up to which a piece may go that begins at start: most nodes, and as many bytes of constants as it may have.
func reach(start, most int, sums []int64) int {
	to := start + 1
	for to < start+most && to < len(sums)-1 && sums[to+1]-sums[start] <= weighing {
		to++
	}
	return to
}

// pieces adds positions to those between segments, so that no two are further apart than most nodes, or a session's bytes of constants,
// where that can be. sums are those of weights.
func (c carried) pieces(positions []int, nodes, most int, sums []int64) []int {
	var list []int
	start := 0
	for _, end := range append(append([]int(nil), positions...), nodes) {
		for {
			far := reach(start, most, sums)
			if end <= far {
				break
			}
			at := c.least(start+(far-start+1)/2, far)
			for next := far + 1; at < 0 && next < end; next++ {
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
