package sensitivity

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"quantcheck/internal/metric"
	"quantcheck/internal/tensor"
)

// job is a candidate under way.
type job struct {
	at      int // in the list; −1: the base itself
	steps   []step
	judge   Judge
	total   sums
	result  Result
	planned bool
}

// atOnce is how many candidates are gone through before the samples change, where not all samples can be kept.
const atOnce = 64

// run examines the candidates: all on the samples that can be kept, again on the next ones.
func (e *engine) run(ctx context.Context) (*Results, error) {
	c := &course{engine: e, results: &Results{List: make([]Result, len(e.o.Candidates))}}
	jobs := []*job{c.job(-1)}
	for i, candidate := range e.o.Candidates {
		if e.o.Done != nil {
			if known, ok := e.o.Done(candidate); ok {
				c.results.List[i] = known
				c.done.Add(1)
				continue
			}
		}
		jobs = append(jobs, c.job(i))
	}
	defer c.forget()
	for len(jobs) > 0 {
		if err := c.load(ctx, 0); err != nil {
			return nil, err
		}
		n := len(jobs)
		if len(c.kept) < e.o.Samples {
			n = min(n, atOnce)
		}
		if err := c.through(ctx, jobs[:n]); err != nil {
			return nil, err
		}
		jobs = jobs[n:]
	}
	return c.results, nil
}

// course is one run of an engine.
type course struct {
	engine  *engine
	results *Results
	kept    []*kept
	first   int // sample of the first that is kept
	done    atomic.Int64
	handing sync.Mutex
}

func (c *course) job(at int) *job {
	j := &job{at: at}
	if at >= 0 {
		j.result.Candidate = c.engine.o.Candidates[at]
	}
	j.result.Samples = make([]metric.Value, c.engine.o.Samples)
	if c.engine.o.Score != nil {
		j.judge = c.engine.o.Score()
	}
	return j
}

// load computes the base on the samples from first on, as many as the memory holds.
func (c *course) load(ctx context.Context, first int) error {
	if c.first == first && len(c.kept) > 0 {
		return nil
	}
	c.forget()
	c.first = first
	bound := int64(c.engine.o.MemoryMiB) << 20 / 2
	held := int64(0)
	for n := first; n < c.engine.o.Samples; n++ {
		k, err := c.engine.prepare(ctx, n)
		if err != nil {
			return fmt.Errorf("sample %d: %w", n+1, err)
		}
		c.kept = append(c.kept, k)
		size := k.bytes()
		if held += size; held+size > bound {
			break
		}
	}
	return nil
}

func (k *kept) bytes() int64 {
	sum := 0
	for _, t := range k.tensors {
		sum += t.Bytes()
	}
	for _, t := range k.ref {
		sum += t.Bytes()
	}
	return int64(sum)
}

// forget gives back the memory of the samples that are kept.
func (c *course) forget() {
	for _, k := range c.kept {
		c.engine.forget(k)
	}
	c.kept = nil
}

// through takes jobs through all samples.
func (c *course) through(ctx context.Context, jobs []*job) error {
	defer func() {
		for _, j := range jobs {
			closeSteps(j.steps)
		}
	}()
	for {
		last := c.first+len(c.kept) >= c.engine.o.Samples
		err := c.each(ctx, jobs, func(ctx context.Context, j *job) error {
			err := c.advance(ctx, j)
			if err == nil && last {
				err = c.finish(j)
			}
			return err
		})
		if err != nil || last {
			return err
		}
		if err := c.load(ctx, c.first+len(c.kept)); err != nil {
			return err
		}
	}
}

// each calls use for all jobs, a few beside each other.
func (c *course) each(ctx context.Context, jobs []*job, use func(context.Context, *job) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(c.engine.o.Workers, len(jobs)) {
		workers.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(jobs) {
					return
				}
				if err := use(ctx, jobs[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// advance takes a job through the samples that are kept.
func (c *course) advance(ctx context.Context, j *job) error {
	if !j.planned {
		j.planned = true
		if err := c.plan(j); err != nil {
			return err
		}
	}
	for i, k := range c.kept {
		n := c.first + i
		if j.result.Reason != "" || n > 0 && c.harmless(j) {
			return nil
		}
		var use func(map[string]tensor.Tensor) error
		if j.judge != nil {
			use = func(outputs map[string]tensor.Tensor) error { return j.judge.Add(n, outputs) }
		}
		s, err := c.engine.compare(ctx, j.steps, k, use)
		var bad *notFiniteError
		if errors.As(err, &bad) {
			j.result.Reason = fmt.Sprintf("sample %d: %v", n+1, err)
			return nil
		}
		if err != nil {
			return fmt.Errorf("candidate %s, sample %d: %w", j.result.Candidate.Name, n+1, err)
		}
		j.total.add(s)
		j.result.Samples[n] = s.sqnr()
	}
	return nil
}

// harmless says whether the first sample was enough to see that a candidate matters little.
func (c *course) harmless(j *job) bool {
	first, bound := j.result.Samples[0], c.engine.o.Harmless
	return bound > 0 && j.at >= 0 && first.OK && first.V >= bound
}

func (c *course) plan(j *job) error {
	if j.at < 0 {
		return nil
	}
	ed, err := c.engine.editor.of(j.result.Candidate)
	if errors.Is(err, errNoQuantizer) {
		j.result.Reason = err.Error()
		return nil
	}
	if err == nil {
		j.steps, err = c.engine.plan(ed)
	}
	if err != nil {
		return fmt.Errorf("candidate %s: %w", j.result.Candidate.Name, err)
	}
	return nil
}

// finish concludes a job and hands its result out.
func (c *course) finish(j *job) error {
	closeSteps(j.steps)
	j.steps = nil
	if j.result.Reason != "" {
		j.result.Samples = nil
	} else if err := conclude(&j.result, j.total, j.judge); err != nil {
		return err
	}
	c.handing.Lock()
	defer c.handing.Unlock()
	if j.at < 0 {
		c.results.Base = j.result
		return nil
	}
	c.results.List[j.at] = j.result
	if c.engine.o.Each != nil {
		c.engine.o.Each(j.result)
	}
	if c.engine.o.Progress != nil {
		c.engine.o.Progress(int(c.done.Add(1)), len(c.engine.o.Candidates))
	}
	return nil
}

// conclude gives a result its figures.
func conclude(r *Result, total sums, judge Judge) error {
	r.SQNR = total.sqnr()
	if judge == nil {
		return nil
	}
	v, err := judge.Value()
	if err != nil {
		return fmt.Errorf("score of candidate %s: %w", r.Candidate.Name, err)
	}
	r.Score = &v
	return nil
}
