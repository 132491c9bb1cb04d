package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// errGone means that no such process runs.
var errGone = errors.New("the process has ended")

// startOf gives when a process was started: field 22 of /proc/PID/stat, see proc(5). The error is errGone if there is none.
func startOf(pid int) (uint64, error) {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		// A process that is not shown may still be there: /proc can be mounted with hidepid, or not at all.
		if kill := syscall.Kill(pid, 0); errors.Is(kill, syscall.ESRCH) {
			return 0, errGone
		} else if kill == nil {
			return 0, nil // ours, and it runs
		}
		return 0, err
	}
	state, start, err := fields(stat)
	if err != nil {
		return 0, err
	}
	if state == 'Z' || state == 'X' { // it ended; its parent has not asked for its status yet
		return 0, errGone
	}
	return start, nil
}

// fields reads state and start from /proc/PID/stat. The program's name, in parentheses, may hold anything.
func fields(stat []byte) (state byte, start uint64, err error) {
	const afterName = 20 // start is field 22, and state, the first one after the name, is field 3
	list := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(list) < afterName || len(list[0]) != 1 {
		return 0, 0, fmt.Errorf("/proc/PID/stat: %q", stat)
	}
	start, err = strconv.ParseUint(list[afterName-1], 10, 64)
	return list[0][0], start, err
}

func bootID() string    { return line("/proc/sys/kernel/random/boot_id") }
func machineID() string { return line("/etc/machine-id") }

// pidSpace names the namespace of process numbers.
func pidSpace() string {
	name, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return name
}

// line is a small file's text, "" if it cannot be read.
func line(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
