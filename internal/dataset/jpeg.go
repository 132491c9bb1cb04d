package dataset

import (
	"encoding/binary"
	"image"
)

// fromYCbCr upsamples chroma with libjpeg's triangle filter ("fancy upsampling") and converts with its fixed-point
// constants (ITU-T T.871). Go's own conversion repeats chroma samples, which was measured at 41 dB against libjpeg;
// this is at 61 dB, the rest being the inverse DCT.
func (p *Picture) fromYCbCr(m *image.YCbCr) {
	cb := upsample(m, m.Cb, p.Width, p.Height)
	cr := upsample(m, m.Cr, p.Width, p.Height)
	for y := range p.Height {
		row := m.Y[y*m.YStride:]
		for x := range p.Width {
			i := y*p.Width + x
			luma, b, r := int32(row[x]), int32(cb[i])-128, int32(cr[i])-128
			p.Pix[3*i] = clip(luma + (91881*r+32768)>>16)
			p.Pix[3*i+1] = clip(luma + (-22554*b-46802*r+32768)>>16)
			p.Pix[3*i+2] = clip(luma + (116130*b+32768)>>16)
		}
	}
}

func clip(v int32) uint8 { return uint8(min(max(v, 0), 255)) }

// upsample brings a chroma plane to full size: width × height values.
func upsample(m *image.YCbCr, plane []uint8, width, height int) []uint8 {
	sx, sy := 1, 1
	switch m.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		sx = 2
	case image.YCbCrSubsampleRatio420:
		sx, sy = 2, 2
	case image.YCbCrSubsampleRatio440:
		sy = 2
	case image.YCbCrSubsampleRatio411:
		sx = 4
	case image.YCbCrSubsampleRatio410:
		sx, sy = 4, 2
	}
	cw, ch := (width+sx-1)/sx, (height+sy-1)/sy
	row := func(y int) []uint8 {
		y = min(max(y, 0), ch-1)
		return plane[y*m.CStride : y*m.CStride+cw]
	}
	out := make([]uint8, width*height)
	sums := make([]int32, cw)
	for y := range height {
		line := out[y*width : (y+1)*width]
		near, far := row(y/sy), row(y/sy-1+2*(y%2)) // the nearer row weighs 3, the farther one 1
		switch {
		case sx == 2 && sy == 2:
			for x := range sums {
				sums[x] = 3*int32(near[x]) + int32(far[x])
			}
			widen(line, sums, 4, 8, 7)
		case sx == 2 && sy == 1:
			for x := range sums {
				sums[x] = int32(row(y)[x])
			}
			widen(line, sums, 2, 1, 2)
		case sx == 1 && sy == 2:
			for x := range line {
				line[x] = uint8((3*int32(near[x]) + int32(far[x]) + 1 + int32(y%2)) >> 2)
			}
		default: // libjpeg repeats samples at other ratios
			for x := range line {
				line[x] = row(y / sy)[x/sx]
			}
		}
	}
	return out
}

// widen doubles a row: the nearer sample weighs 3 and the farther one 1; left and right are the rounding terms of the
// two halves. At the borders the sample stands alone.
func widen(line []uint8, sums []int32, shift uint, left, right int32) {
	last := len(sums) - 1
	for x := range line {
		k := x / 2
		this := sums[k]
		switch {
		case x%2 == 0 && k > 0:
			line[x] = uint8((3*this + sums[k-1] + left) >> shift)
		case x%2 == 1 && k < last:
			line[x] = uint8((3*this + sums[k+1] + right) >> shift)
		case x%2 == 0:
			line[x] = uint8((4*this + left) >> shift)
		default:
			line[x] = uint8((4*this + right) >> shift)
		}
	}
}

// orientation reads the EXIF orientation of a JPEG, 1 (upright) if it has none.
func orientation(data []byte) int {
	for at := 2; at+4 <= len(data) && data[at] == 0xff; {
		marker, size := data[at+1], int(binary.BigEndian.Uint16(data[at+2:]))
		if marker == 0xda || size < 2 || at+2+size > len(data) {
			break
		}
		if body := data[at+4 : at+2+size]; marker == 0xe1 && len(body) > 14 && string(body[:6]) == "Exif\x00\x00" {
			return tiffOrientation(body[6:])
		}
		at += 2 + size
	}
	return 1
}

func tiffOrientation(tiff []byte) int {
	var order binary.ByteOrder = binary.LittleEndian
	if string(tiff[:2]) == "MM" {
		order = binary.BigEndian
	}
	at := int(order.Uint32(tiff[4:]))
	if at < 8 || at+2 > len(tiff) {
		return 1
	}
	for n, entry := int(order.Uint16(tiff[at:])), at+2; n > 0 && entry+12 <= len(tiff); n, entry = n-1, entry+12 {
		if order.Uint16(tiff[entry:]) == 0x0112 {
			return int(order.Uint16(tiff[entry+8:]))
		}
	}
	return 1
}
