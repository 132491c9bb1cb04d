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

// memoryOfPictures is how many bytes the pictures of a page may take while they are decoded.
const memoryOfPictures = 512 << 20

// largestFile is the size in bytes up to which a picture's file is read for the page.
const largestFile = 64 << 20

// thumbnail is a picture in the page, as a data URL, with the size of the file's picture.
type thumbnail struct {
	url           string
	width, height int
}

// thumbnailOf makes a file's picture at most so many pixels wide and high; ok is false if it is no picture or is not
// there any more, or takes more memory than the budget has.
func thumbnailOf(path string, most int, budget *dataset.Budget) (t thumbnail, ok bool) {
	if !slices.Contains([]string{".jpg", ".jpeg", ".png"}, strings.ToLower(filepath.Ext(path))) {
		return t, false
	}
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > largestFile {
		return t, false
	}
	p, width, height, err := dataset.Shrink(path, budget, func(w, h int) (int, int) { return within(w, h, most) })
	if err != nil {
		return t, false
	}
	t.width, t.height = width, height
	w, h := p.Width, p.Height
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
