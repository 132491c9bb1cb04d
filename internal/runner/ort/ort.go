// Package ort runs ONNX models on ONNX Runtime's CPU and yields their tensors.
//
//  1. Types compiles the model, a part at a time, with every tensor exposed, for the types alone.
//  2. The graph is cut into segments, and these into pieces of a bounded number of nodes; each piece is a session whose outputs are its taps
//     and what later pieces need.
//  3. An inference runs segment by segment; buffers are lent from an arena and come back when a batch is released.
//
// The graph optimisation level is off: QDQ results depend on it, and only so is every tensor of the graph there.
package ort

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// Options says what a runner yields and how it is divided.
type Options struct {
	Taps []string // tensors to yield; those that no node makes are an error
	// SegmentBytes bounds what the taps of one segment take, as far as single tensors allow. 0: one segment.
	SegmentBytes int64
	// Follow, if it is given, divides by another runner's segments instead: segment k yields at least the taps in
	// groups 0 to k. SegmentBytes is not used then.
	Follow [][]string
	// Arena is the memory that tensors are lent from; nil: one of its own.
	Arena *runner.Arena
	// Types are the tensors' types if they are known from an earlier call of Types on the same model. A model in one segment does without;
	// whether its tensors keep to the engine's bound is then said of the taps alone.
	Types map[string]onnxruntime.Type
}

// Runner is a runner.Runner on ONNX Runtime's CPU.
type Runner struct {
	r        Engine
	segments [][]*segment // each is a sequence of pieces
	arena    *runner.Arena
	own      *runner.Arena // the same, if nobody else has it
	inputs   map[string]onnxruntime.Type
}

// New compiles a model whose inputs have fixed shapes.
func New(r Engine, m *onnx.Model, o Options) (*Runner, error) {
	x := onnx.NewIndex(m)
	tapped := map[string]bool{}
	for _, name := range o.Taps {
		if _, ok := x.Producer[name]; !ok {
			return nil, fmt.Errorf("no node makes the tensor %q", name)
		}
		tapped[name] = true
	}
	types := o.Types
	sums := weights(x)
	whole := (o.Follow == nil && o.SegmentBytes <= 0 || len(o.Follow) == 1) && reach(0, pieceNodes, sums) >= len(x.Nodes)
	if types == nil && whole { // nothing goes from one session to another: the session says what its outputs are
		types = inputTypes(m)
	} else if types == nil {
		var err error
		if types, err = Types(r, m); err != nil {
			return nil, err
		}
	}
	var own *runner.Arena
	if o.Arena == nil {
		own = r.NewArena(1 << 30)
		o.Arena = own
	}
	var positions []int
	over := newCarried(x, types)
	switch {
	case o.Follow != nil:
		positions = follow(x, o.Follow)
	case o.SegmentBytes > 0:
		positions = cuts(x, types, tapped, over, o.SegmentBytes)
	}
	all := over.pieces(positions, len(x.Nodes), pieceNodes, sums)
	pieces, err := divide(r, m, x, types, tapped, all)
	if err != nil {
		return nil, err
	}
	run := &Runner{r: r, arena: o.Arena, own: own, inputs: map[string]onnxruntime.Type{}}
	from := 0
	for _, to := range steps(positions, all) {
		run.segments = append(run.segments, pieces[from:to])
		from = to
	}
	for _, in := range m.Inputs() {
		run.inputs[in.GetName()] = types[in.GetName()]
	}
	return run, nil
}

// Segments implements runner.Runner.
func (r *Runner) Segments() [][]string {
	groups := make([][]string, len(r.segments))
	for i, pieces := range r.segments {
		for _, s := range pieces {
			groups[i] = append(groups[i], s.taps...)
		}
	}
	return groups
}

// Close implements runner.Runner.
func (r *Runner) Close() {
	for _, pieces := range r.segments {
		closeAll(pieces)
	}
	if r.own != nil {
		r.own.Empty()
	}
}

