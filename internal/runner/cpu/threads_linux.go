package cpu

import (
	"runtime"
	"sync"
)

// threads runs jobs on threads of the system that do nothing else. The thread that was idle last is taken first, so that jobs one after
// another stay on one thread: when Go moved them between its threads, an inference of ONNX Runtime took a tenth longer.
type threads struct {
	mu   sync.Mutex
	idle []chan job
}

// job does its work and gives what tells of its end, which brings the next job perhaps: the thread counts as idle by then.
type job func() (tell func())

// run starts a job, on a new thread if all are busy.
func (t *threads) run(j job) {
	t.mu.Lock()
	n := len(t.idle)
	if n == 0 {
		t.mu.Unlock()
		go t.serve(j)
		return
	}
	jobs := t.idle[n-1]
	t.idle = t.idle[:n-1]
	t.mu.Unlock()
	jobs <- j
}

func (t *threads) serve(j job) {
	runtime.LockOSThread()
	for jobs := make(chan job, 1); ; j = <-jobs {
		tell := j()
		t.mu.Lock()
		t.idle = append(t.idle, jobs)
		t.mu.Unlock()
		tell()
	}
}
