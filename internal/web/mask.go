package web

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/result"
)

const (
	maskSide  = 320     // the longest side of a mask in the page, in pixels
	maxPixels = 1 << 26 // up to which a mask's file is read
)

// mask is a PNG's values: classes, or depths.
type mask struct {
	w, h   int
	values []uint16
}

// readMask reads a file's values, thinned to at most maskSide: the indices of a palette, else grey.
func readMask(path string, budget *dataset.Budget) (m mask, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > largestFile {
		return m, false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return m, false
	}
	c, err := png.DecodeConfig(bytes.NewReader(data))
	if err != nil || c.Width <= 0 || c.Height <= 0 || c.Width > maxPixels/c.Height {
		return m, false
	}
	free, err := budget.Take(c.Width, c.Height, 8*int64(c.Width)*int64(c.Height)) // 16 bits of four colours
	if err != nil {
		return m, false
	}
	defer free()
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return m, false
	}
	m.w, m.h = within(c.Width, c.Height, maskSide)
	m.values = make([]uint16, m.w*m.h)
	for y := range m.h {
		for x := range m.w {
			m.values[y*m.w+x] = valueAt(img, (2*x+1)*c.Width/(2*m.w), (2*y+1)*c.Height/(2*m.h))
		}
	}
	return m, true
}

func valueAt(img image.Image, x, y int) uint16 {
	b := img.Bounds()
	x, y = x+b.Min.X, y+b.Min.Y
	switch p := img.(type) {
	case *image.Paletted:
		return uint16(p.ColorIndexAt(x, y))
	case *image.Gray:
		return uint16(p.GrayAt(x, y).Y)
	case *image.Gray16:
		return p.Gray16At(x, y).Y
	}
	return uint16(color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y)
}

// masks draws the truth's mask and each model's, and where each variant's differs from float's.
func (g *gallery) masks(p *result.EvalPicture, d *picture) {
	d.Masks, d.Changed = []string{}, []string{}
	read := func(path string) *mask {
		if path == "" {
			return nil
		}
		m, ok := readMask(g.path(path), g.budget)
		if !ok {
			g.count(&g.noMask)
			return nil
		}
		return &m
	}
	all := []*mask{read(p.TruthMask)} // the truth, then the models
	for m := range min(len(p.Masks), len(g.of.Models)) {
		all = append(all, read(p.Masks[m]))
	}
	draw, compare := g.classPainter(all, d), changedClasses
	if g.of.Task == result.Depth {
		draw, compare = depthPainter(all)
	}
	d.TruthMask = draw(all[0])
	for i, m := range all[1:] {
		changed := ""
		if i > 0 && m != nil && all[1] != nil && m.w == all[1].w && m.h == all[1].h {
			changed = compare(m, all[1])
		}
		d.Masks, d.Changed = append(d.Masks, draw(m)), append(d.Changed, changed)
	}
}

// classPainter draws masks of classes, and notes in d which there are. A mask of nothing but 0 and 255 is one of two
// classes; other values beyond the classes are grey.
func (g *gallery) classPainter(all []*mask, d *picture) func(*mask) string {
	var used [1 << 16]bool
	for _, m := range all {
		if m != nil {
			for _, v := range m.values {
				used[v] = true
			}
		}
	}
	two := used[255]
	for v := 1; v < len(used) && two; v++ {
		two = !used[v] || v == 255
	}
	classOf := func(v uint16) int {
		class := int(v)
		if two && v == 255 {
			class = 1
		}
		if len(g.of.Classes) < 2 {
			return class - 1 // the one class is what is not 0
		}
		return class
	}
	palette, index := color.Palette{}, map[uint16]uint8{}
	for v, is := range used {
		if !is || g.of.Task == result.Depth {
			continue
		}
		class := classOf(uint16(v))
		if class >= 0 && class < len(g.of.Classes) {
			d.InMasks = append(d.InMasks, class)
		}
		if len(palette) < 255 {
			index[uint16(v)] = uint8(len(palette))
			palette = append(palette, g.classColour(class))
		}
	}
	palette = append(palette, color.NRGBA{128, 128, 128, 255})
	return func(m *mask) string {
		if m == nil {
			return ""
		}
		g.mutex.Lock()
		g.masked = true
		g.mutex.Unlock()
		return paint(m.w, m.h, palette, func(i int) uint8 {
			if k, ok := index[m.values[i]]; ok {
				return k
			}
			return uint8(len(palette) - 1)
		})
	}
}

