// Pages draws pages of text, the pictures that `make demo` shows to a text detector.
package main

import (
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goitalic"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

const (
	width, height = 640, 640
	pages         = 8
)

var words = []string{
	"tensor", "layer", "scale", "offset", "range", "weight", "channel", "sample", "histogram", "error", "cosine", "signal", "noise",
	"integer", "round", "clamp", "float", "convolution", "kernel", "stride", "padding", "activation", "bias", "graph", "node", "model",
	"ship", "harbour", "lantern", "river", "orchard", "copper", "winter", "violet", "granite", "compass", "journey", "1984", "37 %", "No. 5",
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pages DIR")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pages:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for n := range pages {
		img, err := page(rand.New(rand.NewPCG(uint64(n), 7)))
		if err != nil {
			return err
		}
		f, err := os.Create(filepath.Join(dir, fmt.Sprintf("page%02d.png", n+1)))
		if err != nil {
			return err
		}
		err = png.Encode(f, img)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// page draws lines of words in several fonts, sizes and shades over a paper that is not quite even.
func page(rng *rand.Rand) (image.Image, error) {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	paper := 180 + rng.IntN(70)
	for y := range height {
		for x := range width {
			shade := uint8(paper + (x*rng.IntN(2)+y)%9 - x/80)
			img.Set(x, y, color.RGBA{shade, shade, shade - uint8(rng.IntN(6)), 255})
		}
	}
	faces := [][]byte{goregular.TTF, gobold.TTF, goitalic.TTF, gomono.TTF}
	for y := 40 + rng.IntN(20); y < height-20; {
		parsed, err := opentype.Parse(faces[rng.IntN(len(faces))])
		if err != nil {
			return nil, err
		}
		size := 14 + 6*float64(rng.IntN(6))
		face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
		if err != nil {
			return nil, err
		}
		ink := uint8(rng.IntN(90))
		d := font.Drawer{Dst: img, Src: image.NewUniform(color.RGBA{ink, ink, ink + uint8(rng.IntN(60)), 255}), Face: face}
		d.Dot = fixed.P(20+rng.IntN(60), y)
		for d.Dot.X < fixed.I(width-120) && rng.IntN(7) > 0 {
			d.DrawString(words[rng.IntN(len(words))] + " ")
		}
		y += int(size*1.3) + rng.IntN(30)
	}
	if rng.IntN(2) == 0 {
		x := 60 + rng.IntN(300)
		draw.Draw(img, image.Rect(x, 500, x+180, 600), image.NewUniform(color.RGBA{uint8(rng.IntN(200)), 90, 120, 255}), image.Point{}, draw.Src)
	}
	return img, nil
}
