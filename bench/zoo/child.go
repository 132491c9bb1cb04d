package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// execute runs the program in a folder, and ends it with all its processes after a time. What it prints goes into the files stdout and stderr
// there.
func execute(ctx context.Context, program string, args []string, work string, limit time.Duration) (*outcome, error) {
	stdout, err := os.Create(filepath.Join(work, "stdout"))
	if err != nil {
		return nil, err
	}
	defer stdout.Close()
	var failed bytes.Buffer
	c := exec.Command(program, args...) //nolint:noctx // its whole group is ended below
	c.Dir, c.Stdout, c.Stderr = work, stdout, &failed
	c.SysProcAttr, c.WaitDelay = &syscall.SysProcAttr{Setpgid: true}, 5*time.Second // a process that left the group may hold the pipe
	begin := time.Now()
	if err := c.Start(); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	o := &outcome{Args: args, Status: ok_}
	over, tick := time.After(limit), time.NewTicker(memoryEvery)
	defer tick.Stop()
	peak := int64(0)
	for {
		select {
		case err = <-ended:
			o.Seconds = time.Since(begin).Seconds()
			o.account(c.ProcessState, peak)
			o.judge(err, failed.String(), work)
			return o, ctx.Err()
		case <-tick.C:
			peak = max(peak, groupMemory(c.Process.Pid))
		case <-over:
			o.Status, o.Reason = late, "time limit of "+limit.String()
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		case <-ctx.Done():
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
			select {
			case <-ended:
			case <-time.After(2 * time.Second):
				_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			}
			return nil, ctx.Err()
		}
	}
}

// memoryEvery is how often the memory of a command's processes is looked at.
const memoryEvery = 200 * time.Millisecond

// account notes processor time and memory: the peak of its largest process as the system counted it, or that of all of them together as it was
// seen while they ran, whichever is larger.
func (o *outcome) account(p *os.ProcessState, seen int64) {
	o.Processor = (p.UserTime() + p.SystemTime()).Seconds()
	if r, ok := p.SysUsage().(*syscall.Rusage); ok {
		o.PeakMiB = int(max(int64(r.Maxrss)<<10, seen) >> 20)
	}
}

// judge makes an outcome of how the process ended.
func (o *outcome) judge(err error, stderr, work string) {
	o.Stderr = tail(stderr)
	if o.Status == late || err == nil {
		return
	}
	var exit *exec.ExitError
	errors.As(err, &exit)
	switch {
	case exit == nil:
		o.Status, o.Reason = crashed, err.Error()
	case !exit.Exited():
		o.Status, o.Reason = crashed, exit.String()
	default:
		o.Exit = exit.ExitCode()
		o.Status, o.Reason = refused, short(reason(stderr), work)
		if strings.Contains(stderr, "goroutine ") {
			o.Status = crashed
		}
	}
}

// reason is what the program says at last: the lines from the last one that begins with its name, but for the one that tells how to go on.
func reason(stderr string) string {
	parts := strings.Split("\n"+stderr, "\nquantcheck: ")
	for i := len(parts) - 1; i > 0; i-- {
		if text := strings.Join(strings.Fields(parts[i]), " "); !strings.Contains(text, "the same command goes on") {
			return text
		}
	}
	return strings.Join(strings.Fields(stderr), " ")
}

// tail is the end of a text.
func tail(s string) string { return s[max(0, len(s)-4000):] }

// groupMemory sums what the processes of a group hold, of shared pages their part.
func groupMemory(group int) int64 {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	total := int64(0)
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 3 || fields[2] != strconv.Itoa(group) {
			continue
		}
		rollup, err := os.ReadFile(filepath.Join("/proc", e.Name(), "smaps_rollup"))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(rollup)) {
			var kib int64
			if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kib); n == 1 {
				total += kib << 10
			}
		}
	}
	return total
}
