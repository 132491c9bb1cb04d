package htpcost

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrTrace means that bytes hold no timeline, or a damaged one.
var ErrTrace = errors.New("no timeline of the compiler's")

// Unit is a kind of unit of the DSP that works.
type Unit int

// The units: scalar threads, the matrix unit, the vector threads, the DMA engine.
const (
	Scalar Unit = iota
	HMX
	HVX
	DMA
)

func (u Unit) String() string { return [...]string{"scalar", "HMX", "HVX", "DMA"}[u] }

// flag is the unit's name in a trace.
func (u Unit) flag() string { return [...]string{"scalar", "uses_hmx", "for_hvx", "for_dma"}[u] }

// Timeline is what the compiler's simulation did.
type Timeline struct {
	Cycles   int64 // when the last event of any kind ended: the estimate
	Events   []Event
	VTCM     []Level   // how full the fast memory was, in the order of time
	Threads  []Thread  // in the order of their numbers
	Settings []Setting // what was simulated ("Hextimate Configuration"), in the file's order
}

// Event is a piece of work. Slices of events may share memory: do not change them.
type Event struct {
	Op      string // the DSP's operator, such as q::ConvLayer_s1.opt
	ID      uint64 // of the DSP's operator
	Step    int    // its place in the compiler's order; the start of work on another unit is an event of the same step
	Start   int64  // cycles
	Cycles  int64
	Unit    Unit
	Thread  int
	Inputs  [][]int64 // shapes, as far as the compiler says them
	Outputs [][]int64
	Bytes   Traffic
}

// Node is the number of the model's operator that the work is done for.
func (e Event) Node() uint32 { return uint32(e.ID) }

// End is the cycle at which the work is done.
func (e Event) End() int64 { return e.Start + e.Cycles }

// Traffic is how many bytes work moves. The events of one step each have the bytes of all of it.
type Traffic struct{ DRAMRead, DRAMWrite, VTCMRead, VTCMWrite int64 }

// Level is how many bytes of the fast memory are in use from a cycle on.
type Level struct{ At, Bytes int64 }

// Thread is a row of the timeline.
type Thread struct {
	ID   int
	Name string
}

// Setting is something that the simulation was told.
type Setting struct{ Key, Value string }

// Setting gives a setting's value.
func (t *Timeline) Setting(key string) (value string, ok bool) {
	i := slices.IndexFunc(t.Settings, func(s Setting) bool { return s.Key == key })
	if i < 0 {
		return "", false
	}
	return t.Settings[i].Value, true
}

// Bounds of what a trace may hold: sums of them fit 64 bits.
const (
	mostCycles  = 1 << 40
	mostBytes   = 1 << 40
	mostEvents  = 1 << 20
	mostThreads = 1 << 10
)

// ReadTrace finds and reads the timeline in a file of the compiler's: a JSON document in Chrome's trace format, alone or among
// binary data. Of several the first one is read. Every error is an ErrTrace.
func ReadTrace(data []byte) (*Timeline, error) {
	t, _, err := readFirst(data)
	return t, err
}

// ReadTraces reads all timelines of a file, in its order. Every error is an ErrTrace.
func ReadTraces(data []byte) ([]*Timeline, error) {
	var list []*Timeline
	for bytes.Contains(data, traceKey) {
		t, end, err := readFirst(data)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
		data = data[end:]
	}
	return list, nil
}

var traceKey = []byte(`"traceEvents"`)

// readFirst reads the first timeline and says where its document ends.
func readFirst(data []byte) (t *Timeline, end int, err error) {
	key := bytes.Index(data, traceKey)
	if key < 0 {
		return nil, 0, fmt.Errorf("%w: it has no traceEvents", ErrTrace)
	}
	var starts []int // a document of its own, or what begins last before the key
	if trimmed := bytes.TrimLeft(data, " \n\t\r"); trimmed[0] == '{' {
		starts = append(starts, len(data)-len(trimmed))
	}
	if last := bytes.LastIndexByte(data[:key], '{'); last >= 0 && !slices.Contains(starts, last) {
		starts = append(starts, last)
	}
	err = errors.New("no document begins before its traceEvents")
	for _, at := range starts {
		r := traceReader{scanner: scanner{data: data, at: at}}
		if err = r.document(); err == nil {
			return r.finish(), r.at, nil
		}
	}
	return nil, 0, fmt.Errorf("%w: %w", ErrTrace, err)
}

// traceReader collects a timeline.
type traceReader struct {
	scanner
	t      Timeline
	found  bool
	guess  []int // events without a flag, whose unit the thread's name tells
	shapes map[string][][]int64
}

func (r *traceReader) document() error {
	r.shapes = map[string][][]int64{}
	for key := range r.members() {
		switch string(key) {
		case "traceEvents":
			if r.found = true; r.peek() != '[' {
				r.fail("traceEvents is no list")
			}
			for n := range r.elements() {
				if n == mostEvents {
					r.fail(fmt.Sprintf("more than %d events", mostEvents))
				}
				r.event()
			}
		case "Hextimate Configuration":
			r.settings()
		default:
			r.skip()
		}
	}
	if r.err == nil && !r.found {
		return errors.New("the document has no traceEvents of its own")
	}
	return r.err
}

// entry is an event of any kind.
type entry struct {
	Event
	operator *string // instead of the name, in traces that Chrome wrote
	phase    string
	unit     bool // said by a flag
	level    int64
	thread   string
}

