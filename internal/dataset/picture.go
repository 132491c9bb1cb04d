package dataset

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
)

// Picture is an 8-bit picture of interleaved red, green and blue.
type Picture struct {
	Width, Height int
	Pix           []uint8 // 3 · Width · Height
}

// maxPixels bounds what a picture's header can make Decode allocate.
const maxPixels = 1 << 28

// Decode reads a JPEG or PNG as OpenCV's imread does: chroma upsampled and converted as libjpeg does, turned upright by
// its EXIF orientation, transparency and the lower bytes of 16-bit values dropped.
func Decode(data []byte) (*Picture, error) {
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		if errors.Is(err, image.ErrFormat) {
			return nil, errors.New("neither a JPEG nor a PNG")
		}
		return nil, fmt.Errorf("damaged picture: %w", err)
	}
	if config.Width <= 0 || config.Height <= 0 || config.Width > maxPixels/config.Height {
		return nil, fmt.Errorf("a picture of %d × %d is too large", config.Width, config.Height)
	}
	var img image.Image
	if format == "jpeg" {
		img, err = jpeg.Decode(bytes.NewReader(data))
	} else {
		img, err = png.Decode(bytes.NewReader(data))
	}
	if err != nil {
		return nil, fmt.Errorf("damaged or truncated %s: %w", format, err)
	}
	p := convert(img)
	if format == "jpeg" {
		p = p.upright(orientation(data))
	}
	return p, nil
}

func convert(img image.Image) *Picture {
	b := img.Bounds()
	p := &Picture{Width: b.Dx(), Height: b.Dy(), Pix: make([]uint8, 3*b.Dx()*b.Dy())}
	switch m := img.(type) {
	case *image.YCbCr:
		p.fromYCbCr(m)
		return p
	case *image.Gray:
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
	config, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width <= 0 || config.Height <= 0 {
		return 0, 0, errors.New("neither a JPEG nor a PNG, or damaged")
	}
	if format == "jpeg" && orientation(data) >= 5 {
		return config.Height, config.Width, nil
	}
	return config.Width, config.Height, nil
}
