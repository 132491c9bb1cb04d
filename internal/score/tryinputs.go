package score

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/eval"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/score/outputs"
	"quantcheck/internal/score/testset"
	"quantcheck/internal/session"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/usage"
)

// tryPictures is on how many pictures inputs are tried, if no limit was asked for.
const tryPictures = 8

// usualInputs are the ways in which models want their pictures, as the projects that publish them document it.
func usualInputs(asked dataset.Description) []result.Tried {
	list := []result.Tried{{Input: asked, Flags: "as given", Asked: true}}
	values := []struct {
		mean, scale dataset.Numbers
		flags       string
	}{
		{dataset.Numbers{0}, dataset.Numbers{1}, "--mean 0 --scale 1"},
		{dataset.Numbers{0}, dataset.Numbers{255}, "--mean 0 --scale 255"},
		{dataset.Numbers{127.5}, dataset.Numbers{127.5}, "--mean 127.5 --scale 127.5"},
		{dataset.Numbers{123.675, 116.28, 103.53}, dataset.Numbers{58.395, 57.12, 57.375}, "--mean 123.675,116.28,103.53 --scale 58.395,57.12,57.375"},
	}
	fits := []struct {
		resize, position string
		pad              int
		flags            string
	}{
		{"stretch", "center", 114, "--resize stretch"}, {"letterbox", "center", 114, "--resize letterbox"},
		{"letterbox", "bottom-right", 114, "--resize letterbox --pad-position bottom-right"},
	}
	for _, color := range []string{"rgb", "bgr"} {
		for _, v := range values {
			for _, f := range fits {
				d := asked
				d.InputColor, d.Mean, d.Scale, d.Resize, d.PadPosition, d.PadValue = color, v.mean, v.scale, f.resize, f.position, f.pad
				if color == "bgr" && len(v.mean) == 3 { // the numbers stand in the model's own order
					d.Mean, d.Scale = slices.Clone(v.mean), slices.Clone(v.scale)
					slices.Reverse(d.Mean)
					slices.Reverse(d.Scale)
				}
				flags := fmt.Sprintf("--input-color %s %s %s", color, v.flags, f.flags)
				if len(d.Mean) == 3 {
					flags = fmt.Sprintf("--input-color %s --mean %g,%g,%g --scale %g,%g,%g %s", color, d.Mean[0], d.Mean[1], d.Mean[2], d.Scale[0], d.Scale[1], d.Scale[2], f.flags)
				}
				list = append(list, result.Tried{Input: d, Flags: flags})
			}
		}
	}
	return list
}

// TryInputs scores the float model on a few pictures under the usual descriptions of its input, and under the one asked
// for. It needs truth.
func TryInputs(ctx context.Context, engines session.Engines, spec result.EvalSpec, config eval.Config, progress progress.Reporter) (*result.TriedInputs, error) {
	if spec.Task == result.Agreement {
		return nil, usage.Mark(fmt.Errorf("which input fits is told by a score; the task %s has none", spec.Task))
	}
	if spec.Limit == 0 {
		spec.Limit = tryPictures
	}
	set, err := testset.Open(spec.Scoring, spec.Images, spec.Limit)
	if err != nil {
		return nil, err
	}
	spec.Variants = nil
	b, err := session.Open(ctx, engines.ORT, session.Options{Command: "eval", Quantized: session.AsItIs, Name: spec.Name, Model: spec.Model, Input: spec.Input, MemoryMiB: spec.MemoryMiB}, nil, quiet{}, time.Now())
	if err != nil {
		return nil, err
	}
	defer b.Close()
	b.Samples = len(set.Images)
	loader := b.Loader
	if len(loader.Inputs) != 1 {
		return nil, usage.Mark(fmt.Errorf("the model has %d inputs; data sets of pictures need a model with one", len(loader.Inputs)))
	}
	if err := prepare.Build(ctx, b, set.Samples(), loader); err != nil {
		return nil, err
	}
	loader.Cache = nil
	config = testset.Named(config, b)
	e := &evaluation{session: b, set: set, loader: loader, spec: spec}
	defer e.close()
	if e.models, err = outputs.Open(ctx, b); err != nil {
		return nil, err
	}
	out := &result.TriedInputs{Pictures: len(set.Images), Tried: usualInputs(spec.Input)}
	progress.Phase("trying inputs", len(out.Tried))
	for i := range out.Tried {
		t := &out.Tried[i]
		e.loader.Description = t.Input
		e.scorer, e.distance, e.passed = set.Scorer(spec.Scoring, config, 1, nil), eval.NewDistance(1, false), 0
		err := e.run(ctx)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		scored := e.describe()
		if err == nil {
			err = e.scorer.Conclude(scored)
		}
		if err != nil {
			t.Failed = err.Error()
		} else {
			out.Column, t.Score = scored.Columns[0], scored.Models[0].Scores[0]
		}
		progress.Step(i + 1)
	}
	if out.Column.Key == "" {
		return nil, fmt.Errorf("the model could not be scored under any description of its input; as given: %s", out.Tried[0].Failed)
	}
	slices.SortStableFunc(out.Tried, func(x, y result.Tried) int {
		if x.Score.OK != y.Score.OK {
			if x.Score.OK {
				return -1
			}
			return 1
		}
		if out.Column.Higher {
			return cmp.Compare(y.Score.V, x.Score.V)
		}
		return cmp.Compare(x.Score.V, y.Score.V)
	})
	return out, nil
}

// quiet is a progress that nobody looks at.
type quiet struct{}

// Phase implements Progress.
func (quiet) Phase(string, int) {}

// Step implements Progress.
func (quiet) Step(int) {}
