package decode_test

import (
	"math"
	"math/rand/v2"
	"slices"

	"quantcheck/internal/decode"
	"quantcheck/internal/tensor"
)

// sample is a decoder's outputs with the candidates that its published formula gives, written down here a second time.
type sample struct {
	name       string
	decoder    string
	settings   decode.Settings
	outs       []decode.Output
	want       []decode.Detection
	recognised bool // by shapes alone
}

const (
	width, height, classes = 64, 32, 3 // grids of 8×4, 4×2 and 2×1 cells
	confidence             = 0.4
)

var gridSizes = []struct{ stride, w, h int }{{8, 8, 4}, {16, 4, 2}, {32, 2, 1}}

func settings() decode.Settings {
	s := decode.SeedSettings()
	s.Width, s.Height, s.Classes, s.Confidence = width, height, classes, confidence
	return s
}

// values gives n numbers between lo and hi.
func values(r *rand.Rand, n int, lo, hi float64) []float32 {
	list := make([]float32, n)
	for i := range list {
		list[i] = float32(lo + (hi-lo)*r.Float64())
	}
	return list
}

func logistic(x float32) float64 { return 1 / (1 + math.Exp(-float64(x))) }

func as(name string, list []float32, dims ...int64) decode.Output {
	return decode.Output{Name: name, Tensor: tensor.Floats(list, dims...)}
}

// toNHWC turns [c,h,w] into [h,w,c].
func toNHWC(list []float32, c, h, w int) []float32 {
	turned := make([]float32, len(list))
	for k := range c {
		for y := range h {
			for x := range w {
				turned[(y*w+x)*c+k] = list[(k*h+y)*w+x]
			}
		}
	}
	return turned
}

// center makes a detection from a centre and a size, of the best class.
func center(cx, cy, w, h float64, scores ...float64) (decode.Detection, bool) {
	return corners(cx-w/2, cy-h/2, cx+w/2, cy+h/2, scores...)
}

func corners(x1, y1, x2, y2 float64, scores ...float64) (decode.Detection, bool) {
	class := 0
	for k, s := range scores {
		if s > scores[class] {
			class = k
		}
	}
	d := decode.Detection{Box: [4]float32{float32(x1), float32(y1), float32(x2), float32(y2)}, Score: float32(scores[class]), Class: class}
	return d, scores[class] > confidence
}

type wanted []decode.Detection

func (w *wanted) add(d decode.Detection, enough bool) {
	if enough {
		*w = append(*w, d)
	}
}

func samples() []sample {
	r := rand.New(rand.NewPCG(7, 11))
	return slices.Concat(anchorSamples(r), distanceSamples(r), rowSamples(r), pointSamples(r), readySamples())
}

func anchorSamples(r *rand.Rand) []sample {
	v5 := [][][2]float64{{{10, 13}, {16, 30}, {33, 23}}, {{30, 61}, {62, 45}, {59, 119}}, {{116, 90}, {156, 198}, {373, 326}}}
	v7 := [][][2]float64{{{12, 16}, {19, 36}, {40, 28}}, {{36, 75}, {76, 55}, {72, 146}}, {{142, 110}, {192, 243}, {459, 401}}}
	const n = 5 + classes
	var nchw, nhwc, five, activated []decode.Output
	var want5, want7 wanted
	for scale, g := range gridSizes {
		raw := values(r, 3*n*g.w*g.h, -4, 4)
		area := g.w * g.h
		var turned, done []float32
		for a := range 3 {
			block := raw[a*n*area : (a+1)*n*area]
			turned = append(turned, toNHWC(block, n, g.h, g.w)...)
			for y := range g.h {
				for x := range g.w {
					t := func(k int) float64 { return logistic(block[k*area+y*g.w+x]) }
					for i, anchors := range [][][][2]float64{v5, v7} {
						d, ok := center((2*t(0)-0.5+float64(x))*float64(g.stride), (2*t(1)-0.5+float64(y))*float64(g.stride),
							math.Pow(2*t(2), 2)*anchors[scale][a][0], math.Pow(2*t(3), 2)*anchors[scale][a][1], t(4)*t(5), t(4)*t(6), t(4)*t(7))
						if i == 0 {
							want5.add(d, ok)
						} else {
							want7.add(d, ok)
						}
					}
				}
			}
		}
		for _, v := range raw {
			done = append(done, float32(logistic(v)))
		}
		h, w := int64(g.h), int64(g.w)
		nchw = append(nchw, as("o", raw, 1, 3*n, h, w))
		nhwc = append(nhwc, as("o", toNHWC(raw, 3*n, g.h, g.w), 1, h, w, 3*n))
		five = append(five, as("o", turned, 1, 3, h, w, n))
		activated = append(activated, as("o", done, 1, 3*n, h, w))
	}
	slices.Reverse(nhwc) // the order of the outputs does not matter
	return []sample{
		{"yolov5 maps", "yolov5", settings(), nchw, want5, true},
		{"yolov5 maps NHWC, the coarsest first", "yolov5", settings(), nhwc, want5, true},
		{"yolov5 maps of five dimensions", "yolov5", settings(), five, want5, true},
		{"yolov5 maps with their sigmoid", "yolov5", settings(), activated, want5, true},
		{"yolov7 maps", "yolov7", settings(), nchw, want7, false},
	}
}

