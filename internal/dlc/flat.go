package dlc

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// errDamaged means that an offset or a length points outside of its record.
var errDamaged = errors.New("an offset points outside of the record")

// errTooOften means that the parts of a record refer to each other more often than an honest file's do.
var errTooOften = errors.New("the record refers to its parts more often than its size allows")

// source gives n bytes of a record, nil if they are not all in it. They are good until the next call.
type source interface {
	bytes(at int64, n int) []byte
	size() int64
}

// inMemory is a record that was read.
type inMemory []byte

func (m inMemory) size() int64 { return int64(len(m)) }

func (m inMemory) bytes(at int64, n int) []byte {
	if at < 0 || n < 0 || at > int64(len(m))-int64(n) {
		return nil
	}
	return m[at : at+int64(n)]
}

// onDisk is a record of which only the pages in use are read.
type onDisk struct {
	r     io.ReaderAt
	total int64
	page  []byte
	first int64 // position of the page
}

const pageBytes = 32 << 10

func (d *onDisk) size() int64 { return d.total }

func (d *onDisk) bytes(at int64, n int) []byte {
	if at < 0 || n < 0 || at > d.total-int64(n) {
		return nil
	}
	if at < d.first || at+int64(n) > d.first+int64(len(d.page)) {
		d.first = at
		want := min(max(int64(n), pageBytes), d.total-at)
		if int64(cap(d.page)) < want {
			d.page = make([]byte, want)
		}
		d.page = d.page[:want]
		if _, err := d.r.ReadAt(d.page, at); err != nil && !errors.Is(err, io.EOF) {
			d.page = nil
			return nil
		}
	}
	return d.page[at-d.first : at-d.first+int64(n)]
}

// flat reads a flatbuffer. The first thing that is wrong stays as err; from then on everything read is zero, and vectors are
// empty. What may be built from it is bounded by the record's size, whatever its parts refer to.
type flat struct {
	source
	err    error
	budget int64 // objects and bytes of text that may still be built
}

func newFlat(s source) *flat { return &flat{source: s, budget: 4*s.size() + 4096} }

func (f *flat) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *flat) spend(n int) bool {
	if f.budget -= int64(n); f.budget < 0 {
		f.fail(errTooOften)
	}
	return f.err == nil
}

func (f *flat) at(at int64, n int) []byte {
	if f.err != nil {
		return nil
	}
	b := f.bytes(at, n)
	if b == nil {
		f.fail(errDamaged)
	}
	return b
}

func (f *flat) u32(at int64) uint32 {
	if b := f.at(at, 4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (f *flat) u64(at int64) uint64 {
	if b := f.at(at, 8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// table is a flatbuffer table. The zero table has no fields.
type table struct {
	f    *flat
	at   int64
	vt   int64
	size int
}

// table reads the table at a position.
func (f *flat) table(at int64) table {
	vt := at - int64(int32(f.u32(at)))
	b := f.at(vt, 2)
	if b == nil || !f.spend(1) {
		return table{f: f}
	}
	return table{f, at, vt, int(binary.LittleEndian.Uint16(b))}
}

// field gives the position of a field by its vtable offset; ok is false if it has its default.
func (t table) field(offset int) (int64, bool) {
	if offset+2 > t.size {
		return 0, false
	}
	b := t.f.at(t.vt+int64(offset), 2)
	if b == nil {
		return 0, false
	}
	rel := binary.LittleEndian.Uint16(b)
	return t.at + int64(rel), rel != 0
}

func (t table) u8(offset int) uint8 {
	if at, ok := t.field(offset); ok {
		if b := t.f.at(at, 1); b != nil {
			return b[0]
		}
	}
	return 0
}

func (t table) u32(offset int) uint32 {
	if at, ok := t.field(offset); ok {
		return t.f.u32(at)
	}
	return 0
}

func (t table) i32(offset int) int32 { return int32(t.u32(offset)) }

func (t table) f32(offset int) float32 { return math.Float32frombits(t.u32(offset)) }

func (t table) u64(offset int) uint64 {
	if at, ok := t.field(offset); ok {
		return t.f.u64(at)
	}
	return 0
}

// sub gives the table that a field refers to.
func (t table) sub(offset int) (table, bool) {
	at, ok := t.field(offset)
	if !ok {
		return table{f: t.f}, false
	}
	sub := t.f.table(at + int64(t.f.u32(at)))
	return sub, t.f.err == nil
}

func (t table) text(offset int) string {
	at, n := t.vector(offset, 1)
	return t.f.text(at, n)
}

func (f *flat) text(at int64, n int) string {
	if n == 0 || !f.spend(n) {
		return ""
	}
	return string(f.at(at, n))
}

// vector gives the position and the length of a vector whose elements have the given width.
func (t table) vector(offset, width int) (int64, int) {
	at, ok := t.field(offset)
	if !ok {
		return 0, 0
	}
	at += int64(t.f.u32(at))
	n := int64(t.f.u32(at))
	if t.f.err != nil || n*int64(width) > t.f.size()-at-4 {
		t.f.fail(errDamaged)
		return 0, 0
	}
	return at + 4, int(n)
}

// bytes64 gives the position and the length of a vector of bytes whose offset and length are numbers of 64 bits.
func (t table) bytes64(offset int) (at, n int64) {
	at, ok := t.field(offset)
	if !ok {
		return 0, 0
	}
	to := t.f.u64(at)
	if to <= uint64(t.f.size()) {
		at += int64(to)
		if length := t.f.u64(at); t.f.err == nil && length <= uint64(t.f.size()) && at <= t.f.size()-8-int64(length) {
			return at + 8, int64(length)
		}
	}
	t.f.fail(errDamaged)
	return 0, 0
}

func (t table) tables(offset int) []table {
	at, n := t.vector(offset, 4)
	var list []table
	for i := range n {
		if t.f.err != nil {
			return nil
		}
		p := at + 4*int64(i)
		list = append(list, t.f.table(p+int64(t.f.u32(p))))
	}
	return list
}

func (t table) texts(offset int) []string {
	at, n := t.vector(offset, 4)
	var list []string
	for i := range n {
		if t.f.err != nil {
			return nil
		}
		p := at + 4*int64(i)
		p += int64(t.f.u32(p))
		length := int64(t.f.u32(p))
		if t.f.err != nil || length > t.f.size()-p-4 || !t.f.spend(1) {
			t.f.fail(errDamaged)
			return nil
		}
		list = append(list, t.f.text(p+4, int(length)))
	}
	return list
}

func (t table) ints(offset int) []int {
	at, n := t.vector(offset, 4)
	if n == 0 || !t.f.spend(n) {
		return nil
	}
	list := make([]int, n)
	for i := range list {
		list[i] = int(int32(t.f.u32(at + 4*int64(i))))
	}
	return list
}

func (t table) floats(offset int) []float32 {
	at, n := t.vector(offset, 4)
	if n == 0 || !t.f.spend(n) {
		return nil
	}
	list := make([]float32, n)
	for i := range list {
		list[i] = math.Float32frombits(t.f.u32(at + 4*int64(i)))
	}
	return list
}
