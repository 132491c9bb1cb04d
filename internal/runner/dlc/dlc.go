// Package dlc runs a DLC on the HTP emulator in step with the float model that it came from.
//
//  1. New opens the DLC in a worker, with the tensors exposed that stand for layers; what does not fit the memory bound at
//     once is exposed by further workers.
//  2. Start puts a sample into the DLC's inputs, in their order of axes, type and encoding, and begins to compute.
//  3. Next gives a segment's tensors, as real numbers in the layers' order of axes.
package dlc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/align"
	"quantcheck/internal/dlc"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/tensor"
)

// Options says what a runner takes and yields.
type Options struct {
	Inputs    []align.Tap   // the DLC's inputs, by the names of the float model's
	Groups    [][]align.Tap // what it yields, a group per segment
	PassBytes int64         // how many bytes may be exposed at once; 0: no bound
}

// Runner runs a DLC. There may be one inference at a time.
type Runner struct {
	engine qnnworker.Engine
	path   string
	o      Options
	passes []*pass
	passOf []int // segment → pass
}

// pass is the whole graph with some of its tensors exposed.
type pass struct {
	*qnnworker.Runner
	called map[string]string // the file's name → the composer's
	absent map[string]bool   // tensors that cannot be exposed
	last   map[string][]byte // of the last inference, by the composer's names
}

// New opens a DLC; its workers end with ctx. The errors are those of qnnworker.New. A tensor that cannot be exposed is no error but
// a problem of its taps.
func New(ctx context.Context, e qnnworker.Engine, path string, o Options) (*Runner, error) {
	r := &Runner{engine: e, path: path, o: o}
	sizes := make([]int64, len(o.Groups))
	for k, group := range o.Groups {
		for _, t := range group {
			sizes[k] += max(t.Tensor.Bytes(), 0)
		}
	}
	r.passOf = runner.Passes(sizes, o.PassBytes)
	exposed := make([][]string, 1, len(o.Groups)+1) // per pass
	for k, group := range o.Groups {
		if len(exposed) <= r.passOf[k] {
			exposed = append(exposed, nil)
		}
		for _, t := range group {
			if t.Tensor.Location != dlc.Input {
				exposed[r.passOf[k]] = append(exposed[r.passOf[k]], t.Tensor.Name)
			}
		}
	}
	for _, names := range exposed {
		p, err := r.open(ctx, names)
		if err != nil {
			r.Close()
			return nil, err
		}
		r.passes = append(r.passes, p)
	}
	return r, nil
}

// open starts a worker that exposes some tensors.
func (r *Runner) open(ctx context.Context, names []string) (*pass, error) {
	slices.Sort(names)
	names = slices.Compact(names)
	p := &pass{called: map[string]string{}, absent: map[string]bool{}}
	var err error
	p.Runner, err = qnnworker.New(ctx, r.engine, r.path, qnnworker.Options{Expose: names})
	var unknown *qnnworker.UnknownTensorError
	if errors.As(err, &unknown) {
		for _, name := range unknown.Names {
			p.absent[name] = true
		}
		names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return p.absent[name] })
		p.Runner, err = qnnworker.New(ctx, r.engine, r.path, qnnworker.Options{Expose: names})
	}
	if err != nil {
		return nil, err
	}
	for _, t := range p.Outputs() {
		p.called[t.Called()] = t.Name
	}
	return p, nil
}

// Passes is how often one inference runs the graph.
func (r *Runner) Passes() int { return len(r.passes) }

// Notes are what the libraries and our reader disagree on or did not understand.
func (r *Runner) Notes() []string { return r.passes[0].Notes() }

// Segments implements runner.Runner.
func (r *Runner) Segments() [][]string {
	names := make([][]string, len(r.o.Groups))
	for k, group := range r.o.Groups {
		for _, t := range group {
			names[k] = append(names[k], t.Name)
		}
	}
	return names
}

// Close ends the workers. No inference may be under way.
func (r *Runner) Close() {
	for _, p := range r.passes {
		p.Close()
	}
}

