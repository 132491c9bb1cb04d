package jpeg

// convertFunc turns a row of all components into RGB.
type convertFunc func(out []uint8, in *[4][]uint8)

// conversion says what the components mean, by libjpeg's rules: JFIF is YCbCr, Adobe's marker says which, and without
// both the components' names do.
func (d *decoder) conversion() convertFunc {
	switch len(d.components) {
	case 1:
		return fromGray
	case 3:
		c := d.components
		named := c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
		if !d.jfif && (d.adobe && d.transform == 0 || !d.adobe && named) {
			return fromRGB
		}
		return fromYCbCr
	}
	if d.adobe && d.transform != 0 {
		return fromYCCK
	}
	return fromCMYK
}

func fromGray(out []uint8, in *[4][]uint8) {
	for x, v := range in[0] {
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0], o[1], o[2] = v, v, v
	}
}

func fromRGB(out []uint8, in *[4][]uint8) {
	r, g, b := in[0], in[1][:len(in[0])], in[2][:len(in[0])]
	for x := range r {
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0], o[1], o[2] = r[x], g[x], b[x]
	}
}

// fromYCbCr follows ITU-T T.871 in 16 fractional bits.
func fromYCbCr(out []uint8, in *[4][]uint8) {
	luma, cb, cr := in[0], in[1][:len(in[0])], in[2][:len(in[0])]
	for x := range luma {
		y, u, v := int32(luma[x]), int32(cb[x])-128, int32(cr[x])-128
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0] = clip(y + (91881*v+32768)>>16)
		o[1] = clip(y + (-22554*u-46802*v+32768)>>16)
		o[2] = clip(y + (116130*u+32768)>>16)
	}
}

func clip(v int32) uint8 {
	if uint32(v) <= 255 {
		return uint8(v)
	}
	return uint8(^v >> 31)
}

// fromCMYK follows OpenCV: inks are inverted, as Adobe writes them.
func fromCMYK(out []uint8, in *[4][]uint8) {
	c, m, y, k := in[0], in[1], in[2], in[3]
	for x := range c {
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0], o[1], o[2] = ink(c[x], k[x]), ink(m[x], k[x]), ink(y[x], k[x])
	}
}

// fromYCCK turns YCC into CMY first; libjpeg takes it for the complement of RGB.
func fromYCCK(out []uint8, in *[4][]uint8) {
	fromYCbCr(out, in)
	for x, k := range in[3] {
		o := out[3*x : 3*x+3 : 3*x+3]
		o[0], o[1], o[2] = ink(255-o[0], k), ink(255-o[1], k), ink(255-o[2], k)
	}
}

func ink(v, k uint8) uint8 { return uint8(int(k) - (255-int(v))*int(k)>>8) }
