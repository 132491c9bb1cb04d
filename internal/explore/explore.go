// Package explore is the use case of quantcheck explore: where a quantized model loses its score, and the least change that brings it back.
//
//  1. Run opens what a request needs: the compiler, the test set, and the model on a stage (bench, stage).
//  2. It gives the strategy what answers its questions: trials score candidates, price prices them, quantizers describes the model's quantizers,
//     rewriting makes other forms of the model. All remember in the cache.
//  3. The strategy explores; fix makes the model that it recommends.
package explore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quantcheck/internal/estimator"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore/bench"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/fix"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/explore/quantizers"
	"quantcheck/internal/explore/request"
	"quantcheck/internal/explore/rewriting"
	"quantcheck/internal/explore/strategy"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
)

// Cache keeps what an exploration has found out; explorations of several processes may share one.
type Cache = cache.Store

// Fix is a recommended model.
type Fix = fix.Fix

// Run finds out where a quantized model loses its score and what is the least change that brings it back.
//
//  1. The float model runs once on the pictures; every third picture is held out of the search. A recipe that
//     is good already is told so, and nothing is searched.
//  2. Half of the recipe, other recipes, and rewritten models are scored: often the cure is a recipe.
//  3. Each quantizer alone is examined, and the least set of wider ones is searched on the CPU.
//  4. Where the emulator has the last word, the set is corrected by its own sensitivities of the layers where it parts from the
//     simulation.
//  5. The front of score against price is scored on the pictures that were held out.
//  6. The recipe and the recommended point are judged by their outputs, as check does.
//
// What is found is kept in the cache as it comes; the budget ends a search with the best so far.
func Run(ctx context.Context, engines session.Engines, spec result.ExploreSpec, config eval.Config, cache Cache, progress progress.Reporter) (*Result, error) {
	started := time.Now()
	x := &explorer{Request: bench.Request{Engines: engines, Spec: spec, Config: config, Policy: policy.Usual()}, progress: progress}
	if err := x.open(ctx, cache); err != nil {
		return nil, err
	}
	defer x.bench.Close()
	if err := strategy.Run(ctx, x.exploration(started)); err != nil {
		return nil, err
	}
	f := x.found
	if err := x.bench.Judge(ctx, f); err != nil {
		return nil, err
	}
	f.Tries, f.Resumed = x.bench.Trials.Count()
	if f.Best >= 0 {
		if err := x.recommend(ctx); err != nil {
			return nil, err
		}
	}
	f.Seconds = time.Since(started).Seconds()
	return &Result{Explored: f, fix: x.fix}, nil
}

// Result is what was found, with the model that is recommended.
type Result struct {
	*result.Explored
	fix *Fix // nil: nothing was asked to be written
}

// Fix is the recommended model, nil if it was not asked for.
func (e *Result) Fix() *Fix { return e.fix }

// explorer composes one exploration.
type explorer struct {
	bench.Request
	progress progress.Reporter
	recipe   variant.Spec
	bench    *bench.Bench
	found    *result.Explored
	original string   // the model before it was rewritten first; "": it was not
	early    []string // warnings from before there was a result
	fix      *Fix
}

// open reads everything and says what is wrong with the request before long work begins.
func (x *explorer) open(ctx context.Context, store Cache) (err error) {
	if x.recipe, x.Set, err = request.Read(x.Spec, x.Config); err != nil {
		return err
	}
	x.Compiler, err = estimator.Open(x.Engines, x.Spec.Chip)
	if err != nil && (x.Spec.Engine == variant.HTP || !errors.Is(err, qnn.ErrUnavailable)) {
		return err
	}
	if x.bench, err = x.Open(ctx, x.Spec.Model, x.progress); err != nil {
		return err
	}
	if x.Spec.Rewritten != "" {
		err = x.rewriteFirst(ctx)
	}
	if err == nil {
		run := x.bench.Stage.Session.Run
		versions := []string{run.Tool, run.ONNXRuntime}
		if x.Compiler != nil {
			versions = append(versions, qnn.Version)
		}
		err = x.Complete(x.bench, store, func(what string, err error) { x.warn("%s cannot be run and counts as failed: %v", what, err) }, versions...)
	}
	if err != nil {
		x.bench.Close()
		return err
	}
	x.describe()
	return nil
}