// encode puts a sample into the form of the DLC's inputs.
func (r *Runner) encode(sample map[string]tensor.Tensor) (map[string][]byte, error) {
	inputs := map[string][]byte{}
	for _, in := range r.o.Inputs {
		x, ok := sample[in.Name]
		if !ok {
			return nil, fmt.Errorf("the sample has no input %q", in.Name)
		}
		raw, err := qnnworker.Encode(in.Tensor, in.Layout.Do(x))
		if err != nil {
			return nil, fmt.Errorf("%w: input %q: %w", runner.ErrSample, in.Name, err)
		}
		inputs[in.Tensor.Name] = raw
	}
	return inputs, nil
}

// Start begins an inference; the emulator computes at once, beside whatever the caller does next.
func (r *Runner) Start(s runner.Sample) runner.Inference {
	f := &inference{r: r}
	f.schedule = runner.NewSchedule(r.passOf, func(k int) (err error) {
		p := r.passes[k]
		p.last, err = p.Run(context.Background(), f.inputs) // the worker ends with the runner's context
		return err
	})
	if f.inputs, f.err = r.encode(s.Inputs); f.err == nil {
		f.schedule.Begin(0)
	}
	return f
}

type inference struct {
	r        *Runner
	inputs   map[string][]byte
	err      error
	next     int // segment
	schedule *runner.Schedule
}

// Close implements runner.Inference.
func (f *inference) Close() { _ = f.schedule.Wait() }

// Next implements runner.Inference.
func (f *inference) Next(ctx context.Context) (*runner.Batch, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if f.err != nil {
		return nil, f.err
	}
	k := f.next
	f.next++
	group := f.r.o.Groups[k]
	if len(group) == 0 {
		return runner.NewBatch(nil, nil), nil
	}
	var which int
	if which, f.err = f.schedule.Pass(k); f.err != nil {
		return nil, f.err
	}
	var taps []runner.Tap
	for _, t := range group {
		tap := runner.Tap{Name: t.Name}
		var err error
		if tap.Tensor, err = f.read(f.r.passes[which], t); err != nil {
			tap.Problem = err.Error()
		}
		taps = append(taps, tap)
	}
	return runner.NewBatch(taps, nil), nil
}

func (f *inference) read(p *pass, t align.Tap) (tensor.Tensor, error) {
	raw, ok := p.last[p.called[t.Tensor.Name]]
	if t.Tensor.Location == dlc.Input {
		raw, ok = f.inputs[t.Tensor.Name]
	}
	if !ok || p.absent[t.Tensor.Name] {
		return tensor.Tensor{}, fmt.Errorf("the composer of the libraries makes no tensor of the DLC's %s", t.Tensor.Name)
	}
	count, err := tensor.Count(t.Shape)
	if err != nil || int64(count) != t.Tensor.Elements() {
		return tensor.Tensor{}, fmt.Errorf("the DLC has the shape %v, the float model %v", t.Tensor.Shape, t.Shape)
	}
	x, err := qnnworker.Decode(t.Tensor, raw)
	if err != nil {
		return tensor.Tensor{}, err
	}
	return t.Layout.Undo(x, t.Shape), nil
}

// SameWithoutTaps implements runner.Untapped, for all outputs of the graph.
func (r *Runner) SameWithoutTaps(ctx context.Context, s runner.Sample) (same, outputs int, err error) {
	inputs, err := r.encode(s.Inputs)
	if err != nil {
		return 0, 0, err
	}
	bare, err := qnnworker.New(ctx, r.engine, r.path, qnnworker.Options{})
	if err != nil {
		return 0, 0, err
	}
	defer bare.Close()
	out, err := bare.Run(ctx, inputs)
	if err != nil {
		return 0, 0, err
	}
	for name, b := range out {
		outputs++
		if bytes.Equal(b, r.passes[0].last[name]) {
			same++
		}
	}
	return same, outputs, nil
}
