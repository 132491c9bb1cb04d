package explore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/paths"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
)

// Cache keeps what an exploration has found out, so that another one of the same model, pictures and recipe goes on where
// a first was killed. Keys are hashes of all that the value depends on.
type Cache interface {
	// Get gives a value; ok is false if it is not there.
	Get(ctx context.Context, key string) (value []byte, ok bool, err error)
	// Put keeps a value for good before it returns.
	Put(ctx context.Context, key, kind string, value []byte) error
}

// trial is what is known of one candidate on one engine.
type trial struct {
	Scored  result.Scored `json:"scored"`
	Float   result.Scored `json:"float"`
	Failed  string        `json:"-"`                 // why it cannot be run; "": it can
	Partial bool          `json:"partial,omitempty"` // given up: it is under Floor
	Floor   float64       `json:"floor,omitempty"`
	Whole   bool          `json:"whole,omitempty"` // the held-out pictures are in it
	Column  result.Column `json:"column"`
	Reading string        `json:"reading"`
	Classes []string      `json:"classes"`
}

// trials tries candidates and remembers what came out.
type trials struct {
	s     *stage
	cache Cache  // nil: nothing is kept
	base  string // of the keys
	known map[string]*trial
	open  []openTally // of candidates whose held-out pictures may follow, latest last
	tried int
	again int // of them found in the cache
	// failed says, once of each candidate, that it cannot be run.
	failed func(c candidate, err error)
	// slowest is how long a candidate took that was scored on all pictures from the first one on.
	slowest time.Duration
}

type openTally struct {
	key   string
	tally *tally
}

func newTrials(s *stage, cache Cache, spec result.ExploreSpec, versions ...string) (*trials, error) {
	t := &trials{s: s, cache: cache, known: map[string]*trial{}, failed: func(candidate, error) {}}
	type identity struct {
		Model       string
		Versions    []string
		Task        result.Task
		Data        string
		Spec        any
		Calibration []string
		Pictures    []string
		Searched    int
	}
	id := identity{Model: s.b.Run.Model.SHA256, Versions: versions, Task: spec.Task, Data: paths.Absolute(spec.Data), Searched: s.searched}
	id.Spec = []any{spec.Input, spec.Decoder, spec.Confidence, spec.NMSIoU, spec.MaxDet, spec.Agnostic}
	for _, c := range s.b.Run.Calibration {
		id.Calibration = append(id.Calibration, c.SHA256)
	}
	for _, one := range s.shots {
		id.Pictures = append(id.Pictures, one.sha256)
	}
	text, err := floatjson.Marshal(id)
	t.base = string(text)
	return t, err
}

