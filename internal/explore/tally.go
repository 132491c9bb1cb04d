package explore

import (
	"errors"
	"math"

	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// tally scores one candidate beside the float model, picture by picture, those of the search first. It can be asked at any time
// what the score is so far, and goes on later with the pictures that were held out.
type tally struct {
	s        *stage
	all      eval.Scorer
	partial  eval.Partial   // the same, if it can score some of the pictures
	parts    [2]eval.Scorer // else: one for the search, one for what is held out
	single   [][2]metric.Value
	distance *eval.Distance
	images   []int64
}

func (s *stage) newTally() *tally {
	t := &tally{s: s, all: s.scorer(), distance: eval.NewDistance(2, false)}
	var ok bool
	if t.partial, ok = t.all.(eval.Partial); !ok {
		t.parts = [2]eval.Scorer{s.scorer(), s.scorer()}
	}
	return t
}

// add takes a picture in.
func (t *tally) add(p eval.Picture, outputs [][]decode.Output) error {
	place := len(t.images)
	t.images = append(t.images, p.Image.ID)
	if err := errors.Join(t.distance.Picture(p, outputs), t.all.Picture(p, outputs)); err != nil {
		return err
	}
	if t.partial != nil {
		return nil
	}
	half := 0
	if place >= t.s.searched {
		half = 1
	}
	alone := t.s.scorer()
	if err := errors.Join(t.parts[half].Picture(p, outputs), alone.Picture(p, outputs)); err != nil {
		return err
	}
	e, err := concluded(alone)
	if err != nil {
		return err
	}
	t.single = append(t.single, [2]metric.Value{t.s.score(&e.Models[0]), t.s.score(&e.Models[1])})
	return nil
}

// concluded is what a scorer found on its pictures.
func concluded(s eval.Scorer) (*result.Evaluation, error) {
	e := &result.Evaluation{Models: []result.EvalModel{{Name: "float"}, {Name: "candidate"}}}
	return e, s.Conclude(e)
}

// score is the one that counts.
func (s *stage) score(m *result.EvalModel) metric.Value {
	if s.column >= len(m.Scores) {
		return metric.Value{}
	}
	return m.Scores[s.column]
}

// pair is the float model's and the candidate's score on the same pictures.
type pair struct{ float, got metric.Value }

// share is how much of float's score is kept: 1 is all of it, and more is better whatever the score is.
func (p pair) share(higher bool) metric.Value {
	a, b := p.got, p.float
	if !higher {
		a, b = b, a
	}
	if !a.OK || !b.OK || b.V == 0 || math.IsInf(b.V, 0) {
		return metric.Value{}
	}
	return metric.Defined(a.V / b.V)
}

// on is the score on the pictures from one place to another.
func (t *tally) on(from, to int) (p pair, err error) {
	if t.partial != nil {
		if p.float, err = t.partial.ScoreOf(0, t.images[from:to]); err == nil {
			p.got, err = t.partial.ScoreOf(1, t.images[from:to])
		}
		return p, err
	}
	var whole eval.Scorer
	switch {
	case from == 0 && to == len(t.images):
		whole = t.all
	case from == 0 && to == t.s.searched:
		whole = t.parts[0]
	case from == t.s.searched && to == len(t.images):
		whole = t.parts[1]
	default:
		return meanOf(t.single[from:to]), nil
	}
	e, err := concluded(whole)
	if err != nil {
		return p, err
	}
	return pair{t.s.score(&e.Models[0]), t.s.score(&e.Models[1])}, nil
}

func meanOf(list [][2]metric.Value) pair {
	var sum [2]float64
	n := 0.0
	for _, v := range list {
		if v[0].OK && v[1].OK {
			sum[0], sum[1], n = sum[0]+v[0].V, sum[1]+v[1].V, n+1
		}
	}
	if n == 0 {
		return pair{}
	}
	return pair{metric.Defined(sum[0] / n), metric.Defined(sum[1] / n)}
}

// spread is the standard error of the share of float's score on the held-out pictures: the delete-a-group jackknife, both
// models on the same pictures.
func (t *tally) spread(higher bool) (metric.Value, error) {
	held := t.images[t.s.searched:]
	groups := min(t.s.policy.spreadGroups, len(held))
	if groups < 2 {
		return metric.Value{}, nil
	}
	var shares []float64
	for g := range groups {
		var p pair
		var err error
		if t.partial != nil {
			var rest []int64
			for i, id := range held {
				if i%groups != g {
					rest = append(rest, id)
				}
			}
			if p.float, err = t.partial.ScoreOf(0, rest); err == nil {
				p.got, err = t.partial.ScoreOf(1, rest)
			}
		} else {
			var rest [][2]metric.Value
			for i, v := range t.single[t.s.searched:] {
				if i%groups != g {
					rest = append(rest, v)
				}
			}
			p = meanOf(rest)
		}
		if err != nil {
			return metric.Value{}, err
		}
		if v := p.share(higher); v.OK {
			shares = append(shares, v.V)
		}
	}
	return jackknife(shares), nil
}

// jackknife is the standard error of a figure, from its values with one group left out at a time.
func jackknife(values []float64) metric.Value {
	n := float64(len(values))
	if n < 2 {
		return metric.Value{}
	}
	mean, square := 0.0, 0.0
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		square += (v - mean) * (v - mean)
	}
	return metric.Defined(math.Sqrt((n - 1) / n * square))
}

// scored puts together what is known so far; the candidate's and float's.
func (t *tally) scored() (got, float result.Scored, e *result.Evaluation, err error) {
	fail := func(err error) (result.Scored, result.Scored, *result.Evaluation, error) { return got, float, nil, err }
	if e, err = concluded(t.all); err != nil {
		return fail(err)
	}
	if err = t.distance.Conclude(e); err != nil {
		return fail(err)
	}
	higher := t.s.higher
	n := len(t.images)
	search, err := t.on(0, min(n, t.s.searched))
	if err != nil {
		return fail(err)
	}
	float, got = result.Scored{Search: search.float}, result.Scored{Search: search.got, SQNR: e.Models[1].Agree.SQNR}
	if n < len(t.s.shots) {
		got.Share = search.share(higher)
		return got, float, e, nil
	}
	all := pair{t.s.score(&e.Models[0]), t.s.score(&e.Models[1])}
	float.All, got.All, got.Share = all.float, all.got, all.share(higher)
	float.ByClass, got.ByClass = e.Models[0].ByClass, e.Models[1].ByClass
	if n > t.s.searched {
		held, err := t.on(t.s.searched, n)
		if err != nil {
			return fail(err)
		}
		float.HeldOut, got.HeldOut, got.HeldShare = held.float, held.got, held.share(higher)
		if got.Spread, err = t.spread(higher); err != nil {
			return fail(err)
		}
	}
	return got, float, e, nil
}
