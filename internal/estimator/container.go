package estimator

import (
	"context"
	"errors"

	"quantcheck/internal/inspect"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/usage"
)

// Container estimates a DLC as it is.
func (e *Estimator) Container(ctx context.Context, path string) (*result.Estimated, error) {
	if x := e.known[path]; x != nil { // of another variant, which names it otherwise
		again := *x
		return &again, nil
	}
	v, err := inspect.ViewDLC(path, nil)
	if err != nil {
		return nil, err
	}
	e.Progress.Phase("estimating", 1)
	c, err := qnnworker.Estimate(ctx, qnnworker.Engine{Kit: e.Engine.Kit}, e.Soc, path, "")
	if errors.Is(err, qnnworker.ErrNotDLC) || errors.Is(err, qnnworker.ErrOldVersion) {
		return nil, usage.Mark(err)
	}
	if err != nil {
		return nil, err
	}
	x := result.Estimated{Path: path, Covered: 1, MACs: macsOf(v), Estimate: c}
	if e.known == nil {
		e.known = map[string]*result.Estimated{}
	}
	first := x
	e.known[path] = &first
	return &x, nil
}

func macsOf(v *inspect.View) map[string]int64 {
	list := map[string]int64{}
	for _, l := range v.Layers {
		if l.MACs > 0 {
			list[l.Name] = l.MACs
		}
	}
	return list
}
