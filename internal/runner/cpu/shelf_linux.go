package cpu

import (
	"container/list"
	"sync"
)

// What sessions' models may take together, of the bound on memory; the library holds them unpacked and, of products and convolutions,
// repacked. There is no bound under leastModels: small models are not worth compiling again.
const (
	modelShare  = 4 // a part of the bound
	leastModels = 64 << 20
)

// modelsOf is how many bytes the models of sessions may take with a bound on memory; 0: any.
func modelsOf(memory int64) int64 {
	if memory <= 0 {
		return 0
	}
	return max(memory/modelShare, leastModels)
}

// shelf holds the sessions of an engine that are open, those that ran last in front. Where their models take more than they may, the ones
// that did not run for the longest time are freed; whoever uses one of these is told that it is gone (ort.ErrGone) and compiles it again.
type shelf struct {
	limit int64 // bytes of models; 0: there is none

	mu    sync.Mutex
	open  list.List // of *session
	bytes int64
	freed int // how many were freed to make room
}

// makeRoom frees sessions that do not run, until a model of so many bytes fits as well, as far as that goes.
func (s *shelf) makeRoom(bytes int64) {
	if s.limit <= 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := s.open.Back(); at != nil && s.bytes+bytes > s.limit; {
		idle, next := at.Value.(*session), at.Prev()
		if idle.runs == 0 && idle.bytes > 0 {
			s.remove(idle)
			s.freed++
			idle.free()
		}
		at = next
	}
}

// put adds a session.
func (s *shelf) put(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.place = s.open.PushFront(one)
	s.bytes += one.bytes
}

// take removes a session; false: it was freed.
func (s *shelf) take(one *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.place == nil {
		return false
	}
	s.remove(one)
	return true
}

// remove is take without the lock.
func (s *shelf) remove(one *session) {
	s.open.Remove(one.place)
	one.place = nil
	s.bytes -= one.bytes
}

// begin says that a session runs, which keeps it; false: it was freed.
func (s *shelf) begin(one *session) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if one.place == nil {
		return false
	}
	one.runs++
	s.open.MoveToFront(one.place)
	return true
}

func (s *shelf) end(one *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	one.runs--
}