// Inputs lists what a segment takes from the sample.
func (r *Runner) Inputs(segment int) []string {
	var names []string
	seen := map[string]bool{}
	for _, s := range r.segments[segment] {
		for _, name := range s.inputs {
			if _, ok := r.inputs[name]; ok && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

// Start implements runner.Runner, and runner.Stepped: what a segment takes must be among the sample's inputs when Next computes it, and must
// keep its values until then.
func (r *Runner) Start(s runner.Sample) runner.Inference {
	return &inference{r: r, sample: s.Inputs, carried: map[string]*loan{}}
}

// loan is a tensor with the number of those who still need it.
type loan struct {
	tensor tensor.Tensor
	arena  *runner.Arena // nil for memory that does not come from the arena
	needed atomic.Int32
}

func newLoan(t tensor.Tensor, a *runner.Arena, needed int) *loan {
	l := &loan{tensor: t, arena: a}
	l.needed.Store(int32(needed))
	return l
}

func (l *loan) done() {
	if l.needed.Add(-1) == 0 && l.arena != nil {
		l.arena.GiveBack(l.tensor)
	}
}

type inference struct {
	r       *Runner
	sample  map[string]tensor.Tensor
	next    int
	carried map[string]*loan // made by earlier segments, needed by later ones
	left    map[string]int   // how many segments still take a carried tensor
}

// Next implements runner.Inference.
func (f *inference) Next(ctx context.Context) (*runner.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	pieces := f.r.segments[f.next]
	f.next++
	var taps []runner.Tap
	var loans []*loan
	for _, s := range pieces {
		tapped, lent, err := f.piece(ctx, s)
		if err != nil {
			release(loans)
			return nil, err
		}
		taps, loans = append(taps, tapped...), append(loans, lent...)
	}
	return runner.NewBatch(taps, func() { release(loans) }), nil
}

// piece computes a piece of a segment and gives its taps, with what is lent for them.
func (f *inference) piece(ctx context.Context, s *segment) ([]runner.Tap, []*loan, error) {
	if s.session == nil {
		return nil, nil, nil
	}
	inputs := make([]tensor.Tensor, len(s.inputs))
	var used []*loan
	for i, name := range s.inputs {
		l, err := f.input(name)
		if err != nil {
			release(used)
			return nil, nil, err
		}
		inputs[i] = l.tensor
		used = append(used, l)
	}
	outputs, err := f.r.run(ctx, s, inputs)
	release(used)
	if err != nil {
		return nil, nil, err
	}
	var taps []runner.Tap
	var tapLoans []*loan
	for i, o := range s.outputs {
		if outputs[i].DType == tensor.Undefined { // a sequence, a map or strings: a row in the result, no value
			taps = append(taps, runner.Tap{Name: o.name})
			continue
		}
		l := newLoan(outputs[i], f.r.arena, o.users)
		if o.tap {
			taps = append(taps, runner.Tap{Name: o.name, Tensor: l.tensor})
			tapLoans = append(tapLoans, l)
		}
		if o.users > 1 || !o.tap {
			f.carried[o.name] = l
			if f.left == nil {
				f.left = map[string]int{}
			}
			f.left[o.name] = o.users
			if o.tap {
				f.left[o.name]--
			}
		}
	}
	return taps, tapLoans, nil
}

func release(loans []*loan) {
	for _, l := range loans {
		l.done()
	}
}

// run computes a segment. All outputs that are tensors are lent from the arena.
func (r *Runner) run(ctx context.Context, s *segment, inputs []tensor.Tensor) ([]tensor.Tensor, error) {
	types := make([]onnxruntime.Type, len(s.outputs))
	for i, o := range s.outputs {
		types[i] = o.typ
	}
	return s.session.run(ctx, inputs, types, r.arena)
}

// input finds a segment's input among what earlier segments made, else in the sample.
func (f *inference) input(name string) (*loan, error) {
	if l, ok := f.carried[name]; ok {
		if f.left[name]--; f.left[name] == 0 {
			delete(f.carried, name)
		}
		return l, nil
	}
	t, ok := f.sample[name]
	if !ok {
		return nil, fmt.Errorf("the sample has no input %q", name)
	}
	if want := f.r.inputs[name]; want.DType != t.DType || !fits(t.Shape, want.Shape) {
		return nil, fmt.Errorf("input %q is %s%v, the sample has %s%v", name, want.DType, want.Shape, t.DType, t.Shape)
	}
	return newLoan(t, nil, 1), nil
}

// fits says whether a shape is what was expected; of that, dimensions below zero and a missing shape are open.
func fits(shape, want []int64) bool {
	if len(want) == 0 {
		return true
	}
	return slices.EqualFunc(shape, want, func(d, w int64) bool { return w < 0 || d == w })
}

// Close implements runner.Inference.
func (f *inference) Close() {
	for name, l := range f.carried {
		for range f.left[name] {
			l.done()
		}
		delete(f.carried, name)
	}
}
