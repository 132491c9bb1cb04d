package cpu

import (
	"container/list"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/tensor"
)

// Engine is an ort.Engine in a worker.
type Engine struct {
	ctx    context.Context //nolint:containedctx // the workers live as long as it
	o      Options
	about  ort.About
	file   *os.File // the shared memory
	pool   *pool
	bounce *runner.Arena // for tensors that do not lie in the shared memory

	mu   sync.Mutex
	link *link // nil: none yet, or closed

	shelf shelf
}

// Open starts a worker with the library; the error is an onnxruntime.ErrNoLibrary if it cannot be loaded. The engine ends with ctx:
// what is computed then gives ctx's error within a second.
func Open(ctx context.Context, o Options) (*Engine, error) {
	e := &Engine{ctx: ctx, o: o, shelf: shelf{limit: modelsOf(o.Memory)}}
	var err error
	if e.o.Library, err = filepath.Abs(o.Library); err != nil { // the worker runs in a folder of its own
		return nil, err
	}
	file, memory, err := share(o.Memory)
	if err != nil {
		return nil, err
	}
	e.file, e.pool = file, newPool(memory, int(min(o.Memory/warmShare, mostWarm)), func(from, n int) { punch(file, from, n) })
	e.bounce = e.NewArena(64 << 20)
	l, told, err := connect(ctx, e.o, file)
	if err != nil {
		e.Close()
		return nil, err
	}
	e.link = l
	e.about = ort.About{Path: o.Library, Version: told.Version, Threads: o.Threads, Memory: o.Memory}
	return e, nil
}

// Close ends the worker and frees the shared memory; no tensor of it may be used any more.
func (e *Engine) Close() {
	e.mu.Lock()
	l := e.link
	e.link = nil
	e.mu.Unlock()
	if l != nil {
		l.end()
	}
	e.bounce.Empty()
	left.Add(int64(e.pool.Held()))
	if e.pool.Held() == 0 {
		_ = unix.Munmap(e.pool.memory)
	} else { // whoever still reads it reads zeros
		punch(e.file, 0, len(e.pool.memory))
	}
	e.file.Close()
}

var left atomic.Int64

// Left is how many bytes of shared memory engines had lent when they were closed, of all that were: arenas that were not emptied, and
// tensors that were not given back.
func Left() int64 { return left.Load() }

// Apart starts an engine of its own, beside this one and with its bounds, that gives up early.
func (e *Engine) Apart(limit time.Duration) (ort.Engine, func(), error) {
	o := e.o
	o.TimeLimit = limit
	other, err := Open(e.ctx, o)
	if err != nil {
		return nil, nil, err
	}
	return other, other.Close, nil
}

// About implements ort.Engine.
func (e *Engine) About() ort.About { return e.about }

// NewArena implements ort.Engine.
func (e *Engine) NewArena(keep int64) *runner.Arena { return runner.NewArenaOn(e.pool, keep) }

// Held is how many bytes of the shared memory are taken, idle buffers of arenas among them.
func (e *Engine) Held() int { return e.pool.Held() }

// PID is the worker's process; 0 if there is none.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.link == nil {
		return 0
	}
	return e.link.process.PID()
}

// ReturnMemory implements ort.Engine.
func (e *Engine) ReturnMemory() {
	e.pool.Trim()
	e.mu.Lock()
	l := e.link
	e.mu.Unlock()
	if l != nil {
		_ = l.send(frame{op: opTrim})
	}
}

// live gives a worker that lives: the one there is, or a new one if that has died.
func (e *Engine) live() (*link, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.ctx.Err(); err != nil {
		return nil, err
	}
	if e.link == nil {
		return nil, errEnded
	}
	select {
	case <-e.link.dead:
	default:
		return e.link, nil
	}
	l, _, err := connect(e.ctx, e.o, e.file)
	if err != nil {
		return nil, err
	}
	e.link = l
	return l, nil
}

// NewSession implements ort.Engine.
func (e *Engine) NewSession(model []byte, inputs, outputs []string, o onnxruntime.Options) (ort.Session, error) {
	l, err := e.live()
	if err != nil {
		return nil, err
	}
	memory := e.pool.Take(len(model))
	if memory == nil {
		return nil, &ort.MemoryError{Bytes: int64(len(model)), Memory: e.o.Memory}
	}
	defer e.pool.Drop(memory)
	copy(memory, model)
	s := &session{e: e, bytes: int64(len(model)) + o.ExternalBytes, inputs: len(inputs), outputs: len(outputs)}
	e.shelf.makeRoom(s.bytes)
	at, _ := onnxruntime.Offset(e.pool.memory, memory)
	request, err := json.Marshal(compiling{At: at, Bytes: len(model), Inputs: inputs, Outputs: outputs, Options: o})
	if err != nil {
		return nil, err
	}
	answer, err := l.ask(e.ctx, opCompile, request, e.o.TimeLimit, nil)
	if err != nil {
		return nil, err
	}
	r := reader{b: answer}
	s.link, s.id, s.types = l, r.uint(), r.b
	if r.err == nil {
		e.shelf.put(s)
	}
	return s, r.err
}

