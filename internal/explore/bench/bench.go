// Package bench sets up what the candidates of an exploration are asked on: the stage that runs them, with their scores and prices, for the model that
// is explored and for other forms of it.
package bench

import (
	"context"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimator"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/judged"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/explore/price"
	"quantcheck/internal/explore/stage"
	"quantcheck/internal/explore/trial"
	"quantcheck/internal/paths"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/score/testset"
	"quantcheck/internal/session"
)

// Request is what all forms of the model have in common.
type Request struct {
	Engines  session.Engines
	Compiler *estimator.Estimator // nil: there is none
	Spec     result.ExploreSpec
	Config   eval.Config
	Set      *testset.Set
	Policy   policy.Policy
}

// Bench is one form of the model. Who opens it closes it.
type Bench struct {
	Stage  *stage.Stage
	Trials *trial.Trials
	Prices *price.Prices
	Cache  *cache.Cache
	Higher bool // more of the score is better

	config eval.Config // with what the model says of itself
}

// Close frees the stage.
func (b *Bench) Close() { b.Stage.Close() }

// Open reads the model of a path, runs it on the pictures, and calibrates it; the bench has its stage alone then. A request that does not fit
// the model is an error of usage.
func (r *Request) Open(ctx context.Context, path string, progress progress.Reporter) (*Bench, error) {
	spec := r.Spec
	o := session.Options{Command: "explore", Name: spec.Name, Model: path, Input: spec.Input, SamplePath: spec.Images, MemoryMiB: spec.MemoryMiB}
	b, err := session.Open(ctx, r.Engines.ORT, o, stage.Wide(), progress, time.Now())
	if err != nil {
		return nil, err
	}
	if r.Compiler != nil {
		b.Emulator = r.Compiler.Engine
	}
	loader := b.Loader
	b.Samples = len(r.Set.Images)
	loader.Cache = dataset.NewCache(min(int64(spec.MemoryMiB)<<20/8, 512<<20)) // every candidate sees the pictures again
	if err := r.Set.Fits(loader, r.Spec.Task); err != nil {
		return nil, err
	}
	b.Arena = b.ORT.NewArena(min(int64(spec.MemoryMiB)<<20/8, 160<<20))
	config := testset.Named(r.Config, b)
	s, err := stage.Open(ctx, b, r.Set, loader, r.Spec.Calib, r.Policy)
	if err != nil {
		return nil, err
	}
	return &Bench{Stage: s, config: config}, nil
}

// Judge adds to what was found what check says of the recipe and of the recommended point.
func (b *Bench) Judge(ctx context.Context, f *result.Explored) error {
	return judged.Verdicts(ctx, b.Stage, f)
}

// measure is how the request's task is scored.
func (r *Request) measure(config eval.Config) trial.Measure {
	m := trial.Measure{Higher: r.Spec.Task != result.Depth}
	m.Scorer = func() eval.Scorer { return r.Set.Scorer(r.Spec.Scoring, config, 2, nil) }
	if r.Spec.Task == result.Agreement {
		m.Column = 1 // the cosine, of which float has 1
		m.Scorer = func() eval.Scorer { return eval.NewDistance(2, true) }
	}
	return m
}

// Complete gives a bench its scores and prices. What is found is kept in a store (nil: it is not) for these versions of all that computes.
// failed is told, in words, of candidates that cannot be run; nil: nobody is.
func (r *Request) Complete(b *Bench, store cache.Store, failed func(what string, err error), versions ...string) error {
	spec, s := r.Spec, b.Stage
	searched, pictures := s.Pictures()
	id := struct {
		Model       string
		Versions    []string
		Task        result.Task
		Data        string
		Spec        any
		Calibration []string
		Pictures    []string
		Searched    int
	}{Model: s.Session.Run.Model.SHA256, Versions: versions, Task: spec.Task, Data: paths.Absolute(spec.Data), Pictures: s.Hashes(), Searched: searched}
	id.Spec = []any{spec.Input, spec.Decoder, spec.Confidence, spec.NMSIoU, spec.MaxDet, spec.Agnostic}
	for _, c := range s.Session.Run.Calibration {
		id.Calibration = append(id.Calibration, c.SHA256)
	}
	var err error
	if b.Cache, err = cache.New(store, id); err != nil {
		return err
	}
	how := r.measure(b.config)
	quantizers := len(s.Builder.Quantizers())
	b.Higher = how.Higher
	b.Trials = trial.New(s, searched, pictures, how, r.Policy, b.Cache, func(c candidate.Candidate, err error) {
		if failed != nil {
			failed(c.Words(quantizers), err)
		}
	})
	if r.Compiler != nil {
		b.Prices = price.New(s.Builder, b.Cache, r.Compiler, r.Compiler.Soc.Name)
	} else {
		b.Prices = price.New(s.Builder, b.Cache, nil, "")
	}
	return nil
}

// Elsewhere scores a candidate on the model of a path, on the pictures of the search, and prices it. Nothing of it is kept. Without a price
// that is nil.
func (r *Request) Elsewhere(ctx context.Context, path string, c candidate.Candidate) (*candidate.Trial, *candidate.Price, error) {
	b, err := r.Open(ctx, path, progress.Silent{})
	if err != nil {
		return nil, nil, err
	}
	defer b.Close()
	if err := r.Complete(b, nil, nil); err != nil {
		return nil, nil, err
	}
	t, err := b.Trials.OnSearch(ctx, c, 0)
	if err != nil || t.Failed != "" {
		return t, nil, err
	}
	p, err := b.Prices.Price(ctx, c)
	if err != nil {
		return t, nil, nil // it has no price
	}
	return t, p, nil
}
