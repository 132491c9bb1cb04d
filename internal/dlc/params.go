package dlc

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// params finds the values of tensors in model.params.
type params struct {
	values map[paramKey]span
	err    error
}

// paramKey is a tensor of a graph, or of a node's attributes.
type paramKey struct {
	graph, owner int
	name         string
}

// span is where values lie.
type span struct {
	member string
	at     int64
	bytes  int64
}

// Data reads a tensor's values, of weights or of a tensor attribute, as they stand in the file.
func (f *File) Data(t *Tensor) ([]byte, error) {
	if f.params == nil {
		f.params = &params{values: map[paramKey]span{}}
		f.params.err = f.readParams()
	}
	if f.params.err != nil {
		return nil, fmt.Errorf("values of %s: %w", t.Name, f.params.err)
	}
	s, ok := f.params.values[paramKey{t.graph, t.owner, t.Name}]
	if !ok {
		return nil, fmt.Errorf("the DLC has no values of the tensor %s", t.Name)
	}
	member := f.members[s.member]
	if member == nil || s.at < 0 || s.bytes < 0 || s.at > member.Size()-s.bytes {
		return nil, fmt.Errorf("the values of %s lie outside of %s", t.Name, s.member)
	}
	if want := t.Bytes(); want >= 0 && want != s.bytes && (t.DType.Bits() != 4 || (want+1)/2 != s.bytes) {
		return nil, fmt.Errorf("tensor %s takes %d bytes, the DLC has %d", t.Name, want, s.bytes)
	}
	data := make([]byte, s.bytes)
	if _, err := member.ReadAt(data, s.at); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return data, nil
}

// readParams indexes the parameters of a version-4 file; no values are read.
func (f *File) readParams() error {
	member, ok := f.members["model.params"]
	if !ok {
		return fmt.Errorf("a %s has no model.params", f.Format)
	}
	if f.Major != 4 {
		return fmt.Errorf("values of a DLC of version %d are not read", f.Major)
	}
	const header = 8
	if member.Size() < header+8 {
		return errDamaged
	}
	body := &onDisk{r: io.NewSectionReader(member, header, member.Size()-header), total: member.Size() - header}
	flat := newFlat(body)
	identifier := string(flat.at(4, 4))
	root := flat.table(int64(flat.u32(0)))
	var buffers []span
	switch identifier {
	case "NETP":
	case "NR64":
		for _, b := range root.tables(4) {
			at, n := b.bytes64(4)
			buffers = append(buffers, span{"model.params", header + at, n})
		}
		at, n := root.vector(6, 1)
		if flat.err != nil {
			return flat.err
		}
		nested := make([]byte, n)
		if _, err := member.ReadAt(nested, header+at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		flat = newFlat(inMemory(nested))
		root = flat.table(int64(flat.u32(0)))
	default:
		return fmt.Errorf("a record %q is not known", identifier)
	}
	inPlace := identifier == "NETP"
	for g, graph := range root.tables(4) {
		for _, t := range graph.tables(6) {
			f.place(t, g, -1, buffers, inPlace)
		}
		for n, node := range graph.tables(8) {
			for _, t := range node.tables(4) {
				f.place(t, g, n, buffers, inPlace)
			}
		}
	}
	return flat.err
}

// place notes where a tensor's values lie: in model.params.bin, in a shared buffer, or in the record itself.
func (f *File) place(t table, graph, owner int, buffers []span, inPlace bool) {
	key := paramKey{graph, owner, t.text(4)}
	if ref, ok := t.sub(10); ok {
		f.params.values[key] = span{"model.params.bin", int64(ref.u64(4)), int64(ref.u64(6))}
		return
	}
	if len(buffers) > 0 {
		if i := t.u64(8); i < uint64(len(buffers)) {
			f.params.values[key] = buffers[i]
		}
		return
	}
	if at, n := t.vector(6, 1); n > 0 && inPlace {
		f.params.values[key] = span{"model.params", 8 + at, int64(n)}
	}
}

// Ints gives an attribute's whole numbers: from its tensor, or from a listing's text such as "[0, 2, 3, 1]".
func (f *File) Ints(n Node, attribute string) ([]int, bool) {
	for _, a := range n.Attributes {
		if a.Name != attribute {
			continue
		}
		if a.Tensor == nil {
			return parseInts(a.Text)
		}
		width := a.Tensor.DType.Bits() / 8
		data, err := f.Data(a.Tensor)
		if err != nil || width == 0 || a.Tensor.DType&0xf00 == 0x200 {
			return nil, false
		}
		var list []int
		for i := 0; i+width <= len(data); i += width {
			v := uint64(0)
			for k := range width {
				v |= uint64(data[i+k]) << (8 * k)
			}
			if a.Tensor.DType.Signed() {
				v = uint64(int64(v<<(64-8*width)) >> (64 - 8*width))
			}
			list = append(list, int(v))
		}
		return list, true
	}
	return nil, false
}

func parseInts(text string) ([]int, bool) {
	inner, opened := strings.CutPrefix(text, "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !opened || !closed {
		return nil, false
	}
	var list []int
	for part := range strings.FieldsFuncSeq(inner, func(r rune) bool { return r == ',' || r == ' ' }) {
		v, err := strconv.Atoi(part)
		if err != nil {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}
