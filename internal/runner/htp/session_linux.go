package htp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/sys/unix"

	"quantcheck/internal/runner"
)

// session is one graph in one worker, as the parent sees it. It may be used from one goroutine at a time; kill may be
// called from any.
type session struct {
	ctx     context.Context //nolint:containedctx // the worker lives as long as it
	load    load
	model   *os.File // the graph
	memory  *os.File // the tensors
	mapped  []byte
	opened  answer
	dir     string // the worker's own working folder
	stopped func() bool

	mu   sync.Mutex
	work *process
}

// process is a running worker.
type process struct {
	cmd      *exec.Cmd
	requests *os.File
	answers  *bufio.Reader
	pipe     *os.File // of the answers
	log      *os.File
}

// openSession starts a worker with a graph. The error is a *RefusedError if the HTP does not take it.
func openSession(ctx context.Context, l load, model []byte) (*session, error) {
	s := &session{ctx: ctx, load: l}
	var err error
	if s.dir, err = os.MkdirTemp("", "quantcheck-htp-*"); err != nil {
		return nil, err
	}
	if s.model, err = memoryFileOf("model"); err == nil {
		if _, err = s.model.Write(model); err == nil {
			s.memory, err = memoryFileOf("tensors")
		}
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.stopped = context.AfterFunc(ctx, s.kill)
	if err := s.start(); err != nil {
		// A worker that died while it opened the graph gets a second chance; what it said against the graph does not.
		var died *diedError
		if errors.As(err, &died) && ctx.Err() == nil {
			err = s.start()
		}
		if err != nil {
			s.close()
			return nil, err
		}
	}
	if s.mapped, err = unix.Mmap(int(s.memory.Fd()), 0, max(s.opened.Bytes, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func memoryFileOf(name string) (*os.File, error) {
	fd, err := unix.MemfdCreate("quantcheck-"+name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memory for the emulator: %w", err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// diedError means that a worker ended although it was not asked to.
type diedError struct{ how, words string }

func (e *diedError) Error() string {
	return fmt.Sprintf("the emulator's process ended (%s), %s", e.how, e.words)
}

// start starts a worker and lets it open the graph.
func (s *session) start() error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := memoryFileOf("log")
	if err != nil {
		return err
	}
	requestsRead, requestsWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	answersRead, answersWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	p := &process{cmd: exec.Command(exe), requests: requestsWrite, answers: bufio.NewReaderSize(answersRead, 1<<16), pipe: answersRead, log: log} //nolint:noctx // it is killed when the session's context ends
	p.cmd.Env = append(os.Environ(), workerVariable+"=1", "TMPDIR="+s.dir)                                                                        // the libraries leave files there
	p.cmd.Dir = s.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.ExtraFiles = []*os.File{requestsRead, answersWrite, s.memory, s.model}
	if _, err = s.model.Seek(0, io.SeekStart); err == nil {
		err = p.cmd.Start()
	}
	// Only the worker holds its ends now: when it dies, reading its answers ends.
	requestsRead.Close()
	answersWrite.Close()
	if err != nil {
		requestsWrite.Close()
		answersRead.Close()
		log.Close()
		return fmt.Errorf("start the emulator's process: %w", err)
	}
	s.mu.Lock()
	s.work = p
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		s.kill()
	}
	a, err := s.ask(s.load)
	if err != nil {
		return err
	}
	switch {
	case len(a.Refused) > 0 && a.Error != "":
		return &RefusedError{a.Refused}
	case a.Error != "":
		return fmt.Errorf("the emulator does not take the model: %s; %s", a.Error, lastWords(p.text()))
	}
	s.opened = a
	return nil
}

// ask sends a request and waits for its answer.
func (s *session) ask(request any) (answer, error) {
	s.mu.Lock()
	p := s.work
	s.mu.Unlock()
	line, err := json.Marshal(request)
	if err != nil {
		return answer{}, err
	}
	var a answer
	var reply []byte
	if _, err = p.requests.Write(append(line, '\n')); err == nil {
		if reply, err = p.answers.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(reply, &a)
		}
	}
	if err == nil {
		return a, nil
	}
	words := lastWords(p.text())
	how := p.end()
	if s.ctx.Err() != nil {
		return a, s.ctx.Err()
	}
	return a, &diedError{how, words}
}

// run makes an inference on what stands in the shared memory. A worker that dies is started anew once. Errors that
// concern this sample only are runner.ErrSample.
func (s *session) run() error {
	s.mu.Lock()
	gone := s.work == nil || s.work.cmd.ProcessState != nil
	s.mu.Unlock()
	if gone {
		if err := s.start(); err != nil {
			return s.asSample(err)
		}
	}
	a, err := s.ask(struct{}{})
	var died *diedError
	if errors.As(err, &died) {
		if err = s.start(); err == nil {
			a, err = s.ask(struct{}{})
		}
	}
	switch {
	case err != nil:
		return s.asSample(err)
	case a.Error != "":
		return s.asSample(fmt.Errorf("the emulator: %s", a.Error))
	}
	return nil
}

func (s *session) asSample(err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	return fmt.Errorf("%w: %w", runner.ErrSample, err)
}

// text is what the worker wrote.
func (p *process) text() string {
	const tail = 1 << 16
	size, err := p.log.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	b := make([]byte, min(size, tail))
	n, _ := p.log.ReadAt(b, size-int64(len(b)))
	return string(b[:n])
}

// end makes sure that the process is gone, and says how it went.
func (p *process) end() string {
	p.requests.Close()
	_ = p.cmd.Process.Kill() // if it still runs
	_ = p.cmd.Wait()
	p.pipe.Close()
	p.log.Close()
	return p.cmd.ProcessState.String()
}

// kill ends the worker at once.
func (s *session) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work != nil && s.work.cmd.Process != nil {
		_ = s.work.cmd.Process.Kill()
	}
}

// close ends the worker and frees what the session holds.
func (s *session) close() {
	if s.stopped != nil {
		s.stopped()
	}
	s.mu.Lock()
	p := s.work
	s.work = nil
	s.mu.Unlock()
	if p != nil && p.cmd.ProcessState == nil {
		p.end()
	}
	if s.mapped != nil {
		_ = unix.Munmap(s.mapped)
		s.mapped = nil
	}
	for _, f := range []*os.File{s.model, s.memory} {
		if f != nil {
			f.Close()
		}
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}
