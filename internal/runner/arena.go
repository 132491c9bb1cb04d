package runner

import (
	"math/bits"
	"sync"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// Memory is where an arena gets its buffers from. It may be used by many goroutines.
type Memory interface {
	// Take gives memory of n bytes, with any values; nil if there is none left.
	Take(n int) []byte
	// Drop takes memory back, whole; memory that does not come from here is left alone.
	Drop(memory []byte)
}

// Arena lends memory for tensors and takes it back. Buffers that are used again are warm: inference into fresh memory was
// measured 5 to 10 times slower for the first runs, because of page faults. Runners of one check share an arena.
//
// What an arena on a Memory has lent must come back: no garbage collector sees it.
type Arena struct {
	memory Memory // nil: Go's heap

	mu     sync.Mutex
	idle   int64               // bytes that nobody uses
	keep   int64               // how many of them are kept
	lent   int                 // buffers that somebody uses
	floats map[int][][]float32 // by size class
	raws   map[int][][]byte
}

// NewArena makes an arena on Go's heap that keeps at most so many bytes that nobody uses.
func NewArena(keep int64) *Arena { return NewArenaOn(nil, keep) }

// NewArenaOn makes an arena on a memory; where that has none left, buffers come from Go's heap.
func NewArenaOn(m Memory, keep int64) *Arena {
	return &Arena{memory: m, keep: keep, floats: map[int][][]float32{}, raws: map[int][][]byte{}}
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
	a.lent++
	if d == tensor.Float32 {
		if t.F32 = take(a, a.floats, n, 4); t.F32 == nil {
			t.F32 = onnxruntime.Mapped(a.fresh(4 * class(n)))
			if t.F32 == nil {
				t.F32 = make([]float32, class(n))
			}
			t.F32 = t.F32[:n]
		}
		return t
	}
	n = tensor.ByteSize(d, n)
	if t.Raw = take(a, a.raws, n, 1); t.Raw == nil {
		if t.Raw = a.fresh(class(n)); t.Raw == nil {
			t.Raw = make([]byte, class(n))
		}
		t.Raw = t.Raw[:n]
	}
	return t
}

// fresh takes memory; nil if there is none.
func (a *Arena) fresh(n int) []byte {
	if a.memory == nil {
		return nil
	}
	return a.memory.Take(n)
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
	return nil
}

// GiveBack takes a lent tensor back; nobody may use it any more.
func (a *Arena) GiveBack(t tensor.Tensor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.F32 != nil || t.Raw != nil {
		a.lent--
	}
	if t.F32 != nil && !put(a, a.floats, t.F32, 4) {
		a.drop(whole(t))
	}
	if t.Raw != nil && !put(a, a.raws, t.Raw, 1) {
		a.drop(whole(t))
	}
}

// Lent is how many tensors have not come back.
func (a *Arena) Lent() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lent
}

// Empty lets go of all idle buffers: what follows needs other ones, or fewer.
func (a *Arena) Empty() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range a.floats {
		for _, buffer := range list {
			a.drop(whole(tensor.Tensor{DType: tensor.Float32, F32: buffer}))
		}
	}
	for _, list := range a.raws {
		for _, buffer := range list {
			a.drop(buffer[:cap(buffer)])
		}
	}
	clear(a.floats)
	clear(a.raws)
	a.idle = 0
}

// whole is a tensor's memory up to its capacity.
func whole(t tensor.Tensor) []byte {
	if t.F32 != nil {
		return onnxruntime.Bytes(tensor.Tensor{DType: tensor.Float32, F32: t.F32[:cap(t.F32)]})
	}
	return t.Raw[:cap(t.Raw)]
}

func (a *Arena) drop(memory []byte) {
	if a.memory != nil {
		a.memory.Drop(memory)
	}
}

// put keeps a buffer; it does not if enough are idle, or if the buffer is none of an arena's.
func put[T any](a *Arena, free map[int][][]T, buffer []T, width int64) bool {
	c := cap(buffer)
	size := int64(c) * width
	if c != class(c) || a.idle+size > a.keep {
		return false
	}
	a.idle += size
	free[c] = append(free[c], buffer)
	return true
}
