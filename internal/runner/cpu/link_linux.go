package cpu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/worker"
	"quantcheck/internal/scratch"
)

// link is a worker and the socket to it.
type link struct {
	process *worker.Process
	memory  int64 // the bound
	socket  *os.File
	dir     string // the worker's working folder

	write sync.Mutex
	mu    sync.Mutex
	next  uint32
	calls map[uint32]chan frame // under way

	dead  chan struct{} // closed when the worker is gone
	death error         // then: why
}

// connect starts a worker that has mapped the shared memory, and has it load the library.
func connect(ctx context.Context, o Options, shared *os.File) (*link, opened, error) {
	dir, err := scratch.Folder("", kind)
	if err != nil {
		return nil, opened{}, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		_ = os.RemoveAll(dir)
		return nil, opened{}, fmt.Errorf("a socket to ONNX Runtime's process: %w", err)
	}
	_ = unix.SetNonblock(pair[0], true) // so that waiting for it costs no thread
	l := &link{
		socket: os.NewFile(uintptr(pair[0]), "engine"), dir: dir, memory: o.Memory,
		calls: map[uint32]chan frame{}, dead: make(chan struct{}),
	}
	theirs := os.NewFile(uintptr(pair[1]), "worker")
	l.process, err = worker.Start(kind, dir, theirs, shared)
	theirs.Close()
	if err != nil {
		l.socket.Close()
		_ = os.RemoveAll(dir)
		return nil, opened{}, err
	}
	go l.listen()
	var told opened
	request, err := json.Marshal(opening{Library: o.Library, Threads: o.Threads, Memory: o.Memory})
	if err == nil {
		var answer []byte
		if answer, err = l.ask(ctx, opOpen, request, o.TimeLimit, nil); err == nil {
			err = json.Unmarshal(answer, &told)
		}
	}
	if err != nil {
		l.end()
		return nil, opened{}, err
	}
	return l, told, nil
}

// listen hands answers to those who wait for them, until the worker is gone.
func (l *link) listen() {
	r := bufio.NewReaderSize(l.socket, 1<<16)
	for {
		f, err := readFrame(r)
		if err != nil {
			break
		}
		l.mu.Lock()
		if c := l.calls[f.id]; c != nil {
			select {
			case c <- f:
			default: // more than was asked for
			}
		}
		l.mu.Unlock()
	}
	l.death = l.explain(l.process.End())
	l.socket.Close()
	_ = os.RemoveAll(l.dir)
	close(l.dead)
}

// errEnded is the death of a worker that this process ended.
var errEnded = errors.New("ONNX Runtime's process was ended")

var (
	signalled = regexp.MustCompile(`^signal: ([a-z /]+)`)
	failing   = regexp.MustCompile(`SIG[A-Z]+: ([a-z ]+)`)
	asserting = regexp.MustCompile(`([Aa]ssertion [^|]{1,200}? failed)`)
	smashing  = regexp.MustCompile(`\*\*\* ([a-z ]+?) \*\*\*`)
)

// explain says why a worker is gone.
func (l *link) explain(died *worker.DiedError) error {
	switch {
	case died.Killed:
		return errEnded
	case died.Memory:
		return &ort.MemoryError{Memory: l.memory, Killed: signalled.MatchString(died.How)}
	}
	how := died.How
	if m := signalled.FindStringSubmatch(how); m != nil {
		how = m[1]
	}
	for _, sign := range []*regexp.Regexp{failing, asserting, smashing} { // the last says most
		if m := sign.FindStringSubmatch(died.Words); m != nil {
			how = m[1]
		}
	}
	return &ort.CrashError{How: how}
}

// end makes sure that the worker is gone.
func (l *link) end() {
	l.process.Kill()
	<-l.dead
}

// send sends a frame that has no answer, or one more of a call that is under way.
func (l *link) send(f frame) error {
	l.write.Lock()
	defer l.write.Unlock()
	_, err := l.socket.Write(f.bytes())
	return err
}

// ask makes a request and waits for its answer. need answers, if that is given, what the worker asks for meanwhile. When ctx ends or the
// limit is over, the worker is told to stop; if that does not help, it is ended. After ask nothing of the call goes on.
func (l *link) ask(ctx context.Context, o op, body []byte, limit time.Duration, need func(body []byte) []byte) ([]byte, error) {
	answers := make(chan frame, 4)
	l.mu.Lock()
	l.next++
	id := l.next
	l.calls[id] = answers
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.calls, id)
		l.mu.Unlock()
	}()
	if err := l.send(frame{o, id, body}); err != nil {
		<-l.dead
		return nil, l.death
	}
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	done := ctx.Done()
	for {
		select {
		case f := <-answers:
			switch f.op {
			case opNeed:
				if err := l.send(frame{opLent, id, need(f.body)}); err != nil {
					<-l.dead
				}
				continue
			case opFailed:
				if err := ctx.Err(); err != nil {
					return nil, err
				}
				return nil, l.failed(f.body)
			}
			return f.body, nil
		case <-l.dead:
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, l.death
		case <-done:
			done = nil
			_ = l.send(frame{opStop, id, nil})
			late = time.After(patience)
		case <-late:
			l.end()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			return nil, &ort.SlowError{Limit: limit}
		}
	}
}

var (
	requested = regexp.MustCompile(`Failed to allocate memory for requested buffer of size (\d+)`)
	running   = regexp.MustCompile(`while running (\w+) node\. Name:'(.*?)' Status Message`)
)

// failed is the error of an answer.
func (l *link) failed(body []byte) error {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil {
		return err
	}
	switch {
	case f.Memory:
		e := &ort.MemoryError{Memory: l.memory}
		if m := running.FindStringSubmatch(f.Text); m != nil {
			e.Node = fmt.Sprintf("%s (%s)", m[2], m[1])
		}
		if m := requested.FindStringSubmatch(f.Text); m != nil {
			e.Bytes, _ = strconv.ParseInt(m[1], 10, 64)
		}
		return e
	case f.NoLibrary:
		return fmt.Errorf("%w%s", onnxruntime.ErrNoLibrary, strings.TrimPrefix(f.Text, onnxruntime.ErrNoLibrary.Error()))
	case f.Library:
		return &onnxruntime.Error{Message: f.Text}
	}
	return errors.New(f.Text)
}
