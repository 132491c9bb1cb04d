package cpu_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"

	"quantcheck/internal/fixture"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// TestSessionsThatAreFreedAreCompiledAgain runs several inferences beside each other where the models of all segments fit, where some do and
// where none does: the values are the same, and what stays open keeps to the bound.
func TestSessionsThatAreFreedAreCompiledAgain(t *testing.T) {
	t.Parallel()
	m := fixture.Chain(60)
	var taps []string
	for _, n := range m.Graph().GetNode() {
		taps = append(taps, n.GetOutput()...)
	}
	image := make([]float32, 3*8*8)
	for i := range image {
		image[i] = float32(i%17)/17 - 0.4
	}
	sample := runner.Sample{Inputs: map[string]tensor.Tensor{"image": tensor.Floats(image, 1, 3, 8, 8)}}
	// values reads all taps of one inference as bits.
	values := func(r *ort.Runner) (map[string][]uint32, error) {
		got, inference := map[string][]uint32{}, r.Start(sample)
		defer inference.Close()
		for range r.Segments() {
			batch, err := inference.Next(context.Background())
			if err != nil {
				return nil, err
			}
			for _, tap := range batch.Taps {
				for _, v := range tap.Tensor.F32 {
					got[tap.Name] = append(got[tap.Name], math.Float32bits(v))
				}
			}
			batch.Release()
		}
		return got, nil
	}
	var want string
	for _, limit := range []int64{0, 1 << 30, 2500, 1} {
		e := open(t, cpu.Options{Memory: 1 << 30})
		e.LimitModels(limit)
		r, err := ort.New(e, m, ort.Options{Taps: taps, SegmentBytes: 1 << 13})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Segments()) < 3 {
			t.Fatalf("%d segments", len(r.Segments()))
		}
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 2 {
					got, err := values(r)
					if err != nil {
						t.Errorf("limit %d: %v", limit, err)
						return
					}
					text := fmt.Sprint(got)
					if limit == 0 && want == "" {
						continue
					}
					if text != want {
						t.Errorf("limit %d: other values", limit)
					}
				}
			})
		}
		all.Wait()
		if limit == 0 {
			got, err := values(r)
			if err != nil {
				t.Fatal(err)
			}
			want = fmt.Sprint(got)
		}
		freed, models := e.Freed()
		if small := limit > 0 && limit < 1<<30; small != (freed > 0) {
			t.Errorf("limit %d: %d sessions were freed", limit, freed)
		}
		if limit == 2500 && models > 4*limit { // 4 may run at once
			t.Errorf("limit %d: models of %d bytes stay", limit, models)
		}
		r.Close()
		if _, models := e.Freed(); models != 0 {
			t.Errorf("limit %d: %d bytes stay when all is closed", limit, models)
		}
	}
}
