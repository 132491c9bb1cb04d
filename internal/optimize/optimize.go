// Package optimize is the use case of quantcheck optimize: passes rewrite a model, each proved on samples, and undone if it does not pay.
package optimize

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimator"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/progress"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// Run runs the passes in their order. After each, the graph's invariants are checked and the model before and after
// runs on the samples; a pass whose outputs move by more than its tolerance is undone and reported.
//
// Where only what pays is wanted, the pass that leaves nothing for slice-to-conv is left out once more, and the faster model is
// taken.
func Run(ctx context.Context, engines session.Engines, spec Spec, progress progress.Reporter) (*Result, error) {
	first, err := optimize(ctx, engines, spec, progress)
	if err == nil && spec.Guard && !spec.Estimate && !spec.OnlyIfFaster && len(spec.Passes) == 0 {
		return guarded(ctx, engines, spec, progress, first)
	}
	if err != nil || !spec.OnlyIfFaster || len(spec.Passes) > 0 || !first.Applied(focus) {
		return first, err
	}
	spec.Skip = append(slices.Clone(spec.Skip), focus)
	second, err := optimize(ctx, engines, spec, progress)
	if ort.Failed(err) && ctx.Err() == nil {
		first.Notes = append(first.Notes, fmt.Sprintf("the model without %s could not be run: %v", focus, err))
		return first, nil
	}
	if err != nil {
		return nil, err
	}
	if first.Fast == nil || second.Fast == nil {
		return first, nil
	}
	first.Seconds, second.Seconds = first.Seconds+second.Seconds, first.Seconds+second.Seconds
	say := func(o *Result, format string, args ...any) *Result {
		o.Notes = append(o.Notes, fmt.Sprintf(format, args...))
		return o
	}
	if float64(second.Fast.Cycles) < (1-estimator.Worthwhile)*float64(first.Fast.Cycles) {
		return say(second, "with %s it would be %d cycles: it was left out", focus, first.Fast.Cycles), nil
	}
	return say(first, "without %s it would be %d cycles", focus, second.Fast.Cycles), nil
}

// focus is the pass that takes Slices that slice-to-conv could have.
const focus = "focus-to-conv"

