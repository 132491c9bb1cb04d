package dlc

import (
	"fmt"
	"slices"
	"strconv"
)

// attribute3 is an attribute of version 3: a value or a tree of them.
type attribute3 struct {
	name     string
	kind     uint8
	number   float64
	text     string
	ints     []int
	floats   []float32
	children []attribute3
}

// deepest bounds the nesting of attributes; those seen are 4 deep.
const deepest = 16

func readAttributes3(t table, offset, depth int) []attribute3 {
	if depth > deepest {
		t.f.fail(errTooOften)
		return nil
	}
	var list []attribute3
	for _, x := range t.tables(offset) {
		a := attribute3{name: x.text(4), kind: x.u8(6)}
		switch a.kind {
		case 1:
			a.number = float64(x.u8(8))
		case 2:
			a.number = float64(x.i32(10))
		case 3:
			a.number = float64(x.u32(12))
		case 4:
			a.number = float64(x.f32(14))
		case 5:
			a.text = x.text(16)
		case 8:
			a.ints = x.ints(22)
		case 9:
			a.floats = x.floats(24)
		case 11:
			a.children = readAttributes3(x, 28, depth+1)
		}
		list = append(list, a)
	}
	return list
}

func find3(list []attribute3, path ...string) (attribute3, bool) {
	for i, a := range list {
		if a.name == path[0] {
			if len(path) == 1 {
				return list[i], true
			}
			return find3(a.children, path[1:]...)
		}
	}
	return attribute3{}, false
}

// encoding3 reads output k's DataEncoding (SNPE 1.56 and later).
func (f *File) encoding3(name string, list []attribute3, k int) *Encoding {
	element, ok := find3(list, "DataEncoding", strconv.Itoa(k), "DataEncodingElement", "0")
	if !ok {
		return nil
	}
	value := func(key string) float64 {
		a, _ := find3(element.children, key)
		return a.number
	}
	e := &Encoding{
		Bits: 8, Axis: -1, Scale: []float32{float32(value("delta"))}, Offset: []int32{int32(value("offset"))},
		Min: []float32{float32(value("min"))}, Max: []float32{float32(value("max"))},
	}
	if !(e.Scale[0] > 0) || e.Offset[0] > 0 {
		f.note("tensor %s: a DataEncoding with delta %g and offset %d is not understood", name, e.Scale[0], e.Offset[0])
		return nil
	}
	return e
}

// readV3 reads a network of SNPE 1.25 to 1.68. It has one graph; tensors are known by the nodes that make them.
func (f *File) readV3(root table) {
	g := Graph{}
	dims := map[string][]int{}
	if buffers, ok := find3(readAttributes3(root, 12, 0), "BufferInfos"); ok {
		for _, b := range buffers.children {
			if d, ok := find3(b.children, "dims"); ok {
				dims[b.name] = d.ints
			}
		}
	}
	used := map[string]bool{}
	quantized := false
	for _, t := range root.tables(6) {
		n := Node{Name: t.text(6), Type: t.text(8), Inputs: t.texts(10), Outputs: t.texts(12)}
		attributes := readAttributes3(t, 14, 0)
		for _, in := range n.Inputs {
			used[in] = true
		}
		shapes, _ := find3(attributes, "OutputDims")
		for k, out := range n.Outputs {
			x := Tensor{Name: out, Location: Native, DType: 0x232, SourceDType: 0x232, AxisFormat: -1, Shape: dims[out], owner: -1}
			if s, ok := find3(shapes.children, strconv.Itoa(k)); ok && x.Shape == nil {
				x.Shape = s.ints
			}
			if x.Shape == nil && k == 0 {
				x.Shape = shapes.ints
			}
			if n.Type == "Input" || n.Type == "data" {
				x.Location = Input
			}
			if x.Encoding = f.encoding3(out, attributes, k); x.Encoding != nil {
				x.DType = 0x408
				quantized = true
			}
			g.Tensors = append(g.Tensors, x)
		}
		for _, a := range attributes {
			n.Attributes = append(n.Attributes, a.plain())
		}
		g.Nodes = append(g.Nodes, n)
	}
	for i := range g.Tensors {
		if t := &g.Tensors[i]; t.Location == Native && !used[t.Name] {
			t.Location = Output
		}
	}
	if f.Metadata.QuantizerCommand != "" && !quantized {
		f.Notes = append(f.Notes, "the model is quantized, but a DLC of its age does not tell its encodings in a form that is known")
	}
	f.Graphs = []Graph{g}
}

// plain turns a value into what nodes of version 4 have; of trees only the name is kept.
func (a attribute3) plain() Attribute {
	p := Attribute{Name: a.name, DType: Undefined, Supplemental: slices.Contains([]string{"DataEncoding", "OutputDims"}, a.name)}
	switch a.kind {
	case 1:
		p.DType, p.Int = 0x508, int(a.number)
	case 2:
		p.DType, p.Int = 0x032, int(a.number)
	case 3:
		p.DType, p.Int = 0x132, int(a.number)
	case 4:
		p.DType, p.Float = 0x232, a.number
	case 5:
		p.DType, p.Text = 0x608, a.text
	case 8:
		p.Text = fmt.Sprint(a.ints)
	case 9:
		p.Text = fmt.Sprint(a.floats)
	}
	return p
}
