package workspace

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"quantcheck/internal/metric"
	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

// Numbers lists the numbers of all runs, oldest first.
func (s *Runs) Numbers(ctx context.Context) ([]int64, error) {
	var ids []int64
	err := s.each(ctx, "SELECT id FROM runs ORDER BY id", nil, func(scan func(...any) error) error {
		var id int64
		err := scan(&id)
		ids = append(ids, id)
		return err
	})
	return ids, err
}

// Read reads one run, all of it. Rows that cannot be are left out; the run's warnings count and name them.
func (s *Runs) Read(ctx context.Context, id int64) (run *result.Run, err error) {
	defer guard(&err)
	run = &result.Run{ID: id, Samples: []result.Sample{}, Calibration: []result.Sample{}}
	var started, spec, machineText, model, warnings string
	err = s.db.QueryRowContext(ctx, "SELECT command, name, started, seconds, spec, tool, onnxruntime, machine, model, warnings FROM runs WHERE id = ?", id).
		Scan(&run.Command, &run.Name, &started, &run.Seconds, &spec, &run.Tool, &run.ONNXRuntime, &machineText, &model, &warnings)
	if err != nil {
		return nil, fmt.Errorf("run %d of %s: %w", id, s.path, err)
	}
	if run.Started, err = time.Parse(time.RFC3339, started); err != nil {
		return nil, fmt.Errorf("run %d of %s: %w", id, s.path, err)
	}
	for text, into := range map[string]any{spec: &run.Spec, machineText: &run.Machine, model: &run.Model, warnings: &run.Warnings} {
		if err := json.Unmarshal([]byte(text), into); err != nil {
			return nil, fmt.Errorf("run %d of %s: %w", id, s.path, err)
		}
	}
	damaged := &damage{}
	for _, part := range []func(context.Context, *result.Run, *damage) error{s.readSamples, s.readLayers, s.readVariants, s.readResults, s.readMetrics, s.readSampleMetrics, s.readEncodings} {
		if err := part(ctx, run, damaged); err != nil {
			return nil, fmt.Errorf("run %d of %s: %w", id, s.path, err)
		}
	}
	soundLinks(run, damaged)
	run.Warnings = append(run.Warnings, damaged.list()...)
	return run, nil
}

func (s *Runs) readSamples(ctx context.Context, run *result.Run, _ *damage) error {
	return s.each(ctx, "SELECT number, role, name, path, sha256 FROM samples WHERE run = ? ORDER BY role, number", []any{run.ID}, func(scan func(...any) error) error {
		var role string
		var number int
		var sample result.Sample
		err := scan(&number, &role, &sample.Name, &sample.Path, &sample.SHA256)
		list := &run.Calibration
		if role == "compared" {
			list = &run.Samples
		}
		if err == nil && number != len(*list) {
			err = fmt.Errorf("%w: sample %d comes after %d", errOrder, number, len(*list))
		}
		*list = append(*list, sample)
		return err
	})
}

func (s *Runs) readLayers(ctx context.Context, run *result.Run, _ *damage) error {
	return s.each(ctx, "SELECT number, name, clean, node, op, dtype, shape, output, inputs FROM layers WHERE run = ? ORDER BY number", []any{run.ID}, func(scan func(...any) error) error {
		var l result.Layer
		var shape, inputs string
		var number int
		if err := scan(&number, &l.Name, &l.Clean, &l.Node, &l.Op, &l.DType, &shape, &l.Output, &inputs); err != nil {
			return err
		}
		if number != len(run.Layers) {
			return fmt.Errorf("%w: layer %d comes after %d", errOrder, number, len(run.Layers))
		}
		if err := json.Unmarshal([]byte(inputs), &l.Inputs); err != nil {
			return err
		}
		err := json.Unmarshal([]byte(shape), &l.Shape)
		run.Layers = append(run.Layers, l)
		return err
	})
}

