package workspace

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"quantcheck/internal/result"
)

// Models are what the model files in a workspace say of themselves.
type Models struct{ *database }

// Put stores what a model file says of itself, in place of what was stored under its name before.
func (s *Models) Put(ctx context.Context, m *result.ModelFile) error {
	if err := s.put(ctx, m); err != nil {
		return fmt.Errorf("store the model in %s: %w", s.path, err)
	}
	return nil
}

func (s *Models) put(ctx context.Context, m *result.ModelFile) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	if _, err := tx.ExecContext(ctx, "DELETE FROM models WHERE name = ?", m.Name); err != nil {
		return err
	}
	w := &writer{ctx: ctx, tx: tx, tables: map[string]*rows{}}
	known := func(n int64) sql.NullInt64 { return sql.NullInt64{Int64: n, Valid: n >= 0} }
	id := w.one("models", "name, path, format, converter, quantizer, added, macs, parameters, precision",
		m.Name, m.Path, m.Format, m.Converter, m.Quantizer, m.Added.UTC().Format(time.RFC3339), known(m.MACs), known(m.Parameters), w.json(m.Precision))
	for i, l := range m.Layers {
		row := []any{id, i, l.Tensor, l.Layer, l.Node, l.Op, l.DType, w.json(l.Shape), nil, nil, nil, nil, nil, nil}
		if e := l.Encoding; e != nil {
			row = append(row[:8], e.Bits, e.Channels, e.Scale, e.Offset, e.Min, e.Max)
		}
		w.insert("model_layers", "model, number, tensor, layer, node, op, dtype, shape, bits, channels, scale, offset, min, max", row...)
	}
	w.flush()
	if w.err != nil {
		return w.err
	}
	return tx.Commit()
}

// All reads all model files, in the order in which they were stored. Rows that are damaged are left out; problems names them.
func (s *Models) All(ctx context.Context) (list []*result.ModelFile, problems []string, err error) {
	defer guard(&err)
	d := &damage{}
	byID := map[int64]*result.ModelFile{}
	err = s.rows(ctx, d, "models", "SELECT id, name, path, format, converter, quantizer, added, macs, parameters, precision FROM models ORDER BY id", nil, func(scan func(...any) error) error {
		m := &result.ModelFile{}
		var id int64
		var added, precision string
		var macs, parameters sql.NullInt64
		err := scan(&id, &m.Name, &m.Path, &m.Format, &m.Converter, &m.Quantizer, &added, &macs, &parameters, &precision)
		if err != nil {
			return err
		}
		m.MACs, m.Parameters = -1, -1
		if macs.Valid {
			m.MACs = macs.Int64
		}
		if parameters.Valid {
			m.Parameters = parameters.Int64
		}
		if m.Added, err = time.Parse(time.RFC3339, added); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(precision), &m.Precision); err != nil {
			return err
		}
		byID[id] = m
		list = append(list, m)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("models of %s: %w", s.path, err)
	}
	const query = "SELECT model, tensor, layer, node, op, dtype, shape, bits, channels, scale, offset, min, max FROM model_layers ORDER BY model, number"
	err = s.rows(ctx, d, "model_layers", query, nil, func(scan func(...any) error) error {
		var id int64
		var l result.ModelLayer
		var shape string
		var bits, channels, offset sql.NullInt64
		var scale, least, most sql.NullFloat64
		if err := scan(&id, &l.Tensor, &l.Layer, &l.Node, &l.Op, &l.DType, &shape, &bits, &channels, &scale, &offset, &least, &most); err != nil {
			return err
		}
		if bits.Valid {
			l.Encoding = &result.ModelEncoding{Bits: int(bits.Int64), Channels: int(channels.Int64), Scale: scale.Float64, Offset: int(offset.Int64), Min: least.Float64, Max: most.Float64}
		}
		m := byID[id]
		if m == nil {
			return fmt.Errorf("there is no model %d", id)
		}
		if err := json.Unmarshal([]byte(shape), &l.Shape); err != nil {
			return err
		}
		m.Layers = append(m.Layers, l)
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("models of %s: %w", s.path, err)
	}
	return list, d.list(), nil
}
