// Package runnertest is what every runner.Runner must do, as a test that each engine runs.
package runnertest

import (
	"context"
	"errors"
	"slices"
	"testing"

	"quantcheck/internal/runner"
	"quantcheck/internal/tensor"
)

// Conform tests a runner of two segments or more on two samples, whose tensors must differ. The runner is the test's own and is closed by
// the caller.
func Conform(t *testing.T, r runner.Runner, a, b runner.Sample) {
	t.Helper()
	segments := r.Segments()
	if len(segments) < 2 {
		t.Fatalf("%d segments: the test needs two", len(segments))
	}
	first := infer(t, r, a)
	if again := infer(t, r, a); !equal(first, again) {
		t.Error("a sample's tensors differ the second time")
	}
	if other := infer(t, r, b); equal(first, other) {
		t.Error("two samples have the same tensors")
	}
	if again := infer(t, r, a); !equal(first, again) {
		t.Error("a sample's tensors differ after another sample")
	}
	abandoned(t, r, a)
	if again := infer(t, r, b); equal(first, again) {
		t.Error("the tensors of an inference that was given up are those of the next one")
	}
	cancelled(t, r, a)
	if again := infer(t, r, a); !equal(first, again) {
		t.Error("a sample's tensors differ after an inference that was cancelled")
	}
}

// infer runs a sample and gives copies of its tensors, by name. Each segment must give what Segments says, in some order, and batches stay
// whole until they are released, whatever is computed meanwhile.
func infer(t *testing.T, r runner.Runner, s runner.Sample) map[string]tensor.Tensor {
	t.Helper()
	f := r.Start(s)
	var batches []*runner.Batch
	var copies []tensor.Tensor
	got := map[string]tensor.Tensor{}
	for k, want := range r.Segments() {
		batch, err := f.Next(t.Context())
		if err != nil {
			t.Fatalf("segment %d: %v", k, err)
		}
		var names []string
		for _, tap := range batch.Taps {
			if tap.Problem != "" {
				t.Errorf("%s: %s", tap.Name, tap.Problem)
			}
			names = append(names, tap.Name)
			got[tap.Name] = tap.Tensor.Clone()
			copies = append(copies, got[tap.Name])
		}
		slices.Sort(names)
		if want := slices.Sorted(slices.Values(want)); !slices.Equal(names, want) {
			t.Errorf("segment %d gives %v, it is to give %v", k, names, want)
		}
		batches = append(batches, batch)
	}
	f.Close()
	n := 0
	for _, batch := range batches { // after Close, as who measures beside the inference does
		for _, tap := range batch.Taps {
			if !same(tap.Tensor, copies[n]) {
				t.Errorf("%s changed before its batch was released", tap.Name)
			}
			n++
		}
		batch.Release()
	}
	return got
}

// abandoned begins an inference, takes one segment of it, and lets go.
func abandoned(t *testing.T, r runner.Runner, s runner.Sample) {
	t.Helper()
	f := r.Start(s)
	if batch, err := f.Next(t.Context()); err != nil {
		t.Error(err)
	} else {
		batch.Release()
	}
	f.Close()
}

// cancelled begins an inference whose context has ended.
func cancelled(t *testing.T, r runner.Runner, s runner.Sample) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	f := r.Start(s)
	if batch, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next with a context that has ended: %v", err)
		if err == nil {
			batch.Release()
		}
	}
	f.Close()
}

func same(a, b tensor.Tensor) bool {
	return a.DType == b.DType && slices.Equal(a.Shape, b.Shape) && slices.Equal(a.Raw, b.Raw) && slices.Equal(a.F32, b.F32)
}

func equal(a, b map[string]tensor.Tensor) bool {
	if len(a) != len(b) {
		return false
	}
	for name, t := range a {
		if !same(t, b[name]) {
			return false
		}
	}
	return true
}
