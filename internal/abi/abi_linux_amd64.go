package abi

import (
	"runtime"
	"slices"
	"sync"
	"unsafe"

	"github.com/ebitengine/purego"
)

// block is what the assembly reads; its layout is known there.
type block struct {
	fn        uintptr
	registers [6]uintptr
	count     uintptr
	words     *uintptr
	result    uintptr
}

// Addresses and jump targets of the assembly.
var (
	callAddress uintptr
	stubAddress [Slots]uintptr
	targets     [Slots]uintptr
)

// Call calls the C function at fn: the arguments that go into registers in their order (rdi, rsi, rdx, rcx, r8, r9; those
// that the function does not take may be anything), and the words of the stack, where a struct by value and the arguments
// behind the sixth lie in their order. It gives the result register. Memory that the words point to is the caller's to hold
// and must not lie on a goroutine's stack. It may be called from many goroutines, and C may call back into Go.
func Call(fn uintptr, registers [6]uintptr, stack []uintptr) (uintptr, error) {
	b := &block{fn: fn, registers: registers, count: uintptr(len(stack))}
	if len(stack) > 0 {
		b.words = unsafe.SliceData(slices.Clone(stack))
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(b)
	_, _, _ = purego.SyscallN(callAddress, uintptr(unsafe.Pointer(b)))
	runtime.KeepAlive(b)
	return b.result, nil
}

var (
	slotMu sync.Mutex
	used   int
)

// Callback makes a C function of the shape `uint64_t f(void *first, struct S s)`, whose struct has more than two words. fn
// gets the first argument and the address of the struct, which is good until fn returns. It may be called from any thread
// of the process. A callback lives as long as the process.
func Callback(fn func(first, words uintptr) uintptr) (uintptr, error) {
	slotMu.Lock()
	defer slotMu.Unlock()
	if used == Slots {
		return 0, ErrNoSlot
	}
	targets[used] = purego.NewCallback(fn)
	used++
	return stubAddress[used-1], nil
}
