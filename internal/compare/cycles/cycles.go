// Package cycles puts the HTP compiler's estimate of a variant's time beside the error of its layers.
package cycles

import (
	"context"
	"errors"
	"fmt"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimator"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/inspect"
	"quantcheck/internal/model"
	"quantcheck/internal/paths"
	"quantcheck/internal/progress"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/session"
	"quantcheck/internal/variant"
)

// Add puts the compiler's estimate beside the error of every variant that a device would run: all of them if that was
// asked for, else those that are emulated, and DLC files where the libraries are there. What cannot be estimated is a warning.
func Add(ctx context.Context, b *session.Session, engines session.Engines, calibrating *dataset.Set) error {
	asked := b.Run.Spec.Estimate != nil && *b.Run.Spec.Estimate
	if b.Run.Spec.Estimate != nil && !asked {
		return nil
	}
	soc, err := htpcost.Find("")
	if err != nil {
		return err
	}
	var e *estimator.Estimator
	for i, one := range b.Variants {
		v := one.Result
		if !asked && !session.Emulated(v.Spec) && !v.Spec.Elsewhere() {
			continue
		}
		if e == nil {
			engine, err := engines.HTP()
			if errors.Is(err, qnn.ErrUnavailable) && !asked {
				return nil
			}
			if err != nil {
				return err
			}
			e = &estimator.Estimator{Ort: b.ORT, Engine: engine, Soc: soc, Progress: progress.Silent{}, Memory: b.Run.Spec.MemoryMiB}
			b.Progress.Phase("estimating", len(b.Run.Variants))
		}
		x, nodeOf, err := timeOf(ctx, b, e, one, calibrating)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s: there is no estimate of its time: %v", v.Spec.Name, err))
			continue
		}
		x.Name, x.Variant, x.Spec, x.Started, x.Tool, x.Wheel = b.Run.Name, v.Spec.Name, &v.Spec, b.Run.Started, hostinfo.Version, qnn.Version
		x.Path = paths.Absolute(x.Path)
		join(v, x, nodeOf)
		b.Progress.Step(i + 1)
	}
	return nil
}

// timeOf estimates a variant. The function names the nodes of the estimate that may have made a layer.
func timeOf(ctx context.Context, b *session.Session, e *estimator.Estimator, of *session.Variant, calibrating *dataset.Set) (*result.Estimated, func(k int) []string, error) {
	v := of.Spec
	byNode := func(k int) []string {
		l := b.Float.Layers[k]
		return []string{l.Node, l.Op + "_" + l.Name}
	}
	switch {
	case v.OfDLC():
		view, err := inspect.ViewDLC(v.File, nil)
		if err != nil {
			return nil, nil, err
		}
		maker := inspect.Makers(view)
		x, err := e.Container(ctx, v.File)
		return x, func(k int) []string {
			names := byNode(k)
			if node, ok := maker[of.Result.Layers[k].Tap]; ok {
				names = append([]string{node}, names...)
			}
			return names
		}, err
	case v.Kind == variant.File || session.Emulated(v):
		x, err := e.Estimate(ctx, htp.Named(model.WithOutputTypes(of.Model, b.Float.Types)))
		if err == nil {
			x.Path = b.Run.Spec.Model
			if v.Kind == variant.File {
				x.Path = v.File
			}
		}
		return x, byNode, err
	default: // a device takes no float tensor between two operators, which this simulation does
		x, err := e.Form(ctx, model.WithOutputTypes(b.Float.Model, b.Float.Types), v, calibrating, b.Run.Spec.Input)
		if err == nil {
			x.Path = b.Run.Spec.Model
		}
		return x, byNode, err
	}
}

// join puts an estimate's cycles into the layers of its variant, each operator's into the first layer that it made.
func join(v *result.Variant, x *result.Estimated, nodeOf func(k int) []string) {
	cycles := map[string]float64{}
	for _, l := range x.Layers {
		if l.Kind == htpcost.Operator && !l.Added && l.Name != "" {
			cycles[l.Name] += l.Cycles
		}
	}
	joined := 0.0
	for k := range v.Layers {
		for _, name := range nodeOf(k) {
			c, ok := cycles[name]
			if !ok {
				continue
			}
			delete(cycles, name)
			v.Layers[k].Cycles = &c
			joined += c
			break
		}
	}
	v.Estimated = x
	v.Time = &result.Time{
		SoC: x.SoC, Base: x.Base, Cycles: x.Cycles, Lower: x.Lower, Upper: x.Upper, Microseconds: x.Microseconds,
		LowerMicroseconds: x.LowerMicroseconds, UpperMicroseconds: x.UpperMicroseconds, Covered: x.Covered, Joined: joined / float64(max(x.Cycles, 1)),
	}
}