func optimize(ctx context.Context, engines session.Engines, spec Spec, progress progress.Reporter) (*Result, error) {
	started := time.Now()
	passes, err := chosen(spec)
	if err != nil {
		return nil, usage.Mark(err)
	}
	o := &optimizer{ctx: ctx, engines: engines, asked: len(spec.Passes) > 0, named: slices.Concat(spec.Passes, spec.Also), result: &Result{Passes: []PassResult{}}}
	m, batched, err := o.open(spec)
	if err != nil {
		return nil, err
	}
	if spec.Estimate || spec.OnlyIfFaster {
		if o.pricer, err = newPricer(engines, spec, o.inputs); err != nil {
			return nil, err
		}
	}
	progress.Phase("rewriting", len(passes)+1)
	if err := o.begin(m); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	if err := o.firstPrice(); err != nil {
		return nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	o.result.Before = o.size()
	if len(batched) > 0 {
		o.result.Notes = append(o.result.Notes, fmt.Sprintf("the open batch dimension of %s is 1 now, as converters for devices need it", strings.Join(batched, ", ")))
	}
	for i, p := range passes {
		if o.asked || !p.Off || slices.Contains(spec.Also, p.Name) {
			if err := o.pass(p, false); err != nil {
				return nil, err
			}
		}
		if spec.OnlyIfFaster && !spec.guarded && !o.asked && p.Doubtful {
			if err := o.pass(p, true); err != nil {
				return nil, err
			}
		}
		progress.Step(i + 1)
	}
	switch spec.Color {
	case "":
	case spec.Input.InputColor:
		o.result.Notes = append(o.result.Notes, fmt.Sprintf("--to-color %s: the model takes %s already; say with --input-color what it takes, if that is not so", spec.Color, spec.Color))
	default:
		if err := o.turnInput(spec); err != nil {
			return nil, err
		}
	}
	o.result.Model, o.result.After = model.WithOutputTypes(o.model, o.types), o.size()
	if _, err := model.Trial(ctx, engines.ORT, o.result.Model, o.inputs[0]); err != nil {
		return nil, err
	}
	if o.pricer != nil {
		o.result.Slow, o.result.Fast = o.pricer.first, o.pricer.last
	}
	o.result.Seconds = time.Since(started).Seconds()
	return o.result, nil
}

func chosen(spec Spec) ([]*rewrite.Pass, error) {
	for _, name := range slices.Concat(spec.Passes, spec.Also, spec.Skip) {
		if _, err := rewrite.Find(name); err != nil {
			return nil, err
		}
	}
	var list []*rewrite.Pass
	for i := range rewrite.All {
		p := &rewrite.All[i]
		wanted := !p.Off || spec.OnlyIfFaster && !spec.guarded && p.Doubtful
		if len(spec.Passes) > 0 {
			wanted = slices.Contains(spec.Passes, p.Name)
		}
		wanted = wanted || slices.Contains(spec.Also, p.Name)
		if wanted && !slices.Contains(spec.Skip, p.Name) {
			list = append(list, p)
		}
	}
	return list, nil
}

type optimizer struct {
	ctx     context.Context //nolint:containedctx // it lives as long as the call
	engines session.Engines
	asked   bool     // the passes were named
	named   []string // passes that were asked for by name, among others or alone
	inputs  []map[string]tensor.Tensor
	ranging *dataset.Set // samples that say what ranges channels have; nil: there are none
	loader  dataset.Loader
	result  *Result

	pricer *pricer // nil: nobody asked what passes bring

	model   *onnx.Model
	types   map[string]onnxruntime.Type
	env     rewrite.Env
	outputs []map[string]tensor.Tensor // of the model, by sample
}

// open reads the model, with the shapes of its inputs fixed, and the samples; batched are the inputs whose open batch dimension is 1 now.
func (o *optimizer) open(spec Spec) (m *onnx.Model, batched []string, err error) {
	m, file, err := model.Read(spec.Model)
	if err != nil {
		return nil, nil, usage.Mark(err)
	}
	o.result.Notes = append(o.result.Notes, file.Notes...)
	if file.Quantized != nil {
		o.result.Notes = append(o.result.Notes, model.AlreadyQuantized(spec.Model, file.Quantized))
	}
	if len(spec.Keep) > 0 {
		var gone *onnx.Dropped
		if m, gone, err = onnx.KeepOutputs(m, spec.Keep); err != nil {
			return nil, nil, usage.Mark(err)
		}
		o.result.Notes = append(o.result.Notes, droppedNote(gone))
	}
	if m, batched, err = model.Fix(m, spec.Model, spec.Input, spec.Images); err != nil {
		return nil, nil, err
	}
	var note string
	if m, note, err = model.Inline(o.ctx, o.engines.ORT, m); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", spec.Model, err)
	}
	if note != "" {
		o.result.Notes = append(o.result.Notes, note)
	}
	return m, batched, o.samples(spec, m)
}

// droppedNote says what went with outputs that nobody wants.
func droppedNote(d *onnx.Dropped) string {
	if len(d.Outputs) == 0 {
		return "all outputs are kept"
	}
	text := fmt.Sprintf("dropped the outputs %s, with %d operators that only they need", strings.Join(d.Outputs, ", "), d.Nodes)
	if len(d.Inputs) > 0 {
		text += ", and the inputs " + strings.Join(d.Inputs, ", ")
	}
	return text
}

// samples reads the user's, or makes seeded random ones.
func (o *optimizer) samples(spec Spec, m *onnx.Model) error {
	inputs := model.InputsOf(m)
	limit := max(spec.Limit, 0)
	if limit == 0 {
		limit = 2
	}
	if set := spec.Samples; set != nil || spec.Images != "" {
		loader := dataset.Loader{Inputs: inputs, Description: spec.Input, Cache: dataset.NewCache(1 << 20)}
		if set == nil {
			var err error
			if set, err = session.Samples(spec.Images, max(limit, model.MostRanging), loader); err != nil {
				return err
			}
		}
		o.ranging, o.loader = set, loader
		for _, source := range set.Sources[:min(limit, len(set.Sources))] {
			s, err := loader.Load(source)
			if err != nil {
				return usage.Mark(fmt.Errorf("sample %s: %w", source.Name, err))
			}
			o.inputs = append(o.inputs, s.Inputs)
		}
		o.result.Proof = fmt.Sprintf("%d samples of %s", len(o.inputs), spec.Images)
		return nil
	}
	var err error
	if o.inputs, err = model.Seeded(inputs, limit); err != nil {
		return usage.Mark(err)
	}
	o.result.Proof = fmt.Sprintf("%d seeded random inputs in 0..1; give --verify-on for the model's own", limit)
	return nil
}

