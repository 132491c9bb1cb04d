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
)

// largestFile is the size in bytes up to which a picture's file is read for the page.
const largestFile = 64 << 20

// thumbnail is a picture in the page, as a data URL, with the size of the file's picture.
type thumbnail struct {
	url           string
	width, height int
}

// thumbnailOf makes a file's picture at most so many pixels wide and high; ok is false if it is no picture or is not
// there any more.
func thumbnailOf(path string, most int) (t thumbnail, ok bool) {
	if !slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(path))) {
		return t, false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > largestFile {
		return t, false
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return t, false
	}
	p, err := dataset.Decode(data)
	if err != nil {
		return t, false
	}
	t.width, t.height = p.Width, p.Height
	w, h := within(p.Width, p.Height, most)
	p = p.ResizeTo(w, h)
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		copy(img.Pix[4*i:], p.Pix[3*i:3*i+3])
		img.Pix[4*i+3] = 255
	}
	t.url, ok = jpegURL(img)
	return t, ok
}

// within shrinks a size so that its longer side takes at most so many pixels.
func within(width, height, most int) (w, h int) {
	if side := max(width, height); side > most {
		return max(width*most/side, 1), max(height*most/side, 1)
	}
	return width, height
}

func jpegURL(img image.Image) (url string, ok bool) {
	var b bytes.Buffer
	if jpeg.Encode(&b, img, &jpeg.Options{Quality: 60}) != nil {
		return "", false
	}
	return "data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes()), true
}