func (s *Runs) readVariants(ctx context.Context, run *result.Run, _ *damage) error {
	return s.each(ctx, "SELECT number, spec, diverges, failed, birth, inputs, emulator, twin, parts, container, time, verdict FROM variants WHERE run = ? ORDER BY number", []any{run.ID}, func(scan func(...any) error) error {
		if len(run.Layers)*(len(run.Variants)+1) > mostResults {
			return fmt.Errorf("%d layers and more than %d variants are too many", len(run.Layers), len(run.Variants))
		}
		v := result.Variant{
			Inputs: map[string]result.Coding{}, Params: []result.Param{}, Counts: map[result.Status]int{},
			Layers: make([]result.LayerResult, len(run.Layers)),
		}
		var spec, failed, inputs string
		var diverges, twin, parts sql.NullInt64
		var emulator, container, time, verdict sql.NullString
		var place int
		if err := scan(&place, &spec, &diverges, &failed, &v.Origin, &inputs, &emulator, &twin, &parts, &container, &time, &verdict); err != nil {
			return err
		}
		if place != len(run.Variants) {
			return fmt.Errorf("%w: variant %d comes after %d", errOrder, place, len(run.Variants))
		}
		v.Diverges, v.Counterpart, v.FirstMismatchLayer = number(diverges), number(twin), number(parts)
		if emulator.Valid {
			if err := json.Unmarshal([]byte(emulator.String), &v.Emulator); err != nil {
				return err
			}
		}
		if container.Valid {
			if err := json.Unmarshal([]byte(container.String), &v.Container); err != nil {
				return err
			}
		}
		if time.Valid {
			if err := json.Unmarshal([]byte(time.String), &v.Time); err != nil {
				return err
			}
		}
		if verdict.Valid {
			stored := storedVerdict{Verdict: &result.Verdict{}}
			if err := json.Unmarshal([]byte(verdict.String), &stored); err != nil {
				return err
			}
			if err := stored.sound(run); err != nil {
				return fmt.Errorf("the verdict of variant %d: %w", place, err)
			}
			v.Verdict, v.EngineErrors = stored.Verdict, stored.EngineErrors
			if stored.NonFinite != nil {
				run.NonFinite = stored.NonFinite
			}
		}
		if err := json.Unmarshal([]byte(spec), &v.Spec); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(failed), &v.Failed); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(inputs), &v.InputChecks); err != nil {
			return err
		}
		if len(v.InputChecks) == 0 {
			v.InputChecks = nil
		}
		if len(v.Failed) == 0 {
			v.Failed = nil
		}
		run.Variants = append(run.Variants, v)
		return nil
	})
}

// number is a layer's or a variant's, −1 for NULL.
func number(n sql.NullInt64) int {
	if !n.Valid {
		return -1
	}
	return int(n.Int64)
}

// layer finds a layer's result; a row that points outside is a damaged database.
func layer(run *result.Run, variant, number int) (*result.LayerResult, error) {
	if variant < 0 || variant >= len(run.Variants) || number < 0 || number >= len(run.Layers) {
		return nil, fmt.Errorf("there is no layer %d of variant %d", number, variant)
	}
	return &run.Variants[variant].Layers[number], nil
}

func (s *Runs) readResults(ctx context.Context, run *result.Run, d *damage) error {
	return s.rows(ctx, d, "layer_results", "SELECT variant, layer, status, reason, tap, share, local_reason, histogram, on_cpu, apart, local_apart, rule, cycles FROM layer_results WHERE run = ?", []any{run.ID}, func(scan func(...any) error) error {
		var variant, number int
		var r result.LayerResult
		var share, apart, localApart sql.NullFloat64
		var histogram sql.NullString
		if err := scan(&variant, &number, &r.Status, &r.Reason, &r.Tap, &share, &r.LocalReason, &histogram, &r.OnCPU, &apart, &localApart, &r.Rule, &r.Cycles); err != nil {
			return err
		}
		l, err := layer(run, variant, number)
		if err != nil {
			return err
		}
		if r.HasMetrics() {
			r.Summary = noSummary()
		}
		if histogram.Valid {
			if err := json.Unmarshal([]byte(histogram.String), &r.Histogram); err != nil {
				return err
			}
		}
		if share.Valid {
			r.Local = &result.Local{Full: result.Part{Summary: noSummary()}, Share: share.Float64}
		}
		if apart.Valid {
			r.EmulationError = &result.EmulationError{Part: result.Part{Summary: noSummary()}, FractionOverOneStep: value(apart)}
		}
		if localApart.Valid {
			r.IsolatedEmulationError = &result.EmulationError{Part: result.Part{Summary: noSummary()}, FractionOverOneStep: value(localApart)}
		}
		if err := r.Sound(); err != nil {
			return fmt.Errorf("layer %d of variant %d: %w", number, variant, err)
		}
		*l = r
		run.Variants[variant].Counts[r.Status]++
		return nil
	})
}

// noSummary is the summary of a layer that has numbers, none of them defined.
func noSummary() (s result.Summary) {
	for i := range s {
		s[i].Worst = -1
	}
	return s
}

// place finds where a scope's numbers of a layer stand in the result; samples is nil for scopes that keep none.
func place(run *result.Run, variant, number int, scope string) (summary *result.Summary, samples *[]*metric.Values, err error) {
	l, err := layer(run, variant, number)
	if err != nil {
		return nil, nil, err
	}
	part := func(p **result.Part) (*result.Summary, *[]*metric.Values, error) {
		if *p == nil {
			*p = &result.Part{Summary: noSummary()}
		}
		return &(*p).Summary, &(*p).Samples, nil
	}
	v := &run.Variants[variant]
	switch scope {
	case scopeAccumulated:
		return &l.Summary, &l.Samples, nil
	case scopeWholeWeights, scopeWholeActs:
		if last := len(v.Whole) - 1; last < 0 || v.Whole[last].Layer != number {
			v.Whole = append(v.Whole, result.Whole{Layer: number, WeightsOnly: noSummary(), ActsOnly: noSummary()})
		}
		w := &v.Whole[len(v.Whole)-1]
		if scope == scopeWholeWeights {
			return &w.WeightsOnly, nil, nil
		}
		return &w.ActsOnly, nil, nil
	}
	for s, t := range map[string]**result.EmulationError{scopeTwin: &l.EmulationError, scopeLocalTwin: &l.IsolatedEmulationError} {
		if scope == s {
			if *t == nil { // half precision has no steps to be apart
				*t = &result.EmulationError{Part: result.Part{Summary: noSummary()}}
			}
			return &(*t).Summary, &(*t).Samples, nil
		}
	}
	if l.Local == nil {
		return nil, nil, fmt.Errorf("layer %d of variant %d has local numbers but no share", number, variant)
	}
	switch scope {
	case scopeLocal:
		return &l.Local.Full.Summary, &l.Local.Full.Samples, nil
	case scopeLocalWeights:
		return part(&l.Local.Weights)
	case scopeLocalActs:
		return part(&l.Local.Acts)
	}
	return nil, nil, fmt.Errorf("unknown scope %q", scope)
}

