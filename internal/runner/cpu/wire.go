package cpu

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/tensor"
)

// op is what a frame says.
type op byte

// The engine's frames, and the worker's answers. Bodies are JSON where they are rare, else as the functions below write them.
const (
	opOpen    op = iota + 1 // opening: load the library
	opCompile               // compiling: compile a model that lies in the shared memory
	opTypes                 // session: tell its outputs' types
	opRun                   // session, inputs, outputs: make an inference; the frame's number names it
	opStop                  // end the run of the frame's number
	opLent                  // a place: where the run of the frame's number may put its output; none: nowhere
	opClose                 // session: free it
	opTrim                  // return what is free to the system
	opDone                  // the answer
	opFailed                // failure
	opNeed                  // a type: the run of the frame's number needs memory for an output
)

// frame is a request or an answer.
type frame struct {
	op   op
	id   uint32 // of the request
	body []byte
}

const (
	headBytes = 9
	mostBytes = 1 << 28 // of a body
)

var errFrame = errors.New("a frame that cannot be understood")

// bytes is the frame as it is sent.
func (f frame) bytes() []byte {
	b := make([]byte, 0, headBytes+len(f.body))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.body)))
	b = append(b, byte(f.op))
	b = binary.LittleEndian.AppendUint32(b, f.id)
	return append(b, f.body...)
}

func readFrame(r *bufio.Reader) (frame, error) {
	var head [headBytes]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > mostBytes {
		return frame{}, errFrame
	}
	f := frame{op: op(head[4]), id: binary.LittleEndian.Uint32(head[5:]), body: make([]byte, n)}
	_, err := io.ReadFull(r, f.body)
	return f, err
}

// spot is a tensor in the shared memory; without a type it has no place yet.
type spot struct {
	dtype tensor.DType
	shape []int64
	at    int
}

func (s spot) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(s.dtype))
	if s.dtype == tensor.Undefined {
		return b
	}
	b = binary.AppendUvarint(b, uint64(len(s.shape)))
	for _, d := range s.shape {
		b = binary.AppendUvarint(b, uint64(d))
	}
	return binary.AppendUvarint(b, uint64(s.at))
}

// tensor is the spot's memory.
func (s spot) tensor(memory []byte) (tensor.Tensor, error) {
	t := tensor.Tensor{DType: s.dtype, Shape: s.shape}
	if s.dtype == tensor.Undefined {
		return t, nil
	}
	n, err := tensor.Count(s.shape)
	if err != nil {
		return t, err
	}
	size := tensor.ByteSize(s.dtype, n)
	if s.at < 0 || size > len(memory) || s.at > len(memory)-size {
		return t, fmt.Errorf("%s%v at %d lies outside of the shared memory", s.dtype, s.shape, s.at)
	}
	bytes := memory[s.at : s.at+size : s.at+size]
	if s.dtype == tensor.Float32 {
		t.F32 = onnxruntime.Mapped(bytes)
	} else {
		t.Raw = bytes
	}
	return t, nil
}

// reader takes a body apart; its error stays.
type reader struct {
	b   []byte
	err error
}

func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.err, r.b = errFrame, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of things that take at least a byte each.
func (r *reader) count() int {
	n := r.uint()
	if n > uint64(len(r.b)) {
		r.err, r.b = errFrame, nil
		return 0
	}
	return int(n)
}

func (r *reader) spot() spot {
	s := spot{dtype: tensor.DType(r.uint())}
	if s.dtype == tensor.Undefined {
		return s
	}
	s.shape = make([]int64, r.count())
	for i := range s.shape {
		s.shape[i] = int64(r.uint())
	}
	s.at = int(r.uint())
	return s
}

func (r *reader) spots() []spot {
	list := make([]spot, r.count())
	for i := range list {
		list[i] = r.spot()
	}
	return list
}

// opening is what opens the library, and opened what it says of itself.
type opening struct {
	Library string `json:"library"`
	Threads int    `json:"threads"`
	Memory  int64  `json:"memory"`
}

type opened struct {
	Version string `json:"version"`
}

// compiling is a model in the shared memory.
type compiling struct {
	At      int                 `json:"at"`
	Bytes   int                 `json:"bytes"`
	Inputs  []string            `json:"inputs"`
	Outputs []string            `json:"outputs"`
	Options onnxruntime.Options `json:"options"`
}

// failure is an error.
type failure struct {
	Text      string `json:"text"`
	Library   bool   `json:"library"`    // ONNX Runtime says it
	NoLibrary bool   `json:"no_library"` // there is none
	Memory    bool   `json:"memory"`     // there was too little
}
