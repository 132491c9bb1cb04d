// Package explore is the use case of quantcheck explore: where a quantized model loses its score, and the least change that brings it back.
//
//  1. stage.go runs the float model once; trial.go builds, runs and scores candidates and remembers what came out.
//  2. origin.go asks where the loss comes from, sensitivity.go what each quantizer does, search.go for the least set of changes.
//  3. front.go ranks score against cost, fix.go writes what is recommended, story.go says it in sentences.
package explore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/decode"
	"quantcheck/internal/estimator"
	"quantcheck/internal/eval"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/score"
	"quantcheck/internal/session"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Run finds out where a quantized model loses its score and what is the least change that brings it back.
//
//  1. The float model runs once on the pictures; every third picture is held out of the search. A recipe that
//     is good already is told so, and nothing is searched.
//  2. Half of the recipe, other recipes, and rewritten models are scored: often the cure is a recipe.
//  3. Each quantizer alone is examined, and the least set of wider ones is searched on the CPU.
//  4. Where the emulator has the last word, the set is corrected by its own sensitivities of the layers where it parts from the
//     simulation.
//  5. The front of score against price is scored on the pictures that were held out.
//
// What is found is kept in the cache as it comes; the budget ends a search with the best so far.
func Run(ctx context.Context, engines session.Engines, spec result.ExploreSpec, config eval.Config, cache Cache, progress progress.Reporter) (*Result, error) {
	started := time.Now()
	x := &explorer{engines: engines, spec: spec, config: config, started: started, searcher: searcher{policy: usual, progress: progress}}
	if err := x.open(ctx, cache); err != nil {
		return nil, err
	}
	defer x.stage.close()
	if err := x.explore(ctx); err != nil {
		return nil, err
	}
	if err := x.conclude(ctx); err != nil {
		return nil, err
	}
	x.found.Seconds = time.Since(started).Seconds()
	return &Result{Explored: x.found, fix: x.fix}, nil
}

// Result is what was found, with the model that is recommended.
type Result struct {
	*result.Explored
	fix *Fix // nil: nothing was asked to be written
}

// Fix is the recommended model, nil if it was not asked for.
func (e *Result) Fix() *Fix { return e.fix }

// explorer is one exploration under way.
type explorer struct {
	engines session.Engines
	spec    result.ExploreSpec
	config  eval.Config
	started time.Time

	set      *score.TruthSet
	stage    *stage
	trials   *trials
	pricer   *candidatePricer
	found    *result.Explored
	asked    variant.Spec // the recipe
	original string       // the model before it was rewritten first; "": it was not
	early    []string     // warnings from before there was a result
	fix      *Fix

	searcher
}

// open reads everything and says what is wrong with the request before long work begins.
func (x *explorer) open(ctx context.Context, cache Cache) error {
	variants, err := variant.ParseAll(x.spec.Variants)
	if err != nil {
		return usage.Mark(err)
	}
	switch {
	case len(variants) != 1 || variants[0].Kind != variant.Recipe || session.Emulated(variants[0]):
		return usage.Mark(fmt.Errorf("explore starts from one recipe, such as w8a8; %v is none (--engine says what runs it)", x.spec.Variants))
	case !(x.spec.Target > 0 && x.spec.Target <= 1):
		return usage.Mark(fmt.Errorf("a target is a share of the float model's score over 0 and up to 100 %%, not %g %%", 100*x.spec.Target))
	case x.spec.Seconds <= 0:
		return usage.Mark(errors.New("a budget is a time over 0, such as 5m"))
	}
	if err := errors.Join(x.spec.Input.Check(), x.config.Check()); err != nil {
		return usage.Mark(err)
	}
	if x.set, err = score.OpenTruth(x.spec.Scoring, x.spec.Images, x.spec.Limit); err != nil {
		return usage.Mark(err)
	}
	soc, err := htpcost.Find(x.spec.Chip)
	if err != nil {
		return usage.Mark(err)
	}
	x.asked, x.recipe = variants[0], variants[0]
	x.budget = newBudget(x.spec.Seconds, x.started, x.policy.shares, time.Now)
	engine, engineErr := x.engines.HTP()
	if engineErr != nil && (x.spec.Engine == variant.HTP || !errors.Is(engineErr, qnn.ErrUnavailable)) {
		return engineErr
	}
	if x.stage, err = openStage(ctx, x.engines, x.policy, x.spec, x.config, x.set, x.progress); err != nil {
		return err
	}
	if x.spec.Rewritten != "" {
		if err := x.rewriteFirst(ctx); err != nil {
			x.stage.close()
			return err
		}
	}
	x.stage.b.Emulator = engine
	x.pricer = &candidatePricer{stage: x.stage, known: map[string]*priced{}}
	versions := []string{hostinfo.Version, x.stage.b.Run.ONNXRuntime}
	if engineErr == nil {
		x.pricer.estimator = &estimator.Estimator{Ort: x.engines.ORT, Engine: engine, Soc: soc, Progress: progress.Silent{}}
		versions = append(versions, qnn.Version)
	}
	x.groups = x.stage.b.Float.Placement.Groups()
	x.elements, x.inHead = x.stage.elements(x.groups), headOf(x.stage.b.Float.Base, x.groups)
	x.engine, x.target, x.higher = x.spec.Engine, x.spec.Target, x.stage.higher
	x.trials, err = newTrials(x.stage, cache, x.spec, versions...)
	if err != nil {
		x.stage.close()
		return err
	}
	x.pricer.trials = x.trials
	x.scores, x.prices, x.warn = x.trials, x.pricer, x.warning
	x.describe(engineErr == nil)
	x.trials.failed = x.couldNotRun
	return nil
}

