package jpeg

// The inverse DCT is that of Loeffler, Ligtenberg and Moschytz (ICASSP 1989) in fixed-point numbers, with the precision
// and the roundings that libjpeg documents for its "islow" method: constants of 13 fractional bits, two more bits kept
// between the passes. Leaving out what is multiplied by zero changes no result, since there is no rounding in between.
//
// Values beyond what any picture transforms into are cut to 16 bits, and limited after the first pass, in the places
// where libjpeg-turbo's x86 kernels do so: even nonsense comes out equal.
const (
	constBits = 13
	passBits  = 2

	f0298 = 2446  // √2·(−c1+c3+c5−c7)
	f0390 = 3196  // √2·(c3−c5)
	f0541 = 4433  // √2·c6
	f0765 = 6270  // √2·(c2−c6)
	f0899 = 7373  // √2·(c3−c7)
	f1175 = 9633  // √2·c3
	f1501 = 12299 // √2·(c1+c3−c5−c7)
	f1847 = 15137 // √2·(c2+c6)
	f1961 = 16069 // √2·(c3+c5)
	f2053 = 16819 // √2·(c1+c3−c5+c7)
	f2562 = 20995 // √2·(c1+c3)
	f3072 = 25172 // √2·(c1+c3+c5−c7)
)

// Bits of a mask: the places of a block's first column below the first row, and others by where they are.
const (
	columnAC   = 0x0101010101010100
	columnLow  = 0x0101010100000000
	belowFirst = 0xffffffffffffff00
	rightOfDC  = 0xfefefefefefefefe
	rightHalf  = 0xf0f0f0f0f0f0f0f0
)

// inverse turns a block of dequantized coefficients into 8 × 8 samples, and the block into zeros. mask has a bit for
// each place of the block that may be something else than zero.
func inverse(block *[64]int16, mask uint64, out []uint8, stride int) {
	if mask&^1 == 0 {
		v := flat(block[0] << passBits)
		block[0] = 0
		for y := range 8 {
			fill(out[y*stride:], v)
		}
		return
	}
	if mask&belowFirst == 0 {
		for x := range 8 {
			spread(block, x, block[x]<<passBits)
		}
	} else {
		columns(block, mask)
	}
	switch {
	case mask&rightOfDC == 0:
		for y := range 8 {
			fill(out[y*stride:], flat(block[8*y]))
		}
	case mask&rightHalf == 0:
		for y := range 8 {
			halfRow((*[8]int16)(block[8*y:]), (*[8]uint8)(out[y*stride:]))
		}
	default:
		for y := range 8 {
			row((*[8]int16)(block[8*y:]), (*[8]uint8)(out[y*stride:]))
		}
	}
	*block = [64]int16{}
}

// flat is the sample that a row has if all its values but the first are zero.
func flat(v int16) uint8 { return clip((int32(v)+1<<(passBits+2))>>(passBits+3) + 128) }

// fill writes eight equal samples.
func fill(out []uint8, v uint8) {
	o := (*[8]uint8)(out)
	o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7] = v, v, v, v, v, v, v, v
}

// spread writes eight equal values, one below the other.
func spread(block *[64]int16, x int, v int16) {
	b := block[x : x+57 : x+57]
	b[0], b[8], b[16], b[24], b[32], b[40], b[48], b[56] = v, v, v, v, v, v, v, v
}

// columns is the first pass, in place.
func columns(block *[64]int16, mask uint64) {
	for x := range 8 {
		b := block[x : x+57 : x+57]
		m := mask >> x
		if m&columnAC == 0 {
			if m&1 != 0 {
				spread(block, x, limit(int32(b[0])<<passBits))
			}
			continue
		}
		var e0, e1, e2, e3, o0, o1, o2, o3 int32
		if m&columnLow == 0 {
			e0, e1, e2, e3 = halfEven(b[0], b[16])
			o0, o1, o2, o3 = halfOdd(b[8], b[24])
		} else {
			e0, e1, e2, e3 = even(b[0], b[16], b[32], b[48])
			o0, o1, o2, o3 = odd(b[8], b[24], b[40], b[56])
		}
		const half, shift = 1 << (constBits - passBits - 1), constBits - passBits
		b[0], b[56] = limit((e0+o0+half)>>shift), limit((e0-o0+half)>>shift)
		b[8], b[48] = limit((e1+o1+half)>>shift), limit((e1-o1+half)>>shift)
		b[16], b[40] = limit((e2+o2+half)>>shift), limit((e2-o2+half)>>shift)
		b[24], b[32] = limit((e3+o3+half)>>shift), limit((e3-o3+half)>>shift)
	}
}