// changedClasses draws what differs, in black and white squares: they stand out from a class of any colour.
func changedClasses(got, ref *mask) string {
	const side = 3
	return paint(got.w, got.h, color.Palette{color.NRGBA{}, color.Black, color.White}, func(i int) uint8 {
		if got.values[i] == ref.values[i] {
			return 0
		}
		return uint8(1 + (i%got.w/side+i/got.w/side)%2)
	})
}

// depthPainter draws near and far in one scale for all masks of a picture; 0 is no depth. Differences from float are
// drawn in the same scale, from none to a fifth of it.
func depthPainter(all []*mask) (draw func(*mask) string, compare func(got, ref *mask) string) {
	low, high := uint16(math.MaxUint16), uint16(0)
	for _, m := range all {
		if m != nil {
			for _, v := range m.values {
				if v > 0 {
					low, high = min(low, v), max(high, v)
				}
			}
		}
	}
	span := max(float64(high)-float64(low), 1)
	draw = func(m *mask) string {
		if m == nil {
			return ""
		}
		return shade(m, func(i int) float64 { return (float64(m.values[i]) - float64(low)) / span })
	}
	compare = func(got, ref *mask) string {
		return shade(got, func(i int) float64 { return 5 * math.Abs(float64(got.values[i])-float64(ref.values[i])) / span })
	}
	return draw, compare
}

// shade draws numbers from 0 to 1; where the mask has no value it is black.
func shade(m *mask, at func(int) float64) string {
	img := image.NewRGBA(image.Rect(0, 0, m.w, m.h))
	for i, v := range m.values {
		c := color.NRGBA{A: 255}
		if v > 0 {
			c = cividis(at(i))
		}
		copy(img.Pix[4*i:], []uint8{c.R, c.G, c.B, 255})
	}
	url, _ := jpegURL(img)
	return url
}

func paint(w, h int, palette color.Palette, at func(int) uint8) string {
	img := image.NewPaletted(image.Rect(0, 0, w, h), palette)
	for i := range img.Pix {
		img.Pix[i] = at(i)
	}
	var b bytes.Buffer
	if png.Encode(&b, img) != nil {
		return ""
	}
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}

// colours are those of the classes, for the page's legend; none if no mask was drawn.
func (g *gallery) colours() []string {
	list := []string{}
	if g.masked {
		for k := range g.of.Classes {
			c := g.classColour(k)
			text := "transparent"
			if c.A > 0 {
				text = hex(c)
			}
			list = append(list, text)
		}
	}
	return list
}

func hex(c color.NRGBA) string {
	const digits = "0123456789abcdef"
	text := []byte{'#'}
	for _, v := range []uint8{c.R, c.G, c.B} {
		text = append(text, digits[v>>4], digits[v&15])
	}
	return string(text)
}

// classColour is a class's colour in masks: nothing for the background, grey for what is no class.
func (g *gallery) classColour(class int) color.NRGBA {
	switch {
	case class < 0:
		return color.NRGBA{}
	case class >= len(g.of.Classes):
		return color.NRGBA{128, 128, 128, 255}
	case class == 0 && slices.Contains([]string{"background", "unlabeled", "unlabelled", "void", ""}, strings.ToLower(g.of.Classes[0])):
		return color.NRGBA{}
	}
	// Hues a golden angle apart stay different however many there are.
	hue := math.Mod(205+137.508*float64(class), 360) / 60
	light := []float64{0.55, 0.42, 0.68}[class/3%3]
	chroma := (1 - math.Abs(2*light-1)) * 0.8
	x, base := chroma*(1-math.Abs(math.Mod(hue, 2)-1)), light-chroma/2
	rgb := [][3]float64{{chroma, x, 0}, {x, chroma, 0}, {0, chroma, x}, {0, x, chroma}, {x, 0, chroma}, {chroma, 0, x}}[int(hue)%6]
	level := func(v float64) uint8 { return uint8(math.Round(255 * (v + base))) }
	return color.NRGBA{level(rgb[0]), level(rgb[1]), level(rgb[2]), 255}
}

// cividis is the scale of ui/src/colour.ts.
func cividis(t float64) color.NRGBA {
	stops := [10][3]float64{
		{0, 34, 78}, {18, 53, 112}, {59, 73, 107}, {87, 93, 109}, {112, 113, 115},
		{138, 134, 120}, {165, 156, 116}, {195, 179, 105}, {225, 204, 85}, {254, 232, 56},
	}
	x := min(max(t, 0), 1) * float64(len(stops)-1)
	i := min(int(x), len(stops)-2)
	var c [3]uint8
	for k := range c {
		c[k] = uint8(math.Round(stops[i][k] + (stops[i+1][k]-stops[i][k])*(x-float64(i))))
	}
	return color.NRGBA{c[0], c[1], c[2], 255}
}