func (x *explorer) describe(libraries bool) {
	run := x.stage.b.Run
	f := &result.Explored{
		Name: x.spec.Name, Started: run.Started, Spec: x.spec, Tool: run.Tool, ONNXRuntime: run.ONNXRuntime, Machine: run.Machine, Model: run.Model,
		Task: x.spec.Task, Data: x.set.Text, Best: -1, Recipe: x.recipe, PriceUnit: result.BitOpsUnit,
		Limits: []string{}, Points: []result.ExplorePoint{}, Origins: []result.Origin{}, Layers: []result.Sensitivity{}, Story: []string{},
		Unencoded: []string{}, Converts: []string{}, Files: []string{}, Commands: []string{}, Warnings: append([]string{}, run.Warnings...),
	}
	f.Pictures = result.PictureCounts{
		Calibrating: len(run.Calibration), Searched: x.stage.searched, HeldOut: len(x.stage.shots) - x.stage.searched, Lost: len(x.set.Images) - len(x.stage.shots),
	}
	f.Warnings = append(f.Warnings, x.early...)
	if x.spec.Rewritten != "" {
		f.Files = append(f.Files, x.spec.Rewritten)
	}
	if libraries {
		f.PriceUnit, f.Wheel = result.CyclesUnit, qnn.Version
	}
	if x.spec.Task == result.Agreement {
		f.Warnings = append(f.Warnings, "there are no labels: the score is the agreement with the float model, the cosine of the worst output")
	}
	x.found = f
}

// explore does the work up to the points.
func (x *explorer) explore(ctx context.Context) error {
	x.progress.Phase("scoring the recipe", 1)
	base, err := x.trials.onAll(ctx, x.of(x.asked, nil).on(x.spec.Engine))
	var refused *htp.RefusedError
	if errors.As(err, &refused) && x.spec.Auto {
		x.warn("the simulation has the last word, since the emulator does not take the model: %v", err)
		x.spec.Engine, x.found.Spec.Engine, x.engine = variant.CPU, variant.CPU, variant.CPU
		base, err = x.trials.onAll(ctx, x.of(x.asked, nil))
	}
	if err != nil {
		return err
	}
	if base.Failed != "" { // without its score there is nothing to compare with
		return fmt.Errorf("%s cannot be run: %s", x.asked.Name, base.Failed)
	}
	f := x.found
	f.Column, f.Reading, f.Classes, f.Float = base.Column, base.Reading, base.Classes, base.Float
	f.Float.Share = metric.Defined(1)
	if !base.Scored.Share.OK {
		return usage.Mark(fmt.Errorf("the float model's %s is %s on these pictures, of which nothing can be kept: do the labels and the input description fit the model (quantcheck eval --try-inputs)?", base.Column.Key, text(base.Float.All)))
	}
	f.Start = 0
	if err := x.addPoint(ctx, "the recipe as it is", x.asked, nil); err != nil {
		return err
	}
	if err := x.measured(ctx); err != nil {
		return err
	}
	if x.reaches(base) {
		f.Verdict, f.Best, f.Reached = result.AlreadyGood, 0, true
		return nil
	}
	if why := x.unsearchable(); why != "" {
		f.Verdict = result.NotSearched
		f.Limits = append(f.Limits, why)
		return nil
	}
	if err := x.origins(ctx); err != nil {
		return err
	}
	healed, err := x.bestRecipe(ctx)
	switch {
	case err != nil:
		return err
	case healed && x.budget.left(0) < x.budget.share(x.policy.shares.shown):
		return nil
	case healed: // which layers hurt, and what more bits would bring, is worth knowing, if there is time
		if err := x.sensitivities(ctx); err != nil {
			return err
		}
		return x.front(ctx)
	}
	for _, step := range []func(context.Context) error{x.sensitivities, x.search} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return x.front(ctx)
}

