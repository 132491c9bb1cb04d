package speed

import (
	"context"
	"errors"

	"quantcheck/internal/estimator"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
)

// estimating estimates the DLC while the device works.
func (c *Cycles) estimating(ctx context.Context) (wait func() (*result.Estimated, error)) {
	type answer struct {
		x   *result.Estimated
		err error
	}
	made := make(chan answer, 1)
	go func() {
		x, err := c.estimated(ctx)
		made <- answer{x, err}
	}()
	return func() (*result.Estimated, error) {
		a := <-made
		return a.x, a.err
	}
}

// expect puts the compiler's estimate of the very DLC beside its profile.
func (c *Cycles) expect(ctx context.Context, found *result.DeviceCycles, estimate func() (*result.Estimated, error)) error {
	x, err := estimate()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, qnn.ErrUnavailable):
		c.Device.Plan.Note("there is no estimate beside the cycles: the compiler is not installed (quantcheck doctor --install htp)")
		return nil
	case err != nil:
		c.Device.Plan.Note("there is no estimate beside the cycles: %v", err)
		return nil
	}
	found.SoC, found.Estimated = x.SoC.Name, map[string]float64{}
	for _, l := range x.Layers {
		switch {
		case l.Kind == htpcost.Input:
			found.Estimated[snpe.InputRow] += l.Cycles
		case l.Kind == htpcost.Output:
			found.Estimated[snpe.OutputRow] += l.Cycles
		case l.Kind == htpcost.Operator && l.Name != "":
			found.Estimated[l.Name] += l.Cycles
		}
	}
	return nil
}

// estimated is the estimate of the DLC: the comparison's, if it was just made.
func (c *Cycles) estimated(ctx context.Context) (*result.Estimated, error) {
	if c.Compared != nil {
		for _, v := range c.Compared.Variants {
			if v.Spec.File == c.Device.Plan.DLC && v.Estimated != nil {
				return v.Estimated, nil
			}
		}
	}
	engine, err := c.Engines.HTP()
	if err != nil {
		return nil, err
	}
	soc, err := htpcost.Find("")
	if err != nil {
		return nil, err
	}
	return (&estimator.Estimator{Engine: engine, Soc: soc, Progress: progress.Silent{}}).Container(ctx, c.Device.Plan.DLC)
}