func (r *traceReader) event() {
	var e entry
	for key := range r.members() {
		switch string(key) {
		case "name":
			e.Op = r.text()
		case "ph":
			e.phase = r.text()
		case "ts":
			e.Start = r.whole(mostCycles)
		case "dur":
			e.Cycles = r.whole(mostCycles)
		case "tid":
			e.Thread = int(r.whole(mostThreads))
		case "args":
			r.args(&e)
		default:
			r.skip()
		}
	}
	if e.phase != "X" {
		e.Cycles = 0 // other kinds have no duration
	}
	if e.End() > mostCycles {
		r.fail(fmt.Sprintf("an event ends after more than %d cycles", int64(mostCycles)))
	}
	if r.err != nil {
		return
	}
	switch {
	case e.phase == "X":
		if e.operator != nil {
			e.Op = *e.operator
		}
		if !e.unit {
			r.guess = append(r.guess, len(r.t.Events))
		}
		r.t.Events = append(r.t.Events, e.Event)
	case e.phase == "C" && e.Op == "TCM usage":
		r.t.VTCM = append(r.t.VTCM, Level{e.Start, e.level})
	case e.phase == "M":
		if e.Op == "thread_name" {
			r.t.Threads = append(r.t.Threads, Thread{e.Thread, e.thread})
		}
		return
	}
	r.t.Cycles = max(r.t.Cycles, e.End())
}

func (r *traceReader) args(e *entry) {
	if r.peek() != '{' {
		r.skip()
		return
	}
	for key := range r.members() {
		switch string(key) {
		case "id":
			r.id(e)
		case "flags":
			r.flags(e)
		case "input_dims":
			e.Inputs = r.dims()
		case "dims":
			e.Outputs = r.dims()
		case "runlist_idx":
			e.Step = int(r.whole(mostCycles))
		case "bw_info":
			r.traffic(&e.Bytes)
		case "Bytes":
			e.level = r.whole(mostBytes)
		case "operator":
			op := r.text()
			e.operator = &op
		case "name":
			e.thread = r.text()
		default:
			r.skip()
		}
	}
}

// id reads the operator's number, a text in base 16.
func (r *traceReader) id(e *entry) {
	from := r.at
	inside, _ := r.raw()
	v, err := strconv.ParseUint(string(inside), 0, 64)
	if err != nil && r.err == nil {
		r.at = from
		r.fail("an operator's id is no number")
	}
	e.ID = v
}

func (r *traceReader) flags(e *entry) {
	said := [4]bool{}
	for range r.elements() {
		flag, _ := r.raw()
		switch string(flag) {
		case "scalar":
			said[Scalar] = true
		case "uses_hmx":
			said[HMX] = true
		case "for_hvx":
			said[HVX] = true
		case "for_dma", "for_hvx_dma":
			said[DMA] = true
		}
	}
	for _, u := range []Unit{HMX, DMA, HVX, Scalar} { // what works hardest counts
		if said[u] {
			e.Unit, e.unit = u, true
			return
		}
	}
}

// dims reads shapes; equal ones share memory.
func (r *traceReader) dims() [][]int64 {
	r.peek()
	from := r.at
	r.skip()
	if r.err != nil {
		return nil
	}
	to := r.at
	if shapes, known := r.shapes[string(r.data[from:to])]; known {
		return shapes
	}
	r.at = from
	var shapes [][]int64
	for range r.elements() {
		var shape []int64
		for range r.elements() {
			shape = append(shape, r.whole(mostBytes))
		}
		shapes = append(shapes, shape)
	}
	r.shapes[string(r.data[from:to])] = shapes
	return shapes
}

func (r *traceReader) traffic(t *Traffic) {
	for key := range r.members() {
		switch string(key) {
		case "dram_read":
			t.DRAMRead = r.whole(mostBytes)
		case "dram_write":
			t.DRAMWrite = r.whole(mostBytes)
		case "vtcm_read":
			t.VTCMRead = r.whole(mostBytes)
		case "vtcm_write":
			t.VTCMWrite = r.whole(mostBytes)
		default:
			r.skip()
		}
	}
}

func (r *traceReader) settings() {
	for key := range r.members() {
		s := Setting{Key: r.decode(key, bytes.IndexByte(key, '\\') >= 0)}
		switch r.peek() {
		case '"':
			s.Value = r.text()
		case '{', '[':
			r.skip() // none is known
			continue
		default:
			s.Value = string(r.word())
		}
		r.t.Settings = append(r.t.Settings, s)
	}
}

// finish sorts the threads and gives each event a unit.
func (r *traceReader) finish() *Timeline {
	t := &r.t
	slices.SortStableFunc(t.Threads, func(a, b Thread) int { return cmp.Compare(a.ID, b.ID) })
	t.Threads = slices.CompactFunc(t.Threads, func(a, b Thread) bool { return a.ID == b.ID })
	slices.SortStableFunc(t.VTCM, func(a, b Level) int { return cmp.Compare(a.At, b.At) })
	for _, i := range r.guess {
		t.Events[i].Unit = t.unitOf(t.Events[i].Thread)
	}
	return t
}

// unitOf tells a thread's unit from its name, else from its number, as the compiler numbers them with four vector threads.
func (t *Timeline) unitOf(thread int) Unit {
	if i, ok := slices.BinarySearchFunc(t.Threads, thread, func(x Thread, id int) int { return cmp.Compare(x.ID, id) }); ok {
		switch name := t.Threads[i].Name; {
		case strings.Contains(name, "DMA"):
			return DMA
		case strings.HasPrefix(name, "HVX"):
			return HVX
		}
		return Scalar
	}
	switch {
	case thread == 0:
		return Scalar
	case thread <= 4:
		return HVX
	}
	return DMA
}