// key names a question about a candidate.
func (t *trials) key(question string, c candidate, about any) (string, error) {
	c.spec.Name = ""
	text, err := floatjson.Marshal([]any{t.base, question, c.spec, c.part, about})
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// recall reads a value of the cache.
func (t *trials) recall(ctx context.Context, key string, value any) (bool, error) {
	if t.cache == nil {
		return false, nil
	}
	data, ok, err := t.cache.Get(ctx, key)
	if err != nil || !ok {
		return false, err
	}
	return json.Unmarshal(data, value) == nil, nil // what cannot be read is found out again
}

func (t *trials) remember(ctx context.Context, key, kind string, value any) error {
	if t.cache == nil {
		return nil
	}
	data, err := floatjson.Marshal(value)
	if err != nil {
		return err
	}
	return t.cache.Put(ctx, key, kind, data)
}

// onSearch scores a candidate on the pictures of the search. If it is going to miss the floor (a share of float's score) by far,
// it is given up early.
func (t *trials) onSearch(ctx context.Context, c candidate, floor float64) (*trial, error) {
	return t.try(ctx, c, t.s.searched, floor)
}

// onAll scores a candidate on all pictures.
func (t *trials) onAll(ctx context.Context, c candidate) (*trial, error) {
	return t.try(ctx, c, len(t.s.shots), 0)
}

// try scores a candidate. What was found on the pictures of the search and on all of them is kept apart, so that a search that goes
// on takes the way that it took before: also past a candidate that was given up, and scored on all pictures later.
func (t *trials) try(ctx context.Context, c candidate, upto int, floor float64) (*trial, error) {
	keys := make([]string, 2)
	for i, question := range []string{"score", "score on all"} {
		var err error
		if keys[i], err = t.key(question, c, nil); err != nil {
			return nil, err
		}
	}
	enough := func(x *trial) bool {
		return x != nil && (x.Whole || upto <= t.s.searched && (!x.Partial || floor >= x.Floor))
	}
	own := keys[0]
	if upto > t.s.searched {
		own = keys[1]
	}
	for _, key := range keys {
		if x := t.known[key]; enough(x) {
			return x, nil
		}
		stored := &trial{}
		ok, err := t.recall(ctx, key, stored)
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
	return x, t.remember(ctx, own, "score", x)
}

// fails gives what is known of a candidate that cannot be run, nil if the error is another one. It is not kept in the cache: with more
// memory or time the candidate may run.
func (t *trials) fails(c candidate, err error) *trial {
	var failure *candidateError
	if !errors.As(err, &failure) {
		return nil
	}
	t.failed(c, failure)
	return &trial{Failed: failure.Error(), Scored: result.Scored{Engine: c.spec.Engine}}
}

// score runs a candidate on the pictures that it has not seen yet.
func (t *trials) score(ctx context.Context, key string, c candidate, upto int, floor float64) (*trial, error) {
	tally := t.s.newTally()
	if i := slices.IndexFunc(t.open, func(o openTally) bool { return o.key == key }); i >= 0 {
		tally = t.open[i].tally
		t.open = slices.Delete(t.open, i, i+1)
	}
	m, err := t.s.build(c)
	if err != nil {
		return nil, err
	}
	from, started := len(tally.images), time.Now()
	probe := 0
	if floor > 0 && from == 0 {
		probe = max(t.s.searched/4, t.s.policy.leastProbe)
	}
	err = t.s.run(ctx, m, c.spec.Engine, t.s.shots[from:upto], func(p eval.Picture, outputs [][]decode.Output) error {
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
	x := &trial{}
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
	got.Engine = c.spec.Engine
	x.Scored, x.Float, x.Column, x.Reading, x.Classes = got, float, e.Columns[t.s.column], e.Reading, e.Classes
	x.Whole = !x.Partial && upto == len(t.s.shots)
	if x.Whole && from == 0 {
		t.slowest = max(t.slowest, time.Since(started))
	}
	if !x.Whole && !x.Partial {
		if t.open = append(t.open, openTally{key, tally}); len(t.open) > t.s.policy.mostOpen {
			t.open = slices.Delete(t.open, 0, 1)
		}
	}
	return x, nil
}

var errHopeless = errors.New("it is going to miss the floor by far")

// isHopeless says whether a candidate is going to miss the floor by far, after n of the pictures.
func (t *trials) isHopeless(tally *tally, floor float64, n, upto int) (bool, error) {
	p, err := tally.on(0, n)
	if err != nil {
		return false, err
	}
	share := p.share(t.s.higher)
	return share.OK && share.V < floor-t.s.policy.clearlyUnder*float64(upto-n)/float64(upto), nil
}

// apartOn is how far a candidate's outputs are from float's on the first pictures of the search, in dB of the worst one.
func (t *trials) apartOn(ctx context.Context, c candidate, pictures int) (*trial, error) {
	key, err := t.key("distance", c, pictures)
	if err != nil {
		return nil, err
	}
	x := &trial{}
	if ok, err := t.recall(ctx, key, x); err != nil || ok {
		return x, err
	}
	m, err := t.s.build(c)
	if err != nil {
		return nil, err
	}
	distance := eval.NewDistance(2, false)
	err = t.s.run(ctx, m, c.spec.Engine, t.s.shots[:min(pictures, t.s.searched)], distance.Picture)
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
	x.Scored = result.Scored{Engine: c.spec.Engine, SQNR: e.Models[1].Agree.SQNR}
	return x, t.remember(ctx, key, "distance", x)
}

// on gives a candidate another engine.
func (c candidate) on(e variant.Engine) candidate {
	c.spec.Engine = e
	return c
}
