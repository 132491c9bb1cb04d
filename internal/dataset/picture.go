package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"

	"quantcheck/internal/jpeg"
)

// Picture is an 8-bit picture of interleaved red, green and blue.
type Picture struct {
	Width, Height int
	Pix           []uint8 // 3 · Width · Height
}

// maxPixels bounds what a PNG's header can make Decode allocate; package jpeg has the same bound.
const maxPixels = 1 << 28

// isJPEG tells a JPEG by its first bytes; anything else is taken for a PNG.
func isJPEG(data []byte) bool { return bytes.HasPrefix(data, []byte{0xff, 0xd8}) }

// Decode reads a JPEG or PNG as OpenCV's imread does: a JPEG's pixels are libjpeg-turbo's, turned upright by its EXIF
// orientation; transparency and the lower bytes of 16-bit values are dropped.
func Decode(data []byte) (*Picture, error) {
	if isJPEG(data) {
		m, err := jpeg.Decode(data)
		if err != nil {
			return nil, fmt.Errorf("decode JPEG: %w", err)
		}
		p := &Picture{Width: m.Width, Height: m.Height, Pix: m.Pix}
		return p.upright(orientation(data)), nil
	}
	config, err := pngConfig(data)
	if err != nil {
		return nil, err
	}
	if config.Width <= 0 || config.Height <= 0 || config.Width > maxPixels/config.Height {
		return nil, fmt.Errorf("a picture of %d × %d is too large", config.Width, config.Height)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated PNG: %w", err)
	}
	return convert(img), nil
}

func pngConfig(data []byte) (image.Config, error) {
	if !bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")) {
		return image.Config{}, errors.New("neither a JPEG nor a PNG")
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return image.Config{}, fmt.Errorf("damaged PNG: %w", err)
	}
	return config, nil
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

// Size reads a picture's width and height, turned upright, without its pixels.
func Size(path string) (width, height int, err error) {
	data, err := readFile(path)
	if err != nil {
		return 0, 0, err
	}
	if isJPEG(data) {
		width, height, err = jpeg.Size(data)
		if err != nil {
			return 0, 0, fmt.Errorf("decode JPEG: %w", err)
		}
		if orientation(data) >= 5 {
			width, height = height, width
		}
		return width, height, nil
	}
	config, err := pngConfig(data)
	if err != nil {
		return 0, 0, err
	}
	return config.Width, config.Height, nil
}