// begin takes a model over: its shapes, and its outputs on the samples.
func (o *optimizer) begin(m *onnx.Model) error {
	types, err := o.typesOf(m)
	if err != nil {
		return err
	}
	outputs, err := o.run(m)
	if err != nil {
		return err
	}
	o.accept(m, outputs)
	o.types = types
	o.env = model.Environment(o.ctx, o.engines.ORT, m, types)
	o.env.Spans, o.env.Asked = o.spansOf(m), o.asked
	return nil
}

// typesOf gives the types of a model's tensors. Shapes that hang on computations with shapes are those of the folded model.
func (o *optimizer) typesOf(m *onnx.Model) (map[string]onnxruntime.Type, error) {
	types, err := ort.Types(o.engines.ORT, m)
	if err != nil || !slices.ContainsFunc(slices.Collect(maps.Values(types)), unknown) {
		return types, err
	}
	_, _, folded, _ := ort.Fold(o.ctx, o.engines.ORT, m) // where it fails, passes do with what is known
	if err := o.ctx.Err(); err != nil {
		return nil, err
	}
	for name, t := range types {
		if now, there := folded[name]; there && unknown(t) && !unknown(now) {
			types[name] = now
		}
	}
	return types, nil
}

// unknown says whether a tensor's shape is not known, or one of its dimensions.
func unknown(t onnxruntime.Type) bool {
	return t.Tensor && (t.Shape == nil || slices.ContainsFunc(t.Shape, func(d int64) bool { return d < 0 }))
}

func (o *optimizer) accept(m *onnx.Model, outputs []map[string]tensor.Tensor) {
	o.model, o.outputs = m, outputs
}

// run gives a model's outputs on the samples.
func (o *optimizer) run(m *onnx.Model) ([]map[string]tensor.Tensor, error) {
	started := time.Now()
	defer func() { o.result.Proving += time.Since(started).Seconds() }()
	x := onnx.NewIndex(m)
	taps := slices.DeleteFunc(m.Outputs(), func(name string) bool { _, made := x.Producer[name]; return !made })
	r, err := ort.New(o.engines.ORT, m, ort.Options{Taps: taps})
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var list []map[string]tensor.Tensor
	for _, sample := range o.inputs {
		got := map[string]tensor.Tensor{}
		f := r.Start(runner.Sample{Inputs: sample})
		for range r.Segments() {
			b, err := f.Next(o.ctx)
			if err != nil {
				f.Close()
				return nil, err
			}
			for _, tap := range b.Taps {
				got[tap.Name] = tap.Tensor.Clone()
			}
			b.Release()
		}
		f.Close()
		list = append(list, got)
	}
	return list, nil
}

