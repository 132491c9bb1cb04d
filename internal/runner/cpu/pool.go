package cpu

import (
	"sync"

	"quantcheck/internal/onnxruntime"
)

// page is what memory is given in.
const page = 4096

// pool divides memory that is shared with a worker. It implements runner.Memory. Pages that are dropped stay with the pool up to a
// bound and are taken again first: a page that the system gives anew is cleared, and then faults in both processes.
type pool struct {
	memory []byte
	keep   int               // bytes of idle pages that are not given back to the system
	free   func(from, n int) // gives the pages of a piece back to the system

	mu   sync.Mutex
	idle pieces
	warm pieces // of the idle ones: those whose pages are there
	held int
}

func newPool(memory []byte, keep int, free func(from, n int)) *pool {
	return &pool{memory: memory, keep: keep, free: free, idle: pieces{{0, len(memory) / page * page}}}
}

// Take implements runner.Memory.
func (p *pool) Take(n int) []byte {
	if n < 0 || n > len(p.memory) {
		return nil
	}
	size := (max(n, 1) + page - 1) / page * page
	p.mu.Lock()
	defer p.mu.Unlock()
	from, ok := p.warm.find(size)
	if !ok {
		from, ok = p.idle.find(size)
	}
	if !ok {
		return nil
	}
	p.idle = p.idle.without(piece{from, from + size})
	p.warm = p.warm.without(piece{from, from + size})
	p.held += size
	return p.memory[from : from+n : from+n]
}

// Drop implements runner.Memory.
func (p *pool) Drop(memory []byte) {
	from, ours := onnxruntime.Offset(p.memory, memory)
	if !ours || cap(memory) == 0 {
		return
	}
	size := (len(memory) + page - 1) / page * page
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= size
	p.idle = p.idle.with(piece{from, from + size})
	p.warm = p.warm.with(piece{from, from + size})
	if p.warm.bytes() > p.keep {
		p.cool(p.keep / 2) // by halves, so that not every drop asks the system
	}
}

// Trim gives all pages that nobody uses back to the system.
func (p *pool) Trim() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cool(0)
}

// cool gives idle pages back to the system until so many bytes are left, the last ones in memory first. p.mu is held.
func (p *pool) cool(left int) {
	for over := p.warm.bytes() - left; over > 0; {
		last := &p.warm[len(p.warm)-1]
		n := min((over+page-1)/page*page, last.to-last.from)
		p.free(last.to-n, n)
		over -= n
		if last.to -= n; last.to == last.from {
			p.warm = p.warm[:len(p.warm)-1]
		}
	}
}

// Held is how many bytes are taken.
func (p *pool) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
