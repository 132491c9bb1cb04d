package explore

import (
	"context"
	"fmt"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
)

// rewriteFirst rewrites the model before anything is explored: all passes of optimize, and split-gates on the pictures of the search.
// The rewritten model is written where the spec says, and takes the model's place.
func (x *explorer) rewriteFirst(ctx context.Context) error {
	x.progress.Phase("rewriting the model", 1)
	done, err := optimize.Run(ctx, x.engines, optimize.Spec{Model: x.spec.Model, Input: x.spec.Input, Also: []string{splitGates}, Samples: x.ranging()}, progress.Silent{})
	if err != nil {
		return fmt.Errorf("rewrite the model: %w", err)
	}
	var passes []string
	for _, p := range done.Passes {
		switch {
		case p.Undone != "":
			x.early = append(x.early, fmt.Sprintf("the rewriting %s was undone: %s", p.Name, p.Undone))
		case len(p.Changes) > 0:
			passes = append(passes, fmt.Sprintf("%s (%d)", p.Name, len(p.Changes)))
		}
	}
	if len(passes) == 0 {
		x.spec.Rewritten = ""
		x.early = append(x.early, "there was nothing to rewrite in the model")
		return nil
	}
	if err := onnx.Save(done.Model, x.spec.Rewritten); err != nil {
		return err
	}
	spec := x.spec
	spec.Model = spec.Rewritten
	s, err := openStage(ctx, x.engines, x.policy, spec, x.config, x.set, x.progress)
	if ort.Failed(err) {
		x.early = append(x.early, fmt.Sprintf("the model as it is was explored: the rewritten one (%s) cannot be run: %v", x.spec.Rewritten, err))
		x.spec.Rewritten = ""
		return nil
	}
	if err != nil {
		return err
	}
	x.original, x.spec = x.spec.Model, spec
	x.early = append(x.early, fmt.Sprintf("the model was rewritten first, with the outputs held against its own: %s; written to %s", strings.Join(passes, ", "), x.spec.Rewritten))
	x.stage.close()
	x.stage = s
	return nil
}

// ranging are the pictures of the search that say what ranges channels have.
func (x *explorer) ranging() *dataset.Set {
	set := &dataset.Set{}
	for _, one := range x.stage.shots[:min(x.stage.searched, model.MostRanging)] {
		set.Sources = append(set.Sources, one.source)
	}
	return set
}

// before scores the recipe on the model as it was before it was rewritten.
func (x *explorer) before(ctx context.Context) error {
	asItWas := rewriting{name: "as it was", recipe: x.asked}
	key, err := x.trials.key("before", x.of(x.asked, nil), nil)
	if err != nil {
		return err
	}
	o := result.Origin{}
	known, err := x.trials.recall(ctx, key, &o)
	if err == nil && !known {
		spec := x.spec
		spec.Model = x.original
		if o, err = x.scoreOther(ctx, spec, asItWas); err == nil {
			o.Kind = "model"
			err = x.trials.remember(ctx, key, "rewrite", o)
		}
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		x.warn("the model as it was could not be scored: %v", err)
		return nil
	}
	x.found.Origins = append(x.found.Origins, o)
	return nil
}

// beforeText says what the model was before it was rewritten; "" if nobody knows.
func beforeText(f *result.Explored) string {
	for _, o := range f.Origins {
		if o.Kind != "model" || !o.Share.OK {
			continue
		}
		text := fmt.Sprintf("Before it was rewritten the model kept %.1f %% in the simulation", 100*o.Share.V)
		if o.Price.OK && o.Price.V > 0 && f.PriceUnit == result.CyclesUnit {
			text += fmt.Sprintf(", for %s estimated cycles", grouped(o.Price.V))
		}
		return text + "."
	}
	return ""
}
