package ort

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/tensor"
)

// isolating is an engine that can start another one, of a process of its own, with an earlier limit; close ends it.
type isolating interface {
	Apart(limit time.Duration) (other Engine, end func(), err error)
}

// How long is looked for the node at which a graph fails, and how long one try may take.
const (
	locating   = 10 * time.Second
	oneLocated = 2 * time.Second
)

// locate finds the node at which a graph ends its process, or does not end, and gives the error with that node. Beginnings of the
// graph are tried, each in a process of its own: they are run if the graph's inputs are given, else compiled only. Nil: the graph
// alone does not fail, so it was not this one.
func (g graph) locate(ctx context.Context, e Engine, failed error, inputs []tensor.Tensor) error {
	i, ok := e.(isolating)
	if !ok {
		return failed
	}
	deadline := time.Now().Add(locating)
	fails := func(to int) bool {
		limit := min(time.Until(deadline), oneLocated)
		if limit <= 0 || ctx.Err() != nil {
			return false
		}
		return g.beginning(to).fails(ctx, i, limit, inputs)
	}
	if !fails(g.to) {
		return nil
	}
	good, bad := g.from, g.to
	for bad-good > 1 && time.Now().Before(deadline) && ctx.Err() == nil {
		if middle := (good + bad) / 2; fails(middle) {
			bad = middle
		} else {
			good = middle
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return withNode(failed, g.names(good, bad))
}

// withNode gives an error that says the node.
func withNode(err error, node string) error {
	var crash *CrashError
	var slow *SlowError
	switch {
	case errors.As(err, &crash):
		return &CrashError{crash.How, node}
	case errors.As(err, &slow):
		return &SlowError{slow.Limit, node}
	}
	return err
}

// names says which nodes [from, to) are.
func (g graph) names(from, to int) string {
	nodes := g.m.Graph().GetNode()
	first := nodeName(nodes[from])
	if to-from == 1 {
		return first
	}
	return fmt.Sprintf("%s or one of the %d behind it", first, to-from-1)
}

// nodeName is a node's name and operator.
func nodeName(n *onnxpb.NodeProto) string {
	name := n.GetName()
	for _, out := range n.GetOutput() {
		if name == "" {
			name = "of " + out
		}
	}
	return fmt.Sprintf("%s (%s)", name, n.GetOpType())
}

// beginning is the graph up to a node; it gives what no node of it takes.
func (g graph) beginning(to int) graph {
	if to == g.to {
		return g
	}
	g.to = to
	taken := map[string]bool{}
	for _, n := range g.m.Graph().GetNode()[g.from:to] {
		for _, in := range n.GetInput() {
			taken[in] = true
		}
	}
	g.outputs = nil
	for _, n := range g.m.Graph().GetNode()[g.from:to] {
		for _, out := range n.GetOutput() {
			if out != "" && !taken[out] {
				g.outputs = append(g.outputs, out)
			}
		}
	}
	return g
}

// fails says whether a graph ends a process, or does not end within the limit.
func (g graph) fails(ctx context.Context, i isolating, limit time.Duration, inputs []tensor.Tensor) bool {
	e, end, err := i.Apart(limit)
	if err != nil {
		return false
	}
	defer end()
	s, err := g.open(e)
	if err == nil && inputs != nil {
		err = s.Run(ctx, inputs, make([]tensor.Tensor, len(g.outputs)), discard)
	}
	var crash *CrashError
	var slow *SlowError
	return errors.As(err, &crash) || errors.As(err, &slow)
}

// errDiscarded ends a run whose outputs nobody wants.
var errDiscarded = errors.New("nobody wants the values")

func discard(int, tensor.DType, []int64) (tensor.Tensor, error) { return tensor.Tensor{}, errDiscarded }
