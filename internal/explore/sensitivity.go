package explore

import (
	"context"
	"fmt"
	"math"
	"time"

	"quantcheck/internal/compare/measure"
	"quantcheck/internal/dataset"
	"quantcheck/internal/metric"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/sensitivity"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// sensitivities finds what each quantizer of the recipe alone does to the outputs, each operator's constants too, and beside it
// each layer's error alone and accumulated.
func (x *explorer) sensitivities(ctx context.Context) error {
	s := x.stage
	recipe := x.recipe
	recipe.Engine = variant.CPU
	q, err := qdq.Build(s.b.Float.Base, s.b.Float.Placement, recipe, s.observed)
	if err != nil {
		return err
	}
	samples := min(x.policy.sensitivePictures, s.searched)
	candidates := sensitivity.Activations(s.b.Float.Placement)
	if len(candidates) != len(x.groups) {
		return fmt.Errorf("%d quantizers, but %d candidates", len(x.groups), len(candidates))
	}
	candidates = append(candidates, sensitivity.Weights(s.b.Float.Base, s.b.Float.Placement)...)
	harmless, err := x.harmless(ctx, recipe)
	if err != nil {
		return err
	}
	key := func(c sensitivity.Candidate) (string, error) {
		return x.trials.key("alone", x.of(recipe, nil), []any{c, samples, harmless})
	}
	x.progress.Phase("each quantizer alone", len(candidates))
	var failed error
	results, err := sensitivity.Run(ctx, s.b.ORT, sensitivity.Options{
		Float: s.b.Float.Base, Quantized: q, Outputs: s.floatOutputs(), Samples: samples, Candidates: candidates, Harmless: harmless, MemoryMiB: s.b.Options.MemoryMiB / 8,
		Sample: func(_ context.Context, i int) (map[string]tensor.Tensor, error) {
			loaded, err := s.evaluate.Loader.Load(s.shots[i].source)
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
			ok, err := x.trials.recall(ctx, key, &known)
			return known, ok && err == nil
		},
		Each: func(one sensitivity.Result) {
			key, err := key(one.Candidate)
			if err == nil {
				err = x.trials.remember(ctx, key, "sensitivity", one)
			}
			if err != nil && failed == nil {
				failed = err
			}
		},
		Progress: func(done, _ int) { x.progress.Step(done) },
	})
	s.tidy()
	switch {
	case ort.Failed(err): // the float model alone has run: what is known before the search is less
		x.warn("what each quantizer alone does could not be measured: %v", err)
		results = &sensitivity.Results{}
	case err != nil:
		return err
	case failed != nil:
		return failed
	}
	x.sqnr = make([]metric.Value, len(x.groups))
	weights := map[string]metric.Value{} // by the quantizer behind
	behind := quantizersBehind(s.b.Float)
	for i, one := range results.List {
		if i < len(x.groups) {
			x.sqnr[i] = one.SQNR
			continue
		}
		name := behind(one.Candidate.Name)
		if v, ok := weights[name]; !ok || one.SQNR.OK && one.SQNR.V < v.V {
			weights[name] = one.SQNR
		}
	}
	return x.layers(ctx, recipe, weights)
}

// harmless is the SQNR of the outputs from which on a quantizer alone is passed over after its first picture; 0: none is.
func (x *explorer) harmless(ctx context.Context, recipe variant.Spec) (float64, error) {
	t, err := x.trials.onSearch(ctx, x.of(recipe, nil), 0)
	if err != nil || !t.Scored.SQNR.OK || math.IsInf(t.Scored.SQNR.V, 0) {
		return 0, err
	}
	return t.Scored.SQNR.V + x.policy.inaudible, nil
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
func (s *stage) floatOutputs() []string {
	var list []string
	for _, name := range s.evaluate.Outputs {
		if s.b.Float.Types[name].DType.IsFloat() {
			list = append(list, name)
		}
	}
	return list
}

// layers describes the quantizers along the graph. The errors of the layers are measured on a few pictures, on the emulator too
// where that has the last word; what cannot be measured has no value.
func (x *explorer) layers(ctx context.Context, recipe variant.Spec, weights map[string]metric.Value) error {
	ref := x.stage.b.Float
	number := map[string]int{}
	for k, l := range ref.Layers {
		number[l.Name] = k
	}
	run, err := x.errorsOf(ctx, recipe)
	x.stage.tidy()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		x.warn("the layers' own errors could not be measured: %v", err)
	}
	cycles := map[string]float64{}
	if p, err := x.pricer.price(ctx, x.of(recipe, nil)); err == nil && p.Layers != nil {
		cycles = p.Layers
	}
	for i, g := range x.groups {
		l := result.Sensitivity{Tensor: g[0], Tensors: len(g), SQNR: x.sqnr[i], Weights: weights[g[0]], Op: "input", Bits: recipe.ActBits}
		k, made := number[g[0]]
		if made {
			l.Op = ref.Layers[k].Op
			if c, ok := cycles[ref.Layers[k].Node]; ok {
				l.Cycles = metric.Defined(c)
			}
		}
		if made && run != nil {
			v := &run.Variants[0].Layers[k]
			l.Accumulated = v.Summary[metric.SQNR].Mean
			if v.Local != nil {
				l.Local = v.Local.Full.Summary[metric.SQNR].Mean
			}
			if len(run.Variants) > 1 {
				if t := run.Variants[1].Layers[k].IsolatedEmulationError; t != nil {
					l.Apart = t.Summary[metric.SQNR].Mean
				}
			}
		}
		x.found.Layers = append(x.found.Layers, l)
	}
	x.quantizers = x.found.Layers
	return nil
}

// errorsOf measures a recipe's layers on a few pictures: on the CPU, and on the emulator beside it where that has the last word.
func (x *explorer) errorsOf(ctx context.Context, recipe variant.Spec) (*result.Run, error) {
	s := x.stage
	set := &dataset.Set{}
	for _, one := range s.shots[:min(x.policy.errorPictures, s.searched)] {
		set.Sources = append(set.Sources, one.source)
	}
	run := &result.Run{Model: s.b.Run.Model, Layers: s.b.Float.Layers, Started: time.Now()}
	o := s.b.Options
	o.LocalSamples = len(set.Sources)
	o.MemoryMiB = max(o.MemoryMiB/8, 64) // beside what the exploration holds
	variants := []variant.Spec{recipe}
	if x.spec.Engine == variant.HTP {
		twin := recipe
		twin.Engine, twin.Name = variant.HTP, recipe.Name+"@htp"
		variants = append(variants, twin)
	}
	b := s.b.Beside(o, run, variants...)
	b.Samples, b.Stats = len(set.Sources), s.stats
	defer b.Close()
	if err := prepare.All(ctx, b, nil, s.evaluate.Loader); err != nil {
		return nil, err
	}
	if err := measure.All(ctx, b, set, s.evaluate.Loader, nil); err != nil {
		return nil, err
	}
	measure.Summarize(run)
	return run, nil
}
