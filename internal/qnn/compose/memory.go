package compose

import (
	"runtime"
	"unsafe"
)

// hold keeps Go memory where it is while C uses it; release lets go.
type hold struct{ pin runtime.Pinner }

func (h *hold) release() { h.pin.Unpin() }

// at gives an address that is good until the release.
func at[T any](h *hold, p *T) uintptr {
	h.pin.Pin(p)
	return uintptr(unsafe.Pointer(p))
}

// text is a zero-terminated copy.
func (h *hold) text(s string) uintptr {
	b := append([]byte(s), 0)
	return at(h, &b[0])
}

// foreign turns an address that C owns into a pointer; the garbage collector does not know such memory.
func foreign[T any](a uint64) *T {
	p := uintptr(a)
	return (*T)(*(*unsafe.Pointer)(unsafe.Pointer(&p)))
}

// array is n values that C owns.
func array[T any](a uint64, n int) []T {
	if a == 0 || n <= 0 {
		return nil
	}
	return unsafe.Slice(foreign[T](a), n)
}

// textMost bounds what is read of a text that has no end.
const textMost = 1 << 16

// textAt copies a zero-terminated text of C.
func textAt(a uint64) string {
	if a == 0 {
		return ""
	}
	n := 0
	for p := unsafe.Pointer(foreign[byte](a)); n < textMost && *(*byte)(unsafe.Add(p, n)) != 0; n++ {
	}
	return string(array[byte](a, n))
}

// bytesOf gives the memory of a value.
func bytesOf[T any](p *T) []byte { return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)) }

// addressOf is the address of memory on the heap that its owner holds.
func addressOf[T any](p *T) uintptr { return uintptr(unsafe.Pointer(p)) }

// wordsOf copies a value as words.
func wordsOf[T any](p *T) []uintptr {
	return append([]uintptr(nil), unsafe.Slice((*uintptr)(unsafe.Pointer(p)), unsafe.Sizeof(*p)/unsafe.Sizeof(uintptr(0)))...)
}
