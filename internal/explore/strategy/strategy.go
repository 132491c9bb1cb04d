// Package strategy decides what an exploration does, and in which order. It knows candidates by their scores and prices, and the model by what its
// quantizers are, all of which it asks of interfaces.
//
//  1. The recipe is scored on all pictures; one that is good already is told so, and nothing is searched (strategy.go).
//  2. Half of the recipe, other recipes, and rewritten models are scored: often the cure is a recipe (origin.go).
//  3. Each quantizer alone is examined, and the least set of changes is searched, on the simulation and, where it has the last word, on the
//     emulator (searcher.go, search.go).
//  4. The front of score against price is scored on the pictures that were held out (front.go), and told in sentences (story.go).
package strategy

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Scorer says how good candidates are; trial.Trials is the one that runs them.
type Scorer interface {
	// OnSearch scores a candidate on the pictures of the search. One that is going to miss the floor, a share of float's score, by far may
	// be given up. One that cannot be run has Failed; the error is a *candidate.RefusedError if its engine does not take it.
	OnSearch(ctx context.Context, c candidate.Candidate, floor float64) (*candidate.Trial, error)
	// OnAll scores a candidate on all pictures.
	OnAll(ctx context.Context, c candidate.Candidate) (*candidate.Trial, error)
	// ApartOn gives the SQNR of a candidate's outputs on the first pictures of the search.
	ApartOn(ctx context.Context, c candidate.Candidate, pictures int) (*candidate.Trial, error)
	// Slowest is how long a candidate took on all pictures; 0: none was scored on them.
	Slowest() time.Duration
}

// Pricer says what candidates cost; price.Prices is the one that asks the HTP's compiler.
type Pricer interface {
	Price(ctx context.Context, c candidate.Candidate) (*candidate.Price, error)
	// Estimates says whether prices are the compiler's: each takes time then, and tells more than the tensors' sizes do.
	Estimates() bool
	// Scale multiplies prices from now on.
	Scale(factor float64)
}

// Network says what candidates' models consist of; build.Builder is the one that makes them.
type Network interface {
	// Widths counts the activations with a quantizer, and those of them that are wider than 8 bits.
	Widths(c candidate.Candidate) (wide, all int, err error)
	// Neighbours are the quantizers around those that are at 16 bits, without those that have a choice already.
	Neighbours(choices variant.Choices) []string
}

// Describer describes quantizers; quantizers.Describer is the one that measures.
type Describer interface {
	// Describe gives what is known of each of the quantizers with a recipe; a quantizer alone whose SQNR at the outputs is over harmless (0: none is)
	// needs no exact value. With emulated the layers' errors on the emulator are wanted too.
	Describe(ctx context.Context, recipe variant.Spec, list []candidate.Quantizer, harmless float64, emulated bool) ([]result.Sensitivity, error)
}

// Rewriter says what a recipe keeps on other forms of the model; rewriting.Rewriter is the one that makes them.
type Rewriter interface {
	Origins(ctx context.Context, asked variant.Spec) ([]result.Origin, error)
}

// Exploration is what is explored, and who answers its questions.
type Exploration struct {
	Recipe   variant.Spec // that was asked for
	Policy   policy.Policy
	Budget   policy.Budget
	Progress progress.Reporter

	Scores   Scorer
	Prices   Pricer
	Network  Network
	Describe Describer
	Rewrite  Rewriter

	Quantizers []candidate.Quantizer
	Higher     bool // more of the score is better
	Pictures   int  // that can be read
	Alike      bool // float gives the same outputs on all of them
	// Found takes what is found; its Spec is the request.
	Found *result.Explored
}

// Run explores. Points, origins, layers, verdict, limits and story are put into Found; the recommended point is Found.Best, −1 if there is none.
func Run(ctx context.Context, e Exploration) error {
	x := &explorer{
		found: e.Found, asked: e.Recipe, network: e.Network, describer: e.Describe, rewriter: e.Rewrite, pictures: e.Pictures, alike: e.Alike,
		searcher: searcher{
			policy: e.Policy, budget: e.Budget, progress: e.Progress, scores: e.Scores, prices: e.Prices, engine: e.Found.Spec.Engine, target: e.Found.Spec.Target,
			higher: e.Higher, recipe: e.Recipe, quantizers: e.Quantizers,
		},
	}
	x.warn = func(format string, args ...any) {
		e.Found.Warnings = append(e.Found.Warnings, fmt.Sprintf(format, args...))
	}
	if err := x.explore(ctx); err != nil {
		return err
	}
	x.conclude()
	return nil
}

// explorer is one exploration under way.
type explorer struct {
	found     *result.Explored
	asked     variant.Spec // the recipe
	network   Network
	describer Describer
	rewriter  Rewriter
	pictures  int
	alike     bool

	searcher
}