// rewriteFirst rewrites the model before anything is explored.
func (x *explorer) rewriteFirst(ctx context.Context) error {
	x.progress.Phase("rewriting the model", 1)
	var other *bench.Bench
	taken, notes, err := rewriting.First(ctx, rewriting.On(x.Engines), x.Spec.Model, x.Spec.Rewritten, x.Spec.Input, x.bench.Stage.First(rewriting.MostRanging), func() (err error) {
		other, err = x.Open(ctx, x.Spec.Rewritten, x.progress)
		return err
	})
	x.early = append(x.early, notes...)
	switch {
	case err != nil:
		return err
	case !taken:
		x.Spec.Rewritten = ""
		return nil
	}
	x.bench.Close()
	x.bench, x.original, x.Spec.Model = other, x.Spec.Model, x.Spec.Rewritten
	return nil
}

// describe begins the result.
func (x *explorer) describe() {
	run := x.bench.Stage.Session.Run
	searched, pictures := x.bench.Stage.Pictures()
	f := &result.Explored{
		Name: x.Spec.Name, Started: run.Started, Spec: x.Spec, Tool: run.Tool, ONNXRuntime: run.ONNXRuntime, Machine: run.Machine, Model: run.Model,
		Task: x.Spec.Task, Data: x.Set.Text, Best: -1, Recipe: x.recipe, PriceUnit: result.BitOpsUnit,
		Limits: []string{}, Points: []result.ExplorePoint{}, Origins: []result.Origin{}, Layers: []result.Sensitivity{}, Story: []string{},
		Unencoded: []string{}, Converts: []string{}, Files: []string{}, Commands: []string{}, Warnings: append([]string{}, run.Warnings...),
	}
	f.Pictures = result.PictureCounts{Calibrating: len(run.Calibration), Searched: searched, HeldOut: pictures - searched, Lost: len(x.Set.Images) - pictures}
	f.Warnings = append(f.Warnings, x.early...)
	if x.Spec.Rewritten != "" {
		f.Files = append(f.Files, x.Spec.Rewritten)
	}
	if x.Compiler != nil {
		f.PriceUnit, f.Wheel = result.CyclesUnit, qnn.Version
	}
	if x.Spec.Task == result.Agreement {
		f.Warnings = append(f.Warnings, "there are no labels: the score is the agreement with the float model, the cosine of the worst output")
	}
	x.found = f
}

// exploration is what the strategy explores, and who answers its questions.
func (x *explorer) exploration(started time.Time) strategy.Exploration {
	b, s := x.bench, x.bench.Stage
	_, pictures := s.Pictures()
	return strategy.Exploration{
		Recipe: x.recipe, Policy: x.Policy, Budget: policy.NewBudget(x.Spec.Seconds, started, x.Policy.Shares, time.Now), Progress: x.progress,
		Scores: b.Trials, Prices: b.Prices, Network: s.Builder, Quantizers: s.Builder.Quantizers(), Higher: b.Higher, Pictures: pictures, Alike: s.Alike(),
		Describe: quantizers.New(s, b.Cache, b.Prices, x.Policy, x.progress, x.warn),
		Rewrite: &rewriting.Rewriter{
			Optimize: rewriting.On(x.Engines), Model: x.Spec.Model, Original: x.original, Input: x.Spec.Input, Ranging: s.First(rewriting.MostRanging), Cache: b.Cache,
			Higher: b.Higher, Warn: x.warn, Elsewhere: x.Elsewhere,
		},
		Found: x.found,
	}
}

// recommend builds the recommended point: what stays without an encoding, where widths meet, and the files' contents if they are
// wanted.
func (x *explorer) recommend(ctx context.Context) error {
	made, err := fix.Make(ctx, x.bench.Stage, x.found.Points[x.found.Best].Recipe)
	if err != nil {
		return err
	}
	x.found.Converts, x.found.Unencoded = made.Converts, append(x.found.Unencoded, made.Unencoded...)
	if !x.Spec.Apply {
		return nil
	}
	x.fix = made
	if x.Compiler == nil {
		return made.WriteDLC(ctx, x.Engines.ORT, nil)
	}
	x.progress.Phase("writing the DLC", 1)
	return made.WriteDLC(ctx, x.Engines.ORT, &x.Compiler.Engine)
}

// warn adds a warning to the result.
func (x *explorer) warn(format string, args ...any) {
	x.found.Warnings = append(x.found.Warnings, fmt.Sprintf(format, args...))
}
