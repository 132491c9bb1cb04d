// Package dlc reads Qualcomm's deep learning containers as SNPE and QAIRT write them, without any SDK and without loading
// their weights: record versions 4.x (SNPE 2, QAIRT) and 3.x (SNPE 1.25 to 1.68). Version 2 is refused by name.
//
//  1. A container is a zip archive whose members are stored: metadata, model, parameters, cache records.
//  2. model is a flatbuffer with graphs of nodes and tensors, and the tensors' encodings.
//  3. model.params (and model.params.bin) hold the weights; Data reads one tensor's when it is asked for.
//
// Nothing that a file says about lengths and offsets is believed; what is not understood is said and shows no number.
package dlc

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
)

// ErrVersion2 is a container of SNPE 1.22 or before, in a format that is documented nowhere.
var ErrVersion2 = errors.New("a DLC of version 2 (SNPE 1.22 or before) cannot be read; convert the model again with a newer SNPE")

// File is an open container. Its methods may be called from one goroutine at a time.
type File struct {
	Format       string // what was read, in words: "DLC 4.1"
	Major, Minor int    // of the container's records
	Members      []Member
	Metadata     Metadata
	Graphs       []Graph
	// Notes say what was not understood.
	Notes []string

	r       io.ReaderAt
	close   func() error
	members map[string]*io.SectionReader
	params  *params
}

// Member is a file in the container.
type Member struct {
	Name  string
	Bytes int64
}

// Graph is one network.
type Graph struct {
	Name    string
	Nodes   []Node
	Tensors []Tensor

	byName map[string]int
}

// Node is an operator; it refers to tensors by name.
type Node struct {
	Name, Type      string
	Inputs, Outputs []string
	Attributes      []Attribute
}

// Attribute is a parameter of a node: a number, a text, or a tensor whose values lie among the weights.
type Attribute struct {
	Name   string
	DType  DType   // of a number
	Int    int     // integers and booleans
	Float  float64 // real numbers
	Text   string
	Tensor *Tensor // nil for scalars
	// Supplemental attributes are the converter's notes, no parameters of the operation.
	Supplemental bool
}

// Location says what a tensor is to its graph; the numbers are those of Qnn_TensorType_t.
type Location int

// The locations.
const (
	Input     Location = 0
	Output    Location = 1
	InOut     Location = 2
	Native    Location = 3
	Static    Location = 4 // weights
	Undefined          = 0x7fffffff
)

// Tensor is a tensor of a graph. Activations of four dimensions are NHWC in files of version 4, weights of convolutions HWIO.
type Tensor struct {
	Name        string
	ID          uint32
	Location    Location
	Shape       []int
	AxisFormat  int // −1: not told
	DType       DType
	SourceDType DType // before quantization
	Encoding    *Encoding

	graph, owner int // where its values are found: owner is the node of a tensor attribute, −1 for graph tensors
}

// Encoding maps integers to real numbers: real = Scale · (q + Offset). There is one of each per channel along Axis, or one
// if Axis is −1. For signed data q is the signed integer. Min and Max are as the file tells them, else computed.
type Encoding struct {
	Bits   int
	Axis   int
	Scale  []float32
	Offset []int32
	Min    []float32
	Max    []float32
}

// DType is an element type; the numbers are those of Qnn_DataType_t: the last two hexadecimal digits are the width.
type DType int32

var dtypeNames = map[DType]string{
	0x008: "Int_8", 0x016: "Int_16", 0x032: "Int_32", 0x064: "Int_64", 0x108: "uInt_8", 0x116: "uInt_16", 0x132: "uInt_32", 0x164: "uInt_64",
	0x216: "Float_16", 0x232: "Float_32", 0x304: "sFxp_4", 0x308: "sFxp_8", 0x316: "sFxp_16", 0x332: "sFxp_32",
	0x404: "uFxp_4", 0x408: "uFxp_8", 0x416: "uFxp_16", 0x432: "uFxp_32", 0x508: "Bool_8", 0x608: "String", 0x7fffffff: "Undefined",
}

// ParseDType finds a type by the name that snpe-dlc-info uses.
func ParseDType(name string) (DType, bool) {
	for d, n := range dtypeNames {
		if n == name {
			return d, true
		}
	}
	return Undefined, false
}

// String is the name that snpe-dlc-info uses.
func (d DType) String() string {
	if name, ok := dtypeNames[d]; ok {
		return name
	}
	return fmt.Sprintf("type_0x%x", int32(d))
}

// Bits is the width of an element, 0 if it is not known.
func (d DType) Bits() int {
	if _, ok := dtypeNames[d]; !ok || d >= 0x600 {
		return 0
	}
	low := int(d & 0xff)
	return low>>4*10 + low&15
}

// Signed says whether quantized values of the type are signed integers.
func (d DType) Signed() bool { return d&0xf00 == 0x300 || d&0xf00 == 0 }

// Quantized says whether the type is fixed-point.
func (d DType) Quantized() bool { return d&0xf00 == 0x300 || d&0xf00 == 0x400 }

// Bytes is the storage of a tensor's values, −1 if it is not known. Values of 4 bits take a byte each.
func (t Tensor) Bytes() int64 {
	n := t.Elements()
	bits := t.DType.Bits()
	if n < 0 || bits == 0 {
		return -1
	}
	return n * int64((bits+7)/8)
}

