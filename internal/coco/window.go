package coco

import (
	"errors"
	"fmt"
	"io"
)

// windowSize is how many bytes of a file are looked at together.
const windowSize = 1 << 18

// errShort says that a value goes on behind the window: more is read and the value scanned once more.
var errShort = errors.New("unexpected end")

// window is what is seen of an input: a piece of a file, which moves and grows, or bytes that are there as a whole.
type window struct {
	buf  []byte
	pos  int
	base int64       // offset of buf in the input
	size int64       // of the input
	src  io.ReaderAt // nil: buf is the input
	err  error
}

func (w *window) offset() int64 { return w.base + int64(w.pos) }

func (w *window) failf(format string, args ...any) bool {
	w.err = fmt.Errorf("byte %d: %s", w.offset(), fmt.Sprintf(format, args...))
	return false
}

// short fails because the window ends.
func (w *window) short() bool {
	w.pos = len(w.buf)
	if w.base+int64(len(w.buf)) < w.size {
		w.err = errShort
		return false
	}
	return w.failf("unexpected end")
}

// unit runs a function that scans something which fits the window; the window is moved and grows until it does.
func (w *window) unit(scan func() bool) bool {
	start := w.pos
	for !scan() {
		if w.err != errShort { //nolint:errorlint // compared for speed, never wrapped
			return false
		}
		w.err = nil
		if !w.refill(start) {
			return false
		}
		start = 0
	}
	return true
}

// refill moves the window to begin at start and fills it; if it begins there already it doubles.
func (w *window) refill(start int) bool {
	rest := w.buf[start:]
	if start == 0 && len(rest) == cap(w.buf) {
		grown := make([]byte, len(rest), 2*cap(w.buf))
		copy(grown, rest)
		w.buf = grown
	} else {
		w.buf = w.buf[:copy(w.buf[:len(rest)], rest)]
	}
	w.base += int64(start)
	w.pos = 0
	n := min(int64(cap(w.buf)-len(w.buf)), w.size-w.base-int64(len(w.buf)))
	at := len(w.buf)
	w.buf = w.buf[:at+int(n)]
	if got, err := w.src.ReadAt(w.buf[at:], w.base+int64(at)); got < int(n) {
		w.err = fmt.Errorf("byte %d: %w", w.base+int64(at+got), errors.Join(err, io.ErrUnexpectedEOF))
		return false
	}
	return true
}
