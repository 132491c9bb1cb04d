package estimate

import (
	"context"
	"slices"

	"quantcheck/internal/estimator"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
)

// remedies are the passes that may make the operators of a type faster.
var remedies = map[string][]string{
	"Slice": {"focus-to-conv", "split-concat-to-conv", "slice-to-conv"}, "Concat": {"focus-to-conv", "split-concat-to-conv"}, "Split": {"split-concat-to-conv"},
	"SpaceToDepth": {"focus-to-conv"}, "Transpose": {"focus-to-conv"}, "Reshape": {"focus-to-conv"}, "Gather": {"swap-input-channels", "split-concat-to-conv"},
	"Div": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv", "div-to-mul"}, "Mul": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv"},
	"Add": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv"}, "Sub": {"fuse-mul-add-before-conv", "fuse-mul-add-after-conv"},
	"MatMul": {"matmul-to-conv"}, "Conv": {"uniform-stride"}, "BatchNormalization": {"fold-batchnorm"},
}

// better is the share of the cycles that a pass has to save against one before it in the list, which changes less.
const better = 0.1

// advise looks for the pass that helps most of those for the operators that cost most, and estimates what it makes. It is nil if
// none helps.
func (e estimation) advise(ctx context.Context, m *onnx.Model, now *result.Estimated, of func(*onnx.Model) (*result.Estimated, error)) (*result.Advice, error) {
	var passes []string
	work := slices.DeleteFunc(slices.Clone(now.Layers), func(l htpcost.Layer) bool { return l.Kind != htpcost.Operator })
	for i, g := range htpcost.Groups(work, htpcost.ByOp) {
		if i == 3 || g.Share < 0.1 {
			break
		}
		for _, name := range remedies[g.Name] {
			if !slices.Contains(passes, name) {
				passes = append(passes, name)
			}
		}
	}
	if len(passes) == 0 {
		return nil, nil
	}
	folded, env, err := model.FoldedEnvironment(ctx, e.Ort, m)
	if err != nil {
		return nil, err
	}
	env.Asked = true
	var best *result.Advice
	for _, name := range passes {
		p, err := rewrite.Find(name)
		if err != nil {
			return nil, err
		}
		r, err := p.Run(folded, env)
		if err != nil {
			return nil, err
		}
		if len(r.Changes) == 0 {
			continue
		}
		x, err := of(r.Model)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil { // then it is no advice
			continue
		}
		if float64(x.Cycles) < (1-estimator.Worthwhile)*float64(now.Cycles) && (best == nil || float64(x.Cycles) < (1-better)*float64(best.Cycles)) {
			best = &result.Advice{Pass: name, Cycles: x.Cycles, Microseconds: x.Microseconds}
		}
	}
	return best, nil
}
