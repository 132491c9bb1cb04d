// Package alone measures what each quantizer of a recipe does to the outputs when only it is there.
package alone

import (
	"context"
	"fmt"

	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/stage"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/sensitivity"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Asker asks it of the quantizers of a stage's model, and remembers the answers.
type Asker struct {
	Stage    *stage.Stage
	Cache    *cache.Cache
	Pictures int // of the search, on the first of which each quantizer is run; fewer if there are fewer
	Progress progress.Reporter
}

// Answers are SQNRs of the outputs, in dB. What was not measured has no value.
type Answers struct {
	Quantizers []metric.Value          // of each quantizer of the activations
	Weights    map[string]metric.Value // by the tensor whose quantizer is the first one behind an operator: the least one of its constants
}

// Ask measures the quantizers of a recipe, each operator's constants too. One whose SQNR on the first picture is over harmless (0: none is) is run
// on that picture only. problem says why nothing could be measured although the float model runs; then what is known is less.
func (a *Asker) Ask(ctx context.Context, recipe variant.Spec, harmless float64) (answers *Answers, problem, err error) {
	s := a.Stage
	ref := s.Session.Float
	recipe.Engine = variant.CPU
	q, err := qdq.Build(ref.Base, ref.Placement, recipe, s.Builder.Encoding)
	if err != nil {
		return nil, nil, err
	}
	searched, _ := s.Pictures()
	samples := min(a.Pictures, searched)
	sources := s.First(samples).Sources
	quantizers := len(ref.Placement.Groups())
	candidates := sensitivity.Activations(ref.Placement)
	if len(candidates) != quantizers {
		return nil, nil, fmt.Errorf("%d quantizers, but %d candidates", quantizers, len(candidates))
	}
	candidates = append(candidates, sensitivity.Weights(ref.Base, ref.Placement)...)
	key := func(c sensitivity.Candidate) (string, error) {
		return a.Cache.Key("alone", candidate.Of(recipe, nil), []any{c, samples, harmless})
	}
	a.Progress.Phase("each quantizer alone", len(candidates))
	var failed error
	results, err := sensitivity.Run(ctx, s.Session.ORT, sensitivity.Options{
		Float: ref.Base, Quantized: q, Outputs: floatOutputs(s), Samples: samples, Candidates: candidates, Harmless: harmless, MemoryMiB: s.Session.Options.MemoryMiB / 8,
		Sample: func(_ context.Context, i int) (map[string]tensor.Tensor, error) {
			loaded, err := s.Loader.Load(sources[i])
			if err != nil {
				return nil, err
			}
			return loaded.Inputs, nil
		},
		Done: func(c sensitivity.Candidate) (sensitivity.Result, bool) {
			var known sensitivity.Result
			key, err := key(c)
			if err != nil {
				return known, false
			}
			ok, err := a.Cache.Recall(ctx, key, &known)
			return known, ok && err == nil
		},
		Each: func(one sensitivity.Result) {
			key, err := key(one.Candidate)
			if err == nil {
				err = a.Cache.Remember(ctx, key, "sensitivity", one)
			}
			if err != nil && failed == nil {
				failed = err
			}
		},
		Progress: func(done, _ int) { a.Progress.Step(done) },
	})
	s.Tidy()
	switch {
	case ort.Failed(err): // the float model alone has run: what is known before the search is less
		problem, results = err, &sensitivity.Results{}
	case err != nil:
		return nil, nil, err
	case failed != nil:
		return nil, nil, failed
	}
	answers = &Answers{Quantizers: make([]metric.Value, quantizers), Weights: map[string]metric.Value{}}
	behind := quantizersBehind(ref)
	for i, one := range results.List {
		if i < quantizers {
			answers.Quantizers[i] = one.SQNR
			continue
		}
		name := behind(one.Candidate.Name)
		if v, ok := answers.Weights[name]; !ok || one.SQNR.OK && one.SQNR.V < v.V {
			answers.Weights[name] = one.SQNR
		}
	}
	return answers, problem, nil
}

// quantizersBehind finds the tensor whose quantizer is the first one behind a tensor: its own, or that of the operator which it is fused
// with. "" if there is none.
func quantizersBehind(ref *model.Float) func(name string) string {
	index := onnx.NewIndex(ref.Base)
	return func(name string) string {
		for range index.Nodes {
			if head, ok := ref.Placement.Head(name); ok {
				return head
			}
			next := index.Consumers[name]
			if len(next) != 1 || len(index.Nodes[next[0]].GetOutput()) == 0 {
				break
			}
			name = index.Nodes[next[0]].GetOutput()[0]
		}
		return ""
	}
}

// floatOutputs are the outputs that hold real numbers.
func floatOutputs(s *stage.Stage) []string {
	var list []string
	for _, name := range s.Outputs.Names {
		if s.Session.Float.Types[name].DType.IsFloat() {
			list = append(list, name)
		}
	}
	return list
}
