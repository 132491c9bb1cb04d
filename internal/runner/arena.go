package runner

import (
	"math/bits"
	"sync"

	"quantcheck/internal/tensor"
)

// Arena lends memory for tensors and takes it back. Buffers that are used again are warm: inference into fresh memory was
// measured 5 to 10 times slower for the first runs, because of page faults. Runners of one check share an arena.
type Arena struct {
	mu     sync.Mutex
	idle   int64               // bytes that nobody uses
	keep   int64               // how many of them are kept
	floats map[int][][]float32 // by size class
	raws   map[int][][]byte
}

// NewArena makes an arena that keeps at most so many bytes that nobody uses.
func NewArena(keep int64) *Arena {
	return &Arena{keep: keep, floats: map[int][][]float32{}, raws: map[int][][]byte{}}
}

// class rounds a length up to one of four steps per power of two, so that tensors of like size share buffers.
func class(n int) int {
	if n <= 64 {
		return 64
	}
	step := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + step - 1) / step * step
}

// Lend gives memory for a tensor; its values are what was there.
func (a *Arena) Lend(d tensor.DType, shape []int64) tensor.Tensor {
	n, _ := tensor.Count(shape)
	t := tensor.Tensor{DType: d, Shape: shape}
	a.mu.Lock()
	defer a.mu.Unlock()
	if d == tensor.Float32 {
		t.F32 = take(a, a.floats, n, 4)
	} else {
		t.Raw = take(a, a.raws, tensor.ByteSize(d, n), 1)
	}
	return t
}

// take finds an idle buffer of the class or of one of the next three, which are up to twice as large.
func take[T any](a *Arena, free map[int][][]T, n int, width int64) []T {
	c := class(n)
	for range 4 {
		if list := free[c]; len(list) > 0 {
			free[c] = list[:len(list)-1]
			a.idle -= int64(c) * width
			return list[len(list)-1][:n]
		}
		c = class(c + 1)
	}
	return make([]T, n, class(n))
}

// GiveBack takes a lent tensor back; nobody may use it any more.
func (a *Arena) GiveBack(t tensor.Tensor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.F32 != nil {
		put(a, a.floats, t.F32, 4)
	}
	if t.Raw != nil {
		put(a, a.raws, t.Raw, 1)
	}
}

// Empty leaves all idle buffers to the garbage collector: what follows needs other ones, or fewer.
func (a *Arena) Empty() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.floats)
	clear(a.raws)
	a.idle = 0
}

// put keeps a buffer, or leaves it to the garbage collector if enough are idle.
func put[T any](a *Arena, free map[int][][]T, buffer []T, width int64) {
	size := int64(cap(buffer)) * width
	if a.idle+size > a.keep {
		return
	}
	a.idle += size
	free[cap(buffer)] = append(free[cap(buffer)], buffer)
}
