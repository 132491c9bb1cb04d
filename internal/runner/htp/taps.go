package htp

import (
	"context"
	"errors"
	"slices"

	"quantcheck/internal/onnx"
)

// tapRounds bounds how often a graph is compiled with fewer taps.
const tapRounds = 8

// reasonUnexposed says why a tensor is not among those that a runner yields.
const reasonUnexposed = "the HTP takes the model, but not with this tensor exposed"

// exposed opens the graph with as many of the taps as the HTP takes, and says which it does not take. A tap can be what makes a graph
// unacceptable: ONNX Runtime moves a Transpose to the end of the graph, where nothing quantizes behind it, and the provider takes a tensor
// of six axes only inside of a pattern that it knows as a whole. So the graph is tried
//
//  1. as it is;
//  2. with each tap behind a Reshape, over which no Transpose is moved;
//  3. in that form without the taps beside the operators that are refused, until it is taken or nothing is left.
//
// The taps that are left over are tried in a graph of their own. The error is a *RefusedError with the model's own operators if the HTP does
// not take the graph even with the outputs alone.
func (e Engine) exposed(ctx context.Context, m *onnx.Model, taps []string, o Options) (passes []*pass, left []string, err error) {
	strict := e
	strict.Fallback = false
	p, err := strict.open(ctx, m, taps, false)
	var refused *RefusedError
	if !errors.As(err, &refused) {
		return one(p), nil, err
	}
	if p, flatErr := strict.open(ctx, m, taps, true); !errors.As(flatErr, new(*RefusedError)) {
		return one(p), nil, flatErr
	}
	if len(o.Outputs) > 0 { // else the graph is one of operators apart
		own := slices.DeleteFunc(slices.Clone(o.Outputs), func(name string) bool { return !slices.Contains(taps, name) })
		alone := refused
		if len(own) < len(taps) { // else it was asked already
			if alone, err = e.refuses(ctx, m, own); err != nil {
				return nil, nil, err
			}
		}
		if alone == nil {
			return strict.divided(ctx, m, taps, own, o.Shape, refused)
		}
		refused = alone
	}
	if !e.Fallback {
		return nil, nil, refused
	}
	p, err = e.open(ctx, m, taps, false)
	return one(p), nil, err
}

// divided opens one or two graphs with as many of the taps as possible.
func (e Engine) divided(ctx context.Context, m *onnx.Model, taps, own []string, shape func(string) []int64, refused error) (passes []*pass, left []string, err error) {
	rest := taps
	for len(rest) > 0 && len(passes) < 2 {
		p, kept, err := e.most(ctx, m, rest, own, shape)
		if err != nil {
			closeAll(passes)
			return nil, nil, err
		}
		if p == nil {
			break
		}
		passes = append(passes, p)
		rest = slices.DeleteFunc(slices.Clone(rest), func(tap string) bool { return slices.Contains(kept, tap) })
	}
	if len(passes) == 0 {
		return nil, nil, refused
	}
	return passes, rest, nil
}

// refuses says what the HTP refuses of the graph with its outputs alone, nil if it takes it.
func (e Engine) refuses(ctx context.Context, m *onnx.Model, outputs []string) (refused *RefusedError, err error) {
	e.Fallback = false
	if len(outputs) == 0 {
		outputs = m.Outputs()
	}
	for _, flat := range []bool{false, true} {
		p, err := e.open(ctx, m, outputs, flat)
		var r *RefusedError
		switch {
		case err == nil:
			p.close()
			return nil, nil //nolint:nilnil // nothing is refused
		case !errors.As(err, &r):
			return nil, err
		case refused == nil:
			refused = r
		}
	}
	return refused, nil
}

// most opens the graph, each tap behind a Reshape, without the taps beside refused operators. The pass is nil if none is left.
func (e Engine) most(ctx context.Context, m *onnx.Model, taps, outputs []string, shape func(string) []int64) (*pass, []string, error) {
	for range tapRounds {
		p, err := e.open(ctx, m, taps, true)
		var refused *RefusedError
		if !errors.As(err, &refused) {
			return p, taps, err
		}
		fewer := without(m, taps, outputs, shape, refused)
		if len(fewer) == 0 {
			return nil, nil, nil
		}
		taps = fewer
	}
	return nil, nil, nil
}

// without leaves out the taps that refused operators make: only those of the highest rank, where some have more than four axes, and no outputs, where
// there are others. Where the refused operators are none of the model's, the first half of the taps goes.
func without(m *onnx.Model, taps, outputs []string, shape func(string) []int64, refused *RefusedError) []string {
	names := map[string]bool{}
	for _, r := range refused.Refused {
		names[r.Node] = true
	}
	beside := onCPU(m, taps, names)
	if len(beside) == 0 {
		return slices.Clone(taps[(len(taps)+1)/2:])
	}
	if inner := slices.DeleteFunc(slices.Clone(beside), func(tap string) bool { return slices.Contains(outputs, tap) }); len(inner) > 0 {
		beside = inner
	}
	rank := 4
	if shape != nil {
		for _, tap := range beside {
			rank = max(rank, len(shape(tap)))
		}
	}
	return slices.DeleteFunc(slices.Clone(taps), func(tap string) bool {
		return slices.Contains(beside, tap) && (rank == 4 || len(shape(tap)) == rank)
	})
}

func one(p *pass) []*pass {
	if p == nil {
		return nil
	}
	return []*pass{p}
}

func closeAll(passes []*pass) {
	for _, p := range passes {
		p.close()
	}
}
