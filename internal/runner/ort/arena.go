package ort

import (
	"math/bits"
	"sync"

	"quantcheck/internal/tensor"
)

// arena lends memory for tensors and takes it back. Buffers that are used again are warm: inference into fresh memory
// was measured 5 to 10 times slower for the first runs, because of page faults.
type arena struct {
	mu     sync.Mutex
	floats map[int][][]float32 // by size class
	raws   map[int][][]byte
}

func newArena() *arena {
	return &arena{floats: map[int][][]float32{}, raws: map[int][][]byte{}}
}

// class rounds a length up to one of four steps per power of two, so that tensors of like size share buffers.
func class(n int) int {
	if n <= 64 {
		return 64
	}
	step := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + step - 1) / step * step
}

func (a *arena) lend(d tensor.DType, shape []int64) tensor.Tensor {
	n, _ := tensor.Count(shape)
	t := tensor.Tensor{DType: d, Shape: shape}
	if d == tensor.Float32 {
		t.F32 = take(a, a.floats, n)
	} else {
		t.Raw = take(a, a.raws, tensor.ByteSize(d, n))
	}
	return t
}

func take[T any](a *arena, free map[int][][]T, n int) []T {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := class(n)
	if list := free[c]; len(list) > 0 {
		free[c] = list[:len(list)-1]
		return list[len(list)-1][:n]
	}
	return make([]T, n, c)
}

func (a *arena) giveBack(t tensor.Tensor) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t.F32 != nil {
		a.floats[cap(t.F32)] = append(a.floats[cap(t.F32)], t.F32)
	}
	if t.Raw != nil {
		a.raws[cap(t.Raw)] = append(a.raws[cap(t.Raw)], t.Raw)
	}
}
