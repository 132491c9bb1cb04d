package cpu

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner/worker"
	"quantcheck/internal/tensor"
)

// IsWorker says whether this process was started to be a worker of this room; it then calls Work and exits.
func IsWorker() bool { return worker.Is(kind) }

// Work is the worker: it answers requests until the engine is gone. It gives the exit status.
func Work() int {
	const socketFile, memoryFile = 3, 4
	worker.Shield()
	if err := unix.SetNonblock(socketFile, true); err != nil {
		return 1
	}
	w := &served{socket: os.NewFile(socketFile, "engine"), sessions: map[uint64]*held{}, runs: map[uint32]*run{}}
	var info unix.Stat_t
	err := unix.Fstat(memoryFile, &info)
	if err == nil {
		w.memory, err = unix.Mmap(memoryFile, 0, int(info.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	}
	if err != nil {
		panic(fmt.Errorf("map the shared memory: %w", err)) // its last words
	}
	r := bufio.NewReaderSize(w.socket, 1<<16)
	for {
		f, err := readFrame(r)
		if err != nil {
			return 0 // the engine is gone or done, be runs under way or not
		}
		w.take(f)
	}
}

// served is what a worker holds.
type served struct {
	socket  *os.File
	write   sync.Mutex
	memory  []byte
	r       *onnxruntime.Runtime
	bound   bound
	threads threads // of the library's calls

	mu       sync.Mutex
	next     uint64
	sessions map[uint64]*held
	runs     map[uint32]*run // under way
}

// held is a session, and what its model takes.
type held struct {
	*onnxruntime.Session
	bytes int64
}

// run is an inference under way.
type run struct {
	stop context.CancelFunc
	lent chan spot
}

// take begins what a frame asks for.
func (w *served) take(f frame) {
	switch f.op {
	case opOpen:
		w.outcome(f, w.open)()
	case opCompile:
		w.threads.run(func() func() { return w.outcome(f, w.compile) })
	case opTypes:
		w.outcome(f, w.types)()
	case opRun:
		ctx, stop := context.WithCancel(context.Background())
		one := &run{stop, make(chan spot, 1)}
		w.mu.Lock()
		w.runs[f.id] = one
		w.mu.Unlock()
		w.threads.run(func() func() {
			return w.outcome(f, func(body []byte) ([]byte, error) {
				defer w.forget(f.id)
				return nil, w.run(ctx, f.id, one, body)
			})
		})
	case opStop, opLent:
		w.mu.Lock()
		one := w.runs[f.id]
		w.mu.Unlock()
		if one == nil {
			return
		}
		if f.op == opStop {
			one.stop()
			return
		}
		r := reader{b: f.body}
		one.lent <- r.spot()
	case opClose:
		w.close(f.body)
	case opTrim:
		if w.r != nil {
			w.r.ReturnMemory()
		}
	}
}

// outcome does what was asked and gives what says how it went.
func (w *served) outcome(f frame, work func(body []byte) ([]byte, error)) (say func()) {
	body, err := work(f.body)
	answer := frame{opDone, f.id, body}
	if err != nil {
		told := failure{Text: err.Error(), NoLibrary: errors.Is(err, onnxruntime.ErrNoLibrary), Memory: worker.WantsMemory(err.Error())}
		var library *onnxruntime.Error
		told.Library = errors.As(err, &library)
		answer.op = opFailed
		answer.body, _ = json.Marshal(told)
	}
	return func() { w.send(answer) }
}

func (w *served) send(f frame) {
	w.write.Lock()
	defer w.write.Unlock()
	_, _ = w.socket.Write(f.bytes()) // with an error the engine is gone, and reading says so
}

func (w *served) open(body []byte) ([]byte, error) {
	var o opening
	if err := json.Unmarshal(body, &o); err != nil {
		return nil, err
	}
	var err error
	if w.r, err = onnxruntime.Open(o.Library, o.Threads); err != nil {
		return nil, err
	}
	if err := w.bound.set(o.Memory, o.Threads); err != nil {
		return nil, err
	}
	return json.Marshal(opened{Version: w.r.Version})
}

func (w *served) compile(body []byte) ([]byte, error) {
	var c compiling
	if err := json.Unmarshal(body, &c); err != nil {
		return nil, err
	}
	if c.At < 0 || c.Bytes <= 0 || c.Bytes > len(w.memory) || c.At > len(w.memory)-c.Bytes {
		return nil, errFrame
	}
	h := &held{bytes: int64(c.Bytes) + c.Options.ExternalBytes}
	w.bound.add(h.bytes)
	var err error
	if h.Session, err = w.r.NewSession(w.memory[c.At:c.At+c.Bytes], c.Inputs, c.Outputs, c.Options); err != nil {
		w.bound.add(-h.bytes)
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next++
	w.sessions[w.next] = h
	answer := binary.AppendUvarint(nil, w.next)
	types, err := h.OutputTypes()
	if err != nil {
		return answer, nil // who asks for them is told
	}
	told, err := json.Marshal(types)
	return append(answer, told...), err
}

func (w *served) session(r *reader) (*held, error) {
	id := r.uint()
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.sessions[id]
	if r.err != nil || s == nil {
		return nil, errFrame
	}
	return s, nil
}

func (w *served) types(body []byte) ([]byte, error) {
	s, err := w.session(&reader{b: body})
	if err != nil {
		return nil, err
	}
	types, err := s.OutputTypes()
	if err != nil {
		return nil, err
	}
	return json.Marshal(types)
}

func (w *served) close(body []byte) {
	r := reader{b: body}
	id := r.uint()
	w.mu.Lock()
	s := w.sessions[id]
	delete(w.sessions, id)
	w.mu.Unlock()
	if s != nil {
		s.Close()
		w.bound.add(-s.bytes)
	}
}

func (w *served) run(ctx context.Context, id uint32, one *run, body []byte) error {
	r := reader{b: body}
	s, err := w.session(&r)
	if err != nil {
		return err
	}
	inputs, err := w.tensors(r.spots())
	if err != nil {
		return err
	}
	outputs, err := w.tensors(r.spots())
	if err != nil || r.err != nil {
		return errors.Join(err, r.err)
	}
	return s.Run(ctx, inputs, outputs, func(i int, d tensor.DType, shape []int64) (tensor.Tensor, error) {
		w.send(frame{opNeed, id, spot{dtype: d, shape: shape}.append(binary.AppendUvarint(nil, uint64(i)))})
		select {
		case at := <-one.lent:
			if at.dtype != d {
				return tensor.Tensor{}, errRefused
			}
			at.shape = shape
			return at.tensor(w.memory)
		case <-ctx.Done():
			return tensor.Tensor{}, ctx.Err()
		}
	})
}

// errRefused means that the engine gives an output no memory; it knows why.
var errRefused = errors.New("no memory is lent")

func (w *served) tensors(list []spot) ([]tensor.Tensor, error) {
	tensors := make([]tensor.Tensor, len(list))
	var err error
	for i, s := range list {
		if tensors[i], err = s.tensor(w.memory); err != nil {
			return nil, err
		}
	}
	return tensors, nil
}

func (w *served) forget(id uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.runs[id].stop()
	delete(w.runs, id)
}
