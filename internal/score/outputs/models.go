package outputs

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/runner"
	"quantcheck/internal/session"
)

// Models are a session's float model and its variants, opened for their outputs alone.
type Models struct {
	Outputs *Outputs
	session *session.Session
	float   runner.Runner
	taps    [][]string // per model: what it calls the outputs
}

// Open compiles the models of a session whose variants are built. Session.Close closes the variants, Close the float model.
func Open(ctx context.Context, b *session.Session) (*Models, error) {
	o, err := Find(b.Float)
	if err != nil {
		return nil, err
	}
	m := &Models{Outputs: o, session: b, taps: [][]string{o.Names}}
	if m.float, err = o.OpenFloat(b); err != nil {
		return nil, err
	}
	if err := m.openVariants(ctx); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// OpenVariants compiles the variants of a session alone: nobody asks for the float model's outputs, and Infer gives none.
func OpenVariants(ctx context.Context, b *session.Session) (*Models, error) {
	o, err := Find(b.Float)
	if err != nil {
		return nil, err
	}
	m := &Models{Outputs: o, session: b, taps: [][]string{o.Names}}
	return m, m.openVariants(ctx)
}

func (m *Models) openVariants(ctx context.Context) error {
	b := m.session
	b.Progress.Phase("compiling", len(b.Variants))
	for i, v := range b.Variants {
		taps, err := m.Outputs.of(b.Float, v)
		if err == nil {
			err = v.Open(ctx, b, [][]string{slices.Compact(slices.Sorted(slices.Values(taps)))}, false)
		}
		if err != nil {
			return err
		}
		m.taps = append(m.taps, taps)
		b.Progress.Step(i + 1)
	}
	return nil
}

// Close frees the float model's runner.
func (m *Models) Close() {
	if m.float != nil {
		m.float.Close()
	}
}

// Infer runs a sample through all models and gives their outputs, the float model's first; a variant that could not be run on it gives nil,
// which the session's run warns of.
func (m *Models) Infer(ctx context.Context, number int, s *dataset.Sample) ([][]decode.Output, error) {
	b := m.session
	list := make([][]decode.Output, 1+len(b.Variants))
	sample := runner.Sample{Number: number, Inputs: s.Inputs}
	var err error
	if m.float != nil {
		if list[0], err = m.Outputs.Collect(ctx, m.float.Start(sample), m.taps[0]); err != nil {
			return nil, fmt.Errorf("float model, %s: %w", s.Name, err)
		}
	}
	for i, v := range b.Variants {
		list[i+1], err = m.Outputs.Collect(ctx, v.Runner.Start(sample), m.taps[i+1])
		if errors.Is(err, runner.ErrSample) && ctx.Err() == nil {
			b.Run.Warnings = append(b.Run.Warnings, fmt.Sprintf("%s, %s: %v", v.Spec.Name, s.Name, err))
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("variant %s, %s: %w", v.Spec.Name, s.Name, err)
		}
	}
	return list, nil
}
