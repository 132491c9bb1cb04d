package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"quantcheck/bench/procgroup"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// execute runs the program in a folder, and ends it with all its processes once they have taken so much processor time, or waitingFor times as
// long by the clock: a machine that has other things to do changes no outcome. What it prints goes into the file stdout there.
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
	o := &outcome{Args: args, Status: fine}
	over, tick := time.After(waitingFor*limit), time.NewTicker(lookEvery)
	defer tick.Stop()
	var seen use
	for {
		select {
		case err = <-ended:
			o.Seconds = time.Since(begin).Seconds()
			o.account(c.ProcessState, seen)
			o.judge(err, failed.String(), work)
			return o, ctx.Err()
		case <-tick.C:
			now := useOf(c.Process.Pid)
			seen = use{max(seen.bytes, now.bytes), max(seen.seconds, now.seconds)}
			if seen.seconds > limit.Seconds() {
				o.Status, o.Reason = late, "time limit of "+limit.String()+" of processor time"
				_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			}
		case <-over:
			o.Status, o.Reason = late, "time limit of "+(waitingFor*limit).String()
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		case <-ctx.Done():
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
			select {
			case <-ended: //nolint:errcheck // the context has the error
			case <-time.After(2 * time.Second):
				_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			}
			return nil, ctx.Err()
		}
	}
}

const (
	lookEvery  = 200 * time.Millisecond // how often what a command's processes take is looked at
	waitingFor = 10
)

// account notes processor time and memory: as the system counted them of the process and those that it waited for, or as they were seen of all
// its processes together while they ran, whichever is more. The system does not count processes that were ended with it.
func (o *outcome) account(p *os.ProcessState, seen use) {
	o.Processor = max((p.UserTime() + p.SystemTime()).Seconds(), seen.seconds)
	if r, ok := p.SysUsage().(*syscall.Rusage); ok {
		o.PeakMiB = int(max(r.Maxrss<<10, seen.bytes) >> 20)
	}
}

// use is what processes take: memory, of shared pages each its part, and processor time so far.
type use struct {
	bytes   int64
	seconds float64
}

// ticks is how many a second has in /proc, on every system that Go runs on.
const ticks = 100

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

// useOf sums what the processes of a group take.
func useOf(group int) use {
	var total use
	for _, p := range procgroup.Of(group) {
		for _, f := range p.Stat[11:15] { // its own time, and that of processes that it waited for
			n, _ := strconv.ParseInt(f, 10, 64)
			total.seconds += float64(n) / ticks
		}
		total.bytes += p.Bytes["Pss"]
	}
	return total
}