// pass runs a pass until it changes nothing, and proves it. Forced, it does what does not always pay, too: it is kept if it does.
func (o *optimizer) pass(p *rewrite.Pass, forced bool) error {
	if err := o.ctx.Err(); err != nil {
		return err
	}
	done := PassResult{Name: p.Name, Changes: []string{}}
	var joins []rewrite.Join
	var scales []rewrite.Scale
	m := o.model
	now := o.env
	now.Asked = now.Asked || forced || slices.Contains(o.named, p.Name)
	now.Sure = !now.Asked
	for range rewrite.Rounds {
		r, err := p.Run(m, now)
		if ort.Failed(err) && o.ctx.Err() == nil { // of what the pass asked: folding constants, or the ranges of channels
			done.Undone = fmt.Sprintf("the pass cannot be run: %v", err)
			break
		}
		if err != nil && o.ctx.Err() != nil {
			return o.ctx.Err()
		}
		if err != nil { // the others stand
			done.Undone = fmt.Sprintf("the pass ended with an error: %v", err)
			break
		}
		done.Left = r.Left
		if len(r.Changes) == 0 {
			break
		}
		done.Changes = append(done.Changes, r.Changes...)
		if err := onnx.Check(r.Model); err != nil {
			done.Undone = fmt.Sprintf("the graph is not sound afterwards: %v", err)
			break
		}
		m = r.Model
		joins, scales = append(joins, r.Joins...), append(scales, r.Scales...)
		if p.Once {
			break
		}
	}
	if was, is := weightBytes(o.model, o.env.Shapes), weightBytes(m, o.env.Shapes); done.Undone == "" && !slices.Contains(o.named, p.Name) && float64(is) > largest*float64(was) && is > was+littleBytes {
		done.Undone = fmt.Sprintf("the constants would take %.1f MB instead of %.1f MB; --enable %s does it all the same", float64(is)/1e6, float64(was)/1e6, p.Name)
	}
	if len(done.Changes) > 0 && done.Undone == "" {
		before := o.outputs
		kept, env, types := o.model, o.env, o.types
		if err := o.begin(m); err != nil {
			if o.ctx.Err() != nil {
				return o.ctx.Err()
			}
			done.Undone = fmt.Sprintf("the model does not run afterwards: %v", err)
		} else if done.Difference = model.Furthest(before, joined(o.outputs, joins, scales)); !(done.Difference <= p.Tolerance) {
			done.Undone = fmt.Sprintf("an output moves by %.2g of its greatest magnitude, more than %.2g", done.Difference, p.Tolerance)
		}
		if done.Undone == "" {
			if err := o.pay(&done, forced); err != nil {
				return err
			}
		}
		if done.Undone != "" {
			o.accept(kept, before)
			o.env, o.types = env, types
		} else {
			o.result.Joins = append(o.result.Joins, joins...)
		}
	}
	if forced && (done.Undone != "" || len(done.Changes) == 0) { // it was a try
		return nil
	}
	o.result.Passes = append(o.result.Passes, done)
	return nil
}

// joined gives the outputs with those that were cut made whole again, and what was divided multiplied; one that cannot be is left out.
func joined(outputs []map[string]tensor.Tensor, joins []rewrite.Join, scales []rewrite.Scale) []map[string]tensor.Tensor {
	if len(joins)+len(scales) == 0 {
		return outputs
	}
	var list []map[string]tensor.Tensor
	for _, sample := range outputs {
		whole := maps.Clone(sample)
		for _, j := range joins {
			if t, err := j.Tensor(sample); err == nil {
				whole[j.Output] = t
			}
		}
		for _, c := range scales {
			if t, err := c.Tensor(whole[c.Output]); err == nil {
				whole[c.Output] = t
			}
		}
		list = append(list, whole)
	}
	return list
}

// turnInput makes the model take its picture in the other colour order, and proves it with turned samples.
func (o *optimizer) turnInput(spec Spec) error {
	inputs := o.model.Inputs()
	if len(inputs) != 1 {
		return usage.Mark(fmt.Errorf("--to-color needs a model with one input, this has %d", len(inputs)))
	}
	name := inputs[0].GetName()
	m, err := rewrite.SwapInput(o.model, name, o.env)
	if err != nil {
		return usage.Mark(fmt.Errorf("--to-color: %w", err))
	}
	before := o.outputs
	for i, s := range o.inputs {
		turned := model.ReverseChannels(s[name])
		if turned.Len() == 0 {
			return usage.Mark(fmt.Errorf("--to-color: the input %s has no three channels", name))
		}
		o.inputs[i] = map[string]tensor.Tensor{name: turned}
	}
	if err := o.begin(m); err != nil {
		return err
	}
	const tolerance = 1e-4
	d := model.Furthest(before, o.outputs)
	if d > tolerance {
		return fmt.Errorf("--to-color: the outputs move by %.2g, so the colours cannot be turned; leave --to-color out", d)
	}
	o.result.Passes = append(o.result.Passes, PassResult{
		Name: "to-color", Changes: []string{fmt.Sprintf("the model takes %s now, it took %s", spec.Color, spec.Input.InputColor)}, Difference: d,
	})
	return nil
}
