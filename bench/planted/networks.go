package main

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"quantcheck/internal/dataset"
	"quantcheck/internal/fixture"
)

// network is one that faults are planted into. Its samples are drawn: pages or lines of text, or the drawn pictures of the fixtures.
type network struct {
	name, path string
	input      func(d *dataset.Description)
	width      int // of the text that is drawn; 0: the pictures of the fixtures are taken
	height     int
}

// networks are five of unlike kinds, all at hand without the folder beside: a text detector, a classifier and a text recogniser with attention,
// trained, and two detectors whose weights are invented.
func networks() []network {
	ocr := filepath.Join(fixture.Root(), "third_party", "node_modules", "@gutenye", "ocr-models", "assets")
	shape := func(d *dataset.Description, s string) { d.InputShape = dataset.ShapeTexts{"": s} }
	return []network{
		{"text-det", filepath.Join(ocr, "ch_PP-OCRv4_det_infer.onnx"), func(d *dataset.Description) {
			d.Mean, d.Scale = dataset.Numbers{123.675, 116.28, 103.53}, dataset.Numbers{58.395, 57.12, 57.375}
			shape(d, "1,3,160,160")
		}, 320, 320},
		{"text-cls", filepath.Join(ocr, "ch_ppocr_mobile_v2.0_cls_infer.onnx"), func(d *dataset.Description) {
			d.Mean, d.Scale = dataset.Numbers{127.5}, dataset.Numbers{127.5}
			shape(d, "1,3,48,192")
		}, 384, 96},
		{"text-rec", filepath.Join(ocr, "ch_PP-OCRv4_rec_infer.onnx"), func(d *dataset.Description) {
			d.Mean, d.Scale, d.InputColor = dataset.Numbers{127.5}, dataset.Numbers{127.5}, "bgr"
			shape(d, "1,3,48,96")
		}, 192, 96},
		{"faces", filepath.Join(fixture.Own(), "models", "faces.onnx"), func(d *dataset.Description) { d.Mean, d.Scale = dataset.Numbers{127}, dataset.Numbers{128} }, 0, 0},
		{"yolox", filepath.Join(fixture.Own(), "models", "yolox_nano.onnx"), func(d *dataset.Description) {
			d.InputColor, d.Resize, d.PadPosition = "bgr", "letterbox", "bottom-right"
		}, 0, 0},
	}
}

var words = []string{"tensor", "scale", "range", "weight", "sample", "error", "signal", "noise", "kernel", "bias", "graph", "1984", "37 %", "No. 5"}

// draw writes n pictures of text into a folder.
func (n *network) draw(dir string, count int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	parsed, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return err
	}
	for i := range count {
		rng := rand.New(rand.NewPCG(uint64(i), 11))
		img := image.NewRGBA(image.Rect(0, 0, n.width, n.height))
		paper := 190 + rng.IntN(60)
		for y := range n.height {
			for x := range n.width {
				shade := uint8(paper + (x*rng.IntN(2)+y)%7)
				img.Set(x, y, color.RGBA{shade, shade, shade - uint8(rng.IntN(6)), 255})
			}
		}
		for y := 0; y < n.height-40; {
			size := min(float64(n.height)/1.8, 30+10*float64(rng.IntN(3)))
			face, err := opentype.NewFace(parsed, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingFull})
			if err != nil {
				return err
			}
			ink := uint8(rng.IntN(80))
			d := font.Drawer{Dst: img, Src: image.NewUniform(color.RGBA{ink, ink, ink + uint8(rng.IntN(60)), 255}), Face: face}
			y += int(size * 1.25)
			d.Dot = fixed.P(8, y)
			for d.Dot.X < fixed.I(n.width) {
				d.DrawString(words[rng.IntN(len(words))] + " ")
			}
		}
		if err := write(filepath.Join(dir, fmt.Sprintf("text%02d.png", i)), img); err != nil {
			return err
		}
	}
	return nil
}

func write(path string, img image.Image) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	err = png.Encode(f, img)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// darkened copies the pictures of a folder with their values multiplied, which is a calibration set that does not fit them.
func darkened(from, to string, by float64) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	list, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, entry := range list[:min(len(list), samples)] {
		f, err := os.Open(filepath.Join(from, entry.Name()))
		if err != nil {
			return err
		}
		img, _, err := image.Decode(f)
		if e := f.Close(); err == nil {
			err = e
		}
		if err != nil {
			return err
		}
		out := image.NewRGBA(img.Bounds())
		for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
			for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
				r, g, b, _ := img.At(x, y).RGBA()
				out.Set(x, y, color.RGBA{uint8(float64(r>>8) * by), uint8(float64(g>>8) * by), uint8(float64(b>>8) * by), 255})
			}
		}
		if err := write(filepath.Join(to, entry.Name()+".png"), out); err != nil {
			return err
		}
	}
	return nil
}