// explore does the work up to the points.
func (x *explorer) explore(ctx context.Context) error {
	x.progress.Phase("scoring the recipe", 1)
	base, err := x.scores.OnAll(ctx, candidate.Of(x.asked, nil).On(x.engine))
	var refused *candidate.RefusedError
	if errors.As(err, &refused) && x.found.Spec.Auto {
		x.warn("the simulation has the last word, since the emulator does not take the model: %v", err)
		x.engine, x.found.Spec.Engine = variant.CPU, variant.CPU
		base, err = x.scores.OnAll(ctx, candidate.Of(x.asked, nil))
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
	case healed && x.budget.Left(0) < x.budget.Share(x.policy.Shares.Shown):
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

// origins finds out where the loss comes from, and takes the best recipe to start from.
func (x *explorer) origins(ctx context.Context) error {
	w := &inquiry{searcher: &x.searcher, asked: x.asked, rewriter: x.rewriter, questions: questionsOf(x.asked)}
	list, best, err := w.ask(ctx)
	if err != nil {
		return err
	}
	x.found.Origins = append(x.found.Origins, list...)
	if !x.found.Spec.Fixed {
		x.recipe, x.found.Recipe = best, best
		x.recipe.Name = x.asked.Name
	}
	return nil
}

// sensitivities finds what each quantizer of the recipe alone does to the outputs, and beside it each layer's error alone and accumulated.
func (x *explorer) sensitivities(ctx context.Context) error {
	harmless, err := x.harmless(ctx)
	if err != nil {
		return err
	}
	list, err := x.describer.Describe(ctx, x.recipe, x.quantizers, harmless, x.engine == variant.HTP)
	if err != nil {
		return err
	}
	x.found.Layers = append(x.found.Layers, list...)
	x.described = x.found.Layers // what the search finds out of them is told, too
	x.sqnr = make([]metric.Value, len(x.quantizers))
	for i, l := range list {
		x.sqnr[i] = l.SQNR
	}
	return nil
}

// harmless is the SQNR of the outputs from which on a quantizer alone is passed over after its first picture; 0: none is.
func (x *explorer) harmless(ctx context.Context) (float64, error) {
	t, err := x.scores.OnSearch(ctx, candidate.Of(x.recipe, nil).On(variant.CPU), 0)
	if err != nil || !t.Scored.SQNR.OK || math.IsInf(t.Scored.SQNR.V, 0) {
		return 0, err
	}
	return t.Scored.SQNR.V + x.policy.Inaudible, nil
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
	if x.found.Spec.Measured <= 0 || !x.prices.Estimates() || !p.Price.OK || p.Price.V <= 0 {
		return ctx.Err()
	}
	x.prices.Scale(x.found.Spec.Measured / p.Price.V)
	x.found.PriceUnit = result.MeasuredUnit
	p.Price.V = x.found.Spec.Measured
	return ctx.Err()
}

// reaches says whether a candidate that was scored on all pictures has the target: on all of them, and on those held out
// within the spread.
func (x *explorer) reaches(t *candidate.Trial) bool {
	s := t.Scored
	if !t.Whole || !s.Share.OK || s.Share.V < x.target {
		return false
	}
	return !s.HeldShare.OK || !s.Spread.OK || s.HeldShare.V+s.Spread.V >= x.target
}

// unsearchable says why a search would find nothing that holds; "" if it would.
func (x *explorer) unsearchable() string {
	switch {
	case x.pictures < 2:
		return "there is one picture only: nothing can be held out, and what is found on one picture holds on that picture"
	case x.alike:
		return fmt.Sprintf("the float model gives the same outputs on all %d pictures: there is nothing to tell candidates apart by", x.pictures)
	}
	return ""
}

// addPoint scores a candidate on all pictures with the engine that has the last word, prices it whole, and keeps it. One that cannot
// be run is no point.
func (x *explorer) addPoint(ctx context.Context, title string, recipe variant.Spec, choices variant.Choices) error {
	c := candidate.Of(recipe, choices).On(x.engine)
	t, err := x.scores.OnAll(ctx, c)
	if err != nil {
		return err
	}
	if t.Failed != "" {
		return nil
	}
	p := result.ExplorePoint{Title: title, Recipe: c.Spec, Scored: t.Scored, Changed: []result.ChangedLayer{}}
	p.Recipe.Engine = variant.CPU
	price, err := x.prices.Price(ctx, c)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		x.warn("%s has no price: %v", title, err)
	default:
		p.Price, p.Cycles = price.Price, price.Estimated
	}
	if p.Wide, p.Tensors, err = x.network.Widths(c); err != nil {
		return err
	}
	for _, q := range x.quantizers {
		if choice, ok := choices[q.Tensors[0]]; ok {
			p.Changed = append(p.Changed, result.ChangedLayer{Tensor: q.Tensors[0], Also: q.Tensors[1:], Layer: q.Layer, Choice: choice})
		}
	}
	x.found.Points = append(x.found.Points, p)
	return nil
}

// conclude says what the figures say.
func (x *explorer) conclude() {
	f := x.found
	f.Budget = f.Budget || x.budget.Spent(0)
	if f.Best >= 0 {
		wide := map[string]bool{}
		for _, c := range f.Points[f.Best].Changed {
			wide[c.Tensor] = c.Choice.Bits == 16
		}
		for i := range f.Layers {
			if wide[f.Layers[i].Tensor] {
				f.Layers[i].Bits = 16
			}
		}
	}
	if f.Verdict == result.OutOfReach {
		x.limits()
	}
	f.Story = story(f)
}
