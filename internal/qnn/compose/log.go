package compose

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/ebitengine/purego"
)

// journal takes what the libraries log, from any of their threads.
type journal struct {
	mu        sync.Mutex
	to        io.Writer
	errors    []string // the last ones
	vsnprintf uintptr
}

const (
	errorsMost = 8
	lineMost   = 4096
	harmless   = "unexpected GraphHtpSettings option" // said of every graph
)

// callback is a C function of the shape of QnnLog_Callback_t; its va_list is a pointer on this system.
func (j *journal) callback() uintptr {
	return purego.NewCallback(func(format uintptr, level uint32, _ uint64, args uintptr) uintptr {
		var h hold
		defer h.release()
		line := make([]byte, lineMost)
		_, _, _ = purego.SyscallN(j.vsnprintf, at(&h, &line[0]), lineMost, format, args)
		if end := bytes.IndexByte(line, 0); end >= 0 {
			line = line[:end]
		}
		j.add(level, strings.TrimSpace(strings.ToValidUTF8(string(line), "?")))
		return 0
	})
}

func (j *journal) add(level uint32, line string) {
	if line == "" || strings.Contains(line, harmless) {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if level == logErrors {
		if len(j.errors) == errorsMost {
			j.errors = append(j.errors[:0], j.errors[1:]...)
		}
		j.errors = append(j.errors, line)
	}
	if j.to != nil {
		fmt.Fprintln(j.to, line)
	}
}

// take gives the last error lines and forgets them.
func (j *journal) take() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	lines := j.errors
	j.errors = nil
	return lines
}
