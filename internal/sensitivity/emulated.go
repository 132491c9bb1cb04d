package sensitivity

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"quantcheck/internal/metric"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Emulation asks the question Rest of the HTP's emulator: everything is quantized as the recipe and its choices say, but
// for a candidate's activations, which are raised. It is for a few candidates: each is a graph that the HTP's compiler
// prepares, in a process of its own.
type Emulation struct {
	// Options without Quantized, Raised, Question, MemoryMiB and Workers.
	Options
	Engine    htp.Engine
	Placement *qdq.Placement // of Float
	Recipe    variant.Spec   // with what is chosen already
	Observed  qdq.Observed
	Raise     variant.Choice // what a candidate's activations get, such as 16 bits
}

// Emulated examines the candidates in their order. A graph that the HTP refuses is a result with a reason.
func Emulated(ctx context.Context, r *onnxruntime.Runtime, o Emulation) (*Results, error) {
	if o.Samples <= 0 {
		return nil, errors.New("sensitivity needs at least one sample")
	}
	e := &engine{r: r, o: o.Options, types: o.Types, arena: runner.NewArena(1 << 28)}
	err := e.look()
	if err != nil {
		return nil, err
	}
	if e.float, err = ort.NewPart(r, o.Float, e.wholeFloat(), e.types); err != nil {
		return nil, err
	}
	defer e.close()
	res := &Results{List: make([]Result, len(o.Candidates))}
	if res.Base, err = o.examine(ctx, e, nil); err != nil {
		return nil, err
	}
	for i, c := range o.Candidates {
		known, done := Result{}, false
		if o.Done != nil {
			known, done = o.Done(c)
		}
		if !done {
			if known, err = o.examine(ctx, e, &c); err != nil {
				return nil, fmt.Errorf("candidate %s: %w", c.Name, err)
			}
			if o.Each != nil {
				o.Each(known)
			}
		}
		res.List[i] = known
		if o.Progress != nil {
			o.Progress(i+1, len(o.Candidates))
		}
	}
	return res, nil
}

// recipe is the recipe with a candidate's activations raised.
func (o *Emulation) recipe(c *Candidate) variant.Spec {
	v := o.Recipe
	v.Engine = variant.HTP
	v.Choices = maps.Clone(v.Choices)
	if v.Choices == nil {
		v.Choices = variant.Choices{}
	}
	if c == nil {
		return v
	}
	for _, t := range c.Tensors {
		head, ok := o.Placement.Head(t)
		if !ok {
			continue
		}
		for name := range v.Choices { // what was chosen for another tensor of its quantizer
			if other, ok := o.Placement.Head(name); ok && other == head {
				delete(v.Choices, name)
			}
		}
		v.Choices[head] = o.Raise
	}
	return v
}

// examine runs one graph on all samples.
func (o *Emulation) examine(ctx context.Context, e *engine, c *Candidate) (Result, error) {
	res := Result{Samples: make([]metric.Value, o.Samples)}
	if c != nil {
		res.Candidate = *c
	}
	built, err := qdq.Build(o.Float, o.Placement, o.recipe(c), o.Observed)
	if err != nil {
		return res, err
	}
	taps := make([]string, len(e.outputs))
	for i, name := range e.outputs {
		taps[i] = built.Taps[name]
	}
	emulator, err := htp.New(ctx, o.Engine, built.Model, htp.Options{Groups: [][]string{taps}, Arena: e.arena})
	var refused *htp.RefusedError
	if errors.As(err, &refused) {
		res.Reason, res.Samples = err.Error(), nil
		return res, nil
	}
	if err != nil {
		return res, err
	}
	defer emulator.Close()
	var judge Judge
	if o.Score != nil {
		judge = o.Score()
	}
	var total sums
	for n := range o.Samples {
		s, err := o.sample(ctx, e, emulator, taps, n, judge)
		var bad *notFiniteError
		if errors.As(err, &bad) || errors.Is(err, runner.ErrSample) {
			res.Reason, res.Samples = fmt.Sprintf("sample %d: %v", n+1, err), nil
			return res, nil
		}
		if err != nil {
			return res, fmt.Errorf("sample %d: %w", n+1, err)
		}
		total.add(s)
		res.Samples[n] = s.sqnr()
	}
	return res, conclude(&res, total, judge)
}

// sample runs the float model and the emulator on one sample.
func (o *Emulation) sample(ctx context.Context, e *engine, emulator *htp.Runner, taps []string, n int, judge Judge) (sums, error) {
	values, err := o.Sample(ctx, n)
	if err != nil {
		return sums{}, err
	}
	f := emulator.Start(values)
	defer f.Close()
	k := &kept{}
	if k.ref, err = e.reference(ctx, values); err != nil {
		return sums{}, err
	}
	defer e.forgetReference(k)
	batch, err := f.Next(ctx)
	if err != nil {
		return sums{}, err
	}
	defer batch.Release()
	got := map[string]tensor.Tensor{}
	for _, tap := range batch.Taps {
		got[tap.Name] = tap.Tensor
	}
	outputs := map[string]tensor.Tensor{}
	for i, name := range e.outputs {
		outputs[name] = got[taps[i]]
	}
	return e.judged(k, outputs, func(outputs map[string]tensor.Tensor) error {
		if judge == nil {
			return nil
		}
		return judge.Add(n, outputs)
	})
}
