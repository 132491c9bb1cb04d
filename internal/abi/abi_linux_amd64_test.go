package abi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/ebitengine/purego"
)

// sizes are the structs that are passed, in words.
var sizes = []int{3, 8, 9, 10, 16, 25, 40, 79, 80, 300}

// source is C for every size: take_N checks what Go passed, give_N passes to Go, and two probes in assembly see whether the
// registers that belong to the caller are kept.
func source() string {
	var b strings.Builder
	b.WriteString(`#include <stdint.h>
#include <string.h>
typedef uint64_t u64;
static u64 word(u64 seed, u64 i) { return (seed + i) * 0x9E3779B97F4A7C15u ^ (i << 56); }
static int misaligned(void) { volatile char line[16] __attribute__((aligned(16))); line[0] = 0; return ((uintptr_t)__builtin_frame_address(0) & 15) != 0 || ((uintptr_t)line & 15) != 0; }
typedef u64 (*relay)(u64);
u64 take_0(u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) { return misaligned() ? 1 : a == 1 && b == 2 && c == 3 && d == 4 && e == 5 && f == 6 ? 0 : 2; }
u64 regs_only(u64 a, u64 b) { return a * 1000 + b; }
`)
	for _, n := range sizes {
		fmt.Fprintf(&b, `
typedef struct { u64 w[%[1]d]; } S%[1]d;
__attribute__((noinline)) u64 take_%[1]d(u64 seed, relay back, u64 c, S%[1]d s, u64 d, u64 e, u64 f, u64 g, u64 h) {
	if (misaligned()) return 1;
	if (c != 3 || d != 4 || e != 5 || f != 6 || g != 7 || h != 8) return 2;
	if (back && back(seed) != seed + 1) return 3;
	for (u64 i = 0; i < %[1]d; i++) if (s.w[i] != word(seed, i)) return 100 + i;
	memset(&s, 0xEE, sizeof s); /* the callee owns it */
	return 0;
}
__attribute__((noinline)) u64 give_%[1]d(u64 (*cb)(void *, S%[1]d), u64 seed) {
	S%[1]d s; for (u64 i = 0; i < %[1]d; i++) s.w[i] = word(seed, i);
	u64 got = cb((void *)seed, s);
	for (u64 i = 0; i < %[1]d; i++) if (s.w[i] != word(seed, i)) return 0;
	return got;
}
`, n)
	}
	b.WriteString(`
/* kept(fn, a, words, n) calls fn(a, the n words by value) with known values in all registers that fn has to keep; a bit for each that it did not. */
u64 kept(void *fn, u64 a, u64 *words, u64 n);
__asm__(".text\n.globl kept\n.type kept,@function\nkept:\n"
"push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
"mov %rsp, saved_sp(%rip)\n"
"mov %rdi, %rax\nmov %rsi, %r10\n"
"lea (,%rcx,8), %r11\nsub %r11, %rsp\nand $-16, %rsp\n"
"mov %rdx, %rsi\nmov %rsp, %rdi\ncld\nrep movsq\n"
"mov %r10, %rdi\nmov %rsp, before_sp(%rip)\n"
"mov $0x1111, %rbx\nmov $0x2222, %rbp\nmov $0x3333, %r12\nmov $0x4444, %r13\nmov $0x5555, %r14\nmov $0x6666, %r15\n"
"call *%rax\n"
"xor %rax, %rax\n"
"cmp $0x1111, %rbx\nje 1f\nor $1, %rax\n1: cmp $0x2222, %rbp\nje 1f\nor $2, %rax\n1: cmp $0x3333, %r12\nje 1f\nor $4, %rax\n"
"1: cmp $0x4444, %r13\nje 1f\nor $8, %rax\n1: cmp $0x5555, %r14\nje 1f\nor $16, %rax\n1: cmp $0x6666, %r15\nje 1f\nor $32, %rax\n"
"1: cmp before_sp(%rip), %rsp\nje 1f\nor $64, %rax\n"
"1: mov saved_sp(%rip), %rsp\npop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
".size kept, .-kept\n.local saved_sp\n.comm saved_sp,8,8\n.local before_sp\n.comm before_sp,8,8\n"
".section .note.GNU-stack,\"\",@progbits\n.text\n");
`)
	return b.String()
}

var library = sync.OnceValues(func() (uintptr, error) {
	gcc, err := exec.LookPath("gcc")
	if err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "abi-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	c, so := filepath.Join(dir, "probe.c"), filepath.Join(dir, "probe.so")
	if err := os.WriteFile(c, []byte(source()), 0o644); err != nil {
		return 0, err
	}
	if out, err := exec.Command(gcc, "-O2", "-fno-omit-frame-pointer", "-shared", "-fPIC", "-o", so, c).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, out)
	}
	return purego.Dlopen(so, purego.RTLD_NOW)
})

