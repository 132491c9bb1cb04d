package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// pngHeader is a PNG's IHDR chunk.
type pngHeader struct {
	width, height int
	depth, colour uint8 // bits a sample; the type of colour
	interlaced    bool
}

const pngMagic = "\x89PNG\r\n\x1a\n"

// The types of colour (PNG specification, table 11.1).
const (
	pngGrey      = 0
	pngRGB       = 2
	pngPalette   = 3
	pngGreyAlpha = 4
	pngRGBA      = 6
)

// readPNGHeader reads the signature and the first chunk.
func readPNGHeader(data []byte) (h pngHeader, err error) {
	if !bytes.HasPrefix(data, []byte(pngMagic)) {
		return h, errNoPicture
	}
	chunk, _, err := pngChunk(data[len(pngMagic):])
	switch {
	case err != nil:
		return h, fmt.Errorf("damaged PNG: %w", err)
	case chunk.kind != "IHDR" || len(chunk.body) != 13:
		return h, errors.New("damaged PNG: it does not begin with its header")
	}
	b := chunk.body
	width, height := binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
	h = pngHeader{depth: b[8], colour: b[9], interlaced: b[12] == 1}
	switch {
	case width == 0 || height == 0:
		return h, errors.New("damaged PNG: an empty picture")
	case int64(width)*int64(height) > maxPixels:
		return h, fmt.Errorf("a picture of %d × %d is too large; %d million pixels are the limit", width, height, maxPixels/1_000_000)
	case !h.known() || b[10] != 0 || b[11] != 0 || b[12] > 1:
		return h, fmt.Errorf("a PNG of colour type %d with %d bits, compression %d, filter %d, interlace %d is not supported", b[9], b[8], b[10], b[11], b[12])
	}
	h.width, h.height = int(width), int(height)
	return h, nil
}

// known says whether the specification has the type of colour with so many bits.
func (h pngHeader) known() bool {
	switch h.colour {
	case pngGrey:
		return h.depth == 1 || h.depth == 2 || h.depth == 4 || h.depth == 8 || h.depth == 16
	case pngPalette:
		return h.depth == 1 || h.depth == 2 || h.depth == 4 || h.depth == 8
	case pngRGB, pngGreyAlpha, pngRGBA:
		return h.depth == 8 || h.depth == 16
	}
	return false
}

func (h pngHeader) pixels() int64 { return int64(h.width) * int64(h.height) }

// samples is how many numbers a pixel has.
func (h pngHeader) samples() int {
	return map[uint8]int{pngGrey: 1, pngPalette: 1, pngGreyAlpha: 2, pngRGB: 3, pngRGBA: 4}[h.colour]
}

// imageBytes is what image/png takes for a pixel at most.
func (h pngHeader) imageBytes() int {
	switch {
	case h.colour == pngPalette:
		return 1
	case h.depth == 16:
		return 8
	}
	return 4
}

// pngPart is a chunk.
type pngPart struct {
	kind string
	body []byte
}

// pngChunk reads the chunk that begins here, and gives what follows it.
func pngChunk(data []byte) (c pngPart, rest []byte, err error) {
	if len(data) < 12 {
		return c, nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.BigEndian.Uint32(data))
	if n > int64(len(data))-12 {
		return c, nil, io.ErrUnexpectedEOF
	}
	body := data[8 : 8+n]
	if crc32.ChecksumIEEE(data[4:8+n]) != binary.BigEndian.Uint32(data[8+n:]) {
		return c, nil, fmt.Errorf("the checksum of its part %q is wrong", data[4:8])
	}
	return pngPart{string(data[4:8]), body}, data[12+n:], nil
}

// pngRows reads a PNG that is not interlaced row by row, as convert gives the rows of what image/png decodes: the upper bytes of its
// samples, without transparency. Damage of its structure is said at once, damage of a row at that row, and what is wrong with the whole
// at the last one.
func pngRows(data []byte, h pngHeader) (*rows, error) {
	palette, packed, err := pngParts(data, h)
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated PNG: %w", err)
	}
	z, err := zlib.NewReader(io.MultiReader(packed...))
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated PNG: %w", err)
	}
	bits := int(h.depth) * h.samples()
	size, step := (bits*h.width+7)/8, (bits+7)/8
	row, above := make([]uint8, 1+size), make([]uint8, 1+size)
	out := make([]uint8, 3*h.width)
	y := 0
	return &rows{h.width, h.height, func() ([]uint8, error) {
		if _, err := io.ReadFull(z, row); err != nil {
			return nil, fmt.Errorf("damaged or truncated PNG: row %d: %w", y, err)
		}
		if !unfilter(row[0], row[1:], above[1:], step) {
			return nil, fmt.Errorf("damaged or truncated PNG: row %d has the unknown filter %d", y, row[0])
		}
		h.paint(out, row[1:], palette)
		row, above = above, row
		if y++; y == h.height { // the checksum stands behind the last row
			if n, err := io.ReadFull(z, row[:1]); n != 0 || !errors.Is(err, io.EOF) {
				return nil, fmt.Errorf("damaged or truncated PNG: more data than rows: %w", err)
			}
		}
		return out, nil
	}}, nil
}

