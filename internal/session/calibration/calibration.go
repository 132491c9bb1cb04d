// Package calibration runs a session's float model on samples and gathers the values of every tensor that gets an encoding.
package calibration

import (
	"context"
	"fmt"
	"slices"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workpool"
)

// Run runs the float model on the calibration samples and gathers the values of every tensor that gets an encoding. A session that keeps
// its state goes on where an interrupted run ended.
func Run(ctx context.Context, b *session.Session, set *dataset.Set, loader dataset.Loader) (*calib.Statistics, error) {
	if err := clampMasks(ctx, b, set, loader); err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for name, place := range b.Float.Placement.Tensors {
		if place.Role == qdq.Own || place.Role == qdq.Union || place.Role == qdq.Fused && slices.ContainsFunc(b.Specs(), session.Emulated) {
			wanted[name] = true
		}
	}
	index := onnx.NewIndex(b.Float.Model)
	gates := gatesOf(index, wanted, b.Specs())
	var taps []string
	for _, n := range b.Float.Model.Graph().GetNode() {
		for _, out := range n.GetOutput() {
			if wanted[out] || gates.needs(out) {
				taps = append(taps, out)
			}
		}
	}
	r, err := ort.New(b.ORT, b.Float.Model, ort.Options{Taps: taps, SegmentBytes: b.Memory().Segment(), Types: b.Float.Types, Arena: b.Arena})
	if err != nil {
		return nil, err
	}
	defer r.Close()

	empty := func() *calib.Statistics {
		stats := calib.NewStatistics(slices.ContainsFunc(b.Specs(), calib.NeedsHistogram))
		stats.ActivationAfter = func(name string) (func(float64) float64, bool) {
			return calib.ActivationAfter(b.Float.Model, index, name)
		}
		return stats
	}
	state := &progress{b: b, empty: empty, total: len(set.Sources), warnings: len(b.Run.Warnings), skipped: len(b.Skipped)}
	from := state.goOn()
	stats := state.stats
	if from == state.total {
		return stats, nil
	}
	pool := workpool.New(b.WaitingBytes())
	defer pool.Close()
	b.Progress.Phase("calibrating", state.total)
	if from > 0 {
		b.Progress.Step(from)
	}
	err = b.EachSample(ctx, &dataset.Set{Sources: set.Sources[from:]}, loader, func(n int, s *dataset.Sample) error {
		n += from
		if s == nil {
			state.step(pool, n)
			b.Progress.Step(n)
			return nil
		}
		for name := range wanted {
			if t, ok := s.Inputs[name]; ok {
				stats.Observe(name, t)
			}
		}
		inference := r.Start(runner.Sample{Inputs: s.Inputs})
		defer inference.Close()
		pairs := gates.begin()
		for range r.Segments() {
			batch, err := inference.Next(ctx)
			if err != nil {
				return fmt.Errorf("sample %s: %w", s.Name, err)
			}
			observe(pool, stats, batch, wanted)
			pairs.observe(pool, stats, batch)
			batch.Release()
		}
		b.Run.Calibration = append(b.Run.Calibration, model.DescribeSample(s))
		state.step(pool, n)
		b.Progress.Step(n)
		return nil
	})
	pool.Wait()
	if err != nil {
		return nil, err
	}
	if len(b.Run.Calibration) == 0 {
		return nil, fmt.Errorf("none of the %d calibration samples could be read; the first: %s", len(set.Sources), b.Skipped[0])
	}
	state.put()
	return stats, nil
}

// clampMasks lets constants that shut places of a Softmax hold what an encoding can, before anything is observed behind them. Samples that cannot
// be read are left to the calibration, which names them.
func clampMasks(ctx context.Context, b *session.Session, set *dataset.Set, loader dataset.Loader) error {
	said, err := b.Float.ClampMasks(ctx, b.ORT, func(use func(map[string]tensor.Tensor) error) error {
		for _, source := range set.Sources[:min(len(set.Sources), model.MostRanging)] {
			s, err := loader.Load(source)
			if err != nil {
				continue
			}
			if err := use(s.Inputs); err != nil {
				return fmt.Errorf("sample %s: %w", s.Name, err)
			}
		}
		return ctx.Err()
	})
	b.Run.Warnings = append(b.Run.Warnings, said...)
	return err
}

func observe(pool *workpool.Pool, stats *calib.Statistics, batch *runner.Batch, wanted map[string]bool) {
	for _, tap := range batch.Taps {
		if !wanted[tap.Name] {
			continue
		}
		batch.Retain()
		pool.Do(tap.Tensor.Bytes(), func() {
			defer batch.Release()
			stats.Observe(tap.Name, tap.Tensor)
		})
	}
}
