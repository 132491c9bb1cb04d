package worker

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"quantcheck/internal/runner"
	"quantcheck/internal/scratch"
)

// Session is one graph in one worker. It may be used from one goroutine at a time; Kill may be called from any.
type Session struct {
	Opened Answer // what the worker said of the graph
	Memory []byte // shared with the worker; gone after Close

	ctx     context.Context //nolint:containedctx // the worker lives as long as it
	job     Job
	memory  *os.File
	dir     string // the worker's own working folder
	stopped func() bool

	mu   sync.Mutex
	work *running
}

// running is a worker with the pipes to it.
type running struct {
	*Process
	requests *os.File
	answers  *bufio.Reader
	pipe     *os.File // of the answers
	over     bool     // nothing can be asked any more
}

// Open starts a worker with a job. It ends with ctx. A worker that dies while it opens the graph is started once more; the
// error is then a *DiedError, and what Job.Failed says if the graph could not be opened.
func Open(ctx context.Context, job Job) (*Session, error) {
	s := &Session{ctx: ctx, job: job}
	var err error
	if s.dir, err = scratch.Folder(job.Scratch, "htp"); err != nil {
		return nil, err
	}
	if s.memory, err = MemoryFile("tensors"); err != nil {
		s.Close()
		return nil, err
	}
	s.stopped = context.AfterFunc(ctx, s.Kill)
	if err := s.start(); err != nil {
		// A worker that died while it opened the graph gets a second chance; what it said against the graph does not.
		var died *DiedError
		if errors.As(err, &died) && ctx.Err() == nil {
			err = s.start()
		}
		if err != nil {
			s.Close()
			return nil, err
		}
	}
	info, err := s.memory.Stat()
	if err == nil && (s.Opened.Bytes < 0 || info.Size() < int64(s.Opened.Bytes)) {
		err = errors.New("the worker shares less memory than it says")
	}
	if err == nil {
		s.Memory, err = unix.Mmap(int(s.memory.Fd()), 0, max(s.Opened.Bytes, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Dir is the worker's working folder, where its libraries leave files; gone after Close.
func (s *Session) Dir() string { return s.dir }

// start starts a worker and lets it open the graph.
func (s *Session) start() error {
	requestsRead, requestsWrite, err := os.Pipe()
	if err != nil {
		return err
	}
	answersRead, answersWrite, err := os.Pipe()
	if err != nil {
		requestsRead.Close()
		requestsWrite.Close()
		return err
	}
	p := &running{requests: requestsWrite, answers: bufio.NewReaderSize(answersRead, 1<<16), pipe: answersRead}
	if _, err = s.job.Model.Seek(0, io.SeekStart); err == nil {
		p.Process, err = Start(s.job.Kind, s.dir, requestsRead, answersWrite, s.memory, s.job.Model)
	}
	// Only the worker holds its ends now: when it dies, reading its answers ends.
	requestsRead.Close()
	answersWrite.Close()
	if err != nil {
		requestsWrite.Close()
		answersRead.Close()
		return err
	}
	s.mu.Lock()
	s.work = p
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		s.Kill()
	}
	a, err := s.ask(s.job.Request)
	if err != nil {
		return err
	}
	if a.Error != "" {
		if err := s.job.failed(a); err != nil {
			return err
		}
		return NotTaken(a.Error, p.Words())
	}
	s.Opened = a
	return nil
}

// ask sends a request and waits for its answer.
func (s *Session) ask(request any) (Answer, error) {
	s.mu.Lock()
	p := s.work
	s.mu.Unlock()
	line, err := json.Marshal(request)
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	var reply []byte
	if _, err = p.requests.Write(append(line, '\n')); err == nil {
		if reply, err = p.answers.ReadBytes('\n'); err == nil {
			err = json.Unmarshal(reply, &a)
		}
	}
	if err == nil {
		return a, nil
	}
	died := p.end()
	if s.ctx.Err() != nil {
		return a, s.ctx.Err()
	}
	return a, died
}

// Run makes an inference on what stands in the shared memory. A worker that dies is started anew once. Errors that concern
// this sample only are runner.ErrSample; a worker that died twice is a *DiedError among them. ctx ends the inference, and the
// worker with it; the next Run starts it anew.
func (s *Session) Run(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stopped := context.AfterFunc(ctx, s.Kill)
	defer stopped()
	err := s.run(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

func (s *Session) run(ctx context.Context) error {
	s.mu.Lock()
	gone := s.work == nil || s.work.over
	s.mu.Unlock()
	if gone {
		if err := s.start(); err != nil {
			return s.asSample(err)
		}
	}
	a, err := s.ask(struct{}{})
	var died *DiedError
	if errors.As(err, &died) && ctx.Err() == nil {
		if err = s.start(); err == nil {
			a, err = s.ask(struct{}{})
		}
	}
	switch {
	case err != nil:
		return s.asSample(err)
	case a.Error != "":
		if err := s.job.failed(a); err != nil {
			return s.asSample(err)
		}
		return s.asSample(fmt.Errorf("the emulator: %s", a.Error))
	}
	return nil
}

func (s *Session) asSample(err error) error {
	if s.ctx.Err() != nil {
		return s.ctx.Err()
	}
	return fmt.Errorf("%w: %w", runner.ErrSample, err)
}

// end makes sure that the worker is gone, and says how it went.
func (p *running) end() *DiedError {
	p.over = true
	p.requests.Close()
	p.pipe.Close()
	return p.End()
}

// Kill ends the worker at once; the next Run starts it anew.
func (s *Session) Kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work != nil {
		s.work.Kill()
	}
}

// Close ends the worker and frees what the session holds.
func (s *Session) Close() {
	if s.stopped != nil {
		s.stopped()
	}
	s.mu.Lock()
	p := s.work
	s.work = nil
	s.mu.Unlock()
	if p != nil && !p.over {
		p.Kill()
		_ = p.end() // how it ended is known: it was asked to
	}
	if s.Memory != nil {
		_ = unix.Munmap(s.Memory)
		s.Memory = nil
	}
	if s.memory != nil {
		s.memory.Close()
	}
	_ = os.RemoveAll(s.dir)
}
