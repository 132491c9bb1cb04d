// Package jpeg decodes JPEG pictures to the very values that libjpeg-turbo gives OpenCV's imread: the accurate integer
// inverse DCT ("islow"), triangle-filtered chroma ("fancy upsampling"), fixed-point colour conversion. Go's image/jpeg
// rounds its inverse DCT differently, which is enough to move a quantized detector's score.
//
//  1. segments.go reads the marker segments: frame, tables, restart interval, what the colours are.
//  2. scan.go walks over a scan's units, and over its restart intervals.
//  3. huffman.go and bits.go read sequential blocks, progressive.go the parts of progressive ones.
//  4. idct.go turns blocks into samples, in each component's plane.
//  5. upsample.go brings the rows of all components to the picture's size, color.go turns them into RGB.
//
// Sequential and progressive Huffman-coded pictures of 8 bits are read, with one component (grey), three (YCbCr, RGB)
// or four (CMYK, YCCK). Where libjpeg warns and paints something instead of missing data, Decode returns an error.
package jpeg

import (
	"errors"
	"fmt"
)

// Image is a picture of interleaved red, green and blue, 8 bits each, not turned by any EXIF orientation.
type Image struct {
	Width, Height int
	Pix           []uint8 // 3 · Width · Height
}

// maxPixels bounds what a frame header can ask for.
const maxPixels = 1 << 28

// errTruncated says that the data end before the picture does.
var errTruncated = errors.New("the data end too early")

// Decode reads a picture. A picture is whole or an error: only a missing end marker, and bytes between segments that
// belong to none, are forgiven. data is not kept.
func Decode(data []byte) (*Image, error) {
	r, err := Open(data)
	if err != nil {
		return nil, err
	}
	m := &Image{Width: r.Width, Height: r.Height, Pix: make([]uint8, 3*r.Width*r.Height)}
	for y := range m.Height {
		copy(m.Pix[3*m.Width*y:], r.Next())
	}
	return m, nil
}

// Reader gives a picture's rows from top to bottom.
type Reader struct {
	Width, Height int
	next          func() []uint8
}

// Open is Decode for one that wants the rows one after another: errors are found here, and the picture itself is never in memory.
func Open(data []byte) (*Reader, error) {
	d := &decoder{file: segmentReader{data: data}}
	if err := d.decode(); err != nil {
		return nil, err
	}
	return d.paint()
}

// Next gives the next row, 3 · Width bytes that hold until the next call; it is called Height times at most.
func (r *Reader) Next() []uint8 { return r.next() }

// Header reads a picture's width and height from its frame header, and says how many bytes Open and the rows take at most;
// Decode takes three for each pixel more.
func Header(data []byte) (width, height int, memory int64, err error) {
	d := &decoder{file: segmentReader{data: data}, headerOnly: true}
	if err := d.decode(); err != nil {
		return 0, 0, 0, err
	}
	memory = 3 * int64(d.width)
	for _, c := range d.components {
		blocks := int64(c.blocksX) * int64(c.blocksY)
		memory += 64*blocks + 16*int64(c.width)
		if d.progressive {
			memory += (2*64 + 8) * blocks
		}
	}
	return d.width, d.height, memory, nil
}

// decoder is the state of one picture.
type decoder struct {
	file       segmentReader
	headerOnly bool

	width, height int
	progressive   bool
	components    []*component // empty before the frame header
	maxH, maxV    int

	quants   [4]*quantTable
	dcs, acs [4]*huffmanSpec
	restart  int // units between two restart markers, 0 for none
	scans    int

	jfif, adobe bool
	transform   uint8 // Adobe's: 0 RGB or CMYK, 1 YCbCr, 2 YCCK

	coded entropyReader
}

// component is one of a picture's colour planes.
type component struct {
	id, quantIndex   uint8
	h, v             int // sampling factors
	width, height    int // samples that count
	blocksX, blocksY int // blocks that hold them

	quant  *quantTable // as it was at the component's first scan; nil before
	plane  []uint8     // 64 · blocksX · blocksY samples in rows of 8 · blocksX
	coefs  []int16     // progressive: 64 a block, in natural order
	masks  []uint64    // progressive: which of them are not zero
	known  [64]int8    // progressive: how many low bits of a coefficient are still to come; -1 all
	dc, ac *huffman    // of the current scan
	last   int32       // DC of the block before
}

func (c *component) stride() int { return 8 * c.blocksX }

// decode reads segments and scans until the picture is whole or, with headerOnly, its size is known.
func (d *decoder) decode() error {
	if len(d.file.data) < 2 || d.file.data[0] != 0xff || d.file.data[1] != soi {
		return errors.New("not a JPEG")
	}
	d.file.pos = 2
	for {
		marker, err := d.file.nextMarker()
		if err != nil { // the end marker is missing
			return d.whole(false)
		}
		switch {
		case marker == eoi:
			return d.whole(true)
		case marker == soi:
			return errors.New("a second start of a picture")
		case marker == 1 || marker >= rst0 && marker <= rst0+7:
			continue // they stand alone
		}
		body, err := d.file.segment()
		if err != nil {
			return err
		}
		if err := d.read(marker, body); err != nil {
			return err
		}
		if d.headerOnly && len(d.components) > 0 {
			return nil
		}
		if marker != sos {
			continue
		}
		n, err := d.scan(body)
		if err != nil {
			return err
		}
		if d.scans == 1 && n == len(d.components) && !d.progressive {
			return nil // as libjpeg: whatever follows is of no interest
		}
	}
}

// whole checks that every component's scans were there.
func (d *decoder) whole(end bool) error {
	if d.scans == 0 {
		return errTruncated
	}
	for i, c := range d.components {
		if c.quant == nil {
			return fmt.Errorf("component %d has no scan", i)
		}
		if !d.progressive {
			continue
		}
		// libjpeg would guess the first nine AC coefficients from the neighbours ("block smoothing").
		for k, bits := range c.known {
			if bits != 0 && (!end || k >= 1 && k <= 9) {
				return fmt.Errorf("scans that refine component %d are missing", i)
			}
		}
	}
	return nil
}

// paint turns the components into the rows of an RGB picture.
func (d *decoder) paint() (*Reader, error) {
	rows := make([]rowFunc, len(d.components))
	for i, c := range d.components {
		if d.progressive {
			c.reconstruct(&d.coded.block)
		}
		var err error
		if rows[i], err = c.rows(d.maxH, d.maxV); err != nil {
			return nil, err
		}
	}
	convert := d.conversion()
	out := make([]uint8, 3*d.width)
	var line [4][]uint8
	y := 0
	return &Reader{d.width, d.height, func() []uint8 {
		for i, row := range rows {
			line[i] = row(y)[:d.width]
		}
		convert(out, &line)
		y++
		return out
	}}, nil
}
