package ort

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// ErrGone means that a session was freed to make room for others, or that its process ended before it was used: it has to be compiled
// again.
var ErrGone = errors.New("the session is gone")

// mostTries is how often a session that is gone is compiled again for one run: where memory is little, runs beside each other take each
// other's room.
const mostTries = 20

// graph is what a session is compiled from: the nodes [from, to) of a model, with what they take and give.
type graph struct {
	m        *onnx.Model
	x        *onnx.Index // of m
	from, to int
	inputs   []*onnxpb.ValueInfoProto
	outputs  []string
	options  onnxruntime.Options
}

// open compiles the graph.
func (g graph) open(e Engine) (Session, error) {
	outputs := make([]*onnxpb.ValueInfoProto, len(g.outputs))
	for i, name := range g.outputs {
		outputs[i] = onnx.Untyped(name)
	}
	inputs := make([]string, len(g.inputs))
	for i, in := range g.inputs {
		inputs[i] = in.GetName()
	}
	part := onnx.Extract(g.m, g.x, g.from, g.to, g.inputs, outputs)
	data, err := part.Bytes()
	if err != nil {
		return nil, err
	}
	o := g.options
	if o.ExternalDir = g.m.Dir(); o.ExternalDir != "" {
		if o.ExternalDir, err = filepath.Abs(o.ExternalDir); err != nil { // the engine may run elsewhere
			return nil, err
		}
		o.ExternalBytes = part.ExternalBytes()
	}
	return e.NewSession(data, inputs, g.outputs, o)
}

// compiled is a graph with its session, which is made anew if its process is gone.
type compiled struct {
	graph
	e Engine

	mu      sync.Mutex
	session Session
}

func compile(e Engine, g graph) (*compiled, error) {
	s, err := g.open(e)
	var crash *CrashError
	var slow *SlowError
	switch {
	case err == nil:
		return &compiled{graph: g, e: e, session: s}, nil
	case errors.As(err, &crash), errors.As(err, &slow):
		if named := g.locate(context.Background(), e, err, nil); named != nil {
			return nil, named
		}
		return nil, err
	}
	var memory *MemoryError
	if errors.As(err, &memory) {
		return nil, err
	}
	return nil, fmt.Errorf("ONNX Runtime does not take the model: %w", err)
}

// Close frees the session; it must not be running.
func (c *compiled) Close() { c.session.Close() }

// OutputTypes tells what shape inference found out about each output.
func (c *compiled) OutputTypes() ([]onnxruntime.Type, error) { return c.session.OutputTypes() }

// run makes an inference whose outputs are lent from an arena; with an error all have gone back. types are what is known of the
// outputs.
func (c *compiled) run(ctx context.Context, inputs []tensor.Tensor, types []onnxruntime.Type, arena *runner.Arena) ([]tensor.Tensor, error) {
	s := c.current()
	for try, freed := 0, 0; ; {
		outputs, err := c.lent(ctx, s, inputs, types, arena)
		if err == nil || ctx.Err() != nil {
			return outputs, err
		}
		var crash *CrashError
		var slow *SlowError
		switch {
		case errors.Is(err, ErrGone):
			freed++
		case errors.As(err, &crash), errors.As(err, &slow):
			// It may be another session's run that ended the process which both had.
			if named := c.locate(ctx, c.e, err, inputs); named != nil {
				return nil, named
			}
			try++
		default:
			return nil, err
		}
		if try == 3 || freed == mostTries {
			return nil, err
		}
		if s, err = c.again(s); err != nil {
			return nil, err
		}
	}
}

func (c *compiled) current() Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.session
}

// again compiles the graph again, if nobody has in place of a session that failed.
func (c *compiled) again(failed Session) (Session, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session != failed {
		return c.session, nil
	}
	s, err := c.open(c.e)
	if err != nil {
		return nil, err
	}
	failed.Close()
	c.session = s
	return s, nil
}

// lent makes an inference in a session.
func (c *compiled) lent(ctx context.Context, s Session, inputs []tensor.Tensor, types []onnxruntime.Type, arena *runner.Arena) ([]tensor.Tensor, error) {
	bound := c.e.About().Memory
	if err := within(bound, c.outputs, types); err != nil {
		return nil, err
	}
	outputs := make([]tensor.Tensor, len(types))
	for i, t := range types {
		if t.Fixed() {
			outputs[i] = arena.Lend(t.DType, t.Shape)
		}
	}
	err := s.Run(ctx, inputs, outputs, func(i int, d tensor.DType, shape []int64) (tensor.Tensor, error) {
		if err := within(bound, c.outputs[i:i+1], []onnxruntime.Type{{Tensor: true, DType: d, Shape: shape}}); err != nil {
			return tensor.Tensor{}, err
		}
		return arena.Lend(d, shape), nil
	})
	if err != nil {
		giveBack(arena, outputs)
		return nil, err
	}
	return outputs, nil
}

func giveBack(arena *runner.Arena, list []tensor.Tensor) {
	for _, t := range list {
		arena.GiveBack(t)
	}
}

// within says whether tensors that are held at once keep to a bound, 0 being none; the error names the largest.
func within(bound int64, names []string, types []onnxruntime.Type) error {
	if bound <= 0 {
		return nil
	}
	sum, most, which := int64(0), int64(-1), 0
	for i, t := range types {
		size := typeBytes(t)
		if size > most {
			most, which = size, i
		}
		if sum += size; sum > bound || sum < 0 {
			return &MemoryError{Tensor: names[which], Bytes: most, Memory: bound}
		}
	}
	return nil
}
