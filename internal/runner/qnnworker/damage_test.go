package qnnworker

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/worker"
)

// FuzzDamage runs files with some bytes changed. Whatever the libraries make of them ends in a worker, soon, and with an
// error that can be told from others.
func FuzzDamage(f *testing.F) {
	data := readFixture(f, "qnn", "zoo_w8a8_per_tensor.dlc")
	e := engine(f)
	network := bytes.Index(data, []byte("NETD"))
	for seed := range uint64(30) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		damaged := bytes.Clone(data)
		for range 1 + random.IntN(4) {
			damaged[network+random.IntN(len(data)-network)] = byte(random.IntN(256))
		}
		const limit = 30 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		r, err := New(ctx, e, written(t, damaged), Options{All: true})
		if err == nil {
			_, err = r.Run(ctx, sample(r))
			r.Close()
		}
		var q *compose.Error
		var died *worker.DiedError
		switch {
		case err == nil || errors.Is(err, ErrNotDLC) || errors.Is(err, runner.ErrSample) || errors.As(err, &q) || errors.As(err, &died) || errors.Is(err, ErrOldVersion):
		case errors.Is(err, context.DeadlineExceeded):
			t.Errorf("not done after %v", limit)
		default:
			t.Errorf("an error of no kind: %v", err)
		}
	})
}
