package workspace

import (
	"context"
	"database/sql"
	"fmt"

	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

// Runs are the comparisons that are stored in a workspace.
type Runs struct{ *database }

// Add stores a run and the estimates of its variants, whole or not at all, and gives them their numbers.
func (s *Runs) Add(ctx context.Context, run *result.Run) error {
	if err := s.add(ctx, run); err != nil {
		return fmt.Errorf("store the run in %s: %w", s.path, err)
	}
	return nil
}

func (s *Runs) add(ctx context.Context, run *result.Run) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	if err := addMetricColumns(ctx, tx); err != nil {
		return err
	}
	w := &writer{ctx: ctx, tx: tx, tables: map[string]*rows{}}
	id := w.one("runs", "command, name, started, seconds, spec, tool, onnxruntime, machine, model, warnings",
		run.Command, run.Name, run.Started.UTC().Format("2006-01-02T15:04:05.000Z"), run.Seconds, w.json(run.Spec), run.Tool, run.ONNXRuntime,
		w.json(run.Machine), w.json(run.Model), w.json(run.Warnings))
	for role, list := range map[string][]result.Sample{"compared": run.Samples, "calibration": run.Calibration} {
		for i, sample := range list {
			w.insert("samples", "run, role, number, name, path, sha256", id, role, i, sample.Name, sample.Path, sample.SHA256)
		}
	}
	for i, l := range run.Layers {
		w.insert("layers", "run, number, name, clean, node, op, dtype, shape, output, inputs", id, i, l.Name, l.Clean, l.Node, l.Op, l.DType, w.json(l.Shape), l.Output,
			w.json(append([]int{}, l.Inputs...)))
	}
	for i := range run.Variants {
		w.variant(id, i, &run.Variants[i], run)
	}
	estimates := map[*result.Estimated]int64{}
	for _, v := range run.Variants {
		if v.Estimated != nil {
			if estimates[v.Estimated], err = w.estimate(v.Estimated); err != nil {
				return err
			}
		}
	}
	w.flush()
	if w.err != nil {
		return w.err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	run.ID = id
	for e, number := range estimates {
		e.ID = number
	}
	return nil
}

func (w *writer) variant(run int64, i int, v *result.Variant, of *result.Run) {
	layers := of.Layers
	diverges := sql.NullInt64{Int64: int64(v.Diverges), Valid: v.Diverges >= 0}
	w.insert("variants", "run, number, name, spec, diverges, failed, birth, inputs, emulator, twin, parts, container, time, verdict", run, i, v.Spec.Name, w.json(v.Spec), diverges,
		w.json(append([]string{}, v.Failed...)), string(v.Origin), w.json(append([]result.InputCheck{}, v.InputChecks...)),
		w.optional(v.Emulator, v.Emulator != nil), sql.NullInt64{Int64: int64(v.Counterpart), Valid: v.Counterpart >= 0}, sql.NullInt64{Int64: int64(v.FirstMismatchLayer), Valid: v.FirstMismatchLayer >= 0}, w.optional(v.Container, v.Container != nil), w.optional(v.Time, v.Time != nil),
		w.optional(storedVerdict{v.Verdict, of.NonFinite, v.EngineErrors}, v.Verdict != nil))
	encoding := func(kind, tensor string, channel, axis int, e quant.Encoding) {
		w.insert("encodings", "run, variant, kind, tensor, channel, axis, bits, symmetric, min, max, scale, offset",
			run, i, kind, tensor, channel, axis, e.Bits, e.Symmetric, e.Min, e.Max, e.Scale, e.Offset)
	}
	for tensor, e := range v.Inputs {
		encoding("input", tensor, -1, -1, e)
	}
	for _, p := range v.Params {
		for c, e := range p.Encodings {
			if p.Axis < 0 {
				c = -1
			}
			encoding("param", p.Tensor, c, p.Axis, e)
		}
	}
	for k := range v.Layers {
		l := &v.Layers[k]
		share := sql.NullFloat64{}
		if l.Local != nil {
			share = sql.NullFloat64{Float64: l.Local.Share, Valid: true}
		}
		w.insert("layer_results", "run, variant, layer, status, reason, tap, share, local_reason, histogram, on_cpu, apart, local_apart, rule, cycles",
			run, i, k, string(l.Status), l.Reason, l.Tap, share, l.LocalReason, w.optional(l.Histogram, l.Histogram != nil), l.OnCPU, apart(l.EmulationError), apart(l.IsolatedEmulationError), l.Rule, l.Cycles)
		if l.Encoding != nil {
			encoding("activation", layers[k].Name, -1, -1, *l.Encoding)
		}
		if l.HasMetrics() {
			w.values(run, i, k, scopeAccumulated, l.Summary, l.Samples)
		}
		if l.Local != nil {
			w.part(run, i, k, scopeLocal, &l.Local.Full)
			w.part(run, i, k, scopeLocalWeights, l.Local.Weights)
			w.part(run, i, k, scopeLocalActs, l.Local.Acts)
		}
		for scope, t := range map[string]*result.EmulationError{scopeTwin: l.EmulationError, scopeLocalTwin: l.IsolatedEmulationError} {
			if t != nil {
				w.part(run, i, k, scope, &t.Part)
			}
		}
	}
	for _, whole := range v.Whole {
		w.values(run, i, whole.Layer, scopeWholeWeights, whole.WeightsOnly, nil)
		w.values(run, i, whole.Layer, scopeWholeActs, whole.ActsOnly, nil)
	}
}

func (w *writer) part(run int64, variant, layer int, scope string, p *result.Part) {
	if p != nil {
		w.values(run, variant, layer, scope, p.Summary, p.Samples)
	}
}

// values stores one scope's metrics of a layer, over the samples and of each sample.
func (w *writer) values(run int64, variant, layer int, scope string, summary result.Summary, samples []*metric.Values) {
	for _, info := range metric.All {
		if s := summary[info.ID]; s.Mean.OK {
			w.insert("metrics", "run, variant, layer, scope, metric, mean, min, max, worst", run, variant, layer, scope, info.Key, null(s.Mean), null(s.Min), null(s.Max), s.Worst)
		}
	}
	columns := sampleColumns(metric.All)
	for n, values := range samples {
		if values == nil {
			continue
		}
		row := []any{run, variant, layer, scope, n}
		for _, info := range metric.All {
			row = append(row, null(values[info.ID]))
		}
		w.insert("sample_metrics", columns, row...)
	}
}

func apart(t *result.EmulationError) sql.NullFloat64 {
	if t == nil {
		return sql.NullFloat64{}
	}
	return null(t.FractionOverOneStep)
}
