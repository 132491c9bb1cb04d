package worker

import (
	"strings"
	"testing"
)

func TestTheLastWordsAreThoseThatSaySomething(t *testing.T) {
	if LastWords("# LIBNATIVE: x\n\n") != "it said nothing" || !strings.Contains(LastWords("a\n\x1b[1;31mb\x1b[m\n\n"), "a | b") {
		t.Error("last words")
	}
	crash := "# LIBNATIVE: x\n<E> bad\nSIGSEGV: segmentation violation\nPC=0x7f m=0 sigcode=1 addr=0x0\nsignal arrived during cgo execution\n\ngoroutine 1 [syscall]:\nruntime.cgocall(0x1)\n\nrax 0x0\n"
	if got := LastWords(crash); got != "its last words: <E> bad | SIGSEGV: segmentation violation" {
		t.Error(got)
	}
	if got := LastWords("panic: index out of range\n\ngoroutine 1 [running]:\nmain.main()\n"); got != "its last words: panic: index out of range" {
		t.Error(got)
	}
}
