//go:build !linux

package process

import (
	"errors"
	"os"
	"syscall"
)

// errGone means that no such process runs.
var errGone = errors.New("the process has ended")

// startOf says whether a process is there; when it was started is not asked on this system, and is 0.
func startOf(pid int) (uint64, error) {
	p, err := os.FindProcess(pid)
	if err != nil {
		return 0, errGone
	}
	defer p.Release() //nolint:errcheck // it was only looked at
	switch err := p.Signal(syscall.Signal(0)); {
	case errors.Is(err, os.ErrProcessDone), errors.Is(err, syscall.ESRCH):
		return 0, errGone
	case err != nil && !errors.Is(err, os.ErrPermission):
		return 0, err
	}
	return 0, nil
}

func bootID() string    { return "" }
func machineID() string { return "" }
func pidSpace() string  { return "" }
