// Package score is the use case of quantcheck eval: a float model and its variants are scored on a data set.
package score

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/labels"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/paths"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/session/identity"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Run scores the float model and its variants on a data set.
//
//  1. The data set and the model are read; the variants are calibrated and built as in a check.
//  2. Every picture runs through all models; their outputs are decoded and scored beside the next inferences.
//
// What is computed is kept as keep says (nil: it is not), and an interrupted evaluation of the same request goes on. One that ends
// early and is kept gives a *checkpoint.UnfinishedError.
func Run(ctx context.Context, engines session.Engines, spec result.EvalSpec, config eval.Config, sink eval.Sink, progress progress.Reporter, keep *checkpoint.Keeping) (*result.Evaluation, error) {
	started := time.Now()
	variants, err := variant.ParseAll(spec.Variants)
	if err != nil {
		return nil, usage.Mark(err)
	}
	if err := errors.Join(spec.Input.Check(), config.Check()); err != nil {
		return nil, usage.Mark(err)
	}
	set, err := OpenTruth(spec.Scoring, spec.Images, spec.Limit)
	if err != nil {
		return nil, usage.Mark(err)
	}
	emulator, err := engines.Emulator(variants)
	if err != nil {
		return nil, err
	}
	b, err := session.Open(ctx, engines.ORT, session.Options{Command: "eval", Name: spec.Name, Model: spec.Model, Input: spec.Input, MemoryMiB: spec.MemoryMiB}, variants, progress, started)
	if err != nil {
		return nil, err
	}
	config.Decode.BoxScale = cmp.Or(config.Decode.BoxScale, b.Float.BoxScale())
	defer b.Close()
	b.Emulator, b.Samples = emulator, len(set.Images)
	loader := b.Loader
	loader.Cache = nil // every picture is read once
	if err := set.Fits(loader, spec.Task); err != nil {
		return nil, usage.Mark(err)
	}
	calibrating := set.Samples()
	switch {
	case spec.Calib != "":
		if calibrating, err = session.Samples(spec.Calib, spec.Limit, loader); err != nil {
			return nil, err
		}
		b.Run.Warnings = append(b.Run.Warnings, calibrating.Warnings...)
	case session.NeedsCalibration(variants):
		b.Run.Warnings = append(b.Run.Warnings, "the pictures that are scored are also those that calibrate; give others with --calib for numbers that hold on unseen pictures")
	}
	if planner, ok := sink.(EvaluationPlanner); ok {
		if err := planner.Plan(len(set.Images), 1+len(variants)); err != nil {
			return nil, err
		}
	}
	if keep != nil {
		id := spec
		id.Model, id.Out = paths.Absolute(id.Model), paths.Absolute(id.Out)
		truth, files := set.identity()
		key, err := identity.Of(b, b.Run.Command, id, []any{config, truth}, files, set.Samples(), calibrating)
		if err != nil {
			return nil, err
		}
		if b.Keeper, err = checkpoint.New(keep, key, started); err != nil {
			return nil, err
		}
	}
	config = Named(config, b)
	e := &Evaluation{B: b, Set: set, Loader: loader, Spec: spec}
	defer e.Close()
	e.empty = func() {
		e.scorer, e.distance = set.Scorer(spec.Scoring, config, 1+len(variants), sink), eval.NewDistance(1+len(variants), spec.Task == result.Agreement)
	}
	e.empty()
	if err := e.all(ctx, calibrating); err != nil {
		return nil, b.Keeper.End(err)
	}
	b.Keeper.Done()
	out := e.describe()
	if err := errors.Join(e.distance.Conclude(out)); err != nil {
		return nil, err
	}
	if e.scorer != nil {
		if err := e.scorer.Conclude(out); err != nil {
			return nil, usage.Mark(err)
		}
	}
	out.Warnings = append(out.Warnings, b.Run.Warnings...)
	out.Started, out.Seconds = b.Keeper.Since(out.Started), b.Keeper.Spent(started).Seconds()
	return out, nil
}

// all does the work of an evaluation, once it is known what that is.
func (e *Evaluation) all(ctx context.Context, calibrating *dataset.Set) error {
	if err := prepare.Build(ctx, e.B, calibrating, e.Loader); err != nil {
		return err
	}
	if err := e.open(ctx); err != nil {
		return err
	}
	return e.run(ctx)
}

// EvaluationPlanner is a sink that wants to know what it will have to store before the work begins. An error ends the evaluation.
type EvaluationPlanner interface {
	Plan(pictures, models int) error
}

// Evaluation runs the models of one evaluation for their outputs.
type Evaluation struct {
	B         *session.Session
	Set       *TruthSet
	Loader    dataset.Loader
	Spec      result.EvalSpec
	Float     *ort.Runner
	Outputs   []string   // of the float model that hold numbers
	taps      [][]string // per model: what it calls them; "" where it has none
	scorer    eval.Scorer
	distance  *eval.Distance
	inference time.Duration
	passed    int // pictures that could not be read

	empty  func() // makes scorer and distance anew; nil: nothing is kept
	before int    // warnings that are older than the first picture
}

