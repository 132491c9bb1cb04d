package flow

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"quantcheck/internal/calib"
	"quantcheck/internal/dataset"
	"quantcheck/internal/onnx"
	"quantcheck/internal/qdq"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
)

// calibrate runs the float model on the calibration samples and gathers the values of every tensor that gets an
// encoding.
func (b *build) calibrate(ctx context.Context, set *dataset.Set, loader dataset.Loader) (*calib.Statistics, error) {
	wanted := map[string]bool{}
	for name, place := range b.ref.placement.Tensors {
		if place.Role == qdq.Own || place.Role == qdq.Union || place.Role == qdq.Fused && slices.ContainsFunc(b.variants, emulated) {
			wanted[name] = true
		}
	}
	index := onnx.NewIndex(b.ref.model)
	gates := gatesOf(index, wanted, b.variants)
	var taps []string
	for _, n := range b.ref.model.Graph().GetNode() {
		for _, out := range n.GetOutput() {
			if wanted[out] || gates.needs(out) {
				taps = append(taps, out)
			}
		}
	}
	r, err := ort.New(b.r, b.ref.model, ort.Options{Taps: taps, SegmentBytes: b.segmentBytes(), Types: b.ref.types, Arena: b.arena})
	if err != nil {
		return nil, err
	}
	defer r.Close()

	empty := func() *calib.Statistics {
		stats := calib.NewStatistics(slices.ContainsFunc(b.variants, calib.NeedsHistogram))
		stats.Behind = func(name string) (func(float64) float64, bool) { return calib.Behind(b.ref.model, index, name) }
		return stats
	}
	state := &calibration{b: b, empty: empty, total: len(set.Sources), warnings: len(b.run.Warnings), skipped: len(b.skipped)}
	from := state.goOn()
	stats := state.stats
	if from == state.total {
		return stats, nil
	}
	pool := newPool(b.waitingBytes())
	defer pool.close()
	b.progress.Phase("calibrating", state.total)
	if from > 0 {
		b.progress.Step(from)
	}
	err = b.eachSample(ctx, &dataset.Set{Sources: set.Sources[from:]}, loader, func(n int, s *dataset.Sample) error {
		n += from
		if s == nil {
			state.step(pool, n)
			b.progress.Step(n)
			return nil
		}
		for name := range wanted {
			if t, ok := s.Inputs[name]; ok && !b.spec.Bare {
				stats.Observe(name, t)
			}
		}
		inference := r.Start(s.Inputs)
		defer inference.Close()
		pairs := gates.begin()
		for range r.Segments() {
			batch, err := inference.Next(ctx)
			if err != nil {
				return fmt.Errorf("sample %s: %w", s.Name, err)
			}
			if !b.spec.Bare || n == 1 { // a bare run needs some encodings, whichever
				observe(pool, stats, batch, wanted)
				pairs.observe(pool, stats, batch)
			}
			batch.Release()
		}
		b.run.Calibration = append(b.run.Calibration, describeSample(s))
		state.step(pool, n)
		b.progress.Step(n)
		return nil
	})
	pool.wait()
	if err != nil {
		return nil, err
	}
	if len(b.run.Calibration) == 0 {
		return nil, fmt.Errorf("none of the %d calibration samples could be read; the first: %s", len(set.Sources), b.skipped[0])
	}
	state.put()
	return stats, nil
}

func observe(pool *pool, stats *calib.Statistics, batch *runner.Batch, wanted map[string]bool) {
	for _, tap := range batch.Taps {
		if !wanted[tap.Name] {
			continue
		}
		batch.Retain()
		pool.do(tap.Tensor.Bytes(), func() {
			defer batch.Release()
			stats.Observe(tap.Name, tap.Tensor)
		})
	}
}

// skip notes a sample that could not be read.
func (b *build) skip(s dataset.Source, err error) {
	w := fmt.Sprintf("sample %s was left out: %v", s.Name, err)
	b.skipped = append(b.skipped, w)
	if !slices.Contains(b.run.Warnings, w) {
		b.run.Warnings = append(b.run.Warnings, w)
	}
}

// eachSample reads the samples, one ahead of the one in use, and calls use for each with the number of samples done
// after it. Samples that cannot be read are noted, and use is called with nil. A bare run uses the first sample for all.
func (b *build) eachSample(ctx context.Context, set *dataset.Set, loader dataset.Loader, use func(done int, s *dataset.Sample) error) error {
	type loaded struct {
		sample *dataset.Sample
		err    error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ahead := make(chan loaded, 1)
	var reader sync.WaitGroup
	defer reader.Wait()
	defer cancel()
	reader.Go(func() {
		defer close(ahead)
		var first *dataset.Sample
		for _, source := range set.Sources {
			s, err := first, error(nil)
			if s == nil {
				s, err = loader.Load(source)
			}
			if b.spec.Bare {
				first = s
			}
			select {
			case ahead <- loaded{s, err}:
			case <-ctx.Done():
				return
			}
		}
	})
	for i, source := range set.Sources {
		var l loaded
		select {
		case l = <-ahead:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.err != nil {
			b.skip(source, l.err)
		}
		if err := use(i+1, l.sample); err != nil {
			return err
		}
	}
	return nil
}

// pool runs jobs on a few goroutines beside the inference. Who makes jobs is held back while those that wait hold more
// memory than the bound.
type pool struct {
	bound   int64 // bytes
	jobs    chan job
	pending sync.WaitGroup
	workers sync.WaitGroup

	mu   sync.Mutex
	held int64
	less sync.Cond
}

type job struct {
	bytes int64
	run   func()
}

func newPool(bound int64) *pool {
	p := &pool{bound: bound, jobs: make(chan job, 256)}
	p.less.L = &p.mu
	for range workers() {
		p.workers.Go(func() {
			for j := range p.jobs {
				j.run()
				p.mu.Lock()
				p.held -= j.bytes
				p.mu.Unlock()
				p.less.Signal()
				p.pending.Done()
			}
		})
	}
	return p
}

// do queues a job that keeps so many bytes from being used again until it is done.
func (p *pool) do(bytes int, run func()) {
	p.mu.Lock()
	for p.held > 0 && p.held+int64(bytes) > p.bound {
		p.less.Wait()
	}
	p.held += int64(bytes)
	p.mu.Unlock()
	p.pending.Add(1)
	p.jobs <- job{int64(bytes), run}
}

// wait blocks until all jobs so far are done.
func (p *pool) wait() { p.pending.Wait() }

func (p *pool) close() {
	close(p.jobs)
	p.workers.Wait()
}
