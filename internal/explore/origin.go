package explore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
	"quantcheck/internal/variant"
)

// question is one way to ask where the loss comes from.
type question struct {
	kind, name string
	c          candidate
	recipe     bool // could be taken instead of the one that was asked for
}

// questions are all ways but those that need another model.
func (x *explorer) questions() []question {
	change := func(kind, name string, set func(*variant.Spec)) question {
		v := x.asked
		set(&v)
		return question{kind, name, x.of(v, nil), true}
	}
	list := []question{
		{"part", string(weightsPart), candidate{x.asked, weightsPart}, false},
		{"part", string(actsPart), candidate{x.asked, actsPart}, false},
	}
	if x.asked.PerChannel {
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
		if c.calibrator != x.asked.Calibrator || c.percentile != x.asked.Percentile {
			list = append(list, change("calibrator", c.name, func(v *variant.Spec) { v.Calibrator, v.Percentile = c.calibrator, c.percentile }))
		}
	}
	if x.asked.BiasBits != 8 {
		q := change("bias", "bias8", func(v *variant.Spec) { v.BiasBits = 8 })
		q.recipe = false
		list = append(list, q)
	}
	if x.asked.WeightBits < 8 {
		q := change("width", "8-bit weights", func(v *variant.Spec) { v.WeightBits = 8 })
		q.recipe = false
		list = append(list, q)
	}
	if x.asked.ActBits < 16 {
		q := change("width", "16-bit activations", func(v *variant.Spec) { v.ActBits = 16 })
		q.recipe = false
		list = append(list, q)
	}
	return list
}

// origins scores what the loss may come from, on the pictures of the search, and takes the best recipe of the same widths to
// start from. The simulation answers: it is quick, and what differs here differs by much.
func (x *explorer) origins(ctx context.Context) error {
	list := x.questions()
	base, err := x.trials.onSearch(ctx, x.of(x.asked, nil), 0)
	if err != nil {
		return err
	}
	x.found.Origins = append(x.found.Origins, x.origin("recipe", x.asked.Name, base))
	best, kept := base, x.asked
	x.progress.Phase("where it comes from", len(list)+2)
	for i, q := range list {
		if x.budget.left(0) < x.budget.share(x.policy.shares.origins) {
			x.warn("the budget is too short for all questions where the loss comes from: %d were not asked", len(list)-i)
			break
		}
		t, err := x.trials.onSearch(ctx, q.c, 0)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			x.warn("%s could not be scored: %v", q.name, err)
			continue
		}
		if t.Failed != "" {
			continue
		}
		x.found.Origins = append(x.found.Origins, x.origin(q.kind, q.name, t))
		if q.recipe && x.isBetter(t, best) {
			best, kept = t, q.c.spec
		}
		x.progress.Step(i + 1)
	}
	if err := x.rewrites(ctx); err != nil {
		return err
	}
	if !x.spec.Fixed {
		x.recipe, x.found.Recipe = kept, kept
		x.recipe.Name = x.asked.Name
	}
	return nil
}

// isBetter says whether a recipe is to be taken instead of another one.
func (x *explorer) isBetter(t, than *trial) bool {
	got, other := x.searchShare(t), x.searchShare(than)
	if !got.OK {
		return false
	}
	v, w := t.Scored.SQNR, than.Scored.SQNR
	near := v.OK && w.OK && v.V > w.V+x.policy.nearerOutputs
	return got.V > other.V+x.policy.clearlyBetter || near && got.V > other.V-x.policy.clearlyBetter
}

func (x *explorer) origin(kind, name string, t *trial) result.Origin {
	return result.Origin{Kind: kind, Name: name, Engine: "cpu", Score: t.Scored.Search, Share: x.searchShare(t)}
}