// Close frees the float model's runner.
func (e *Evaluation) Close() {
	if e.Float != nil {
		e.Float.Close()
	}
}

// FindOutputs gives the layers that are the model's outputs, in the order in which it names them, and keeps their names.
func (e *Evaluation) FindOutputs() ([]int, error) {
	ref := e.B.Float
	var layers []int
	for k, l := range ref.Layers {
		if l.Output && ref.Incomparable(l) == "" || slices.Contains(ref.Model.Outputs(), l.Name) && integers(ref.Types[l.Name].DType) {
			layers = append(layers, k)
		}
	}
	if len(layers) == 0 {
		return nil, usage.Mark(errors.New("none of the model's outputs holds numbers"))
	}
	position := func(name string) int { return slices.Index(ref.Model.Outputs(), name) }
	slices.SortStableFunc(layers, func(i, k int) int { return position(ref.Layers[i].Name) - position(ref.Layers[k].Name) })
	e.Outputs = nil
	for _, k := range layers {
		e.Outputs = append(e.Outputs, ref.Layers[k].Name)
	}
	return layers, nil
}

// open compiles the models with their outputs alone.
func (e *Evaluation) open(ctx context.Context) error {
	b := e.B
	layers, err := e.FindOutputs()
	if err != nil {
		return err
	}
	if e.Float, err = ort.New(b.ORT, b.Float.Model, ort.Options{Taps: e.Outputs, Arena: b.Arena, Types: b.Float.Types}); err != nil {
		return err
	}
	e.taps = append(e.taps, e.Outputs)
	b.Progress.Phase("compiling", len(b.Variants))
	for i, v := range b.Variants {
		if err := e.openVariant(ctx, v, layers); err != nil {
			return err
		}
		b.Progress.Step(i + 1)
	}
	return nil
}

func integers(d tensor.DType) bool { return !d.IsFloat() && d != tensor.String && d.Bits() > 0 }

func (e *Evaluation) openVariant(ctx context.Context, v *session.Variant, layers []int) error {
	b := e.B
	taps := make([]string, len(layers))
	var wanted []string
	x := (*onnx.Index)(nil)
	if v.Model != nil {
		x = onnx.NewIndex(v.Model)
	}
	for n, k := range layers {
		l := &v.Result.Layers[k]
		switch {
		case l.HasMetrics():
			taps[n] = v.Tap(b.Float.Layers[k], l)
		case x != nil && b.Float.Incomparable(b.Float.Layers[k]) != "": // integers are no layer to compare, but an output
			if _, made := x.Producer[b.Float.Layers[k].Name]; made {
				taps[n] = b.Float.Layers[k].Name
			}
		}
		if taps[n] == "" {
			return fmt.Errorf("variant %s: it has no output %s: %s", v.Spec.Name, b.Float.Layers[k].Name, l.Reason)
		}
		wanted = append(wanted, taps[n])
	}
	e.taps = append(e.taps, taps)
	wanted = slices.Compact(slices.Sorted(slices.Values(wanted)))
	return v.Open(ctx, b, [][]string{wanted}, false)
}

// Scoring is a picture whose outputs wait to be scored.
type Scoring struct {
	Picture eval.Picture
	Outputs [][]decode.Output
	at      mark // when the models had given it
}