func symbol(t *testing.T, name string) uintptr {
	t.Helper()
	handle, err := library()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("SKIPPED FOR WANT OF gcc: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	f, err := purego.Dlsym(handle, name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// word is what stands at place i of a struct.
func word(seed, i uintptr) uintptr { return (seed+i)*0x9E3779B97F4A7C15 ^ i<<56 }

func wordsOf(seed uintptr, n int) []uintptr {
	w := make([]uintptr, n)
	for i := range w {
		w[i] = word(seed, uintptr(i))
	}
	return w
}

// grow needs many kilobytes of a goroutine's stack, so that it is moved.
func grow(depth int) int {
	var room [512]byte
	room[depth%512] = byte(depth)
	if depth == 0 {
		return int(room[0])
	}
	return grow(depth-1) + int(room[depth%512])
}

var relay = sync.OnceValue(func() uintptr {
	return purego.NewCallback(func(seed uintptr) uintptr { grow(200); return seed + 1 })
})

// collect lets the garbage collector run beside the test.
func collect(t *testing.T) {
	var stop atomic.Bool
	var done sync.WaitGroup
	done.Go(func() {
		for !stop.Load() {
			runtime.GC()
		}
	})
	t.Cleanup(func() { stop.Store(true); done.Wait() })
}

func take(t *testing.T, n int, seed, back uintptr) uintptr {
	got, err := Call(symbol(t, fmt.Sprintf("take_%d", n)), [6]uintptr{seed, back, 3, 4, 5, 6}, append(wordsOf(seed, n), 7, 8))
	if err != nil {
		t.Error(err)
	}
	return got
}

func TestStructsArriveInC(t *testing.T) {
	for _, n := range sizes {
		if got := take(t, n, 77, 0); got != 0 {
			t.Errorf("%d words: %d", n, got)
		}
	}
	if got, err := Call(symbol(t, "take_0"), [6]uintptr{1, 2, 3, 4, 5, 6}, nil); got != 0 || err != nil {
		t.Errorf("no stack words: %d, %v", got, err)
	}
	if got, err := Call(symbol(t, "regs_only"), [6]uintptr{12, 34}, nil); got != 12034 || err != nil {
		t.Errorf("result %d, %v", got, err)
	}
}

func TestStructsStayWholeWhileGoRunsInBetween(t *testing.T) {
	collect(t)
	symbol(t, "take_8")
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 150 {
				n := sizes[(g+i)%len(sizes)]
				if got := take(t, n, uintptr(g*1000+i), relay()); got != 0 {
					t.Errorf("%d words: %d", n, got)
					return
				}
			}
		})
	}
	all.Wait()
}

// receiver is one callback for all tests of this process; it checks a struct of as many words as the test says.
var (
	receivedWords atomic.Int64
	receiver      = sync.OnceValues(func() (uintptr, error) {
		return Callback(func(first, words uintptr) uintptr {
			grow(200)
			n := int(receivedWords.Load())
			s := unsafe.Slice((*uintptr)(*(*unsafe.Pointer)(unsafe.Pointer(&words))), n)
			for i, w := range s {
				if w != word(first, uintptr(i)) {
					return 100 + uintptr(i)
				}
			}
			return 1
		})
	})
)

func TestStructsArriveInGo(t *testing.T) {
	collect(t)
	cb, err := receiver()
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		receivedWords.Store(int64(n))
		give := symbol(t, fmt.Sprintf("give_%d", n))
		var all sync.WaitGroup
		for g := range 4 {
			all.Go(func() {
				for i := range 50 {
					if got, _, _ := purego.SyscallN(give, cb, uintptr(g*100+i)); got != 1 {
						t.Errorf("%d words: %d", n, got)
						return
					}
				}
			})
		}
		all.Wait()
	}
}

func TestRegistersOfTheCallerAreKept(t *testing.T) {
	kept := symbol(t, "kept")
	for _, n := range sizes {
		var pin runtime.Pinner
		words := append(wordsOf(5, n), 7, 8)
		b := &block{fn: symbol(t, fmt.Sprintf("take_%d", n)), registers: [6]uintptr{5, relay(), 3, 4, 5, 6}, count: uintptr(len(words)), words: unsafe.SliceData(words)}
		pin.Pin(b)
		if lost, _, _ := purego.SyscallN(kept, callAddress, uintptr(unsafe.Pointer(b)), 0, 0); lost != 0 || b.result != 0 {
			t.Errorf("a call with %d words: registers %b lost, result %d", n, lost, b.result)
		}
		pin.Unpin()
		cb, err := receiver()
		if err != nil {
			t.Fatal(err)
		}
		receivedWords.Store(int64(n))
		pin.Pin(&words[0])
		if lost, _, _ := purego.SyscallN(kept, cb, 5, uintptr(unsafe.Pointer(&words[0])), uintptr(n)); lost != 0 {
			t.Errorf("a callback with %d words: registers %b lost", n, lost)
		}
		pin.Unpin()
	}
}

// rest are all callbacks that are left beside the receiver; each says which it is.
var rest = sync.OnceValue(func() (made []uintptr) {
	for {
		k := uintptr(len(made))
		cb, err := Callback(func(first, _ uintptr) uintptr { return first*10 + k })
		if err != nil {
			return made
		}
		made = append(made, cb)
	}
})

func TestEveryCallbackReachesItsOwnFunction(t *testing.T) {
	symbol(t, "give_8")
	if _, err := receiver(); err != nil {
		t.Fatal(err)
	}
	if n := len(rest()); n != Slots-1 {
		t.Errorf("%d callbacks", n)
	}
	if _, err := Callback(nil); !errors.Is(err, ErrNoSlot) {
		t.Errorf("one too many: %v", err)
	}
	for k, cb := range rest() {
		if got, _, _ := purego.SyscallN(symbol(t, "give_8"), cb, 9); got != uintptr(90+k) {
			t.Errorf("callback %d: %d", k, got)
		}
	}
}
