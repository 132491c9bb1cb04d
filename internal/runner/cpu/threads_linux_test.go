package cpu

import (
	"runtime"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestJobsOneAfterAnotherStayOnOneThread(t *testing.T) {
	t.Parallel()
	var pool threads
	done := make(chan int)
	seen := map[int]bool{}
	for range 200 {
		pool.run(func() func() {
			runtime.Gosched()
			tid := unix.Gettid()
			return func() { done <- tid }
		})
		seen[<-done] = true
	}
	if len(seen) != 1 {
		t.Errorf("%d threads", len(seen))
	}
}

func TestJobsAtOnceHaveAThreadEach(t *testing.T) {
	t.Parallel()
	var pool threads
	var all sync.WaitGroup
	gate := make(chan struct{})
	tids := make(chan int, 8)
	for range cap(tids) {
		all.Add(1)
		pool.run(func() func() {
			tids <- unix.Gettid()
			<-gate
			return all.Done
		})
	}
	seen := map[int]bool{}
	for range cap(tids) { // they come while none has ended
		seen[<-tids] = true
	}
	close(gate)
	all.Wait()
	if len(seen) != cap(tids) {
		t.Errorf("%d threads for %d jobs at once", len(seen), cap(tids))
	}
}