func (s *Runs) readMetrics(ctx context.Context, run *result.Run, d *damage) error {
	ids := map[string]metric.ID{}
	for _, info := range metric.All {
		ids[info.Key] = info.ID
	}
	const query = "SELECT variant, layer, scope, metric, mean, min, max, worst FROM metrics WHERE run = ? ORDER BY variant, layer"
	return s.rows(ctx, d, "metrics", query, []any{run.ID}, func(scan func(...any) error) error {
		var variant, number, worst int
		var scope, key string
		var mean, lo, hi sql.NullFloat64
		if err := scan(&variant, &number, &scope, &key, &mean, &lo, &hi, &worst); err != nil {
			return err
		}
		if outside(worst, len(run.Samples)) {
			return fmt.Errorf("layer %d of variant %d, %s, %s: the worst sample is number %d of %d", number, variant, scope, key, worst, len(run.Samples))
		}
		summary, _, err := place(run, variant, number, scope)
		if id, known := ids[key]; err == nil && known {
			summary[id] = metric.Spread{Mean: value(mean), Min: value(lo), Max: value(hi), Worst: worst}
		}
		return err
	})
}

func (s *Runs) readSampleMetrics(ctx context.Context, run *result.Run, d *damage) error {
	stored, err := metricColumns(ctx, s.db)
	if err != nil {
		return err
	}
	query := "SELECT " + sampleColumns(stored) + " FROM sample_metrics WHERE run = ?"
	return s.rows(ctx, d, "sample_metrics", query, []any{run.ID}, func(scan func(...any) error) error {
		var id int64
		var variant, number, sample int
		var scope string
		columns := make([]sql.NullFloat64, len(stored))
		into := []any{&id, &variant, &number, &scope, &sample}
		for i := range columns {
			into = append(into, &columns[i])
		}
		if err := scan(into...); err != nil {
			return err
		}
		_, samples, err := place(run, variant, number, scope)
		if err == nil && (sample < 0 || sample >= len(run.Samples)) {
			err = fmt.Errorf("layer %d of variant %d, %s: sample %d of %d", number, variant, scope, sample, len(run.Samples))
		}
		if err != nil || samples == nil {
			return err
		}
		count := len(run.Samples)
		if scope != scopeAccumulated && scope != scopeTwin {
			count = min(count, max(run.Spec.LocalSamples, 0))
		}
		if *samples == nil {
			*samples = make([]*metric.Values, count)
		}
		if sample < count {
			v := &metric.Values{}
			for i, c := range columns {
				v[stored[i].ID] = value(c)
			}
			(*samples)[sample] = v
		}
		return nil
	})
}

func (s *Runs) readEncodings(ctx context.Context, run *result.Run, d *damage) error {
	numbers := map[string]int{}
	for i, l := range run.Layers {
		numbers[l.Name] = i
	}
	const query = "SELECT variant, kind, tensor, channel, axis, bits, symmetric, min, max, scale, offset FROM encodings WHERE run = ? ORDER BY variant, kind, tensor, channel"
	return s.rows(ctx, d, "encodings", query, []any{run.ID}, func(scan func(...any) error) error {
		var variant, channel, axis int
		var kind, tensor string
		var e quant.Encoding
		if err := scan(&variant, &kind, &tensor, &channel, &axis, &e.Bits, &e.Symmetric, &e.Min, &e.Max, &e.Scale, &e.Offset); err != nil {
			return err
		}
		if variant < 0 || variant >= len(run.Variants) {
			return fmt.Errorf("there is no variant %d", variant)
		}
		if err := soundEncoding(e); err != nil {
			return fmt.Errorf("%s: %w", tensor, err)
		}
		v := &run.Variants[variant]
		switch kind {
		case "input":
			v.Inputs[tensor] = e
		case "activation":
			if number, ok := numbers[tensor]; ok {
				v.Layers[number].Encoding = &e
			}
		default:
			if last := len(v.Params) - 1; last >= 0 && v.Params[last].Tensor == tensor {
				v.Params[last].Encodings = append(v.Params[last].Encodings, e)
			} else {
				v.Params = append(v.Params, result.Param{Tensor: tensor, Axis: axis, Encodings: []result.Coding{e}})
			}
		}
		return nil
	})
}

func value(v sql.NullFloat64) metric.Value {
	if !v.Valid || math.IsNaN(v.Float64) {
		return metric.Value{}
	}
	return metric.Defined(v.Float64)
}
