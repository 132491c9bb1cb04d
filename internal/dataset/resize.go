package dataset

import "math"

// ResizeTo gives a picture of another size as OpenCV's INTER_LINEAR does for 8-bit pictures, bit for bit: 11-bit
// weights, the horizontal pass first, and an exact halving of both sides by averaging four pixels.
func (p *Picture) ResizeTo(width, height int) *Picture {
	if width == p.Width && height == p.Height {
		return p
	}
	q, _ := p.rows().window(width, height, area{0, 0, width, height}) // a picture's own rows have no errors
	return q
}

// area is a part of a picture.
type area struct{ x, y, width, height int }

// resized is what window takes for a part of so many pixels of a picture of a width.
func resized(from, width, height int) int64 {
	return 3*int64(width)*int64(height) + 24*int64(from) + 64*int64(width) + 32*int64(height)
}

// window gives a part of what ResizeTo makes of a picture: all of its rows are read, so that damage anywhere is an error, and only
// the part is computed.
func (r *rows) window(width, height int, part area) (*Picture, error) {
	q := &Picture{Width: part.width, Height: part.height, Pix: make([]uint8, 3*part.width*part.height)}
	at := 0 // the row that comes next
	read := func(y int) (row []uint8, err error) {
		for ; at <= y && err == nil; at++ {
			row, err = r.next()
		}
		return row, err
	}
	var err error
	switch {
	case width == r.Width && height == r.Height:
		err = r.cut(q, part, read)
	case r.Width == 2*width && r.Height == 2*height:
		err = r.halve(q, part, read)
	default:
		err = r.stretch(q, width, height, part, read)
	}
	if err == nil && at < r.Height {
		_, err = read(r.Height - 1)
	}
	if err != nil {
		return nil, err
	}
	return q, nil
}

func (r *rows) cut(q *Picture, part area, read func(int) ([]uint8, error)) error {
	for y := range part.height {
		row, err := read(part.y + y)
		if err != nil {
			return err
		}
		copy(q.Pix[3*y*part.width:3*(y+1)*part.width], row[3*part.x:])
	}
	return nil
}

func (r *rows) stretch(q *Picture, width, height int, part area, read func(int) ([]uint8, error)) error {
	xs, xw := taps(r.Width, width, part.x, part.width, true)
	ys, yw := taps(r.Height, height, part.y, part.height, false)
	lines := [2][]int32{make([]int32, 3*part.width), make([]int32, 3*part.width)}
	held := [2]int{-1, -1}                 // which source row each line holds
	line := func(y int) ([]int32, error) { // rows outside are the border row
		y = min(max(y, 0), r.Height-1)
		slot := y % 2
		if held[slot] != y {
			row, err := read(y)
			if err != nil {
				return nil, err
			}
			stretchRow(lines[slot], row, xs, xw)
			held[slot] = y
		}
		return lines[slot], nil
	}
	for y := range part.height {
		above, err := line(ys[y])
		if err != nil {
			return err
		}
		below, err := line(ys[y] + 1)
		if err != nil {
			return err
		}
		a, b := yw[y][0], yw[y][1]
		out := q.Pix[3*y*part.width : 3*(y+1)*part.width]
		for i := range out {
			out[i] = uint8(((a*(above[i]>>4))>>16 + (b*(below[i]>>4))>>16 + 2) >> 2)
		}
	}
	return nil
}

// taps finds, for some positions of the result that begin at one, the first of the two source positions and the weights of both, in 2048ths.
// Horizontally, positions outside are moved to the border; vertically, they are left to the caller.
func taps(from, to, begin, count int, inside bool) (first []int, weights [][2]int32) {
	scale := 1 / (float64(to) / float64(from))
	first, weights = make([]int, count), make([][2]int32, count)
	for i := range first {
		f := float32((float64(begin+i)+0.5)*scale - 0.5)
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

func stretchRow(out []int32, row []uint8, xs []int, xw [][2]int32) {
	last := len(row)/3 - 1
	for x, s := range xs {
		a, b := xw[x][0], xw[x][1]
		i, j := 3*s, 3*min(s+1, last)
		out[3*x] = int32(row[i])*a + int32(row[j])*b
		out[3*x+1] = int32(row[i+1])*a + int32(row[j+1])*b
		out[3*x+2] = int32(row[i+2])*a + int32(row[j+2])*b
	}
}

func (r *rows) halve(q *Picture, part area, read func(int) ([]uint8, error)) error {
	above := make([]uint8, 3*r.Width)
	for y := range part.height {
		row, err := read(2 * (part.y + y))
		if err != nil {
			return err
		}
		copy(above, row)
		below, err := read(2*(part.y+y) + 1)
		if err != nil {
			return err
		}
		for x := range part.width {
			for c := range 3 {
				i := 6*(part.x+x) + c
				sum := int32(above[i]) + int32(above[i+3]) + int32(below[i]) + int32(below[i+3])
				q.Pix[3*(y*part.width+x)+c] = uint8((sum + 2) >> 2)
			}
		}
	}
	return nil
}

// Fit brings a picture to a model's size as the description says.
func (d Description) Fit(p *Picture, width, height int) *Picture {
	q, _ := d.fit(p.rows(), width, height) // a picture's own rows have no errors
	return q
}

// fit is Fit of a picture that is read row by row.
func (d Description) fit(r *rows, width, height int) (*Picture, error) {
	switch d.Resize {
	case "letterbox":
		ratio := min(float64(width)/float64(r.Width), float64(height)/float64(r.Height))
		w, h := max(int(float64(r.Width)*ratio), 1), max(int(float64(r.Height)*ratio), 1)
		x, y := 0, 0
		if d.PadPosition == "center" {
			x, y = (width-w)/2, (height-h)/2
		}
		p, err := r.window(w, h, area{0, 0, w, h})
		if err != nil {
			return nil, err
		}
		return p.pad(width, height, x, y, uint8(d.PadValue)), nil
	case "crop":
		ratio := max(float64(width)/float64(r.Width), float64(height)/float64(r.Height))
		w, h := max(int(math.Round(float64(r.Width)*ratio)), width), max(int(math.Round(float64(r.Height)*ratio)), height)
		return r.window(w, h, area{(w - width) / 2, (h - height) / 2, width, height})
	case cropPadHeight, oldCropPadHeight:
		h := max(int(float64(r.Height)*float64(width)/float64(r.Width)), 1)
		if h >= height {
			return r.window(width, h, area{0, (h - height) / 2, width, height})
		}
		p, err := r.window(width, h, area{0, 0, width, h})
		if err != nil {
			return nil, err
		}
		return p.pad(width, height, 0, (height-h)/2, 0), nil
	}
	return r.window(width, height, area{0, 0, width, height})
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
	case cropPadHeight, oldCropPadHeight:
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
