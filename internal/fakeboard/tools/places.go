package main

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// errNotUnderstood means that a file does not have the form that package dlc has read it in.
var errNotUnderstood = errors.New("the file is not understood")

// encodingPlaces gives the positions of the scales in a tensor's encoding, in a DLC of version 4. The numbers are vtable
// offsets of its schema, as package dlc has them.
func encodingPlaces(data []byte, tensor string) (places []int, err error) {
	defer func() {
		if recover() != nil { // an index out of range: the file was read before, so this is for tests that bring a damaged one
			err = errNotUnderstood
		}
	}()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	for _, member := range z.File {
		if member.Name != "model" {
			continue
		}
		at, err := member.DataOffset()
		if err != nil {
			return nil, err
		}
		f := flat(data)
		root := int(at) + 8 // behind the record's header
		for _, graph := range f.tables(f.to(root), 4) {
			for _, t := range f.tables(graph, 8) {
				if f.text(t, 6) != tensor {
					continue
				}
				return f.scales(t, tensor)
			}
		}
	}
	return nil, fmt.Errorf("no tensor %q", tensor)
}

// flat is a file with a flatbuffer in it; positions are the file's.
type flat []byte

func (f flat) u16(at int) int { return int(binary.LittleEndian.Uint16(f[at:])) }
func (f flat) u32(at int) int { return int(binary.LittleEndian.Uint32(f[at:])) }

// to follows an offset.
func (f flat) to(at int) int { return at + f.u32(at) }

// field is the position of a table's field, 0 if it is not there.
func (f flat) field(table, offset int) int {
	vtable := table - int(int32(f.u32(table)))
	if offset >= f.u16(vtable) || f.u16(vtable+offset) == 0 {
		return 0
	}
	return table + f.u16(vtable+offset)
}

// sub is the table that a field refers to, 0 if it is not there.
func (f flat) sub(table, offset int) int {
	if at := f.field(table, offset); at != 0 {
		return f.to(at)
	}
	return 0
}

// tables are those of a vector.
func (f flat) tables(table, offset int) (list []int) {
	if v := f.sub(table, offset); v != 0 {
		for i := range f.u32(v) {
			list = append(list, f.to(v+4+4*i))
		}
	}
	return list
}

func (f flat) text(table, offset int) string {
	v := f.sub(table, offset)
	if v == 0 {
		return ""
	}
	return string(f[v+4 : v+4+f.u32(v)])
}

// scales are the positions of the scales in a tensor's encodings.
func (f flat) scales(tensor int, name string) (places []int, err error) {
	var encodings []int
	if info := f.sub(tensor, 14); info != 0 {
		if one := f.sub(info, 8); one != 0 {
			encodings = append(encodings, one)
		}
		if axis := f.sub(info, 10); axis != 0 {
			encodings = append(encodings, f.tables(axis, 6)...)
		}
	}
	for _, e := range encodings {
		for _, offset := range []int{10, 6, 8} { // scale, and the least and the greatest value, where the file tells them
			if at := f.field(e, offset); at != 0 {
				places = append(places, at)
			}
		}
	}
	if len(places) == 0 {
		return nil, fmt.Errorf("the tensor %q has no encoding", name)
	}
	return places, nil
}
