package cpu

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"quantcheck/internal/runner/worker"
)

// mostShared and leastShared bound the shared memory's addresses; pages that nobody has written take none.
const (
	leastShared = 4 << 30
	mostShared  = 1 << 40
)

// Of the shared memory a sixteenth of the bound, and at most 256 MiB, stays with the pool when nobody uses it. Without that a check of
// PP-OCR's detector at 640 × 640 took a third longer; more brought nothing.
const (
	warmShare = 16
	mostWarm  = 256 << 20
)

// share makes memory that a worker can map, with room for a multiple of what may be used, since pieces of many sizes come and go in it.
func share(memory int64) (*os.File, []byte, error) {
	size := int64(min(max(4*uint64(memory), leastShared), mostShared))
	remedy := ""
	for limit, set := range map[int]string{unix.RLIMIT_AS: "ulimit -v", unix.RLIMIT_FSIZE: "ulimit -f"} {
		var l unix.Rlimit
		if err := unix.Getrlimit(limit, &l); err == nil && l.Cur < uint64(size)*4 {
			size, remedy = int64(l.Cur/4), "; "+set+" sets the limit, which must be 512 MiB or more"
		}
	}
	file, err := worker.MemoryFile("tensors")
	if err != nil {
		return nil, nil, err
	}
	for ; size > 64<<20; size /= 2 { // where there are fewer addresses
		size = size / page * page
		if err = unix.Ftruncate(int(file.Fd()), size); err != nil {
			continue
		}
		var mapped []byte
		if mapped, err = unix.Mmap(int(file.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE); err == nil {
			return file, mapped, nil
		}
	}
	file.Close()
	return nil, nil, errors.Join(errors.New("memory to share with ONNX Runtime's process cannot be had"+remedy), err)
}

// punch gives pages of the file back to the system.
func punch(file *os.File, from, n int) {
	_ = unix.Fallocate(int(file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(from), int64(n))
}