// Elements is the number of values, −1 if the shape is open or does not fit.
func (t Tensor) Elements() int64 {
	n := int64(1)
	for _, d := range t.Shape {
		if d < 0 || d > 0 && n > math.MaxInt64/int64(d) {
			return -1
		}
		n *= int64(d)
	}
	return n
}

// Tensor finds a tensor by name, nil if there is none.
func (g *Graph) Tensor(name string) *Tensor {
	if i, ok := g.byName[name]; ok {
		return &g.Tensors[i]
	}
	return nil
}

// index prepares Tensor.
func (g *Graph) index() {
	g.byName = make(map[string]int, len(g.Tensors))
	for i, t := range g.Tensors {
		g.byName[t.Name] = i
	}
}

// At lists the graph's tensors of a location, in the file's order.
func (g *Graph) At(l Location) []*Tensor {
	var list []*Tensor
	for i := range g.Tensors {
		if g.Tensors[i].Location == l {
			list = append(list, &g.Tensors[i])
		}
	}
	return list
}

// Open opens a container on disk.
func Open(path string) (*File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var d *File
		if d, err = Read(f, info.Size()); err == nil {
			d.close = f.Close
			return d, nil
		}
	}
	f.Close()
	return nil, fmt.Errorf("%s: %w", path, err)
}

// Close closes what Open opened.
func (f *File) Close() error {
	if f.close == nil {
		return nil
	}
	return f.close()
}

// Described makes a file of graphs that were described elsewhere, such as in a listing; it has no weights.
func Described(format string, metadata Metadata, graphs []Graph, notes []string) *File {
	f := &File{Format: format, Metadata: metadata, Graphs: graphs, Notes: notes}
	for i := range f.Graphs {
		f.Graphs[i].index()
		for k := range f.Graphs[i].Tensors {
			f.Graphs[i].Tensors[k].owner = -1
		}
	}
	return f
}

// Read reads a container's graphs; weights stay where they are.
func Read(r io.ReaderAt, size int64) (*File, error) {
	f := &File{r: r, members: map[string]*io.SectionReader{}}
	if err := f.readZip(size); err != nil {
		return nil, err
	}
	model, ok := f.members["model"]
	if !ok {
		return nil, errors.New("not a DLC: it has no record `model`")
	}
	head := make([]byte, 8)
	if _, err := model.ReadAt(head, 0); err != nil {
		return nil, errors.New("not a DLC: its record `model` is shorter than its header")
	}
	if head[0] != 0xD5 || head[1] != 0x0A {
		return nil, errors.New("not a DLC: its record `model` begins with other bytes than D5 0A")
	}
	f.Major, f.Minor = int(binary.LittleEndian.Uint16(head[2:])), int(binary.LittleEndian.Uint16(head[4:]))
	f.Format = fmt.Sprintf("DLC %d.%d", f.Major, f.Minor)
	f.readMetadata()
	switch f.Major {
	case 2:
		return nil, ErrVersion2
	case 3, 4:
	default:
		return nil, fmt.Errorf("a DLC of version %d.%d is not known; versions 3 and 4 are", f.Major, f.Minor)
	}
	data := make([]byte, model.Size()-8)
	if _, err := model.ReadAt(data, 8); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(data) < 8 || string(data[4:8]) != "NETD" {
		return nil, errors.New("the record `model` is no network (NETD)")
	}
	flat := newFlat(inMemory(data))
	root := flat.table(int64(flat.u32(0)))
	if f.Major == 4 {
		f.readV4(root)
	} else {
		f.readV3(root)
	}
	if flat.err != nil {
		return nil, fmt.Errorf("the record `model` is damaged: %w", flat.err)
	}
	for i := range f.Graphs {
		f.Graphs[i].index()
	}
	return f, nil
}

// readZip finds the members. They are stored; checksums are not checked, since QAIRT leaves them 0.
func (f *File) readZip(size int64) error {
	z, err := zip.NewReader(f.r, size)
	if err != nil {
		return fmt.Errorf("not a DLC: %w", err)
	}
	for _, m := range z.File {
		f.Members = append(f.Members, Member{m.Name, int64(m.UncompressedSize64)})
		if m.Method != zip.Store {
			f.Notes = append(f.Notes, fmt.Sprintf("the member %s is compressed, which no known DLC is; it was not read", m.Name))
			continue
		}
		at, err := m.DataOffset()
		if err != nil {
			return fmt.Errorf("the member %s: %w", m.Name, err)
		}
		if m.UncompressedSize64 > uint64(size) || at > size-int64(m.UncompressedSize64) {
			return fmt.Errorf("the member %s does not fit the file: it is truncated", m.Name)
		}
		if _, twice := f.members[m.Name]; twice {
			return fmt.Errorf("the member %s is there twice", m.Name)
		}
		f.members[m.Name] = io.NewSectionReader(f.r, at, int64(m.UncompressedSize64))
	}
	return nil
}

// Caches lists the records that were prepared for particular devices (HTP, and HTA of older ones).
func (f *File) Caches() []Member {
	var list []Member
	for _, m := range f.Members {
		if strings.HasPrefix(m.Name, "backend.metadata") || strings.HasPrefix(m.Name, "aip.metadata") || strings.HasPrefix(m.Name, "htp.metadata") {
			list = append(list, m)
		}
	}
	return list
}
