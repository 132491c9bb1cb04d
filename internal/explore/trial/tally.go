package trial

import (
	"errors"
	"math"

	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// tally scores one candidate beside the float model, picture by picture, those of the search first. It can be asked at any time
// what the score is so far, and goes on later with the pictures that were held out.
type tally struct {
	how      Measure
	searched int // pictures of the search
	pictures int // all of them
	groups   int // that the held-out ones are divided into for the spread
	all      eval.Scorer
	partial  eval.Partial   // the same, if it can score some of the pictures
	parts    [2]eval.Scorer // else: one for the search, one for what is held out
	single   [][2]metric.Value
	distance *eval.Distance
	images   []int64
}

func newTally(how Measure, searched, pictures, groups int) *tally {
	t := &tally{how: how, searched: searched, pictures: pictures, groups: groups, all: how.Scorer(), distance: eval.NewDistance(2, false)}
	var ok bool
	if t.partial, ok = t.all.(eval.Partial); !ok {
		t.parts = [2]eval.Scorer{how.Scorer(), how.Scorer()}
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
	if place >= t.searched {
		half = 1
	}
	alone := t.how.Scorer()
	if err := errors.Join(t.parts[half].Picture(p, outputs), alone.Picture(p, outputs)); err != nil {
		return err
	}
	e, err := concluded(alone)
	if err != nil {
		return err
	}
	t.single = append(t.single, [2]metric.Value{t.how.score(&e.Models[0]), t.how.score(&e.Models[1])})
	return nil
}

// concluded is what a scorer found on its pictures.
func concluded(s eval.Scorer) (*result.Evaluation, error) {
	e := &result.Evaluation{Models: []result.EvalModel{{Name: "float"}, {Name: "candidate"}}}
	return e, s.Conclude(e)
}

// Measure is how a task is scored.
type Measure struct {
	Scorer func() eval.Scorer // of the float model and one candidate, without any picture yet
	Column int                // of the score that counts
	Higher bool               // more of it is better
}

// score is the one that counts.
func (m Measure) score(of *result.EvalModel) metric.Value {
	if m.Column >= len(of.Scores) {
		return metric.Value{}
	}
	return of.Scores[m.Column]
}

// on is the score on the pictures from one place to another.
func (t *tally) on(from, to int) (p candidate.Pair, err error) {
	if t.partial != nil {
		if p.Float, err = t.partial.ScoreOf(0, t.images[from:to]); err == nil {
			p.Got, err = t.partial.ScoreOf(1, t.images[from:to])
		}
		return p, err
	}
	var whole eval.Scorer
	switch {
	case from == 0 && to == len(t.images):
		whole = t.all
	case from == 0 && to == t.searched:
		whole = t.parts[0]
	case from == t.searched && to == len(t.images):
		whole = t.parts[1]
	default:
		return meanOf(t.single[from:to]), nil
	}
	e, err := concluded(whole)
	if err != nil {
		return p, err
	}
	return candidate.Pair{Float: t.how.score(&e.Models[0]), Got: t.how.score(&e.Models[1])}, nil
}

func meanOf(list [][2]metric.Value) candidate.Pair {
	var sum [2]float64
	n := 0.0
	for _, v := range list {
		if v[0].OK && v[1].OK {
			sum[0], sum[1], n = sum[0]+v[0].V, sum[1]+v[1].V, n+1
		}
	}
	if n == 0 {
		return candidate.Pair{}
	}
	return candidate.Pair{Float: metric.Defined(sum[0] / n), Got: metric.Defined(sum[1] / n)}
}

// spread is the standard error of the share of float's score on the held-out pictures: the delete-a-group jackknife, both
// models on the same pictures.
func (t *tally) spread() (metric.Value, error) {
	held := t.images[t.searched:]
	groups := min(t.groups, len(held))
	if groups < 2 {
		return metric.Value{}, nil
	}
	var shares []float64
	for g := range groups {
		var p candidate.Pair
		var err error
		if t.partial != nil {
			var rest []int64
			for i, id := range held {
				if i%groups != g {
					rest = append(rest, id)
				}
			}
			if p.Float, err = t.partial.ScoreOf(0, rest); err == nil {
				p.Got, err = t.partial.ScoreOf(1, rest)
			}
		} else {
			var rest [][2]metric.Value
			for i, v := range t.single[t.searched:] {
				if i%groups != g {
					rest = append(rest, v)
				}
			}
			p = meanOf(rest)
		}
		if err != nil {
			return metric.Value{}, err
		}
		if v := p.Share(t.how.Higher); v.OK {
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
	higher := t.how.Higher
	n := len(t.images)
	search, err := t.on(0, min(n, t.searched))
	if err != nil {
		return fail(err)
	}
	float, got = result.Scored{Search: search.Float}, result.Scored{Search: search.Got, SQNR: e.Models[1].Agree.SQNR}
	if n < t.pictures {
		got.Share = search.Share(higher)
		return got, float, e, nil
	}
	all := candidate.Pair{Float: t.how.score(&e.Models[0]), Got: t.how.score(&e.Models[1])}
	float.All, got.All, got.Share = all.Float, all.Got, all.Share(higher)
	float.ByClass, got.ByClass = e.Models[0].ByClass, e.Models[1].ByClass
	if n > t.searched {
		held, err := t.on(t.searched, n)
		if err != nil {
			return fail(err)
		}
		float.HeldOut, got.HeldOut, got.HeldShare = held.Float, held.Got, held.Share(higher)
		if got.Spread, err = t.spread(); err != nil {
			return fail(err)
		}
	}
	return got, float, e, nil
}
