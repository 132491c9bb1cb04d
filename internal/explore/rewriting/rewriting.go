// Package rewriting explores other forms of a model: as optimize leaves it, with equalized weights, with gates of their own. It rewrites the model
// before anything is explored, or says what the recipe would keep on each form.
package rewriting

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/scratch"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
)

// splitGates is the pass that makes two Convs of one in front of a gate. Nothing is said of it where it finds no place.
const (
	splitGates   = "split-gates"
	splitCommand = "quantcheck optimize --verify-on PICTURES --enable " + splitGates
)

// MostRanging is how many samples say at most what ranges channels have.
const MostRanging = model.MostRanging

// Optimizer rewrites the model of a request.
type Optimizer func(ctx context.Context, spec optimize.Spec) (*optimize.Result, error)

// Rewriter scores a recipe on other forms of a model.
type Rewriter struct {
	Optimize Optimizer
	Model    string // that is explored
	Original string // the model before it was rewritten first; "": it was not
	Input    dataset.Description
	Ranging  *dataset.Set // samples that say what ranges channels have
	Cache    *cache.Cache
	Higher   bool // more of the score is better
	Warn     func(format string, args ...any)
	// Elsewhere scores a candidate on the model of a path, in the simulation and on the pictures of the search, and prices it; without a price
	// that is nil.
	Elsewhere func(ctx context.Context, path string, c candidate.Candidate) (*candidate.Trial, *candidate.Price, error)
}

// Origins scores a recipe on the model as optimize leaves it, with equalized weights, and with gates of their own; on the model as it was, if it
// was rewritten first. What cannot be found out is warned of.
func (r *Rewriter) Origins(ctx context.Context, asked variant.Spec) ([]result.Origin, error) {
	if r.Original != "" {
		return r.before(ctx, asked)
	}
	dir, err := scratch.Folder("", "explore")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	behind := asked
	behind.Calibrator, behind.Percentile = variant.MSEOut, 0
	var list []result.Origin
	for _, f := range []form{
		{"optimize", optimize.Spec{}, asked, "quantcheck optimize"},
		{"equalize", optimize.Spec{Passes: []string{"equalize"}}, asked, "quantcheck optimize --pass equalize"},
		{"split-gates", optimize.Spec{Also: []string{splitGates}, Samples: r.Ranging}, asked, splitCommand},
		{"split-gates, mse-out", optimize.Spec{Also: []string{splitGates}, Samples: r.Ranging}, behind, splitCommand},
	} {
		o, found, err := r.score(ctx, dir, f)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			r.Warn("what %s brings could not be found out: %v", f.name, err)
			continue
		}
		if found {
			list = append(list, *o)
		}
	}
	return list, nil
}

// form is another form of the model, and the recipe that it is scored with.
type form struct {
	name    string
	spec    optimize.Spec
	recipe  variant.Spec
	command string // that writes such a model
}

// score rewrites the model and scores it; found is false if nothing changes. A stored answer needs no run.
func (r *Rewriter) score(ctx context.Context, dir string, f form) (o *result.Origin, found bool, err error) {
	key, err := r.Cache.Key("rewrite", candidate.Of(f.recipe, nil), f.name)
	if err != nil {
		return nil, false, err
	}
	o = &result.Origin{}
	if ok, err := r.Cache.Recall(ctx, key, o); err != nil || ok {
		return o, o.Name != "", err
	}
	f.spec.Model, f.spec.Input = r.Model, r.Input
	done, err := r.Optimize(ctx, f.spec)
	if err != nil {
		return nil, false, err
	}
	changed := 0
	for _, p := range done.Passes {
		if p.Undone == "" {
			changed += len(p.Changes)
		}
	}
	found = changed > 0 && !slices.ContainsFunc(f.spec.Also, func(pass string) bool { return !done.Applied(pass) })
	if found {
		path := filepath.Join(dir, "rewritten.onnx")
		if err := onnx.Save(done.Model, path); err != nil {
			return nil, false, err
		}
		if *o, err = r.on(ctx, path, "rewrite", f.name, f.recipe); err != nil {
			return nil, false, err
		}
		o.Note = fmt.Sprintf("%d places rewritten; %s writes such a model", changed, f.command)
	}
	return o, found, r.Cache.Remember(ctx, key, "rewrite", o)
}

// on scores a recipe on another form of the model.
func (r *Rewriter) on(ctx context.Context, path, kind, name string, recipe variant.Spec) (result.Origin, error) {
	t, price, err := r.Elsewhere(ctx, path, candidate.Of(recipe, nil))
	if err != nil {
		return result.Origin{}, err
	}
	if t.Failed != "" {
		return result.Origin{}, fmt.Errorf("%s cannot be run: %s", recipe.Name, t.Failed)
	}
	o := t.Origin(kind, name, r.Higher)
	if price != nil {
		o.Price = price.Price
	}
	return o, ctx.Err()
}

// before scores the recipe on the model as it was before it was rewritten.
func (r *Rewriter) before(ctx context.Context, asked variant.Spec) ([]result.Origin, error) {
	key, err := r.Cache.Key("before", candidate.Of(asked, nil), nil)
	if err != nil {
		return nil, err
	}
	o := result.Origin{}
	known, err := r.Cache.Recall(ctx, key, &o)
	if err == nil && !known {
		if o, err = r.on(ctx, r.Original, "model", "as it was", asked); err == nil {
			err = r.Cache.Remember(ctx, key, "rewrite", o)
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		r.Warn("the model as it was could not be scored: %v", err)
		return nil, nil
	}
	return []result.Origin{o}, nil
}

// First rewrites a model before anything is explored, with all passes of optimize, and split-gates on the samples that say what ranges channels
// have, writes it where to says, and has it opened. It takes the model's place, if there is something to rewrite and what comes of it can be run;
// notes say what was done.
func First(ctx context.Context, rewrite Optimizer, model, to string, input dataset.Description, ranging *dataset.Set, open func() error) (taken bool, notes []string, err error) {
	done, err := rewrite(ctx, optimize.Spec{Model: model, Input: input, Also: []string{splitGates}, Samples: ranging})
	if err != nil {
		return false, nil, fmt.Errorf("rewrite the model: %w", err)
	}
	var passes []string
	for _, p := range done.Passes {
		switch {
		case p.Undone != "":
			notes = append(notes, fmt.Sprintf("the rewriting %s was undone: %s", p.Name, p.Undone))
		case len(p.Changes) > 0:
			passes = append(passes, fmt.Sprintf("%s (%d)", p.Name, len(p.Changes)))
		}
	}
	if len(passes) == 0 {
		return false, append(notes, "there was nothing to rewrite in the model"), nil
	}
	if err := onnx.Save(done.Model, to); err != nil {
		return false, nil, err
	}
	err = open()
	if ort.Failed(err) {
		return false, append(notes, fmt.Sprintf("the model as it is was explored: the rewritten one (%s) cannot be run: %v", to, err)), nil
	}
	if err != nil {
		return false, nil, err
	}
	return true, append(notes, fmt.Sprintf("the model was rewritten first, with the outputs held against its own: %s; written to %s", strings.Join(passes, ", "), to)), nil
}

// On gives an Optimizer on engines, which says nothing of its progress.
func On(engines session.Engines) Optimizer {
	return func(ctx context.Context, spec optimize.Spec) (*optimize.Result, error) {
		return optimize.Run(ctx, engines, spec, progress.Silent{})
	}
}
