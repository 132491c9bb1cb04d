// Package trial scores candidates beside the float model, on the pictures of the search or on all of them, and remembers what came out.
package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
)

// Runner runs candidates; stage.Stage is the one that does.
type Runner interface {
	// Run runs a candidate on the pictures from one to another place, and hands every picture's outputs to use, the float model's first, in their
	// order. What use returns ends the run and is returned. An error that is the candidate's is a *candidate.FailedError or a
	// *candidate.RefusedError.
	Run(ctx context.Context, c candidate.Candidate, from, to int, use func(picture eval.Picture, outputs [][]decode.Output) error) error
}

// Trials tries candidates and remembers what came out. It is not safe for concurrent use.
type Trials struct {
	runner             Runner
	searched, pictures int // of the search, which come first; all
	how                Measure
	policy             policy.Policy
	cache              *cache.Cache
	failed             func(c candidate.Candidate, err error)
	known              map[string]*candidate.Trial
	open               []openTally // of candidates whose held-out pictures may follow, latest last
	tried              int
	again              int // of them found in the cache
	slowest            time.Duration
}

type openTally struct {
	key   string
	tally *tally
}

// New makes trials on pictures of which the first so many are for the search. failed is told, once of each candidate, that it cannot be run; nil:
// nobody is.
func New(runner Runner, searched, pictures int, how Measure, p policy.Policy, c *cache.Cache, failed func(c candidate.Candidate, err error)) *Trials {
	return &Trials{runner: runner, searched: searched, pictures: pictures, how: how, policy: p, cache: c, failed: failed, known: map[string]*candidate.Trial{}}
}

// Count says how many candidates were scored, and how many of them were found in the cache.
func (t *Trials) Count() (tried, again int) { return t.tried, t.again }

// Slowest is how long a candidate took that was scored on all pictures from the first one on; 0: none was.
func (t *Trials) Slowest() time.Duration { return t.slowest }

// OnSearch scores a candidate on the pictures of the search. If it is going to miss the floor (a share of float's score) by far,
// it is given up early.
func (t *Trials) OnSearch(ctx context.Context, c candidate.Candidate, floor float64) (*candidate.Trial, error) {
	return t.try(ctx, c, t.searched, floor)
}

// OnAll scores a candidate on all pictures.
func (t *Trials) OnAll(ctx context.Context, c candidate.Candidate) (*candidate.Trial, error) {
	return t.try(ctx, c, t.pictures, 0)
}

// try scores a candidate. What was found on the pictures of the search and on all of them is kept apart, so that a search that goes
// on takes the way that it took before: also past a candidate that was given up, and scored on all pictures later.
func (t *Trials) try(ctx context.Context, c candidate.Candidate, upto int, floor float64) (*candidate.Trial, error) {
	keys := make([]string, 2)
	for i, question := range []string{"score", "score on all"} {
		var err error
		if keys[i], err = t.cache.Key(question, c, nil); err != nil {
			return nil, err
		}
	}
	enough := func(x *candidate.Trial) bool {
		return x != nil && (x.Whole || upto <= t.searched && (!x.Partial || floor >= x.Floor))
	}
	own := keys[0]
	if upto > t.searched {
		own = keys[1]
	}
	for _, key := range keys {
		if x := t.known[key]; enough(x) {
			return x, nil
		}
		stored := &candidate.Trial{}
		ok, err := t.cache.Recall(ctx, key, stored)
		if err != nil {
			return nil, err
		}
		if ok && enough(stored) {
			t.known[key] = stored
			t.tried, t.again = t.tried+1, t.again+1
			return stored, nil
		}
	}
	if x := t.known[keys[0]]; x != nil && x.Failed != "" {
		return x, nil
	}
	x, err := t.score(ctx, keys[0], c, upto, floor)
	if failed := t.fails(c, err); failed != nil {
		t.known[keys[0]] = failed
		t.tried++
		return failed, nil
	}
	if err != nil {
		return nil, err
	}
	t.known[own] = x
	t.tried++
	return x, t.cache.Remember(ctx, own, "score", x)
}

