package lint

import (
	"context"
	"errors"
	"fmt"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimate"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/optimize"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
)

// appraiser is an estimator of the default chip.
func appraiser(engines session.Engines) (*estimate.Estimator, error) {
	soc, err := htpcost.Find("")
	if err != nil {
		return nil, err
	}
	engine, err := engines.HTP()
	return &estimate.Estimator{Ort: engines.ORT, Engine: engine, Soc: soc, Progress: progress.Silent{}}, err
}

// priceContainer estimates a DLC. One that cannot be is a note: the other checks need no estimate.
func priceContainer(ctx context.Context, engines session.Engines, path string, s *Subject, notes *[]string) error {
	e, err := appraiser(engines)
	if err != nil {
		return err
	}
	x, err := e.Container(ctx, path)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		*notes = append(*notes, "there is no estimate: "+err.Error())
	default:
		s.Estimate = x.Estimate
	}
	return nil
}

// priceFindings estimates a model, a float one as w8a8, and what it would be behind each pass that some finding has.
func priceFindings(ctx context.Context, engines session.Engines, s *Subject, notes *[]string) error {
	e, err := appraiser(engines)
	if err != nil {
		return err
	}
	of := func(m *onnx.Model) (*result.Estimated, error) {
		if model.Quantized(m) {
			return e.Estimate(ctx, htp.Named(m))
		}
		return e.Form(ctx, m, estimate.DefaultRecipe(), nil, dataset.Default())
	}
	now, err := of(s.Model)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, qnn.ErrUnavailable):
		return err
	case err != nil:
		*notes = append(*notes, "there is no estimate: "+err.Error())
		return nil //nolint:nilerr // said; the other checks need no estimate
	}
	s.Estimate, s.Prices = now.Estimate, map[string]Price{}
	if now.Covered < 1 {
		*notes = append(*notes, fmt.Sprintf("the estimate is of %.1f %% of the graph: the HTP refuses the rest", 100*now.Covered))
	}
	seen := map[string]bool{}
	for _, f := range Look(s) {
		if f.Pass == "" || seen[f.Pass] {
			continue
		}
		seen[f.Pass] = true
		m, err := undone(s, f.Pass)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if ort.Failed(err) {
			*notes = append(*notes, fmt.Sprintf("what %s brings could not be estimated: %v", f.Pass, err))
		}
		if err != nil || m == nil {
			continue // said when the pass is asked for
		}
		x, err := of(m)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			*notes = append(*notes, fmt.Sprintf("what %s brings could not be estimated: %v", f.Pass, err))
		case len(x.Refused) != len(now.Refused):
			*notes = append(*notes, fmt.Sprintf("what %s brings cannot be said: the HTP takes another part of the graph then", f.Pass))
		default:
			s.Prices[f.Pass] = Price{Before: now.Cycles, After: x.Cycles}
		}
	}
	return nil
}

// undone is the model behind a pass, nil if it changes nothing.
func undone(s *Subject, pass string) (*onnx.Model, error) {
	p, err := rewrite.Find(pass)
	if err != nil {
		return nil, err
	}
	env := s.Env
	env.Asked = true
	m := s.Model
	for range optimize.Rounds {
		r, err := p.Run(m, env)
		if err != nil {
			return nil, err
		}
		if len(r.Changes) == 0 {
			break
		}
		m = r.Model
	}
	if m == s.Model {
		return nil, nil
	}
	return m, onnx.Check(m)
}
