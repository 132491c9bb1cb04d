// Package brief judges variants of a model by its outputs alone, on a few samples, after a check or without one.
//
//  1. New stands on the session of a check that is done: its float model is not read again, and what was kept of its outputs is used.
//  2. Bench.Judge calibrates once for all questions, compiles each variant with nothing but its outputs, and runs it.
//
// The verdict is the one that a check of these samples gives, to the last bit; layers inside, local errors and causes are left out.
package brief

import (
	"context"
	"errors"
	"fmt"

	"quantcheck/internal/calib"
	"quantcheck/internal/compare/judge"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/score/outputs"
	"quantcheck/internal/session"
	"quantcheck/internal/session/calibration"
	"quantcheck/internal/session/prepare"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
	"quantcheck/internal/workpool"
)

// Bench is a float model with its samples, on which variants are judged one after another. It holds no runner between two questions, and is not
// safe for concurrent use.
type Bench struct {
	session               *session.Session
	compared, calibrating *dataset.Set
	stats                 map[calibrated]*calib.Statistics
}

// calibrated says which samples statistics are of.
type calibrated struct {
	samples int
	own     bool
}

// New takes a session whose samples were found; it may be closed.
func New(b *session.Session, compared, calibrating *dataset.Set) *Bench {
	return &Bench{b, compared, calibrating, map[calibrated]*calib.Statistics{}}
}

// Calibrated gives the bench statistics of so many samples of its calibration, so that it makes none.
func (t *Bench) Calibrated(stats *calib.Statistics, samples int) {
	t.stats[calibrated{samples, false}] = stats
}

// Question says what is judged.
type Question struct {
	Variant variant.Spec
	Samples int  // the first ones that were compared, and that calibrated
	Own     bool // calibrated on the samples that are compared
	// Also are variants that later questions about the same samples are for: one calibration serves all.
	Also []variant.Spec
}

// Answer is a verdict, with the samples that could be read.
type Answer struct {
	Verdict *result.Verdict
	Samples int
	Run     *result.Run // of the variant alone, without anything measured inside of it
}

// Judge gives the verdict of a variant.
func (t *Bench) Judge(ctx context.Context, q Question) (*Answer, error) {
	set, calibrating := first(t.compared, q.Samples), first(t.calibrating, q.Samples)
	if q.Own {
		calibrating = set
	}
	b := t.beside(q.Variant)
	defer b.Close()
	b.Compared, b.Samples = set, len(set.Sources)
	if session.NeedsCalibration(b.Specs()) {
		var err error
		if b.Stats, err = t.calibrate(ctx, q, calibrating); err != nil {
			return nil, err
		}
	}
	if err := prepare.Build(ctx, b, calibrating, b.Loader); err != nil {
		return nil, err
	}
	if err := t.record(ctx, b, set); err != nil {
		return nil, err
	}
	models, err := outputs.OpenVariants(ctx, b)
	if err != nil {
		return nil, err
	}
	return t.run(ctx, b, models, set)
}

// run compares the outputs of a session's only variant with those that were recorded.
func (t *Bench) run(ctx context.Context, b *session.Session, models *outputs.Models, set *dataset.Set) (*Answer, error) {
	j, err := judge.New(b, len(set.Sources))
	if err != nil {
		return nil, err
	}
	pool := workpool.New(b.WaitingBytes())
	defer pool.Close()
	number := 0
	err = b.EachSample(ctx, set, b.Loader, func(_ int, s *dataset.Sample) error {
		if s == nil {
			return nil
		}
		got, err := models.Infer(ctx, number, s)
		if err != nil {
			return err
		}
		o := judge.NewOutputs()
		for i, layer := range models.Outputs.Layers {
			float, ok := t.session.Recorded[number][layer]
			if !ok {
				continue
			}
			of := map[*session.Variant]tensor.Tensor{}
			if got[1] != nil {
				of[b.Variants[0]] = got[1][i].Tensor
			}
			o.Keep(layer, float.Tensor, of)
		}
		j.Sample(pool, number, o)
		b.Run.Samples = append(b.Run.Samples, model.DescribeSample(s))
		number++
		return nil
	})
	pool.Wait()
	if err != nil {
		return nil, err
	}
	if number == 0 {
		return nil, errors.New("none of the samples can be read any more")
	}
	j.Conclude(number)
	b.Variants[0].Result.Diverges = -1
	return &Answer{b.Variants[0].Result.Verdict, number, b.Run}, nil
}

// beside makes a session of variants of the same float model.
func (t *Bench) beside(variants ...variant.Spec) *session.Session {
	o := t.session.Options
	o.LocalSamples, o.AllLayers = 0, false
	of := t.session.Run
	run := &result.Run{Command: of.Command, Name: of.Name, Model: of.Model, Layers: of.Layers, Spec: of.Spec, Samples: []result.Sample{}, Calibration: []result.Sample{}}
	return t.session.Beside(o, run, variants...)
}

// calibrate gathers what the question's variant and those that are to come need.
func (t *Bench) calibrate(ctx context.Context, q Question, set *dataset.Set) (*calib.Statistics, error) {
	key := calibrated{q.Samples, q.Own}
	if stats := t.stats[key]; stats != nil {
		return stats, nil
	}
	b := t.beside(append([]variant.Spec{q.Variant}, q.Also...)...)
	defer b.Close()
	b.Arena = prepare.Arena(b)
	stats, err := calibration.Run(ctx, b, set, b.Loader)
	if err != nil {
		return nil, err
	}
	t.stats[key] = stats
	return stats, nil
}

// record sees to it that the float model's outputs are known on a set's samples.
func (t *Bench) record(ctx context.Context, b *session.Session, set *dataset.Set) error {
	known := true
	for n := range set.Sources {
		known = known && t.session.Recorded[n] != nil
	}
	if known {
		return nil
	}
	o, err := outputs.Find(b.Float)
	if err != nil {
		return err
	}
	r, err := o.OpenFloat(b)
	if err != nil {
		return err
	}
	defer r.Close()
	recorded := map[int]map[int]runner.Tap{}
	err = b.EachSample(ctx, set, b.Loader, func(_ int, s *dataset.Sample) error {
		if s == nil {
			return nil
		}
		got, err := o.Collect(ctx, r.Start(runner.Sample{Inputs: s.Inputs}), o.Names)
		if err != nil {
			return fmt.Errorf("float model, sample %s: %w", s.Name, err)
		}
		of := map[int]runner.Tap{}
		for i, layer := range o.Layers {
			of[layer] = runner.Tap{Tensor: got[i].Tensor}
		}
		recorded[len(recorded)] = of
		return nil
	})
	t.session.Recorded = recorded
	return err
}

// first are the first samples of a set.
func first(set *dataset.Set, n int) *dataset.Set {
	few := *set
	few.Sources = set.Sources[:min(n, len(set.Sources))]
	return &few
}
