package compose

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ebitengine/purego"

	"quantcheck/internal/abi"
	"quantcheck/internal/dlc"
)

// composition is a graph while the composer builds it: what our three functions see.
type composition struct {
	Description
	expose  func(name string) bool
	seen    map[string]int // tensors by name
	exposed []bool         // beside Tensors
	version []uint64       // of the tensors' structs
	refused string         // the last tensor or node that the backend did not take
}

const notesMost = 100

func (c *composition) note(format string, args ...any) {
	switch {
	case len(c.Notes) < notesMost:
		c.Notes = append(c.Notes, fmt.Sprintf(format, args...))
	case len(c.Notes) == notesMost:
		c.Notes = append(c.Notes, "and more that is not understood")
	}
}

// onTensor stands for tensorCreateGraphTensor. The struct and what it points to are the composer's.
func (b *Backend) onTensor(graph, at uintptr) uintptr {
	c, q := b.now, foreign[qnnTensor](uint64(at))
	t := dlc.Tensor{Name: textAt(q.name), Location: dlc.Location(q.kind), AxisFormat: -1, DType: dlc.DType(q.dtype), SourceDType: dlc.Undefined}
	for _, d := range array[uint32](q.dims, int(min(q.rank, rankMost))) {
		t.Shape = append(t.Shape, int(d))
	}
	t.Encoding = c.encoding(t, q)
	expose := q.kind == native && c.expose != nil && c.expose(t.Name)
	if expose && (t.Bytes() <= 0 || q.rank > rankMost) {
		c.note("tensor %s has no size that is known and is not exposed", t.Name)
		expose = false
	}
	if expose {
		q.kind = appRead
	}
	status, _, _ := purego.SyscallN(wordAt(b.api, tensorCreateGraphTensor), graph, at)
	if status != 0 {
		c.refused = fmt.Sprintf("tensor %q (%s%v)", t.Name, t.DType, t.Shape)
		return status
	}
	t.ID = uint32(q.id)
	if _, twice := c.seen[t.Name]; twice {
		c.note("tensor %s was made twice", t.Name)
	}
	c.seen[t.Name] = len(c.Tensors)
	c.Tensors, c.exposed, c.version = append(c.Tensors, t), append(c.exposed, expose), append(c.version, q.version)
	return 0
}

const (
	rankMost     = 32
	channelsMost = 1 << 24
)

// encoding copies a tensor's encoding; nil with a note for one that cannot be right or is not understood.
func (c *composition) encoding(t dlc.Tensor, q *qnnTensor) *dlc.Encoding {
	if q.defined != 1 || q.encoding == undefined {
		return nil
	}
	union := uint64(addressOf(&q.union))
	words := array[uint32](union, 8)
	axis, n := -1, 1
	bits := t.DType.Bits()
	var scales []float32
	var offsets []int32
	type scaleOffset struct {
		scale  float32
		offset int32
	}
	channels := func(a, count uint32) bool {
		axis, n = int(int32(a)), int(min(count, channelsMost))
		return axis >= 0 && axis < len(t.Shape) && n == t.Shape[axis]
	}
	ok := true
	switch q.encoding {
	case 0:
		s := *foreign[scaleOffset](union)
		scales, offsets = []float32{s.scale}, []int32{s.offset}
	case 1:
		if ok = channels(words[0], words[1]); ok {
			for _, s := range array[scaleOffset](*foreign[uint64](union + 8), n) {
				scales, offsets = append(scales, s.scale), append(offsets, s.offset)
			}
		}
	case 2:
		s := *foreign[scaleOffset](union + 4)
		bits, scales, offsets = int(words[0]), []float32{s.scale}, []int32{s.offset}
	case 3:
		bits = int(words[0])
		if ok = channels(words[1], words[2]); ok {
			scales = slices.Clone(array[float32](*foreign[uint64](union + 16), n))
			if offsets = slices.Clone(array[int32](*foreign[uint64](union + 24), n)); offsets == nil {
				offsets = make([]int32, n) // symmetric
			}
		}
	default:
		c.note("tensor %s: an encoding of kind %d is not understood", t.Name, q.encoding)
		return nil
	}
	if !ok {
		c.note("tensor %s: %d encodings along axis %d of the shape %v are not understood", t.Name, n, axis, t.Shape)
		return nil
	}
	e := dlc.NewEncoding(t.DType, bits, axis, scales, offsets)
	if e == nil {
		c.note("tensor %s: an encoding with %d bits and the scales %.4g is not understood", t.Name, bits, scales[:min(len(scales), 4)])
	}
	return e
}

// onNode stands for graphAddNode.
func (b *Backend) onNode(graph, words uintptr) uintptr {
	op := foreign[qnnOp](uint64(words))
	n := dlc.Node{Name: textAt(op.name), Type: textAt(op.kind), Inputs: names(op.ins, op.nIns), Outputs: names(op.outs, op.nOuts)}
	b.now.Nodes = append(b.now.Nodes, n)
	return b.pass(graphAddNode, graph, op, n)
}

// onValidate stands for backendValidateOpConfig.
func (b *Backend) onValidate(backend, words uintptr) uintptr {
	op := foreign[qnnOp](uint64(words))
	return b.pass(backendValidateOpConfig, backend, op, dlc.Node{Name: textAt(op.name), Type: textAt(op.kind)})
}

// pass hands a node on, without the parameters that the HTP does not take.
func (b *Backend) pass(f function, first uintptr, op *qnnOp, n dlc.Node) uintptr {
	var h hold
	defer h.release()
	words := wordsOf(op)
	if _, some := taken[n.Type]; some {
		var kept []qnnParam
		for _, p := range array[qnnParam](op.params, int(op.nParams)) {
			if takes(n.Type, textAt(p[paramName])) {
				kept = append(kept, p)
			}
		}
		words[opParamCount], words[opParams] = uintptr(len(kept)), 0
		if len(kept) > 0 {
			words[opParams] = at(&h, &kept[0])
		}
	}
	status, err := abi.Call(wordAt(b.api, f), [6]uintptr{first}, words)
	if err != nil {
		status = undefined
	}
	if status != 0 {
		b.now.refused = fmt.Sprintf("node %q (%s)", n.Name, strings.TrimSpace(n.Type))
	}
	return status
}

// names are those of an operation's tensors.
func names(tensors uint64, n uint32) []string {
	var list []string
	for _, t := range array[qnnTensor](tensors, int(n)) {
		list = append(list, textAt(t.name))
	}
	return list
}
