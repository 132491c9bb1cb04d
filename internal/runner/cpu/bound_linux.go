package cpu

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// What a worker may take of memory of its own beside the bound: for the library as it grows, for threads that begin later, and
// for each session a multiple of its model, which the library unpacks, copies and repacks.
const (
	slackBytes  = 512 << 20
	stackBytes  = 16 << 20 // a thread, with what it caches
	modelFactor = 4
)

// bound holds the worker's own memory to what it may take: beyond, allocations fail, which the library reports. The tensors in the
// shared memory do not count: the engine counts those.
type bound struct {
	mu     sync.Mutex
	base   int64 // 0: there is no bound
	models int64
}

// set bounds the memory from what the process has now.
func (b *bound) set(memory int64, threads int) error {
	if memory <= 0 {
		return nil
	}
	debug.SetMemoryLimit(256 << 20) // Go's own part is small
	now, err := privateBytes()
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.base = now + memory + slackBytes + int64(threads)*stackBytes
	return b.apply()
}

// add says that sessions with so many bytes of models have come, or gone.
func (b *bound) add(bytes int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.models += bytes
	_ = b.apply()
}

func (b *bound) apply() error {
	if b.base == 0 {
		return nil
	}
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_DATA, &l); err != nil {
		return err
	}
	l.Cur = min(uint64(b.base+modelFactor*b.models), l.Max)
	return unix.Setrlimit(unix.RLIMIT_DATA, &l)
}

// privateBytes is how much private memory of this process can be written, touched or not, as the limit counts it.
func privateBytes() (int64, error) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if rest, ok := strings.CutPrefix(s.Text(), "VmData:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("%s does not say VmData", f.Name())
}