// rewrites scores the recipe on the model as optimize leaves it, with equalized weights, and with gates of their own, if there is time.
func (x *explorer) rewrites(ctx context.Context) error {
	if x.short() {
		return nil
	}
	if x.original != "" { // it was rewritten first
		return x.before(ctx)
	}
	dir, err := scratch.Folder("", "explore")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	behind := x.asked
	behind.Calibrator, behind.Percentile = variant.MSEOut, 0
	shown := x.ranging()
	for _, r := range []rewriting{
		{"optimize", optimize.Spec{}, x.asked, "quantcheck optimize"},
		{"equalize", optimize.Spec{Passes: []string{"equalize"}}, x.asked, "quantcheck optimize --pass equalize"},
		{"split-gates", optimize.Spec{Also: []string{splitGates}, Samples: shown}, x.asked, splitCommand},
		{"split-gates, mse-out", optimize.Spec{Also: []string{splitGates}, Samples: shown}, behind, splitCommand},
	} {
		o, found, err := x.rewritten(ctx, dir, r)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			x.warn("what %s brings could not be found out: %v", r.name, err)
			continue
		}
		if found {
			x.found.Origins = append(x.found.Origins, *o)
		}
	}
	return nil
}

// short says whether the budget is too short for work that makes no candidate.
func (x *explorer) short() bool {
	return x.budget.whole < x.policy.shares.leastChange
}

// rewriting is another form of the model, and the recipe that it is scored with.
type rewriting struct {
	name    string
	spec    optimize.Spec
	recipe  variant.Spec
	command string // that writes such a model
}

// splitGates is the pass that makes two Convs of one in front of a gate. Nothing is said of it where it finds no place.
const (
	splitGates   = "split-gates"
	splitCommand = "quantcheck optimize --verify-on PICTURES --enable " + splitGates
)

// rewritten scores one rewriting; found is false if it changes nothing. A stored answer needs no run.
func (x *explorer) rewritten(ctx context.Context, dir string, r rewriting) (o *result.Origin, found bool, err error) {
	key, err := x.trials.key("rewrite", x.of(r.recipe, nil), r.name)
	if err != nil {
		return nil, false, err
	}
	o = &result.Origin{}
	if ok, err := x.trials.recall(ctx, key, o); err != nil || ok {
		return o, o.Name != "", err
	}
	r.spec.Model, r.spec.Input = x.spec.Model, x.spec.Input
	done, err := optimize.Run(ctx, x.engines, r.spec, progress.Silent{})
	if err != nil {
		return nil, false, err
	}
	changed := 0
	for _, p := range done.Passes {
		if p.Undone == "" {
			changed += len(p.Changes)
		}
	}
	found = changed > 0 && !slices.ContainsFunc(r.spec.Also, func(pass string) bool { return !done.Applied(pass) })
	if found {
		spec := x.spec
		spec.Model = filepath.Join(dir, "rewritten.onnx")
		if err := onnx.Save(done.Model, spec.Model); err != nil {
			return nil, false, err
		}
		if *o, err = x.scoreOther(ctx, spec, r); err != nil {
			return nil, false, err
		}
		o.Note = fmt.Sprintf("%d places rewritten; %s writes such a model", changed, r.command)
	}
	return o, found, x.trials.remember(ctx, key, "rewrite", o)
}

// scoreOther scores a recipe on another form of the model.
func (x *explorer) scoreOther(ctx context.Context, spec result.ExploreSpec, r rewriting) (result.Origin, error) {
	s, err := openStage(ctx, x.engines, x.policy, spec, x.config, x.set, progress.Silent{})
	if err != nil {
		return result.Origin{}, err
	}
	defer s.close()
	s.b.Emulator = x.stage.b.Emulator
	trials, err := newTrials(s, nil, spec)
	if err != nil {
		return result.Origin{}, err
	}
	t, err := trials.onSearch(ctx, x.of(r.recipe, nil), 0)
	if err != nil {
		return result.Origin{}, err
	}
	if t.Failed != "" {
		return result.Origin{}, fmt.Errorf("%s cannot be run: %s", r.recipe.Name, t.Failed)
	}
	o := x.origin("rewrite", r.name, t)
	if p, err := (&candidatePricer{stage: s, trials: trials, estimator: x.pricer.estimator, known: map[string]*priced{}}).price(ctx, x.of(r.recipe, nil)); err == nil {
		o.Price = p.Price
	}
	return o, ctx.Err()
}
