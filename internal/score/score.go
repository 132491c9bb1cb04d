// Package score is the use case of quantcheck eval: a float model and its variants are scored on a data set.
package score

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/model"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/score/outputs"
	"quantcheck/internal/score/testset"
	"quantcheck/internal/session"
	"quantcheck/internal/session/identity"
	"quantcheck/internal/session/prepare"
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
	set, err := testset.Open(spec.Scoring, spec.Images, spec.Limit)
	if err != nil {
		return nil, err
	}
	emulator, err := engines.Emulator(variants)
	if err != nil {
		return nil, err
	}
	b, err := session.Open(ctx, engines.ORT, session.Options{Command: "eval", Quantized: session.AsItIs, Name: spec.Name, Model: spec.Model, Input: spec.Input, SamplePath: spec.Images, MemoryMiB: spec.MemoryMiB}, variants, progress, started)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	b.Emulator, b.Samples = emulator, len(set.Images)
	loader := b.Loader
	loader.Cache = nil // every picture is read once
	if err := set.Fits(loader, spec.Task); err != nil {
		return nil, err
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
		identity.Absolute(&id.Sources, &id.Place)
		said, files := set.Identity()
		key, err := identity.Of(b, b.Run.Command, id, []any{config, said}, files, set.Samples(), calibrating)
		if err != nil {
			return nil, err
		}
		if b.Keeper, err = checkpoint.New(keep, key, started); err != nil {
			return nil, err
		}
	}
	config = testset.Named(config, b)
	e := &evaluation{session: b, set: set, loader: loader, spec: spec}
	defer e.close()
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
func (e *evaluation) all(ctx context.Context, calibrating *dataset.Set) error {
	if err := prepare.Build(ctx, e.session, calibrating, e.loader); err != nil {
		return err
	}
	var err error
	if e.models, err = outputs.Open(ctx, e.session); err != nil {
		return err
	}
	return e.run(ctx)
}

// EvaluationPlanner is a sink that wants to know what it will have to store before the work begins. An error ends the evaluation.
type EvaluationPlanner interface {
	Plan(pictures, models int) error
}

// evaluation runs the models for their outputs.
type evaluation struct {
	session   *session.Session
	set       *testset.Set
	loader    dataset.Loader
	spec      result.EvalSpec
	models    *outputs.Models
	scorer    eval.Scorer
	distance  *eval.Distance
	inference time.Duration
	passed    int // pictures that could not be read

	empty  func() // makes scorer and distance anew; nil: nothing is kept
	before int    // warnings that are older than the first picture
}

// close frees what was opened for the evaluation.
func (e *evaluation) close() {
	if e.models != nil {
		e.models.Close()
	}
}

// scoring is a picture whose outputs wait to be scored.
type scoring struct {
	picture eval.Picture
	outputs [][]decode.Output
	at      mark // when the models had given it
}

// run makes the inferences; a goroutine of its own decodes and scores what they gave.
func (e *evaluation) run(ctx context.Context) error {
	const waiting = 2 // pictures
	todo := make(chan scoring, waiting)
	var failed error
	var once sync.Once
	stop := make(chan struct{})
	e.before = len(e.session.Run.Warnings)
	scored := e.goOn()
	from, whole := scored.pictures, true
	var worker sync.WaitGroup
	worker.Go(func() {
		for s := range todo {
			err := e.distance.Picture(s.picture, s.outputs)
			if err == nil && e.scorer != nil {
				err = e.scorer.Picture(s.picture, s.outputs)
			}
			if err != nil {
				once.Do(func() {
					failed, whole = usage.Mark(fmt.Errorf("%s: %w", s.picture.Image.Name, err)), false
					close(stop)
				})
				return
			}
			if scored = s.at; e.session.Keeper.Due(0) {
				e.put(scored)
				e.session.Keeper.WriteIfOld()
			}
		}
	})
	e.session.Progress.Phase("scoring", len(e.set.Images))
	if from > 0 {
		e.session.Progress.Step(from)
	}
	err := e.session.EachSample(ctx, &dataset.Set{Sources: e.set.Samples().Sources[from:]}, e.loader, func(n int, s *dataset.Sample) error {
		n += from
		defer e.session.Progress.Step(n)
		if s == nil {
			e.passed++
			return nil
		}
		began := time.Now()
		outputs, err := e.models.Infer(ctx, n-1, s)
		e.inference += time.Since(began)
		if err != nil {
			return err
		}
		select {
		case todo <- scoring{e.set.Picture(n-1, s, e.loader), outputs, e.mark(n)}:
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
	if err == nil && e.passed == len(e.set.Images) {
		err = fmt.Errorf("none of the %d pictures could be read; the first: %s", len(e.set.Images), e.session.Skipped[0])
	}
	return err
}

// describe begins the result.
func (e *evaluation) describe() *result.Evaluation {
	b := e.session
	out := &result.Evaluation{
		Name: e.spec.Name, Started: b.Run.Started, Inference: e.inference.Seconds(), Spec: e.spec, Tool: b.Run.Tool, ONNXRuntime: b.Run.ONNXRuntime, Machine: b.Run.Machine,
		Model: b.Run.Model, Task: e.spec.Task, Data: e.set.Text, Problems: []string{}, Warnings: []string{},
	}
	out.Models = append(out.Models, result.EvalModel{Name: "float", File: e.spec.Name, Bytes: model.WeightBytes(b.Float.Model, nil, 32)})
	for _, one := range b.Variants {
		v := one.Result
		m := result.EvalModel{Name: v.Spec.Name, Spec: &v.Spec, File: e.spec.Name + "-" + v.Spec.Name, Emulator: v.Emulator}
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