// run makes the inferences; a goroutine of its own decodes and scores what they gave.
func (e *Evaluation) run(ctx context.Context) error {
	const waiting = 2 // pictures
	todo := make(chan Scoring, waiting)
	var failed error
	var once sync.Once
	stop := make(chan struct{})
	e.before = len(e.B.Run.Warnings)
	scored := e.goOn()
	from, whole := scored.pictures, true
	var worker sync.WaitGroup
	worker.Go(func() {
		for s := range todo {
			err := e.distance.Picture(s.Picture, s.Outputs)
			if err == nil && e.scorer != nil {
				err = e.scorer.Picture(s.Picture, s.Outputs)
			}
			if err != nil {
				once.Do(func() {
					failed, whole = usage.Mark(fmt.Errorf("%s: %w", s.Picture.Image.Name, err)), false
					close(stop)
				})
				return
			}
			if scored = s.at; e.B.Keeper.Due(0) {
				e.put(scored)
				e.B.Keeper.WriteIfOld()
			}
		}
	})
	e.B.Progress.Phase("scoring", len(e.Set.Images))
	if from > 0 {
		e.B.Progress.Step(from)
	}
	err := e.B.EachSample(ctx, &dataset.Set{Sources: e.Set.sources[from:]}, e.Loader, func(n int, s *dataset.Sample) error {
		n += from
		defer e.B.Progress.Step(n)
		if s == nil {
			e.passed++
			return nil
		}
		outputs, err := e.infer(ctx, n-1, s)
		if err != nil {
			return err
		}
		select {
		case todo <- Scoring{e.Picture(n-1, s), outputs, e.mark(n)}:
			return nil
		case <-stop:
			return failed
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(todo)
	worker.Wait()
	if err == nil {
		err = failed
	}
	if err != nil && whole && scored.pictures > from {
		e.put(scored)
	}
	if err == nil && e.passed == len(e.Set.Images) {
		err = fmt.Errorf("none of the %d pictures could be read; the first: %s", len(e.Set.Images), e.B.Skipped[0])
	}
	return err
}

// Picture says of picture n of the set how it was put into the model.
func (e *Evaluation) Picture(n int, s *dataset.Sample) eval.Picture {
	image := e.Set.Images[n]
	p := eval.Picture{Image: image, Path: paths.Absolute(image.Path), Width: s.Width, Height: s.Height}
	if width, height, err := e.Loader.Size(e.Loader.Inputs[0]); err == nil && s.Width > 0 {
		p.Input = [2]int{width, height}
		p.Place = e.Loader.Description.Place(s.Width, s.Height, width, height)
	}
	return p
}

// infer runs one picture through all models and gives their outputs; a variant that could not be run gives nil.
func (e *Evaluation) infer(ctx context.Context, number int, s *dataset.Sample) ([][]decode.Output, error) {
	outputs := make([][]decode.Output, 1+len(e.B.Variants))
	sample := runner.Sample{Number: number, Inputs: s.Inputs}
	started := time.Now()
	defer func() { e.inference += time.Since(started) }()
	var err error
	if outputs[0], err = e.Collect(ctx, e.Float.Start(sample), e.taps[0]); err != nil {
		return nil, fmt.Errorf("float model, %s: %w", s.Name, err)
	}
	for i, v := range e.B.Variants {
		outputs[i+1], err = e.Collect(ctx, v.Runner.Start(sample), e.taps[i+1])
		if errors.Is(err, runner.ErrSample) && ctx.Err() == nil {
			e.B.Run.Warnings = append(e.B.Run.Warnings, fmt.Sprintf("%s, %s: %v", v.Spec.Name, s.Name, err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("variant %s, %s: %w", v.Spec.Name, s.Name, err)
		}
	}
	return outputs, nil
}

// Collect takes an inference's outputs out of the runner's memory, under the float model's names.
func (e *Evaluation) Collect(ctx context.Context, f runner.Inference, taps []string) ([]decode.Output, error) {
	defer f.Close()
	got := map[string]tensor.Tensor{}
	for {
		batch, err := f.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, tap := range batch.Taps {
			if !slices.Contains(taps, tap.Name) {
				continue
			}
			if tap.Problem != "" {
				batch.Release()
				return nil, fmt.Errorf("%w: %s", runner.ErrSample, tap.Problem)
			}
			got[tap.Name] = tap.Tensor.Clone()
		}
		batch.Release()
		if len(got) == len(slices.Compact(slices.Sorted(slices.Values(taps)))) {
			break
		}
	}
	outputs := make([]decode.Output, len(taps))
	for i, tap := range taps {
		outputs[i] = decode.Output{Name: e.Outputs[i], Tensor: got[tap]}
	}
	return outputs, nil
}

// describe begins the result.
func (e *Evaluation) describe() *result.Evaluation {
	b := e.B
	out := &result.Evaluation{
		Name: e.Spec.Name, Started: b.Run.Started, Inference: e.inference.Seconds(), Spec: e.Spec, Tool: b.Run.Tool, ONNXRuntime: b.Run.ONNXRuntime, Machine: b.Run.Machine,
		Model: b.Run.Model, Task: e.Spec.Task, Data: e.Set.Text, Problems: []string{}, Warnings: []string{},
	}
	out.Models = append(out.Models, result.EvalModel{Name: "float", File: e.Spec.Name, Bytes: model.WeightBytes(b.Float.Model, nil, 32)})
	for _, one := range b.Variants {
		v := one.Result
		m := result.EvalModel{Name: v.Spec.Name, Spec: &v.Spec, File: e.Spec.Name + "-" + v.Spec.Name, Emulator: v.Emulator}
		switch {
		case v.Spec.OfDLC():
			m.Bytes = model.FileBytes(v.Spec.File)
		case v.Spec.Kind == variant.Half:
			m.Bytes = model.WeightBytes(b.Float.Model, nil, 16)
		case v.Spec.Kind == variant.File:
			m.Bytes = model.WeightBytes(one.Model, nil, 0)
		default:
			m.Bytes = model.WeightBytes(b.Float.Base, v.Params, 32)
		}
		out.Models = append(out.Models, m)
	}
	for i := range out.Models {
		out.Models[i].File = strings.ReplaceAll(out.Models[i].File, "/", "_")
	}
	return out
}
