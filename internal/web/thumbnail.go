package web

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/jpeg"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/result"
)

// thumbnail gives a sample's picture, at most 320 pixels wide and high, as a data URL; "" if it is no picture or is not
// there any more.
func thumbnail(s result.Sample) string {
	const most, largest = 320, 64 << 20
	if !slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(s.Path))) {
		return ""
	}
	info, err := os.Stat(s.Path)
	if err != nil || info.Size() > largest {
		return ""
	}
	data, err := os.ReadFile(s.Path)
	if err != nil {
		return ""
	}
	p, err := dataset.Decode(data)
	if err != nil {
		return ""
	}
	if side := max(p.Width, p.Height); side > most {
		p = p.ResizeTo(max(p.Width*most/side, 1), max(p.Height*most/side, 1))
	}
	img := image.NewRGBA(image.Rect(0, 0, p.Width, p.Height))
	for i := range p.Width * p.Height {
		copy(img.Pix[4*i:], p.Pix[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	var b bytes.Buffer
	if jpeg.Encode(&b, img, &jpeg.Options{Quality: 60}) != nil {
		return ""
	}
	return "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes())
}
