package worker

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Process is this program once more, started for one kind of work. It may be used by many goroutines.
type Process struct {
	cmd   *exec.Cmd
	log   *os.File // its stdout and stderr
	ours  atomic.Bool
	ended sync.Once
	death DiedError
}

// Start starts a process of a kind in a working folder. It inherits the files as descriptors 3 and up; the caller closes its own
// ends of them. What it writes goes to a file in memory.
func Start(kind, dir string, files ...*os.File) (*Process, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	log, err := MemoryFile("log")
	if err != nil {
		return nil, err
	}
	p := &Process{cmd: exec.Command(exe), log: log}                        //nolint:noctx // its owner ends it
	p.cmd.Env = append(os.Environ(), kindVariable+"="+kind, "TMPDIR="+dir) // the libraries leave files there
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles = files
	if err := p.cmd.Start(); err != nil {
		log.Close()
		return nil, fmt.Errorf("start a process of this program: %w", err)
	}
	return p, nil
}

// MemoryFile makes a file that lies in memory only.
func MemoryFile(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("quantcheck-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for another process: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// text is what the process wrote last.
func (p *Process) text() string {
	const tail = 1 << 16
	size, err := p.log.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(size, tail))
	n, _ := p.log.ReadAt(b, size-int64(len(b)))
	return string(b[:n])
}

// Words are the process's last words.
func (p *Process) Words() string { return LastWords(p.text()) }

// Kill ends the process at once.
func (p *Process) Kill() {
	p.ours.Store(true)
	_ = p.cmd.Process.Kill()
}

// grace is how long a process that has let go of its files may take to be gone.
const grace = time.Second

// End makes sure that the process is gone, and says how it went. A process that ends by itself gets a moment for it. Later calls
// say the same.
func (p *Process) End() *DiedError {
	p.ended.Do(func() {
		gone, forced := make(chan struct{}), false
		go func() {
			_ = p.cmd.Wait()
			close(gone)
		}()
		select {
		case <-gone:
		case <-time.After(grace):
			forced = true
			_ = p.cmd.Process.Kill()
			<-gone
		}
		text := p.text()
		p.log.Close()
		status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
		killed := status.Signaled() && //nolint:misspell // the standard library spells it so
			status.Signal() == syscall.SIGKILL && !p.ours.Load() && !forced
		p.death = DiedError{How: p.cmd.ProcessState.String(), Words: LastWords(text), Memory: killed || WantsMemory(text), Killed: p.ours.Load()}
	})
	return &p.death
}

// Shield makes a worker outlive the signals of a terminal and of those who end a service: its parent decides. A worker that crashes
// leaves no image of its memory.
func Shield() {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
}
