package dlc

import (
	"fmt"
	"math"
)

// The numbers below are vtable offsets of the schema of version 4: field 0 is 4, field 1 is 6, and so on.

func (f *File) readV4(root table) {
	for g, t := range root.tables(4) {
		graph := Graph{Name: t.text(4)}
		for _, x := range t.tables(8) {
			graph.Tensors = append(graph.Tensors, f.tensorV4(x, g, -1))
		}
		for n, x := range t.tables(6) {
			node := Node{Name: x.text(4), Type: x.text(6), Inputs: x.texts(8), Outputs: x.texts(10)}
			for _, a := range x.tables(12) {
				node.Attributes = append(node.Attributes, f.attributeV4(a, g, n))
			}
			graph.Nodes = append(graph.Nodes, node)
		}
		f.Graphs = append(f.Graphs, graph)
	}
}

func (f *File) attributeV4(t table, graph, node int) Attribute {
	a := Attribute{Name: t.text(4), Supplemental: t.u8(8) == 2, DType: Undefined}
	if value, ok := t.sub(10); ok {
		a.DType = DType(value.i32(4))
		a.Int, a.Float, a.Text = int(value.i32(6)), float64(value.f32(8)), value.text(10)
	}
	if x, ok := t.sub(12); ok && t.i32(6) == 1 {
		tensor := f.tensorV4(x, graph, node)
		a.Tensor = &tensor
	}
	return a
}

func (f *File) tensorV4(t table, graph, owner int) Tensor {
	x := Tensor{
		ID: t.u32(4), Name: t.text(6), Location: Location(t.i32(8)), Shape: t.ints(10), AxisFormat: int(t.i32(12)),
		DType: DType(t.i32(16)), SourceDType: DType(t.i32(18)), graph: graph, owner: owner,
	}
	info, ok := t.sub(14)
	if !ok {
		return x
	}
	switch kind := info.i32(4); kind {
	case 0, 2: // scale and offset, with the bit width that the storage does not tell
		if e, ok := info.sub(8); ok {
			x.Encoding = f.encoding(x, -1, []table{e})
		}
	case 1, 3:
		if axis, ok := info.sub(10); ok {
			x.Encoding = f.encoding(x, int(axis.i32(4)), axis.tables(6))
		}
	case Undefined:
	default:
		f.note("tensor %s: an encoding of kind %d is not understood", x.Name, kind)
	}
	return x
}

// encoding reads one encoding, or one per channel, and drops it with a note if it cannot be right.
func (f *File) encoding(t Tensor, axis int, list []table) *Encoding {
	e := &Encoding{Axis: axis}
	if axis >= 0 && (axis >= len(t.Shape) || len(list) != t.Shape[axis]) {
		f.note("tensor %s: %d encodings along axis %d of the shape %v are not understood", t.Name, len(list), axis, t.Shape)
		return nil
	}
	for i, x := range list {
		bits, scale, offset := int(x.i32(4)), x.f32(10), x.i32(12)
		if i == 0 {
			e.Bits = bits
		}
		if bits != 4 && bits != 8 && bits != 16 && bits != 32 || bits != e.Bits || !(scale > 0) || math.IsInf(float64(scale), 0) {
			if x.f.err == nil {
				f.note("tensor %s: an encoding with %d bits and scale %g is not understood", t.Name, bits, scale)
			}
			return nil
		}
		lo, hi := x.f32(6), x.f32(8)
		if lo == 0 && hi == 0 { // QAIRT leaves them out
			lo, hi = reach(t.DType, bits, scale, offset)
		}
		e.Scale, e.Offset, e.Min, e.Max = append(e.Scale, scale), append(e.Offset, offset), append(e.Min, lo), append(e.Max, hi)
	}
	if len(e.Scale) == 0 {
		return nil
	}
	return e
}

// NewEncoding makes an encoding of a type with its ranges, from one scale and offset or, along an axis, one of each per
// channel; nil if its width, its scales or its ranges cannot be right.
func NewEncoding(d DType, bits, axis int, scales []float32, offsets []int32) *Encoding {
	if len(scales) == 0 || len(scales) != len(offsets) || bits != 4 && bits != 8 && bits != 16 && bits != 32 {
		return nil
	}
	e := &Encoding{Bits: bits, Axis: axis, Scale: scales, Offset: offsets}
	for i, s := range scales {
		lo, hi := reach(d, bits, s, offsets[i])
		if !(s > 0) || math.IsInf(float64(s), 0) || math.IsInf(float64(lo), 0) || math.IsInf(float64(hi), 0) {
			return nil
		}
		e.Min, e.Max = append(e.Min, lo), append(e.Max, hi)
	}
	return e
}

// reach is the range of the real numbers that an encoding reaches.
func reach(d DType, bits int, scale float32, offset int32) (lo, hi float32) {
	least, greatest := limits(d.Signed(), bits)
	return float32(float64(scale) * (least + float64(offset))), float32(float64(scale) * (greatest + float64(offset)))
}

// limits are the least and the greatest integer of a width.
func limits(signed bool, bits int) (least, greatest float64) {
	levels := math.Pow(2, float64(bits))
	if signed {
		return -levels / 2, levels/2 - 1
	}
	return 0, levels - 1
}

const notesMost = 100

func (f *File) note(format string, args ...any) {
	switch {
	case len(f.Notes) < notesMost:
		f.Notes = append(f.Notes, fmt.Sprintf(format, args...))
	case len(f.Notes) == notesMost:
		f.Notes = append(f.Notes, "and more that is not understood")
	}
}
