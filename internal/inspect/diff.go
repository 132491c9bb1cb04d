package inspect

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/encodings"
	"quantcheck/internal/quant"
)

// Kind says what became of an encoding that was asked for.
type Kind string

// The kinds, best first.
const (
	Equal       Kind = "equal"
	Regridded   Kind = "re-gridded"            // the same range on another grid
	Widened     Kind = "widened"               // the held range holds the asked one
	Narrowed    Kind = "narrowed"              // it does not: values are clipped
	Granularity Kind = "different granularity" // per channel against per tensor
	Width       Kind = "different width"
	ToFloat     Kind = "fallen back to float"
	Missing     Kind = "missing" // the DLC has no tensor of that name
	Extra       Kind = "extra"   // the DLC has an encoding that nobody asked for
)

// Kinds lists them.
var Kinds = []Kind{Equal, Regridded, Widened, Narrowed, Granularity, Width, ToFloat, Missing, Extra}

// Difference is what became of one tensor.
type Difference struct {
	Tensor string          `json:"tensor"`
	In     string          `json:"in,omitempty"` // the name in the DLC, if it is another one
	Kind   Kind            `json:"kind"`
	Asked  *quant.Encoding `json:"asked,omitempty"` // the first channel's, or that which differs most
	Held   *quant.Encoding `json:"held,omitempty"`
	Steps  float64         `json:"steps"` // how far an end of the range has moved, in steps of the asked encoding
	// AskedFloat and HeldFloat are the bits of floating-point numbers that were asked for, or are held; 0: none are.
	AskedFloat int `json:"asked_float_bits,omitempty"`
	HeldFloat  int `json:"held_float_bits,omitempty"`
}

// Diff holds what was asked for against what a DLC's first graph holds.
func Diff(asked map[string]encodings.Asked, f *dlc.File) []Difference {
	g := &f.Graphs[0]
	used := map[string]bool{}
	var list []Difference
	for name, a := range asked {
		t := find(g, name)
		d := Difference{Tensor: name, Kind: Equal}
		if a.Float {
			d.AskedFloat = a.Bits
		} else if len(a.Encodings) > 0 {
			d.Asked = &a.Encodings[0]
		}
		if t == nil {
			d.Kind = Missing
			list = append(list, d)
			continue
		}
		used[t.Name] = true
		if t.Name != name {
			d.In = t.Name
		}
		d.compare(a, t)
		list = append(list, d)
	}
	for i := range g.Tensors {
		if t := &g.Tensors[i]; t.Encoding != nil && !used[t.Name] {
			held := Held(t)[0]
			list = append(list, Difference{Tensor: t.Name, Kind: Extra, Held: &held})
		}
	}
	slices.SortFunc(list, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(slices.Index(Kinds, b.Kind), slices.Index(Kinds, a.Kind)), cmp.Compare(b.Steps, a.Steps), strings.Compare(a.Tensor, b.Tensor))
	})
	return list
}

// find looks for a tensor by its ONNX name: exact, as the IR backend names quantized tensors, as converters name weights.
func find(g *dlc.Graph, name string) *dlc.Tensor {
	for _, candidate := range []string{name + "_QuantizeLinear_Output", name + "_QuantizeLinear", name + "_quantized", name, name + "_permute", name + ".permute", name + "_quantized_transpose"} {
		if t := g.Tensor(candidate); t != nil && t.Encoding != nil {
			return t
		}
	}
	return g.Tensor(name)
}

// Held gives a tensor's encodings with unsigned integers, as the rest of the program has them.
func Held(t *dlc.Tensor) []quant.Encoding {
	e := t.Encoding
	var list []quant.Encoding
	for i, s := range e.Scale {
		offset := int(e.Offset[i])
		if t.DType.Signed() {
			offset -= 1 << (e.Bits - 1)
		}
		list = append(list, quant.FromScale(e.Bits, t.DType.Signed(), float64(s), offset))
	}
	return list
}

// floats compares where floating-point numbers were asked for, or are held; ok is false if neither is so. Integers have a narrower range than
// any of them.
func (d *Difference) floats(a encodings.Asked, t *dlc.Tensor) (ok bool) {
	if t.Encoding == nil && floats(t.DType) {
		d.HeldFloat = t.DType.Bits()
	}
	switch {
	case !a.Float && t.Encoding == nil:
		d.Kind = ToFloat
	case !a.Float:
		return false
	case t.Encoding != nil:
		d.Kind, d.Held = Narrowed, &Held(t)[0]
	case d.HeldFloat > a.Bits:
		d.Kind = Widened
	case d.HeldFloat != a.Bits:
		d.Kind = Narrowed
	}
	return true
}

// floats says whether a type is one of floating-point numbers.
func floats(d dlc.DType) bool { return d&0xf00 == 0x200 }

func (d *Difference) compare(a encodings.Asked, t *dlc.Tensor) {
	if d.floats(a, t) || len(a.Encodings) == 0 {
		return
	}
	held := Held(t)
	d.Held = &held[0]
	switch {
	case t.Encoding.Bits != a.Bits:
		d.Kind = Width
		return
	case len(held) != len(a.Encodings):
		d.Kind = Granularity
		return
	}
	for i := range held {
		kind, steps := grid(a.Encodings[i], held[i])
		if slices.Index(Kinds, kind) > slices.Index(Kinds, d.Kind) || kind == d.Kind && steps > d.Steps {
			d.Kind, d.Asked, d.Held, d.Steps = kind, &a.Encodings[i], &held[i], steps
		}
	}
}

// grid compares two encodings of one width. DLC files and listings hold float32: what its digits do not tell apart is equal, which for 32 bits
// are some hundred steps.
func grid(asked, held quant.Encoding) (Kind, float64) {
	low, high := (asked.Min-held.Min)/asked.Scale, (held.Max-asked.Max)/asked.Scale // positive: held reaches further
	steps := max(math.Abs(low), math.Abs(high))
	digits := max(math.Abs(asked.Min), math.Abs(asked.Max)) / (1 << 23) / asked.Scale // steps
	half, none := 0.5+digits, 0.01+digits
	switch {
	case steps < none && math.Abs(asked.Scale-held.Scale) <= 1e-6*asked.Scale && asked.Offset == held.Offset:
		return Equal, 0
	case low < -half || high < -half:
		return Narrowed, steps
	case low > half || high > half:
		return Widened, steps
	}
	return Regridded, steps
}
