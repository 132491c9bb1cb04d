package lint

import (
	"context"
	"errors"
	"fmt"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimator"
	"quantcheck/internal/lint/checks"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/rewrite"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// compiler says what models and DLC files are expected to cost; estimator.Estimator is the one that asks the HTP's.
type compiler interface {
	Estimate(ctx context.Context, m *onnx.Model) (*result.Estimated, error)
	Form(ctx context.Context, m *onnx.Model, v variant.Spec, set *dataset.Set, input dataset.Description) (*result.Estimated, error)
	Container(ctx context.Context, path string) (*result.Estimated, error)
}

// priceContainer estimates a DLC. One that cannot be is a note: the other checks need no estimate.
func priceContainer(ctx context.Context, e compiler, path string, s *checks.Subject) (notes []string, err error) {
	x, err := e.Container(ctx, path)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return []string{"there is no estimate: " + err.Error()}, nil //nolint:nilerr // said
	}
	s.Estimate = x.Estimate
	return nil, nil
}

// priceFindings estimates a model, a float one as w8a8, and what it would be behind each pass that some finding has.
func priceFindings(ctx context.Context, e compiler, s *checks.Subject) (notes []string, err error) {
	of := func(m *onnx.Model) (*result.Estimated, error) {
		if model.Quantized(m) {
			return e.Estimate(ctx, estimator.Named(m))
		}
		return e.Form(ctx, m, variant.Usual(), nil, dataset.Default())
	}
	now, err := of(s.Model)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, qnn.ErrUnavailable):
		return nil, err
	case err != nil:
		return []string{"there is no estimate: " + err.Error()}, nil //nolint:nilerr // said; the other checks need no estimate
	}
	s.Estimate, s.Prices = now.Estimate, map[string]checks.Price{}
	if now.Covered < 1 {
		notes = append(notes, fmt.Sprintf("the estimate is of %.1f %% of the graph: the HTP refuses the rest", 100*now.Covered))
	}
	for _, pass := range checks.Passes(s) {
		m, err := behind(s, pass)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if ort.Failed(err) {
			notes = append(notes, fmt.Sprintf("what %s brings could not be estimated: %v", pass, err))
		}
		if err != nil || m == nil {
			continue // said when the pass is asked for
		}
		x, err := of(m)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			notes = append(notes, fmt.Sprintf("what %s brings could not be estimated: %v", pass, err))
		case len(x.Refused) != len(now.Refused):
			notes = append(notes, fmt.Sprintf("what %s brings cannot be said: the HTP takes another part of the graph then", pass))
		default:
			s.Prices[pass] = checks.Price{Before: now.Cycles, After: x.Cycles}
		}
	}
	return notes, nil
}

// behind is the model behind a pass, nil if it changes nothing.
func behind(s *checks.Subject, pass string) (*onnx.Model, error) {
	p, err := rewrite.Find(pass)
	if err != nil {
		return nil, err
	}
	env := s.Env
	env.Asked = true
	m := s.Model
	for range rewrite.Rounds {
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
