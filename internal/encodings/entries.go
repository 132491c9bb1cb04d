package encodings

import (
	"math"
	"slices"
	"strings"

	"quantcheck/internal/quant"
)

// widths are the integers that SNPE and QNN know, halves the floats.
var (
	widths = []int{4, 8, 16, 32}
	halves = []int{16, 32}
)

// most bounds the encodings of one tensor.
const most = 1 << 24

// fields reads an entry's fields, and notes what is wrong with them.
type fields struct {
	r      *reader
	tensor string
	v      value
	failed bool
}

func (f *fields) fail(format string, args ...any) {
	f.failed = true
	f.r.problem(f.tensor, f.v.at, true, format, args...)
}

func (f *fields) note(format string, args ...any) {
	f.r.problem(f.tensor, f.v.at, false, format, args...)
}

// float gives a number; ok is false if there is none. Something else in its place is an error of the entry.
func (f *fields) float(name string) (x float64, ok bool) {
	v, there := f.v.fields[name]
	if !there || v.kind == null {
		return 0, false
	}
	if x, ok = v.float(); !ok {
		f.fail("%s is %v where a number should be", name, v.kind)
		return 0, false
	}
	if math.IsInf(x, 0) {
		f.fail("%s is %s, which is no finite number", name, short(v.text))
	}
	return x, ok
}

// whole gives a whole number.
func (f *fields) whole(name string) (n int, ok bool) {
	x, ok := f.float(name)
	if !ok || f.failed {
		return 0, false
	}
	if x != math.Trunc(x) || math.Abs(x) > 1<<40 {
		f.fail("%s is %g, which is no whole number", name, x)
		return 0, false
	}
	return int(x), true
}

// floats gives a list of numbers, flattened.
func (f *fields) floats(name string) []float64 {
	v, there := f.v.fields[name]
	if !there || v.kind == null {
		return nil
	}
	list, ok := v.numbers()
	switch {
	case !ok:
		f.fail("%s is %v where numbers should be", name, v.kind)
		return nil
	case len(list) > most:
		f.fail("%s has %d values, more than %d", name, len(list), most)
		return nil
	}
	return list
}

// typed reads the kind of number and its width.
func (f *fields) typed(width string) (float bool, bits int) {
	d := f.v.fields["dtype"]
	switch {
	case d.kind == null:
	case d.kind == text && strings.EqualFold(d.text, "float"):
		float = true
	case d.kind == text && strings.EqualFold(d.text, "int"):
	default:
		f.fail("dtype is %q: there are int and float", short(d.text))
	}
	bits, ok := f.whole(width)
	known := widths
	if float {
		known = halves
	}
	switch {
	case f.failed:
	case !ok:
		f.fail("%s is missing", width)
	case float && !slices.Contains(known, bits):
		f.fail("a float has a %s of %d: there are 16 and 32", width, bits)
	case !slices.Contains(known, bits):
		f.fail("a %s of %d: there are 4, 8, 16 and 32", width, bits)
	}
	return float, bits
}

// encoding makes one of scale and offset.
func (f *fields) encoding(bits int, symmetric bool, scale, offset float64) quant.Encoding {
	levels := float64(quant.Levels(bits))
	switch {
	case math.IsNaN(scale) || math.IsInf(scale, 0) || scale < 0 || scale == 0:
		f.fail("a scale of %g: it has to be more than 0", scale)
	case offset != math.Trunc(offset):
		f.fail("an offset of %g is no whole number", offset)
	case offset > 0 || offset < -levels:
		f.fail("an offset of %g lies outside of %.0f to 0, so that zero has no integer", offset, -levels)
	case scale < math.SmallestNonzeroFloat32 || scale > math.MaxFloat32:
		f.fail("a scale of %g is beyond what single precision holds", scale)
	case scale*levels > math.MaxFloat32:
		f.note("a scale of %g reaches beyond what single precision holds: it was made of a range without a bound", scale)
	}
	if f.failed {
		return quant.Encoding{}
	}
	return quant.FromScale(bits, symmetric, scale, int(offset))
}

// strict notes symmetric encodings that converters refuse.
func (f *fields) strict(list []quant.Encoding) {
	for _, e := range list {
		if middle := -1 << (e.Bits - 1); e.Symmetric && e.Offset != middle && e.Offset != 0 {
			f.note("it is called symmetric, and its offset is %d: SNPE takes %d only", e.Offset, middle)
			return
		}
	}
}