// joinChannels puts maps one below the other.
func joinChannels(maps ...[]float32) []float32 { return slices.Concat(maps...) }

func distanceSamples(r *rand.Rand) []sample {
	four := settings()
	four.Classes = 4
	var with, without, nhwc, apart, twins, named, dfl17, dfl16, apart16, logits []decode.Output
	var want, want17, want16 wanted
	for _, g := range gridSizes {
		area := g.w * g.h
		h, w := int64(g.h), int64(g.w)
		reg := values(r, 4*area, 0, 5)
		cls := values(r, classes*area, 0, 1)
		conf := make([]float32, area)
		raw := make([]float32, len(cls))
		for i, v := range cls {
			conf[i%area] = max(conf[i%area], v)
			raw[i] = float32(math.Log(float64(v) / (1 - float64(v))))
		}
		bins17, bins16 := values(r, 4*17*area, -3, 3), values(r, 4*16*area, -3, 3)
		mean := func(bins []float32, n, side, cell int) float64 {
			sum, weighted := 0.0, 0.0
			for k := range n {
				e := math.Exp(float64(bins[(side*n+k)*area+cell]))
				sum, weighted = sum+e, weighted+e*float64(k)
			}
			return weighted / sum
		}
		for cell := range area {
			cx, cy, s := float64(cell%g.w)+0.5, float64(cell/g.w)+0.5, float64(g.stride)
			box := func(d func(side int) float64) (decode.Detection, bool) {
				return corners((cx-d(0))*s, (cy-d(1))*s, (cx+d(2))*s, (cy+d(3))*s, float64(cls[cell]), float64(cls[area+cell]), float64(cls[2*area+cell]))
			}
			want.add(box(func(side int) float64 { return float64(reg[side*area+cell]) }))
			want17.add(box(func(side int) float64 { return mean(bins17, 17, side, cell) }))
			want16.add(box(func(side int) float64 { return mean(bins16, 16, side, cell) }))
		}
		with = append(with, as("o", joinChannels(reg, conf, cls), 1, 5+classes, h, w))
		without = append(without, as("o", joinChannels(reg, cls), 1, 4+classes, h, w))
		nhwc = append(nhwc, as("o", toNHWC(joinChannels(reg, conf, cls), 5+classes, g.h, g.w), 1, h, w, 5+classes))
		more := append(slices.Clone(cls), make([]float32, area)...) // a fourth class that never is the best
		twins = append(twins, as("a", reg, 1, 4, h, w), as("b", more, 1, 4, h, w))
		named = append(named, as("cls", more, 1, 4, h, w), as("reg", reg, 1, 4, h, w))
		apart = append(apart, as("reg", reg, 1, 4, h, w), as("cls", cls, 1, classes, h, w))
		dfl17 = append(dfl17, as("o", joinChannels(bins17, cls), 1, 68+classes, h, w))
		dfl16 = append(dfl16, as("o", joinChannels(bins16, cls), 1, 64+classes, h, w))
		apart16 = append(apart16, as("cls", raw, 1, classes, h, w), as("reg", bins16, 1, 64, h, w))
		logits = append(logits, as("o", joinChannels(bins16, raw), 1, 64+classes, h, w))
	}
	return []sample{
		{"yolov6 with a confidence", "yolov6", settings(), with, want, true},
		{"yolov6 without a confidence", "yolov6", settings(), without, want, true},
		{"yolov6 NHWC", "yolov6", settings(), nhwc, want, true},
		{"yolov6 apart", "yolov6", settings(), apart, want, true},
		{"yolov6 apart, as many classes as distances", "yolov6", four, twins, want, true},
		{"yolov6 apart, the same by names", "yolov6", four, named, want, true},
		{"yolov6 in bins", "yolov6", settings(), dfl17, want17, true},
		{"yolov8 maps", "yolov8", settings(), dfl16, want16, true},
		{"yolov8 maps of logits", "yolov8", settings(), logits, want16, true},
		{"yolov8 maps apart", "yolov8", settings(), apart16, want16, true},
	}
}