// session is an ort.Session in a worker.
type session struct {
	e               *Engine
	link            *link
	id              uint64
	types           []byte // of its outputs, as JSON; empty: the worker is asked, which says why
	bytes           int64  // of its model
	inputs, outputs int

	place *list.Element // on the shelf; nil: it is not there
	runs  int           // under way
}

// Close implements ort.Session.
func (s *session) Close() {
	if s.e.shelf.take(s) {
		s.free()
	}
}

// free has the worker free the session.
func (s *session) free() {
	_ = s.link.send(frame{op: opClose, body: binary.AppendUvarint(nil, s.id)}) // with a dead worker it is gone
}

// OutputTypes implements ort.Session.
func (s *session) OutputTypes() ([]onnxruntime.Type, error) {
	answer := s.types
	if len(answer) == 0 {
		var err error
		if answer, err = s.link.ask(s.e.ctx, opTypes, binary.AppendUvarint(nil, s.id), s.e.o.TimeLimit, nil); err != nil {
			return nil, err
		}
	}
	var types []onnxruntime.Type
	return types, json.Unmarshal(answer, &types)
}

// Run implements ort.Session.
func (s *session) Run(ctx context.Context, inputs, outputs []tensor.Tensor, lend onnxruntime.Lend) error {
	if len(inputs) != s.inputs || len(outputs) != s.outputs {
		return fmt.Errorf("session has %d inputs and %d outputs, got %d and %d", s.inputs, s.outputs, len(inputs), len(outputs))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.link.dead:
		return ort.ErrGone
	default:
	}
	if !s.e.shelf.begin(s) {
		return ort.ErrGone
	}
	defer s.e.shelf.end(s)
	c := crossing{e: s.e}
	defer c.done()
	body := binary.AppendUvarint(make([]byte, 0, 24*(len(inputs)+len(outputs)+1)), s.id)
	body = binary.AppendUvarint(body, uint64(len(inputs)))
	for _, t := range inputs {
		body = c.spot(t, true).append(body)
	}
	body = binary.AppendUvarint(body, uint64(len(outputs)))
	for _, t := range outputs {
		body = c.spot(t, false).append(body)
	}
	var refused error
	_, err := s.link.ask(ctx, opRun, body, s.e.o.TimeLimit, func(body []byte) []byte {
		r := reader{b: body}
		i, place := int(r.uint()), r.spot()
		if r.err != nil || i >= len(outputs) {
			refused = errFrame
			return spot{}.append(nil)
		}
		if outputs[i], refused = lend(i, place.dtype, place.shape); refused != nil {
			return spot{}.append(nil)
		}
		return c.spot(outputs[i], false).append(nil)
	})
	if refused != nil {
		return refused
	}
	if err == nil {
		c.back()
	}
	return err
}

// crossing carries tensors that do not lie in the shared memory over and back.
type crossing struct {
	e       *Engine
	carried []carried
}

type carried struct {
	own, shared tensor.Tensor
	input       bool
}

// spot says where a tensor lies, or a copy of it.
func (c *crossing) spot(t tensor.Tensor, input bool) spot {
	if t.DType == tensor.Undefined {
		return spot{}
	}
	at, shared := onnxruntime.Offset(c.e.pool.memory, onnxruntime.Bytes(t))
	if !shared {
		over := c.e.bounce.Lend(t.DType, t.Shape)
		if input {
			copy(onnxruntime.Bytes(over), onnxruntime.Bytes(t))
		}
		c.carried = append(c.carried, carried{t, over, input})
		at, _ = onnxruntime.Offset(c.e.pool.memory, onnxruntime.Bytes(over))
	}
	return spot{t.DType, t.Shape, at}
}

// back copies the outputs.
func (c *crossing) back() {
	for _, x := range c.carried {
		if !x.input {
			copy(onnxruntime.Bytes(x.own), onnxruntime.Bytes(x.shared))
		}
	}
}

func (c *crossing) done() {
	for _, x := range c.carried {
		c.e.bounce.GiveBack(x.shared)
	}
}
