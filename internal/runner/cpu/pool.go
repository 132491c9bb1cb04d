package cpu

import (
	"slices"
	"sync"

	"quantcheck/internal/onnxruntime"
)

// page is what memory is given in.
const page = 4096

// pool divides memory that is shared with a worker. It implements runner.Memory.
type pool struct {
	memory []byte
	free   func(from, n int) // gives the pages of a piece back to the system

	mu   sync.Mutex
	idle []piece // by place; no two touch
	held int
}

type piece struct{ from, to int }

func newPool(memory []byte, free func(from, n int)) *pool {
	return &pool{memory: memory, free: free, idle: []piece{{0, len(memory) / page * page}}}
}

// Take implements runner.Memory.
func (p *pool) Take(n int) []byte {
	if n < 0 || n > len(p.memory) {
		return nil
	}
	size := (max(n, 1) + page - 1) / page * page
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.IndexFunc(p.idle, func(x piece) bool { return x.to-x.from >= size })
	if i < 0 {
		return nil
	}
	from := p.idle[i].from
	if p.idle[i].from += size; p.idle[i].from == p.idle[i].to {
		p.idle = slices.Delete(p.idle, i, i+1)
	}
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
	p.free(from, size) // before somebody else gets it
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held -= size
	i, _ := slices.BinarySearchFunc(p.idle, from, func(x piece, at int) int { return x.from - at })
	p.idle = slices.Insert(p.idle, i, piece{from, from + size})
	if i+1 < len(p.idle) && p.idle[i].to == p.idle[i+1].from {
		p.idle[i].to = p.idle[i+1].to
		p.idle = slices.Delete(p.idle, i+1, i+2)
	}
	if i > 0 && p.idle[i-1].to == p.idle[i].from {
		p.idle[i-1].to = p.idle[i].to
		p.idle = slices.Delete(p.idle, i, i+1)
	}
}

// Held is how many bytes are taken.
func (p *pool) Held() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held
}