// fails gives what is known of a candidate that cannot be run, nil if the error is another one. It is not kept in the cache: with more
// memory or time the candidate may run.
func (t *Trials) fails(c candidate.Candidate, err error) *candidate.Trial {
	var failure *candidate.FailedError
	if !errors.As(err, &failure) {
		return nil
	}
	if t.failed != nil {
		t.failed(c, failure)
	}
	return &candidate.Trial{Failed: failure.Error(), Scored: result.Scored{Engine: c.Spec.Engine}}
}

// score runs a candidate on the pictures that it has not seen yet.
func (t *Trials) score(ctx context.Context, key string, c candidate.Candidate, upto int, floor float64) (*candidate.Trial, error) {
	tally := newTally(t.how, t.searched, t.pictures, t.policy.SpreadGroups)
	if i := slices.IndexFunc(t.open, func(o openTally) bool { return o.key == key }); i >= 0 {
		tally = t.open[i].tally
		t.open = slices.Delete(t.open, i, i+1)
	}
	from, started := len(tally.images), time.Now()
	probe := 0
	if floor > 0 && from == 0 {
		probe = max(t.searched/4, t.policy.LeastProbe)
	}
	err := t.runner.Run(ctx, c, from, upto, func(p eval.Picture, outputs [][]decode.Output) error {
		if err := tally.add(p, outputs); err != nil {
			return usage.Mark(fmt.Errorf("%s: %w", p.Image.Name, err))
		}
		if n := len(tally.images); probe > 0 && n >= probe && n%probe == 0 && n < upto {
			hopeless, err := t.isHopeless(tally, floor, n, upto)
			if err != nil {
				return err
			}
			if hopeless {
				return errHopeless
			}
		}
		return nil
	})
	x := &candidate.Trial{}
	if errors.Is(err, errHopeless) {
		x.Partial, x.Floor, err = true, floor, nil
	}
	if err != nil {
		return nil, err
	}
	got, float, e, err := tally.scored()
	if err != nil {
		return nil, usage.Mark(err)
	}
	got.Engine = c.Spec.Engine
	x.Scored, x.Float, x.Column, x.Reading, x.Classes = got, float, e.Columns[t.how.Column], e.Reading, e.Classes
	x.Whole = !x.Partial && upto == t.pictures
	if x.Whole && from == 0 {
		t.slowest = max(t.slowest, time.Since(started))
	}
	if !x.Whole && !x.Partial {
		if t.open = append(t.open, openTally{key, tally}); len(t.open) > t.policy.MostOpen {
			t.open = slices.Delete(t.open, 0, 1)
		}
	}
	return x, nil
}

var errHopeless = errors.New("it is going to miss the floor by far")

// isHopeless says whether a candidate is going to miss the floor by far, after n of the pictures.
func (t *Trials) isHopeless(tally *tally, floor float64, n, upto int) (bool, error) {
	p, err := tally.on(0, n)
	if err != nil {
		return false, err
	}
	share := p.Share(t.how.Higher)
	return share.OK && share.V < floor-t.policy.ClearlyUnder*float64(upto-n)/float64(upto), nil
}

// ApartOn is how far a candidate's outputs are from float's on the first pictures of the search, in dB of the worst one.
func (t *Trials) ApartOn(ctx context.Context, c candidate.Candidate, pictures int) (*candidate.Trial, error) {
	key, err := t.cache.Key("distance", c, pictures)
	if err != nil {
		return nil, err
	}
	x := &candidate.Trial{}
	if ok, err := t.cache.Recall(ctx, key, x); err != nil || ok {
		return x, err
	}
	distance := eval.NewDistance(2, false)
	err = t.runner.Run(ctx, c, 0, min(pictures, t.searched), distance.Picture)
	if failed := t.fails(c, err); failed != nil {
		return failed, nil
	}
	if err != nil {
		return nil, err
	}
	e := &result.Evaluation{Models: make([]result.EvalModel, 2)}
	if err := distance.Conclude(e); err != nil {
		return nil, err
	}
	x.Scored = result.Scored{Engine: c.Spec.Engine, SQNR: e.Models[1].Agree.SQNR}
	return x, t.cache.Remember(ctx, key, "distance", x)
}
