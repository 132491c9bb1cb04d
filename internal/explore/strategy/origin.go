package strategy

import (
	"context"

	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// question is one way to ask where the loss comes from.
type question struct {
	kind, name string
	c          candidate.Candidate
	recipe     bool // could be taken instead of the one that was asked for
}

// inquiry asks where the loss comes from.
type inquiry struct {
	*searcher
	asked     variant.Spec
	rewriter  Rewriter
	questions []question
}

// questionsOf are all ways but those that need another model.
func questionsOf(asked variant.Spec) []question {
	change := func(kind, name string, set func(*variant.Spec)) question {
		v := asked
		set(&v)
		return question{kind, name, candidate.Of(v, nil), true}
	}
	list := []question{
		{"part", string(candidate.Weights), candidate.Candidate{Spec: asked, Part: candidate.Weights}, false},
		{"part", string(candidate.Activations), candidate.Candidate{Spec: asked, Part: candidate.Activations}, false},
	}
	if asked.PerChannel {
		list = append(list, change("granularity", "per-tensor", func(v *variant.Spec) { v.PerChannel = false }))
	} else {
		list = append(list, change("granularity", "per-channel", func(v *variant.Spec) { v.PerChannel = true }))
	}
	for _, c := range []struct {
		name       string
		calibrator variant.Calibrator
		percentile float64
	}{
		{"tf", variant.TF, 0}, {"mse-out", variant.MSEOut, 0}, {"mse", variant.MSE, 0}, {"enhanced", variant.Enhanced, 0},
		{"percentile:99.99", variant.Percentile, 99.99}, {"percentile:99.999", variant.Percentile, 99.999},
	} {
		if c.calibrator != asked.Calibrator || c.percentile != asked.Percentile {
			list = append(list, change("calibrator", c.name, func(v *variant.Spec) { v.Calibrator, v.Percentile = c.calibrator, c.percentile }))
		}
	}
	if asked.BiasBits != 8 {
		q := change("bias", "bias8", func(v *variant.Spec) { v.BiasBits = 8 })
		q.recipe = false
		list = append(list, q)
	}
	if asked.WeightBits < 8 {
		q := change("width", "8-bit weights", func(v *variant.Spec) { v.WeightBits = 8 })
		q.recipe = false
		list = append(list, q)
	}
	if asked.ActBits < 16 {
		q := change("width", "16-bit activations", func(v *variant.Spec) { v.ActBits = 16 })
		q.recipe = false
		list = append(list, q)
	}
	return list
}

// ask scores what the loss may come from, on the pictures of the search, and gives the best recipe of the same widths to start from. The
// simulation answers: it is quick, and what differs here differs by much.
func (x *inquiry) ask(ctx context.Context) (list []result.Origin, best variant.Spec, err error) {
	base, err := x.scores.OnSearch(ctx, candidate.Of(x.asked, nil), 0)
	if err != nil {
		return nil, best, err
	}
	list = append(list, base.Origin("recipe", x.asked.Name, x.higher))
	leader := base
	best = x.asked
	x.progress.Phase("where it comes from", len(x.questions)+2)
	for i, q := range x.questions {
		if x.budget.Left(0) < x.budget.Share(x.policy.Shares.Origins) {
			x.warn("the budget is too short for all questions where the loss comes from: %d were not asked", len(x.questions)-i)
			break
		}
		t, err := x.scores.OnSearch(ctx, q.c, 0)
		if ctx.Err() != nil {
			return nil, best, ctx.Err()
		}
		if err != nil {
			x.warn("%s could not be scored: %v", q.name, err)
			continue
		}
		if t.Failed != "" {
			continue
		}
		list = append(list, t.Origin(q.kind, q.name, x.higher))
		if q.recipe && x.isBetter(t, leader) {
			leader, best = t, q.c.Spec
		}
		x.progress.Step(i + 1)
	}
	if x.budget.Whole < x.policy.Shares.LeastChange { // too short for work that makes no candidate
		return list, best, nil
	}
	more, err := x.rewriter.Origins(ctx, x.asked)
	return append(list, more...), best, err
}

// isBetter says whether a recipe is to be taken instead of another one.
func (x *inquiry) isBetter(t, than *candidate.Trial) bool {
	got, other := t.SearchShare(x.higher), than.SearchShare(x.higher)
	if !got.OK {
		return false
	}
	v, w := t.Scored.SQNR, than.Scored.SQNR
	near := v.OK && w.OK && v.V > w.V+x.policy.NearerOutputs
	return got.V > other.V+x.policy.ClearlyBetter || near && got.V > other.V-x.policy.ClearlyBetter
}
