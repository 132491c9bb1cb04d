package dataset

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
)

// Picture is an 8-bit picture of interleaved red, green and blue.
type Picture struct {
	Width, Height int
	Pix           []uint8 // 3 · Width · Height
}

// maxPixels bounds what a PNG's header can make Decode allocate; package jpeg has the same bound.
const maxPixels = 1 << 28

// Decode reads a JPEG or PNG as OpenCV's imread does: a JPEG's pixels are libjpeg-turbo's, turned upright by its EXIF
// orientation; transparency and the lower bytes of 16-bit values are dropped. The picture as a whole is in memory.
func Decode(data []byte) (*Picture, error) {
	f, err := inspect(data)
	if err != nil {
		return nil, err
	}
	r, err := f.open()
	if err != nil {
		return nil, err
	}
	return r.whole()
}

// decodePNG decodes a PNG as a whole.
func decodePNG(data []byte) (*Picture, error) {
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated PNG: %w", err)
	}
	return convert(img), nil
}

func convert(img image.Image) *Picture {
	b := img.Bounds()
	p := &Picture{Width: b.Dx(), Height: b.Dy(), Pix: make([]uint8, 3*b.Dx()*b.Dy())}
	if m, ok := img.(*image.Gray); ok {
		for y := range p.Height {
			for x := range p.Width {
				v := m.Pix[y*m.Stride+x]
				p.set(x, y, v, v, v)
			}
		}
		return p
	}
	for y := range p.Height {
		for x := range p.Width {
			switch c := img.At(b.Min.X+x, b.Min.Y+y).(type) {
			case color.NRGBA:
				p.set(x, y, c.R, c.G, c.B)
			case color.NRGBA64:
				p.set(x, y, uint8(c.R>>8), uint8(c.G>>8), uint8(c.B>>8))
			default:
				r, g, bl, _ := c.RGBA()
				p.set(x, y, uint8(r>>8), uint8(g>>8), uint8(bl>>8))
			}
		}
	}
	return p
}

func (p *Picture) set(x, y int, r, g, b uint8) {
	i := 3 * (y*p.Width + x)
	p.Pix[i], p.Pix[i+1], p.Pix[i+2] = r, g, b
}

// upright turns and mirrors by an EXIF orientation (1 to 8).
func (p *Picture) upright(orientation int) *Picture {
	if orientation < 2 || orientation > 8 {
		return p
	}
	q := &Picture{Width: p.Width, Height: p.Height, Pix: make([]uint8, len(p.Pix))}
	if orientation >= 5 {
		q.Width, q.Height = p.Height, p.Width
	}
	for y := range q.Height {
		for x := range q.Width {
			sx, sy := x, y
			if orientation >= 5 {
				sx, sy = y, x
			}
			switch orientation {
			case 2, 7, 8:
				sx = p.Width - 1 - sx
			case 3:
				sx, sy = p.Width-1-sx, p.Height-1-sy
			}
			switch orientation {
			case 4, 6, 7:
				sy = p.Height - 1 - sy
			}
			i := 3 * (sy*p.Width + sx)
			q.set(x, y, p.Pix[i], p.Pix[i+1], p.Pix[i+2])
		}
	}
	return q
}