// entry061 reads the list of a tensor: one encoding, or one per channel.
func (r *reader) entry061(name string, v value) Asked {
	list := v.list
	if v.kind == object {
		list = []value{v}
	}
	a := Asked{Listed: len(list) > 1}
	f := &fields{r: r, tensor: name, v: v}
	if len(list) == 0 {
		f.fail("its list of encodings is empty")
	}
	for i, one := range list {
		e := &fields{r: r, tensor: name, v: one}
		if one.kind != object {
			e.fail("its list holds %v where an encoding { } should be", one.kind)
		}
		for _, field := range one.twice {
			e.note("%s stands there twice; the last one holds", short(field))
		}
		float, bits := e.typed("bitwidth")
		if i == 0 {
			a.Float, a.Bits = float, bits
		}
		if !e.failed && (float != a.Float || bits != a.Bits) {
			e.fail("its channels differ in type or width: %d and %d bits", a.Bits, bits)
		}
		if !e.failed && !float {
			if x := e.range061(bits); !e.failed {
				a.Encodings = append(a.Encodings, x)
			}
		}
		if f.failed = f.failed || e.failed; f.failed { // one place tells enough
			break
		}
	}
	if !f.failed {
		f.strict(a.Encodings)
	}
	return f.done(a)
}

// done gives an entry, without encodings if it makes none.
func (f *fields) done(a Asked) Asked {
	if a.Unusable = f.failed; a.Unusable {
		a.Encodings = nil
	}
	return a
}

// range061 reads one encoding of version 0.6.1: converters take min and max and compute the rest; AIMET computes with scale and offset.
func (f *fields) range061(bits int) quant.Encoding {
	symmetric := false
	if s, there := f.v.fields["is_symmetric"]; there && s.kind != null {
		var ok bool
		if symmetric, ok = s.truth(); !ok {
			f.fail(`is_symmetric is neither "True" nor "False"`)
		}
	}
	least, hasLeast := f.float("min")
	greatest, hasGreatest := f.float("max")
	scale, hasScale := f.float("scale")
	offset, hasOffset := f.float("offset")
	switch {
	case f.failed:
	case hasLeast && hasGreatest && least > greatest:
		f.fail("min %g is more than max %g", least, greatest)
	case hasScale && hasOffset:
		x := f.encoding(bits, symmetric, scale, offset)
		if f.failed || !hasLeast || !hasGreatest {
			return x
		}
		slack := scale + 1e-6*max(math.Abs(least), math.Abs(greatest))
		if math.Abs(x.Min-least) > slack || math.Abs(x.Max-greatest) > slack {
			f.note("scale and offset say %.5g to %.5g, min and max say %.5g to %.5g: converters take min and max", x.Min, x.Max, least, greatest)
		}
		x.Min, x.Max = least, greatest
		return x
	case !hasLeast || !hasGreatest:
		f.fail("it has neither min and max nor scale and offset")
	case least == greatest:
		f.fail("min and max are both %g: the range is empty", least)
	case least > 0 || greatest < 0:
		f.fail("the range of %g to %g does not hold zero", least, greatest)
	default:
		scale = (greatest - least) / float64(quant.Levels(bits))
		x := f.encoding(bits, symmetric, scale, math.Round(least/scale))
		x.Min, x.Max = least, greatest
		return x
	}
	return quant.Encoding{}
}

// entry100 reads an entry of version 1.0.0.
func (r *reader) entry100(name string, v value) Asked {
	f := &fields{r: r, tensor: name, v: v}
	a := Asked{}
	a.Float, a.Bits = f.typed("bw")
	kind := strings.ToUpper(v.fields["enc_type"].text)
	switch kind {
	case "", "PER_TENSOR":
	case "PER_CHANNEL", "PER_BLOCK", "LPBQ":
		a.Listed = true
	default:
		f.fail("enc_type is %q: there are PER_TENSOR, PER_CHANNEL, PER_BLOCK and LPBQ", short(kind))
	}
	if f.failed || a.Float {
		return f.done(a)
	}
	symmetric := false
	if s, there := v.fields["is_sym"]; there && s.kind != null {
		var ok bool
		if symmetric, ok = s.truth(); !ok {
			f.fail("is_sym is neither true nor false")
		}
	}
	scales, offsets := f.floats("scale"), f.floats("offset")
	if kind == "PER_BLOCK" || kind == "LPBQ" {
		if a.Block, _ = f.whole("block_size"); a.Block < 1 && !f.failed {
			f.fail("its block_size is missing")
		}
	}
	switch {
	case f.failed:
	case kind == "LPBQ":
		scales, offsets, a.Bits, symmetric = f.compressed(scales), nil, f.compressedBits(), true
	case len(scales) == 0 || len(offsets) != 0 && len(offsets) != len(scales):
		f.fail("its lists of scales and of offsets have %d and %d values", len(scales), len(offsets))
	case len(offsets) == 0 && !symmetric:
		f.fail("its lists of scales and of offsets have %d and 0 values", len(scales))
	case !a.Listed && len(scales) > 1 && kind != "":
		f.fail("it is called PER_TENSOR and has %d scales", len(scales))
	}
	a.Listed = a.Listed || len(scales) > 1
	for i := 0; i < len(scales) && !f.failed; i++ {
		offset := -math.Ldexp(1, a.Bits-1)
		if len(offsets) > 0 {
			offset = offsets[i]
		}
		a.Encodings = append(a.Encodings, f.encoding(a.Bits, symmetric, scales[i], offset))
	}
	if !f.failed {
		f.strict(a.Encodings)
	}
	return f.done(a)
}