// pngParts finds the palette, black where it has no colour, and the packed rows.
func pngParts(data []byte, h pngHeader) (palette *[256][3]uint8, packed []io.Reader, err error) {
	rest := data[len(pngMagic):]
	ended := false // the packed rows
	for first := true; ; first = false {
		var c pngPart
		if c, rest, err = pngChunk(rest); err != nil {
			return nil, nil, err
		}
		switch {
		case c.kind == "IEND":
			switch {
			case len(c.body) > 0:
				return nil, nil, errors.New("its end has a body")
			case packed == nil:
				return nil, nil, errors.New("it has no pixels")
			}
			return palette, packed, nil
		case c.kind == "IHDR" && !first:
			return nil, nil, errors.New("a second header")
		case c.kind == "IDAT":
			if ended || h.colour == pngPalette && palette == nil {
				return nil, nil, errors.New("its parts are out of order")
			}
			packed = append(packed, bytes.NewReader(c.body))
			continue
		case c.kind == "PLTE":
			n := len(c.body) / 3
			switch {
			case packed != nil || palette != nil:
				return nil, nil, errors.New("its parts are out of order")
			case len(c.body)%3 != 0 || n == 0 || n > 256 || n > 1<<h.depth || h.colour == pngGrey || h.colour == pngGreyAlpha:
				return nil, nil, errors.New("an impossible palette")
			}
			palette = new([256][3]uint8)
			for i := range n {
				palette[i] = [3]uint8(c.body[3*i:])
			}
		}
		ended = packed != nil
	}
}

// unfilter undoes a row's filter in place (PNG specification, 9.2); step is the distance to the sample on the left.
func unfilter(filter uint8, row, above []uint8, step int) bool {
	switch filter {
	case 0:
	case 1:
		for i := step; i < len(row); i++ {
			row[i] += row[i-step]
		}
	case 2:
		for i, b := range above {
			row[i] += b
		}
	case 3:
		for i := range row {
			left := 0
			if i >= step {
				left = int(row[i-step])
			}
			row[i] += uint8((left + int(above[i])) / 2)
		}
	case 4:
		for i := range row {
			var a, c int
			if i >= step {
				a, c = int(row[i-step]), int(above[i-step])
			}
			row[i] += paeth(a, int(above[i]), c)
		}
	default:
		return false
	}
	return true
}

// paeth is that of left, above, and left above which is nearest to left + above − left above.
func paeth(a, b, c int) uint8 {
	pa, pb, pc := b-c, a-c, a+b-2*c
	pa, pb, pc = max(pa, -pa), max(pb, -pb), max(pc, -pc)
	switch {
	case pa <= pb && pa <= pc:
		return uint8(a)
	case pb <= pc:
		return uint8(b)
	}
	return uint8(c)
}

// paint turns a row's samples into colours.
func (h pngHeader) paint(out, row []uint8, palette *[256][3]uint8) {
	wide := int(h.depth / 8) // bytes a sample, 0 for less than one
	switch h.colour {
	case pngGrey, pngGreyAlpha:
		step := wide * h.samples()
		for x := range h.width {
			var v uint8
			if wide > 0 {
				v = row[x*step]
			} else {
				v = narrow(row, x, h.depth) * (255 / (1<<h.depth - 1))
			}
			out[3*x], out[3*x+1], out[3*x+2] = v, v, v
		}
	case pngPalette:
		for x := range h.width {
			index := row[min(x, len(row)-1)]
			if h.depth < 8 {
				index = narrow(row, x, h.depth)
			}
			copy(out[3*x:], palette[index][:])
		}
	default:
		step := wide * h.samples()
		for x := range h.width {
			from := row[x*step : (x+1)*step]
			out[3*x], out[3*x+1], out[3*x+2] = from[0], from[wide], from[2*wide]
		}
	}
}

// narrow is a sample of less than eight bits.
func narrow(row []uint8, x int, depth uint8) uint8 {
	at := x * int(depth)
	return row[at/8] >> (8 - int(depth) - at%8) & (1<<depth - 1)
}
