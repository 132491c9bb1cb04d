package networks

import (
	"image"
	"image/color"
	"math/rand/v2"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// line draws words of so many letters, dark over a light and noisy ground.
func line(rng *rand.Rand, width, height, words, letters int) (image.Image, error) {
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