// compressedBits is the width of the integers of an LPBQ entry.
func (f *fields) compressedBits() int {
	bits, ok := f.whole("compressed_bw")
	if !f.failed && (!ok || !slices.Contains(widths, bits)) {
		f.fail("compressed_bw is missing, or none of 4, 8, 16 and 32")
	}
	return bits
}

// compressed gives the scales of the blocks of an LPBQ entry: a channel's float scale times a block's integer. Lists that are nested alike are
// laid over each other as NumPy does; flat ones are in the order of the channels.
func (f *fields) compressed(channels []float64) []float64 {
	blocks := f.floats("per_block_int_scale")
	if f.failed {
		return nil
	}
	if len(channels) == 0 || len(blocks) == 0 || len(blocks)%len(channels) != 0 {
		f.fail("%d scales of blocks do not divide among %d scales of channels", len(blocks), len(channels))
		return nil
	}
	each := len(blocks) / len(channels)
	of := func(i int) int { return i / each }
	outer, inner := f.v.fields["per_channel_float_scale"].shape(), f.v.fields["per_block_int_scale"].shape()
	if len(outer) == len(inner) && len(outer) > 1 {
		of = func(i int) int { return laidOver(i, inner, outer) }
	}
	scales := make([]float64, len(blocks))
	for i, b := range blocks {
		c := of(i)
		if c >= len(channels) {
			f.fail("scales of blocks and of channels have shapes %v and %v, which do not fit", inner, outer)
			return nil
		}
		scales[i] = b * channels[c]
	}
	return scales
}

// laidOver gives, for an element of a tensor, that of a smaller one of the same rank that is laid over it.
func laidOver(i int, shape, over []int) int {
	at, stride := 0, 1
	for d := len(shape) - 1; d >= 0; d-- {
		place := i % shape[d]
		i /= shape[d]
		if over[d] > 1 {
			at += place * stride
			stride *= over[d]
		}
	}
	return at
}

// entry200 turns ONNX's words into ours: offset = −zero point, and −2^(bits−1) more for signed integers.
func (r *reader) entry200(name string, v value) Asked {
	f := &fields{r: r, tensor: name, v: v}
	a := Asked{}
	d := v.fields["output_dtype"].text
	signed := strings.HasPrefix(d, "int")
	switch d {
	case "float16", "bfloat16":
		return Asked{Float: true, Bits: 16}
	case "float32", "float":
		return Asked{Float: true, Bits: 32}
	case "int4", "uint4":
		a.Bits = 4
	case "int8", "uint8":
		a.Bits = 8
	case "int16", "uint16":
		a.Bits = 16
	case "int32", "uint32":
		a.Bits = 32
	default:
		f.fail("output_dtype %q is no type that is known: there are int and uint of 4, 8, 16 and 32 bits", short(d))
		return f.done(a)
	}
	scales, zeros := f.floats("y_scale"), f.floats("y_zero_point")
	if _, there := v.fields["per_block_int_scale"]; there {
		scales = f.compressed(f.floats("per_channel_float_scale"))
	}
	if axis, ok := f.whole("axis"); ok {
		a.Axis = &axis
	}
	a.Block, _ = f.whole("block_size")
	a.Listed = a.Axis != nil || len(v.fields["y_scale"].shape()) > 0 || a.Block > 0
	switch {
	case f.failed:
	case len(scales) == 0 || len(zeros) != 0 && len(zeros) != len(scales):
		f.fail("its lists of scales and of zero points have %d and %d values", len(scales), len(zeros))
	case a.Block < 0:
		f.fail("a block_size of %d", a.Block)
	}
	for i := 0; i < len(scales) && !f.failed; i++ {
		zero := 0.0
		if len(zeros) > 0 {
			zero = zeros[i]
		}
		offset := -zero
		if signed {
			offset -= math.Ldexp(1, a.Bits-1)
		}
		a.Encodings = append(a.Encodings, f.encoding(a.Bits, signed && zero == 0, scales[i], offset))
	}
	return f.done(a)
}
