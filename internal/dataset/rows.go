package dataset

import (
	"bytes"
	"errors"
	"fmt"

	"quantcheck/internal/jpeg"
)

// rows is a picture that is read from top to bottom, so that a large one is never in memory as a whole.
type rows struct {
	Width, Height int
	// next gives a row of 3 · Width bytes, red, green and blue in turn, which holds until the next call; it is called Height
	// times at most. An error ends the picture.
	next func() ([]uint8, error)
}

// rows gives a picture's own rows.
func (p *Picture) rows() *rows {
	y := 0
	return &rows{p.Width, p.Height, func() ([]uint8, error) {
		y++
		return p.Pix[3*(y-1)*p.Width : 3*y*p.Width], nil
	}}
}

// gray weighs the colours as OpenCV does: 15-bit fixed-point ITU-R BT.601.
func (r *rows) gray() *rows {
	out := make([]uint8, 3*r.Width)
	return &rows{r.Width, r.Height, func() ([]uint8, error) {
		row, err := r.next()
		if err != nil {
			return nil, err
		}
		for i := 0; i < len(row); i += 3 {
			v := uint8((int(row[i])*9798 + int(row[i+1])*19235 + int(row[i+2])*3735 + 1<<14) >> 15)
			out[i], out[i+1], out[i+2] = v, v, v
		}
		return out, nil
	}}
}

// whole collects all rows.
func (r *rows) whole() (*Picture, error) {
	return r.window(r.Width, r.Height, area{0, 0, r.Width, r.Height})
}

// file is a picture's file whose header was read.
type file struct {
	data          []byte
	width, height int   // turned upright
	memory        int64 // bytes that rows takes at most, those of the file not counted
	open          func() (*rows, error)
}

// inspect reads a picture's header. Nothing that depends on its size is allocated.
func inspect(data []byte) (*file, error) {
	if isJPEG(data) {
		return inspectJPEG(data)
	}
	h, err := readPNGHeader(data)
	if err != nil {
		return nil, err
	}
	f := &file{data: data, width: h.width, height: h.height}
	if h.interlaced {
		f.memory = h.pixels() * int64(h.imageBytes()*2+3) // the passes are pictures of their own
		f.open = func() (*rows, error) {
			p, err := decodePNG(data)
			if err != nil {
				return nil, err
			}
			return p.rows(), nil
		}
		return f, nil
	}
	f.memory = int64(h.width)*(3+2*8) + 1<<17 // a row, two of the file's, and zlib's window
	f.open = func() (*rows, error) { return pngRows(data, h) }
	return f, nil
}

func inspectJPEG(data []byte) (*file, error) {
	width, height, memory, err := jpeg.Header(data)
	if err != nil {
		return nil, fmt.Errorf("decode JPEG: %w", err)
	}
	turn := orientation(data)
	turned := turn >= 2 && turn <= 8
	if turned {
		memory += 6 * int64(width) * int64(height)
	}
	f := &file{data: data, width: width, height: height, memory: memory}
	if turn >= 5 && turn <= 8 {
		f.width, f.height = height, width
	}
	f.open = func() (*rows, error) {
		if turned {
			m, err := jpeg.Decode(data)
			if err != nil {
				return nil, fmt.Errorf("decode JPEG: %w", err)
			}
			p := &Picture{Width: m.Width, Height: m.Height, Pix: m.Pix}
			return p.upright(turn).rows(), nil
		}
		r, err := jpeg.Open(data)
		if err != nil {
			return nil, fmt.Errorf("decode JPEG: %w", err)
		}
		return &rows{r.Width, r.Height, func() ([]uint8, error) { return r.Next(), nil }}, nil
	}
	return f, nil
}

var errNoPicture = errors.New("neither a JPEG nor a PNG")

// isJPEG tells a JPEG by its first bytes; anything else is taken for a PNG.
func isJPEG(data []byte) bool { return bytes.HasPrefix(data, []byte{0xff, 0xd8}) }
