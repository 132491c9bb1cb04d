package eval

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/tensor"
)

// plane is a picture of numbers, row by row.
type plane struct {
	width, height int
	values        []float32
}

// truthMost bounds a file of truth: 100 megapixels.
const truthMost = 100 << 20

// readTruth reads a mask or depth map: a PNG of 8 or 16 bits, whose palette's or grey levels' numbers count, or a .npy.
func readTruth(path string) (plane, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return plane{}, err
	}
	if bytes.HasPrefix(data, []byte("\x93NUMPY")) {
		t, err := tensor.ReadNpy(bytes.NewReader(data))
		if err != nil {
			return plane{}, fmt.Errorf("%s: %w", path, err)
		}
		values, ok := t.AsFloat32()
		shape := squeeze(t.Shape)
		if !ok || len(shape) != 2 || len(values) == 0 || len(values) > truthMost {
			return plane{}, fmt.Errorf("%s has the shape %v; one of height × width is expected, of %d values at most", path, t.Shape, truthMost)
		}
		return plane{int(shape[1]), int(shape[0]), values}, nil
	}
	config, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil || config.Width <= 0 || config.Height <= 0 || config.Width > truthMost/config.Height {
		return plane{}, fmt.Errorf("%s is neither a PNG of a usable size nor a .npy", path)
	}
	var usual *dataset.Budget
	free, err := usual.Take(config.Width, config.Height, (2*8+4)*int64(config.Width)*int64(config.Height)) // 16 bits of four colours, interlaced
	if err != nil {
		return plane{}, fmt.Errorf("%s: %w", path, err)
	}
	defer free()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return plane{}, fmt.Errorf("%s: %w", path, err)
	}
	p := plane{config.Width, config.Height, make([]float32, config.Width*config.Height)}
	b := img.Bounds()
	for y := range p.height {
		for x := range p.width {
			at := y*p.width + x
			switch m := img.(type) {
			case *image.Paletted:
				p.values[at] = float32(m.ColorIndexAt(b.Min.X+x, b.Min.Y+y))
			case *image.Gray:
				p.values[at] = float32(m.GrayAt(b.Min.X+x, b.Min.Y+y).Y)
			case *image.Gray16:
				p.values[at] = float32(m.Gray16At(b.Min.X+x, b.Min.Y+y).Y)
			default: // colours that are all grey
				c, _ := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
				if c.R != c.G || c.G != c.B {
					return plane{}, fmt.Errorf("%s is a picture in colours; masks and depth maps hold numbers: grey levels or a palette", path)
				}
				p.values[at] = float32(c.R)
			}
		}
	}
	return p, nil
}

func squeeze(shape []int64) []int64 {
	var list []int64
	for _, d := range shape {
		if d != 1 {
			list = append(list, d)
		}
	}
	for len(list) < 2 { // a row or a single number
		list = append([]int64{1}, list...)
	}
	return list
}

// sampler finds, for each pixel of the truth, the value of an output of another size that lies under its centre; −1 where
// the picture was cut off.
func sampler(p Picture, truth, out [2]int) func(x, y int) int {
	sx, sy := float64(p.Width)/float64(truth[0]), float64(p.Height)/float64(truth[1])
	ox, oy := float64(out[0])/float64(p.Input[0]), float64(out[1])/float64(p.Input[1])
	return func(x, y int) int {
		ix, iy := p.Place.Input((float64(x)+0.5)*sx, (float64(y)+0.5)*sy)
		u, v := int(math.Floor(ix*ox)), int(math.Floor(iy*oy))
		if u < 0 || v < 0 || u >= out[0] || v >= out[1] {
			return -1
		}
		return v*out[0] + u
	}
}

// grid gives channels, height and width of an output of [1,C,H,W], [1,H,W], [H,W].
func grid(o decode.Output) (channels, height, width int, err error) {
	s := o.Tensor.Shape
	for len(s) > 2 && s[0] == 1 {
		s = s[1:]
	}
	switch len(s) {
	case 2:
		return 1, int(s[0]), int(s[1]), nil
	case 3:
		return int(s[0]), int(s[1]), int(s[2]), nil
	}
	return 0, 0, 0, fmt.Errorf("the output %s %v is no map of channels, height and width", o.Name, o.Tensor.Shape)
}

// isMap says whether a shape can be a map of a picture: height and width in the proportions of the model's input.
func isMap(shape []int64, input [2]int) bool {
	n := len(shape)
	if n < 2 || n > 4 || shape[n-1] <= 4 || shape[n-2] <= 4 {
		return false
	}
	a, b := float64(shape[n-1])*float64(input[1]), float64(shape[n-2])*float64(input[0])
	return math.Abs(a-b) <= 0.05*max(a, b)
}

// encodeGray writes numbers of 8 bits as a PNG.
func encodeGray(width, height int, pixels []uint8) ([]byte, error) {
	var b bytes.Buffer
	e := png.Encoder{CompressionLevel: png.BestSpeed}
	err := e.Encode(&b, &image.Gray{Pix: pixels, Stride: width, Rect: image.Rect(0, 0, width, height)})
	return b.Bytes(), err
}

var errNoOutputs = errors.New("the float model gave nothing")
