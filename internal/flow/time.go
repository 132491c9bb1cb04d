package flow

import (
	"context"
	"errors"
	"fmt"

	"quantcheck/internal/cost"
	"quantcheck/internal/dataset"
	"quantcheck/internal/inspect"
	"quantcheck/internal/machine"
	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/variant"
)

// addTimes puts the compiler's estimate beside the error of every variant that a device would run: all of them if that was
// asked for, else those that are emulated, and DLC files where the libraries are there. What cannot be estimated is a warning.
func (b *build) addTimes(ctx context.Context, engines Engines, calibrating *dataset.Set) error {
	asked := b.spec.Estimate != nil && *b.spec.Estimate
	if b.spec.Bare || b.spec.Estimate != nil && !asked {
		return nil
	}
	soc, err := cost.Find("")
	if err != nil {
		return err
	}
	var e *estimator
	for i := range b.run.Variants {
		v := &b.run.Variants[i]
		if !asked && !emulated(v.Spec) && !v.Spec.Elsewhere() {
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
			e = &estimator{ort: b.r, engine: engine, soc: soc, progress: silent{}, memory: b.spec.MemoryMiB}
			b.progress.Phase("estimating", len(b.run.Variants))
		}
		x, nodeOf, err := b.timeOf(ctx, e, i, calibrating)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			b.run.Warnings = append(b.run.Warnings, fmt.Sprintf("%s: there is no estimate of its time: %v", v.Spec.Name, err))
			continue
		}
		x.Name, x.Variant, x.Spec, x.Started, x.Tool, x.Wheel = b.run.Name, v.Spec.Name, &v.Spec, b.run.Started, machine.Version, qnn.Version
		x.Path = absolute(x.Path)
		join(v, x, nodeOf)
		b.progress.Step(i + 1)
	}
	return nil
}

// timeOf estimates a variant. The function names the nodes of the estimate that may have made a layer.
func (b *build) timeOf(ctx context.Context, e *estimator, i int, calibrating *dataset.Set) (*result.Estimated, func(k int) []string, error) {
	v := b.run.Variants[i].Spec
	byNode := func(k int) []string {
		l := b.ref.layers[k]
		return []string{l.Node, l.Op + "_" + l.Name}
	}
	switch {
	case v.OfDLC():
		view, err := InspectDLC(v.File, nil)
		if err != nil {
			return nil, nil, err
		}
		maker := makers(view)
		x, err := e.container(ctx, v.File)
		return x, func(k int) []string {
			names := byNode(k)
			if node, ok := maker[b.run.Variants[i].Layers[k].Tap]; ok {
				names = append([]string{node}, names...)
			}
			return names
		}, err
	case v.Kind == variant.File || emulated(v):
		x, err := e.estimate(ctx, htp.Named(typed(b.models[i], b.ref.types)))
		if err == nil {
			x.Path = b.spec.Model
			if v.Kind == variant.File {
				x.Path = v.File
			}
		}
		return x, byNode, err
	default: // a device takes no float tensor between two operators, which this simulation does
		x, err := e.form(ctx, typed(b.ref.model, b.ref.types), v, calibrating, b.spec.Input)
		if err == nil {
			x.Path = b.spec.Model
		}
		return x, byNode, err
	}
}

// makers names the node that makes each tensor of a DLC.
func makers(view *inspect.View) map[string]string {
	maker := map[string]string{}
	for _, l := range view.Layers {
		for _, out := range l.Outputs {
			maker[out.Name] = l.Name
		}
	}
	return maker
}

// join puts an estimate's cycles into the layers of its variant, each operator's into the first layer that it made.
func join(v *result.Variant, x *result.Estimated, nodeOf func(k int) []string) {
	cycles := map[string]float64{}
	for _, l := range x.Layers {
		if l.Kind == cost.Operator && !l.Added && l.Name != "" {
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