// bestRecipe scores the recipe that the search would start from, if it is another one, with the engine that has the last word. If
// it has the target, nothing is searched: it costs no bits.
func (x *explorer) bestRecipe(ctx context.Context) (healed bool, err error) {
	if x.recipe.Equal(x.asked) {
		return false, nil
	}
	x.progress.Phase("scoring the best recipe", 1)
	before := len(x.found.Points)
	if err := x.addPoint(ctx, "the best recipe", x.recipe, nil); err != nil {
		return false, err
	}
	if len(x.found.Points) == before || !x.holds(&x.found.Points[before]) {
		return false, nil
	}
	x.rank()
	return true, nil
}

func text(v metric.Value) string {
	if !v.OK {
		return "not defined"
	}
	return fmt.Sprintf("%.4g", v.V)
}

// measured scales prices to a benchmark of the recipe, if there is one: the compiler's estimate then only says what a change adds.
func (x *explorer) measured(ctx context.Context) error {
	p := &x.found.Points[0]
	if x.spec.Measured <= 0 || x.pricer.estimator == nil || !p.Price.OK || p.Price.V <= 0 {
		return ctx.Err()
	}
	x.pricer.scale = x.spec.Measured / p.Price.V
	x.found.PriceUnit = result.MeasuredUnit
	p.Price.V = x.spec.Measured
	return ctx.Err()
}

// reaches says whether a candidate that was scored on all pictures has the target: on all of them, and on those held out
// within the spread.
func (x *explorer) reaches(t *trial) bool {
	s := t.Scored
	if !t.Whole || !s.Share.OK || s.Share.V < x.spec.Target {
		return false
	}
	return !s.HeldShare.OK || !s.Spread.OK || s.HeldShare.V+s.Spread.V >= x.spec.Target
}

// unsearchable says why a search would find nothing that holds; "" if it would.
func (x *explorer) unsearchable() string {
	shots := x.stage.shots
	if len(shots) < 2 {
		return "there is one picture only: nothing can be held out, and what is found on one picture holds on that picture"
	}
	same := func(a, b []decode.Output) bool {
		for i := range a {
			p, ok := a[i].Tensor.AsFloat32()
			q, also := b[i].Tensor.AsFloat32()
			if !ok || !also || !slices.Equal(p, q) {
				return false
			}
		}
		return true
	}
	for _, one := range shots[1:] {
		if shots[0].outputs == nil || one.outputs == nil || !same(shots[0].outputs, one.outputs) {
			return ""
		}
	}
	return fmt.Sprintf("the float model gives the same outputs on all %d pictures: there is nothing to tell candidates apart by", len(shots))
}

// addPoint scores a candidate on all pictures with the engine that has the last word, prices it whole, and keeps it. One that cannot
// be run is no point.
func (x *explorer) addPoint(ctx context.Context, title string, recipe variant.Spec, choices variant.Choices) error {
	c := x.of(recipe, choices).on(x.spec.Engine)
	t, err := x.trials.onAll(ctx, c)
	if err != nil {
		return err
	}
	if t.Failed != "" {
		return nil
	}
	p := result.ExplorePoint{Title: title, Recipe: c.spec, Scored: t.Scored, Changed: []result.ChangedLayer{}}
	p.Recipe.Engine = variant.CPU
	price, err := x.pricer.price(ctx, c)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		x.warn("%s has no price: %v", title, err)
	default:
		p.Price, p.Cycles = price.Price, price.Estimated
	}
	m, err := x.stage.build(c)
	if err != nil {
		return err
	}
	p.Wide, p.Tensors = widths(m.Built)
	number := map[string]int{}
	for k, l := range x.stage.b.Float.Layers {
		number[l.Name] = k
	}
	for _, g := range x.groups {
		choice, ok := choices[g[0]]
		if !ok {
			continue
		}
		layer := -1
		if k, made := number[g[0]]; made {
			layer = k
		}
		p.Changed = append(p.Changed, result.ChangedLayer{Tensor: g[0], Also: g[1:], Layer: layer, Choice: choice})
	}
	x.found.Points = append(x.found.Points, p)
	return nil
}

// warning is a warning of the result.
func (x *explorer) warning(format string, args ...any) {
	x.found.Warnings = append(x.found.Warnings, fmt.Sprintf(format, args...))
}

// couldNotRun warns of a candidate that counts as failed.
func (x *explorer) couldNotRun(c candidate, err error) {
	what := c.spec.Name
	if n := len(c.spec.Choices); n > 0 {
		what += fmt.Sprintf(" with %d of %d quantizers changed", n, len(x.groups))
	}
	if c.spec.Engine == variant.HTP {
		what += " on the emulator"
	}
	x.warn("%s cannot be run and counts as failed: %v", what, err)
}

// widths counts the activations with a quantizer, and those of them that are wider than 8 bits.
func widths(b *qdq.Built) (wide, all int) {
	for _, e := range b.Encodings {
		all++
		if e.Bits > 8 {
			wide++
		}
	}
	return wide, all
}
