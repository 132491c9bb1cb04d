package networks

import (
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// line draws words of so many letters, dark over a light and noisy ground.
func line(rng *rand.Rand, width, height, words, letters int) (*image.RGBA, error) {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	paper := 190 + rng.IntN(50)
	for i := range img.Pix {
		img.Pix[i] = uint8(paper + rng.IntN(12))
		if i%4 == 3 {
			img.Pix[i] = 255
		}
	}
	parsed, err := opentype.Parse([][]byte{goregular.TTF, gobold.TTF, gomono.TTF}[rng.IntN(3)])
	if err != nil {
		return nil, err
	}
	face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: 0.55 * float64(height), DPI: 72, Hinting: font.HintingFull})
	if err != nil {
		return nil, err
	}
	ink := uint8(rng.IntN(90))
	d := font.Drawer{Dst: img, Src: image.NewUniform(color.RGBA{ink, ink, ink, 255}), Face: face, Dot: fixed.P(6+rng.IntN(10), height*7/10)}
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
	for range words {
		text := make([]byte, letters+1)
		for i := range letters {
			text[i] = alphabet[rng.IntN(len(alphabet))]
		}
		text[letters] = ' '
		d.DrawString(string(text))
	}
	return img, nil
}

// turn turns a picture upside down.
func turn(img *image.RGBA) {
	for i, j := 0, len(img.Pix)-4; i < j; i, j = i+4, j-4 {
		for k := range 4 {
			img.Pix[i+k], img.Pix[j+k] = img.Pix[j+k], img.Pix[i+k]
		}
	}
}

// page draws lines of words under one another.
func page(rng *rand.Rand) (*image.RGBA, error) {
	img := image.NewRGBA(image.Rect(0, 0, 640, 640))
	draw.Draw(img, img.Bounds(), image.NewUniform(color.Gray{uint8(200 + rng.IntN(50))}), image.Point{}, draw.Src)
	for y := 10 + rng.IntN(60); y < 560; {
		height := 36 + rng.IntN(50)
		one, err := line(rng, 200+rng.IntN(400), height, 1+rng.IntN(3), 3+rng.IntN(6))
		if err != nil {
			return nil, err
		}
		draw.Draw(img, one.Bounds().Add(image.Pt(rng.IntN(60), y)), one, image.Point{}, draw.Src)
		y += height + rng.IntN(90)
	}
	return img, nil
}
