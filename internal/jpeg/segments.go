package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Markers (ITU-T T.81, table B.1).
const (
	sof0  = 0xc0
	sof1  = 0xc1
	sof2  = 0xc2
	dht   = 0xc4
	sof15 = 0xcf
	jpg   = 0xc8
	dac   = 0xcc
	rst0  = 0xd0
	soi   = 0xd8
	eoi   = 0xd9
	sos   = 0xda
	dqt   = 0xdb
	dri   = 0xdd
	app0  = 0xe0
	app14 = 0xee
)

// quantTable holds quantization steps in natural order. Those beyond 15 bits turn negative, as they do in libjpeg-turbo.
type quantTable [64]int16

// natural is the place in a block of the k-th coefficient of the zigzag sequence. Runs that lead beyond the block end
// at its last place, as in libjpeg.
var natural = func() (order [64 + 16]uint8) {
	x, y, k := 0, 0, 0
	for k < 64 {
		order[k] = uint8(8*y + x)
		k++
		switch up := (x+y)%2 == 0; {
		case up && x == 7 || !up && y < 7 && x == 0:
			y++
		case up && y == 0 || !up && y == 7:
			x++
		case up:
			x, y = x+1, y-1
		default:
			x, y = x-1, y+1
		}
	}
	for ; k < len(order); k++ {
		order[k] = 63
	}
	return order
}()

// segmentReader goes through a file's bytes from segment to segment.
type segmentReader struct {
	data []byte
	pos  int // of the next byte that belongs to no segment read so far
}

// nextMarker skips to the next marker and over it.
func (f *segmentReader) nextMarker() (uint8, error) {
	for f.pos+1 < len(f.data) {
		if f.data[f.pos] == 0xff {
			if m := f.data[f.pos+1]; m != 0xff && m != 0 {
				f.pos += 2
				return m, nil
			}
		}
		f.pos++
	}
	return 0, errTruncated
}

// segment gives the body of the segment that begins here, and skips over it.
func (f *segmentReader) segment() ([]byte, error) {
	if f.pos+2 > len(f.data) {
		return nil, errTruncated
	}
	n := int(binary.BigEndian.Uint16(f.data[f.pos:]))
	if n < 2 {
		return nil, errors.New("a segment of impossible length")
	}
	if f.pos+n > len(f.data) {
		return nil, errTruncated
	}
	body := f.data[f.pos+2 : f.pos+n]
	f.pos += n
	return body, nil
}

// read takes one segment in; those without meaning for the pixels are passed over.
func (d *decoder) read(marker uint8, body []byte) error {
	switch {
	case marker == dht:
		return d.readHuffman(body)
	case marker == dqt:
		return d.readQuant(body)
	case marker == dri:
		if len(body) != 2 {
			return errors.New("a restart interval of impossible length")
		}
		d.restart = int(binary.BigEndian.Uint16(body))
	case marker == app0:
		d.jfif = d.jfif || len(body) >= 14 && string(body[:5]) == "JFIF\x00"
	case marker == app14:
		if len(body) >= 12 && string(body[:5]) == "Adobe" {
			d.adobe, d.transform = true, body[11]
		}
	case marker == dac:
		return errors.New("arithmetic coding is not supported")
	case marker >= sof0 && marker <= sof15 && marker != jpg:
		if marker > sof2 {
			return fmt.Errorf("frames of type %d (lossless, hierarchical or arithmetic) are not supported", marker-sof0)
		}
		d.progressive = marker == sof2
		return d.readFrame(body)
	}
	return nil
}

func (d *decoder) readFrame(body []byte) error {
	if len(d.components) > 0 {
		return errors.New("a second frame")
	}
	if len(body) < 6 {
		return errors.New("a frame header of impossible length")
	}
	d.height, d.width = int(binary.BigEndian.Uint16(body[1:])), int(binary.BigEndian.Uint16(body[3:]))
	n := int(body[5])
	switch {
	case body[0] != 8:
		return fmt.Errorf("%d bits a sample are not supported", body[0])
	case d.width == 0 || d.height == 0:
		return errors.New("an empty picture")
	case d.width > maxPixels/d.height:
		return fmt.Errorf("a picture of %d × %d is too large", d.width, d.height)
	case n != 1 && n != 3 && n != 4:
		return fmt.Errorf("%d components are not supported", n)
	case len(body) != 6+3*n:
		return errors.New("a frame header of impossible length")
	}
	d.maxH, d.maxV = 1, 1
	components := make([]*component, n)
	for i := range components {
		b := body[6+3*i:]
		c := &component{id: b[0], h: int(b[1] >> 4), v: int(b[1] & 15), quantIndex: b[2]}
		if c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
			return errors.New("impossible sampling factors")
		}
		d.maxH, d.maxV = max(d.maxH, c.h), max(d.maxV, c.v)
		components[i] = c
	}
	for _, c := range components {
		c.width, c.height = ceilDiv(d.width*c.h, d.maxH), ceilDiv(d.height*c.v, d.maxV)
		c.blocksX, c.blocksY = ceilDiv(c.width, 8), ceilDiv(c.height, 8)
		for k := range c.known {
			c.known[k] = -1
		}
	}
	d.components = components
	return nil
}

// allocate makes room for the samples, and for the coefficients if they arrive in parts.
func (d *decoder) allocate() error {
	blocks := 0
	for _, c := range d.components {
		blocks += c.blocksX * c.blocksY
	}
	if blocks/8 > len(d.file.data) { // a block takes a bit at least
		return errTruncated
	}
	for _, c := range d.components {
		n := c.blocksX * c.blocksY
		c.plane = make([]uint8, 64*n)
		if d.progressive {
			c.coefs, c.masks = make([]int16, 64*n), make([]uint64, n)
		}
	}
	return nil
}

func (d *decoder) readQuant(body []byte) error {
	for len(body) > 0 {
		wide, index, size := body[0]>>4 != 0, body[0]&15, 64
		if wide {
			size = 128
		}
		if index > 3 || len(body) < 1+size {
			return errors.New("a damaged quantization table")
		}
		t := new(quantTable)
		for k := range t {
			if wide {
				t[natural[k]] = int16(binary.BigEndian.Uint16(body[1+2*k:]))
			} else {
				t[natural[k]] = int16(body[1+k])
			}
		}
		d.quants[index] = t
		body = body[1+size:]
	}
	return nil
}

func (d *decoder) readHuffman(body []byte) error {
	for len(body) > 0 {
		if len(body) < 17 {
			return errors.New("a damaged Huffman table")
		}
		s, n := &huffmanSpec{}, 0
		for i := range s.counts {
			s.counts[i] = body[1+i]
			n += int(body[1+i])
		}
		if n > 256 || len(body) < 17+n || body[0]&^0x13 != 0 {
			return errors.New("a damaged Huffman table")
		}
		s.symbols = body[17 : 17+n]
		if index := body[0] & 3; body[0]&0x10 != 0 {
			d.acs[index] = s
		} else {
			d.dcs[index] = s
		}
		body = body[17+n:]
	}
	return nil
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