func rowSamples(r *rand.Rand) []sample {
	const n = 32 + 8 + 2 // cells of the three grids
	row := func(count int, c int, sizes [2]float64, xy [2]float64) []float32 {
		var list []float32
		for range count {
			list = append(list, values(r, 2, xy[0], xy[1])...)
			list = append(list, values(r, 2, sizes[0], sizes[1])...)
			list = append(list, values(r, c, 0, 1)...)
		}
		return list
	}
	pixels := row(3*n, 1+classes, [2]float64{1, 40}, [2]float64{0, 64})
	var want5 wanted
	for i := range 3 * n {
		v := func(k int) float64 { return float64(pixels[i*8+k]) }
		want5.add(center(v(0), v(1), v(2), v(3), v(4)*v(5), v(4)*v(6), v(4)*v(7)))
	}
	raw := row(n, 1+classes, [2]float64{-1, 2}, [2]float64{0, 1})
	var maps []decode.Output
	var wantX wanted
	i := 0
	for _, g := range gridSizes {
		begin := i
		for y := range g.h {
			for x := range g.w {
				v := func(k int) float64 { return float64(raw[i*8+k]) }
				s := float64(g.stride)
				wantX.add(center((v(0)+float64(x))*s, (v(1)+float64(y))*s, math.Exp(v(2))*s, math.Exp(v(3))*s, v(4)*v(5), v(4)*v(6), v(4)*v(7)))
				i++
			}
		}
		maps = append(maps, as("o", raw[begin*8:i*8], 1, int64(g.h), int64(g.w), 8))
	}
	boxes := row(n, classes, [2]float64{1, 40}, [2]float64{0, 64})
	turned := make([]float32, len(boxes))
	var want8 wanted
	for i := range n {
		v := func(k int) float64 { return float64(boxes[i*7+k]) }
		want8.add(center(v(0), v(1), v(2), v(3), v(4), v(5), v(6)))
		for k := range 7 {
			turned[k*n+i] = boxes[i*7+k]
		}
	}
	return []sample{
		{"yolov5 rows", "yolov5", settings(), []decode.Output{as("o", pixels, 1, 3*n, 8)}, want5, true},
		{"yolov6 rows", "yolov6", settings(), []decode.Output{as("o", pixels[:n*8], 1, n, 8)}, firstOf(want5, pixels, n), false},
		{"yolox rows", "yolox", settings(), []decode.Output{as("o", raw, 1, n, 8)}, wantX, false},
		{"yolox maps", "yolox", settings(), maps, wantX, false},
		{"yolov8 boxes", "yolov8", settings(), []decode.Output{as("o", turned, 1, 7, n)}, want8, true},
		{"yolov8 boxes in rows", "yolov8", settings(), []decode.Output{as("o", boxes, 1, n, 7)}, want8, true},
	}
}

// firstOf counts how many of the wanted detections come from the first n rows.
func firstOf(want []decode.Detection, rows []float32, n int) []decode.Detection {
	enough := 0
	for i := range n {
		v := rows[i*8 : i*8+8]
		if float64(v[4])*float64(max(v[5], v[6], v[7])) > confidence {
			enough++
		}
	}
	return want[:enough]
}
