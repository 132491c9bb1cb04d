package workspace

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
)

// mostTimeline bounds a timeline that is read.
const mostTimeline = 256 << 20

// Estimates are those of a workspace.
type Estimates struct{ *database }

// Add stores estimates with their timelines, all or none, and gives them their numbers.
func (s *Estimates) Add(ctx context.Context, list ...*result.Estimated) error {
	if err := s.add(ctx, list); err != nil {
		return fmt.Errorf("store the estimate in %s: %w", s.path, err)
	}
	return nil
}

func (s *Estimates) add(ctx context.Context, list []*result.Estimated) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // it only fails after a commit
	w := &writer{ctx: ctx, tx: tx, tables: map[string]*rows{}}
	ids := make([]int64, len(list))
	for i, e := range list {
		if ids[i], err = w.estimate(e); err != nil {
			return err
		}
	}
	w.flush()
	if w.err != nil {
		return w.err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	for i, e := range list {
		e.ID = ids[i]
	}
	return nil
}

// estimate inserts an estimate and gives its number.
func (w *writer) estimate(e *result.Estimated) (int64, error) {
	timeline, err := pack(e)
	if err != nil {
		return 0, err
	}
	rest := *e // the layers have rows of their own
	figures := *e.Estimate
	figures.Layers, rest.Estimate = []htpcost.Layer{}, &figures
	id := w.one("estimates", "name, variant, path, started, tool, wheel, soc, base, cycles, lower, upper, us, us_lower, us_upper, input_fill_bytes, output_spill_bytes, missing, covered, result, timeline",
		e.Name, e.Variant, e.Path, e.Started.UTC().Format("2006-01-02T15:04:05.000Z"), e.Tool, e.Wheel, e.SoC.Name, e.Base, e.Cycles, e.Lower, e.Upper,
		e.Microseconds, e.LowerMicroseconds, e.UpperMicroseconds, e.InputFillBytes, e.OutputSpillBytes, e.Missing, e.Covered, w.json(&rest), timeline)
	for i, l := range e.Layers {
		w.insert("estimate_layers", "estimate, number, kind, node, raw, name, op, added, events, cycles, share, hmx, hvx, dma, scalar, dram_bytes",
			id, i, string(l.Kind), l.Node, l.Raw, l.Name, l.Op, l.Added, l.Events, l.Cycles, l.Share, l.HMX, l.HVX, l.DMA, l.Scalar, l.DRAMBytes)
	}
	return id, w.err
}

// pack is the timeline as Chrome's JSON, compressed; nil if there is none.
func pack(e *result.Estimated) ([]byte, error) {
	if e.Timeline == nil {
		return nil, nil
	}
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := htpcost.Chrome(z, e.Timeline, e.Names()); err != nil {
		return nil, err
	}
	err := z.Close()
	return b.Bytes(), err
}

func unpack(data []byte) (*htpcost.Timeline, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, mostTimeline))
	if err != nil {
		return nil, err
	}
	return htpcost.ReadTrace(text)
}

// All reads all estimates with their timelines, oldest first. Those that are damaged are left out; problems names them.
func (s *Estimates) All(ctx context.Context) (list []*result.Estimated, problems []string, err error) {
	defer guard(&err)
	byID := map[int64]*result.Estimated{}
	err = s.each(ctx, "SELECT id, result, timeline FROM estimates ORDER BY id", nil, func(scan func(...any) error) error {
		e := &result.Estimated{}
		var timeline []byte
		var err error
		e.ID, err = whole(scan, e, &timeline)
		if err == nil {
			err = e.Sound()
		}
		if err == nil && timeline != nil {
			e.Timeline, err = unpack(timeline)
		}
		if err != nil {
			problems = append(problems, s.damaged("estimate", e.ID, err))
			return ctx.Err()
		}
		byID[e.ID] = e
		list = append(list, e)
		return nil
	})
	if err != nil {
		return nil, problems, fmt.Errorf("estimates of %s: %w", s.path, err)
	}
	d := &damage{}
	const query = "SELECT estimate, kind, node, raw, name, op, added, events, cycles, share, hmx, hvx, dma, scalar, dram_bytes FROM estimate_layers ORDER BY estimate, number"
	err = s.rows(ctx, d, "estimate_layers", query, nil, func(scan func(...any) error) error {
		var id int64
		var l htpcost.Layer
		if err := scan(&id, &l.Kind, &l.Node, &l.Raw, &l.Name, &l.Op, &l.Added, &l.Events, &l.Cycles, &l.Share, &l.HMX, &l.HVX, &l.DMA, &l.Scalar, &l.DRAMBytes); err != nil {
			return err
		}
		if e := byID[id]; e != nil { // else it was left out, with its layers
			e.Layers = append(e.Layers, l)
		}
		return nil
	})
	if err != nil {
		return nil, problems, fmt.Errorf("estimates of %s: %w", s.path, err)
	}
	return list, append(problems, d.list()...), nil
}