func limit(v int32) int16 {
	if v == int32(int16(v)) {
		return int16(v)
	}
	return int16(v>>31) ^ 0x7fff
}

// row is the second pass: eight values become samples.
func row(in *[8]int16, out *[8]uint8) {
	e0, e1, e2, e3 := even(in[0], in[2], in[4], in[6])
	o0, o1, o2, o3 := odd(in[1], in[3], in[5], in[7])
	samples(e0, e1, e2, e3, o0, o1, o2, o3, out)
}

// halfRow is row for values whose last four are zero.
func halfRow(in *[8]int16, out *[8]uint8) {
	e0, e1, e2, e3 := halfEven(in[0], in[2])
	o0, o1, o2, o3 := halfOdd(in[1], in[3])
	samples(e0, e1, e2, e3, o0, o1, o2, o3, out)
}

func samples(e0, e1, e2, e3, o0, o1, o2, o3 int32, out *[8]uint8) {
	const half, shift = 1 << (constBits + passBits + 2), constBits + passBits + 3
	out[0], out[7] = clip((e0+o0+half)>>shift+128), clip((e0-o0+half)>>shift+128)
	out[1], out[6] = clip((e1+o1+half)>>shift+128), clip((e1-o1+half)>>shift+128)
	out[2], out[5] = clip((e2+o2+half)>>shift+128), clip((e2-o2+half)>>shift+128)
	out[3], out[4] = clip((e3+o3+half)>>shift+128), clip((e3-o3+half)>>shift+128)
}

// even is the part of coefficients 0, 2, 4 and 6 in the first four values, and in the last four, mirrored.
func even(c0, c2, c4, c6 int16) (v0, v1, v2, v3 int32) {
	z := (int32(c2) + int32(c6)) * f0541
	a, b := z+int32(c2)*f0765, z-int32(c6)*f1847
	s, t := int32(c0+c4)<<constBits, int32(c0-c4)<<constBits
	return s + a, t + b, t - b, s - a
}

func halfEven(c0, c2 int16) (v0, v1, v2, v3 int32) {
	a, b, s := int32(c2)*(f0541+f0765), int32(c2)*f0541, int32(c0)<<constBits
	return s + a, s + b, s - b, s - a
}

// odd is the part of coefficients 1, 3, 5 and 7 in the first four values, and in the last four, mirrored and negated.
func odd(c1, c3, c5, c7 int16) (v0, v1, v2, v3 int32) {
	i1, i3, i5, i7 := int32(c1), int32(c3), int32(c5), int32(c7)
	z1, z2, z3, z4 := -(i7+i1)*f0899, -(i5+i3)*f2562, int32(c7+c3), int32(c5+c1)
	z5 := (z3 + z4) * f1175
	z3, z4 = z5-z3*f1961, z5-z4*f0390
	return i1*f1501 + z1 + z4, i3*f3072 + z2 + z3, i5*f2053 + z2 + z4, i7*f0298 + z1 + z3
}

func halfOdd(c1, c3 int16) (v0, v1, v2, v3 int32) {
	i1, i3 := int32(c1), int32(c3)
	z5 := (i1 + i3) * f1175
	z3, z4 := z5-i3*f1961, z5-i1*f0390
	return i1*(f1501-f0899) + z4, i3*(f3072-f2562) + z3, z4 - i3*f2562, z3 - i1*f0899
}
