package dataset

import "math"

// ResizeTo gives a picture of another size as OpenCV's INTER_LINEAR does for 8-bit pictures, bit for bit: 11-bit
// weights, the horizontal pass first, and an exact halving of both sides by averaging four pixels.
func (p *Picture) ResizeTo(width, height int) *Picture {
	if width == p.Width && height == p.Height {
		return p
	}
	q := &Picture{Width: width, Height: height, Pix: make([]uint8, 3*width*height)}
	if p.Width == 2*width && p.Height == 2*height {
		p.halve(q)
		return q
	}
	xs, xw := taps(p.Width, width, true)
	ys, yw := taps(p.Height, height, false)
	lines := [2][]int32{make([]int32, 3*width), make([]int32, 3*width)}
	held := [2]int{-1, -1}        // which source row each line holds
	line := func(y int) []int32 { // rows outside are the border row
		y = min(max(y, 0), p.Height-1)
		slot := y % 2
		if held[slot] != y {
			p.stretchRow(lines[slot], p.Pix[3*y*p.Width:3*(y+1)*p.Width], xs, xw)
			held[slot] = y
		}
		return lines[slot]
	}
	for y := range height {
		above, below := line(ys[y]), line(ys[y]+1)
		a, b := yw[y][0], yw[y][1]
		out := q.Pix[3*y*width : 3*(y+1)*width]
		for i := range out {
			out[i] = uint8(((a*(above[i]>>4))>>16 + (b*(below[i]>>4))>>16 + 2) >> 2)
		}
	}
	return q
}

// taps finds, for each position of the result, the first of the two source positions and the weights of both, in 2048ths.
// Horizontally, positions outside are moved to the border; vertically, they are left to the caller.
func taps(from, to int, inside bool) (first []int, weights [][2]int32) {
	scale := 1 / (float64(to) / float64(from))
	first, weights = make([]int, to), make([][2]int32, to)
	for i := range first {
		f := float32((float64(i)+0.5)*scale - 0.5)
		s := int(math.Floor(float64(f)))
		f -= float32(s)
		if inside && s < 0 {
			s, f = 0, 0
		}
		if inside && s >= from-1 {
			s, f = from-1, 0
		}
		first[i] = s
		weights[i] = [2]int32{
			int32(math.RoundToEven(float64((1 - f) * 2048))),
			int32(math.RoundToEven(float64(f * 2048))),
		}
	}
	return first, weights
}

func (p *Picture) stretchRow(out []int32, row []uint8, xs []int, xw [][2]int32) {
	for x, s := range xs {
		a, b := xw[x][0], xw[x][1]
		i, j := 3*s, 3*min(s+1, p.Width-1)
		out[3*x] = int32(row[i])*a + int32(row[j])*b
		out[3*x+1] = int32(row[i+1])*a + int32(row[j+1])*b
		out[3*x+2] = int32(row[i+2])*a + int32(row[j+2])*b
	}
}

func (p *Picture) halve(q *Picture) {
	for y := range q.Height {
		above, below := p.Pix[3*2*y*p.Width:], p.Pix[3*(2*y+1)*p.Width:]
		for x := range q.Width {
			for c := range 3 {
				i := 6*x + c
				sum := int32(above[i]) + int32(above[i+3]) + int32(below[i]) + int32(below[i+3])
				q.Pix[3*(y*q.Width+x)+c] = uint8((sum + 2) >> 2)
			}
		}
	}
}

// Fit brings a picture to a model's size as the description says.
func (d Description) Fit(p *Picture, width, height int) *Picture {
	switch d.Resize {
	case "letterbox":
		ratio := min(float64(width)/float64(p.Width), float64(height)/float64(p.Height))
		w, h := max(int(float64(p.Width)*ratio), 1), max(int(float64(p.Height)*ratio), 1)
		x, y := 0, 0
		if d.PadPosition == "center" {
			x, y = (width-w)/2, (height-h)/2
		}
		return p.ResizeTo(w, h).pad(width, height, x, y, uint8(d.PadValue))
	case "crop":
		ratio := max(float64(width)/float64(p.Width), float64(height)/float64(p.Height))
		w, h := max(int(math.Round(float64(p.Width)*ratio)), width), max(int(math.Round(float64(p.Height)*ratio)), height)
		return p.ResizeTo(w, h).cut((w-width)/2, (h-height)/2, width, height)
	case "seed":
		h := max(int(float64(p.Height)*float64(width)/float64(p.Width)), 1)
		q := p.ResizeTo(width, h)
		if h >= height {
			return q.cut(0, (h-height)/2, width, height)
		}
		return q.pad(width, height, 0, (height-h)/2, 0)
	}
	return p.ResizeTo(width, height)
}

// Placement says where a picture lies in a model's input: x in the input is ScaleX · x in the picture + X.
type Placement struct{ ScaleX, ScaleY, X, Y float64 }

// Place says where Fit puts a picture of a size. Its scale is the ratio itself, as detectors' own code has it, not that of
// the rounded size.
func (d Description) Place(pictureWidth, pictureHeight, width, height int) Placement {
	rx, ry := float64(width)/float64(pictureWidth), float64(height)/float64(pictureHeight)
	switch d.Resize {
	case "letterbox":
		r := min(rx, ry)
		p := Placement{ScaleX: r, ScaleY: r}
		if d.PadPosition == "center" {
			w, h := max(int(float64(pictureWidth)*r), 1), max(int(float64(pictureHeight)*r), 1)
			p.X, p.Y = float64((width-w)/2), float64((height-h)/2)
		}
		return p
	case "crop":
		r := max(rx, ry)
		w, h := max(int(math.Round(float64(pictureWidth)*r)), width), max(int(math.Round(float64(pictureHeight)*r)), height)
		return Placement{r, r, -float64((w - width) / 2), -float64((h - height) / 2)}
	case "seed":
		h := max(int(float64(pictureHeight)*rx), 1)
		if h >= height {
			return Placement{rx, rx, 0, -float64((h - height) / 2)}
		}
		return Placement{rx, rx, 0, float64((height - h) / 2)}
	}
	return Placement{ScaleX: rx, ScaleY: ry}
}

// Picture gives the place in the picture of a place in the input.
func (p Placement) Picture(x, y float64) (float64, float64) {
	return (x - p.X) / p.ScaleX, (y - p.Y) / p.ScaleY
}

// Input gives the place in the input of a place in the picture.
func (p Placement) Input(x, y float64) (float64, float64) { return x*p.ScaleX + p.X, y*p.ScaleY + p.Y }

func (p *Picture) pad(width, height, x, y int, value uint8) *Picture {
	q := &Picture{Width: width, Height: height, Pix: make([]uint8, 3*width*height)}
	for i := range q.Pix {
		q.Pix[i] = value
	}
	for row := range p.Height {
		copy(q.Pix[3*((y+row)*width+x):], p.Pix[3*row*p.Width:3*(row+1)*p.Width])
	}
	return q
}

func (p *Picture) cut(x, y, width, height int) *Picture {
	q := &Picture{Width: width, Height: height, Pix: make([]uint8, 0, 3*width*height)}
	for row := range height {
		start := 3 * ((y+row)*p.Width + x)
		q.Pix = append(q.Pix, p.Pix[start:start+3*width]...)
	}
	return q
}
