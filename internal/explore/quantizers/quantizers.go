// Package quantizers describes the quantizers of a recipe along the graph: what each does to the outputs alone, the errors of the layers, and what
// their operators cost.
package quantizers

import (
	"context"
	"time"

	"quantcheck/internal/compare/measure"
	"quantcheck/internal/explore/alone"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/explore/stage"
	"quantcheck/internal/metric"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/variant"
)

// Asker says what each quantizer alone does; alone.Asker is the one that measures it.
type Asker interface {
	Ask(ctx context.Context, recipe variant.Spec, harmless float64) (answers *alone.Answers, problem, err error)
}

// Pricer says what the operators of a candidate cost.
type Pricer interface {
	Price(ctx context.Context, c candidate.Candidate) (*candidate.Price, error)
}

// Describer describes the quantizers of a stage's model.
type Describer struct {
	Alone    Asker
	Errors   Errors
	Prices   Pricer
	Warn     func(format string, args ...any)
	Pictures int // on which the layers' own errors are measured
}

// New makes a describer of the model of a stage. What each quantizer alone does is kept in a cache.
func New(s *stage.Stage, c *cache.Cache, prices Pricer, p policy.Policy, progress progress.Reporter, warn func(format string, args ...any)) *Describer {
	return &Describer{
		Alone: &alone.Asker{Stage: s, Cache: c, Pictures: p.SensitivePictures, Progress: progress}, Errors: Layers{s}, Prices: prices, Warn: warn, Pictures: p.ErrorPictures,
	}
}

// Errors measures the layers of recipes: Layers is the one that runs them.
type Errors interface {
	// Of gives the layers' errors of a recipe on the first pictures of the search: on the CPU as the first variant, and as the second one on the
	// emulator, if that is wanted.
	Of(ctx context.Context, recipe variant.Spec, pictures int, emulated bool) (*result.Run, error)
}

// Describe gives what is known of each of the quantizers with a recipe. harmless is the SQNR of the outputs, in dB, from which on a quantizer
// alone is passed over after its first picture (0: none is). With emulated the emulator computes the layers too. What cannot be measured
// has no value and is warned of.
func (d *Describer) Describe(ctx context.Context, recipe variant.Spec, list []candidate.Quantizer, harmless float64, emulated bool) ([]result.Sensitivity, error) {
	recipe.Engine = variant.CPU
	answers, problem, err := d.Alone.Ask(ctx, recipe, harmless)
	if err != nil {
		return nil, err
	}
	if problem != nil {
		d.Warn("what each quantizer alone does could not be measured: %v", problem)
	}
	run, err := d.Errors.Of(ctx, recipe, d.Pictures, emulated)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		d.Warn("the layers' own errors could not be measured: %v", err)
		run = nil
	}
	cycles := map[string]float64{}
	if p, err := d.Prices.Price(ctx, candidate.Of(recipe, nil)); err == nil && p.Layers != nil {
		cycles = p.Layers
	}
	described := make([]result.Sensitivity, 0, len(list))
	for i, q := range list {
		l := result.Sensitivity{Tensor: q.Tensors[0], Tensors: len(q.Tensors), SQNR: answers.Quantizers[i], Weights: answers.Weights[q.Tensors[0]], Op: q.Op, Bits: recipe.ActBits}
		if q.Layer >= 0 {
			if c, ok := cycles[q.Node]; ok {
				l.Cycles = metric.Defined(c)
			}
			if run != nil {
				errorsInto(&l, run, q.Layer)
			}
		}
		described = append(described, l)
	}
	return described, nil
}

// errorsInto takes a layer's errors over.
func errorsInto(l *result.Sensitivity, run *result.Run, layer int) {
	v := &run.Variants[0].Layers[layer]
	l.Accumulated = v.Summary[metric.SQNR].Mean
	if v.Local != nil {
		l.Local = v.Local.Full.Summary[metric.SQNR].Mean
	}
	if len(run.Variants) > 1 {
		if t := run.Variants[1].Layers[layer].IsolatedEmulationError; t != nil {
			l.Apart = t.Summary[metric.SQNR].Mean
		}
	}
}

// Layers measures the layers of a stage's model.
type Layers struct{ Stage *stage.Stage }

// Of implements Errors.
func (x Layers) Of(ctx context.Context, recipe variant.Spec, pictures int, emulated bool) (*result.Run, error) {
	s := x.Stage
	defer s.Tidy()
	set := s.First(pictures)
	run := &result.Run{Model: s.Session.Run.Model, Layers: s.Session.Float.Layers, Started: time.Now()}
	o := s.Session.Options
	o.LocalSamples = len(set.Sources)
	o.MemoryMiB = max(o.MemoryMiB/8, 64) // beside what the exploration holds
	variants := []variant.Spec{recipe}
	if emulated {
		twin := recipe
		twin.Engine, twin.Name = variant.HTP, recipe.Name+"@htp"
		variants = append(variants, twin)
	}
	b := s.Session.Beside(o, run, variants...)
	b.Samples, b.Stats = len(set.Sources), s.Stats
	defer b.Close()
	if err := prepare.All(ctx, b, nil, s.Loader); err != nil {
		return nil, err
	}
	if err := measure.All(ctx, b, set, s.Loader, nil); err != nil {
		return nil, err
	}
	measure.Summarize(run)
	return run, nil
}
