// Package workpool runs jobs beside an inference, within a bound on the memory that waiting jobs hold.
package workpool

import (
	"runtime"
	"sync"
)

// Pool runs jobs on a few goroutines beside the inference. Who makes jobs is held back while those that wait hold more
// memory than the bound.
type Pool struct {
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

// New starts a pool whose waiting jobs hold at most so many bytes.
func New(bound int64) *Pool {
	p := &Pool{bound: bound, jobs: make(chan job, 256)}
	p.less.L = &p.mu
	for range Workers() {
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

// Do queues a job that keeps so many bytes from being used again until it is done.
func (p *Pool) Do(bytes int, run func()) {
	p.mu.Lock()
	for p.held > 0 && p.held+int64(bytes) > p.bound {
		p.less.Wait()
	}
	p.held += int64(bytes)
	p.mu.Unlock()
	p.pending.Add(1)
	p.jobs <- job{int64(bytes), run}
}

// Wait blocks until all jobs so far are done.
func (p *Pool) Wait() { p.pending.Wait() }

// Close ends the pool; no job may be queued any more.
func (p *Pool) Close() {
	close(p.jobs)
	p.workers.Wait()
}

// Workers is how many goroutines measure beside the inference: one core is left to it.
func Workers() int { return max(runtime.GOMAXPROCS(0)-1, 1) }
