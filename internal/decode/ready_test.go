package decode_test

import (
	"math"
	"math/rand/v2"

	"quantcheck/internal/decode"
)

// pointSamples are CenterNet's and SSD's.
func pointSamples(r *rand.Rand) []sample {
	const w, h = width / 4, height / 4
	heat := values(r, classes*w*h, 0, 1)
	heat[5], heat[6] = 0.99, 0.99 // a plateau: both are peaks
	size, offset := values(r, 2*w*h, 0, 6), values(r, 2*w*h, 0, 1)
	logits := make([]float32, len(heat))
	for i, v := range heat {
		logits[i] = float32(math.Log(float64(v) / (1 - float64(v))))
	}
	var want, half wanted
	for i := range w * h {
		y, x := i/w, i%w
		for c := range classes {
			at := func(y, x int) float32 { return heat[c*w*h+y*w+x] }
			peak := true
			for ny := range h {
				for nx := range w {
					if max(ny-y, y-ny) <= 1 && max(nx-x, x-nx) <= 1 && at(ny, nx) > at(y, x) {
						peak = false
					}
				}
			}
			if !peak {
				continue
			}
			for _, with := range []bool{true, false} {
				dx, dy := 0.5, 0.5
				if with {
					dx, dy = float64(offset[i]), float64(offset[w*h+i])
				}
				d, ok := center(4*(float64(x)+dx), 4*(float64(y)+dy), 4*float64(size[i]), 4*float64(size[w*h+i]), float64(at(y, x)))
				d.Class = c
				if with {
					want.add(d, ok)
				} else {
					half.add(d, ok)
				}
			}
		}
	}
	list := []sample{
		{"centernet", "centernet", settings(), []decode.Output{as("a", heat, 1, classes, h, w), as("b", size, 1, 2, h, w), as("c", offset, 1, 2, h, w)}, want, true},
		{"centernet by names", "centernet", settings(), []decode.Output{as("reg", offset, 1, 2, h, w), as("wh", size, 1, 2, h, w), as("hm", logits, 1, classes, h, w)}, want, true},
		{"centernet without offsets", "centernet", settings(), []decode.Output{as("a", heat, 1, classes, h, w), as("b", size, 1, 2, h, w)}, half, true},
	}
	return append(list, priorSamples(r)...)
}

func priorSamples(r *rand.Rand) []sample {
	edges := [][]float64{{10, 16, 24}, {32, 48}, {64, 96}, {128, 192, 256}}
	grids := []struct{ w, h int }{{8, 4}, {4, 2}, {2, 1}, {1, 1}} // the last one is twice as high as the input
	var offsets, corner, probabilities, scores []float32
	var want, decoded wanted
	clamp := func(v float64) float64 { return math.Max(0, math.Min(1, v)) }
	n := 0
	for level, g := range grids {
		for y := range g.h {
			for x := range g.w {
				for _, edge := range edges[level] {
					n++
					b := values(r, 4, -2, 2)
					z := values(r, 1+classes, -3, 3)
					p := make([]float64, len(z))
					sum := 0.0
					for _, v := range z {
						sum += math.Exp(float64(v))
					}
					for k, v := range z {
						p[k] = math.Exp(float64(v)) / sum
						probabilities = append(probabilities, float32(p[k]))
					}
					pw, ph := clamp(edge/width), clamp(edge/height)
					px, py := (float64(x)+0.5)/float64(g.w), (float64(y)+0.5)/float64(g.h)
					cx, cy := px+float64(b[0])*0.1*pw, py+float64(b[1])*0.1*ph
					bw, bh := pw*math.Exp(float64(b[2])*0.2), ph*math.Exp(float64(b[3])*0.2)
					want.add(center(cx*width, cy*height, bw*width, bh*height, p[1:]...))
					c := []float32{float32(cx - bw/2), float32(cy - bh/2), float32(cx + bw/2), float32(cy + bh/2)}
					decoded.add(corners(float64(c[0])*width, float64(c[1])*height, float64(c[2])*width, float64(c[3])*height, p[1:]...))
					offsets, corner, scores = append(offsets, b...), append(corner, c...), append(scores, z...)
				}
			}
		}
	}
	count := int64(n)
	return []sample{
		{"ssd offsets and logits", "ssd", settings(), []decode.Output{as("scores", scores, 1, count, 1+classes), as("boxes", offsets, 1, count, 4)}, want, true},
		{"ssd corners and probabilities", "ssd", settings(), []decode.Output{as("boxes", corner, 1, count, 4), as("scores", probabilities, 1, count, 1+classes)}, decoded, true},
	}
}

// readySamples are outputs that hold boxes, in every order of their numbers.
func readySamples() []sample {
	detection := func(score float32, class int) decode.Detection {
		return decode.Detection{Box: [4]float32{8, 4, 40, 12}, Score: score, Class: class}
	}
	var list []sample
	for _, f := range []struct {
		name, format string
		normalised   bool
		box          []float32
	}{
		{"xyxy", decode.XYXY, false, []float32{8, 4, 40, 12}},
		{"no format", "", false, []float32{8, 4, 40, 12}},
		{"xywh", decode.XYWH, false, []float32{8, 4, 32, 8}},
		{"cxcywh", decode.CXCYWH, false, []float32{24, 8, 32, 8}},
		{"yxyx", decode.YXYX, false, []float32{4, 8, 12, 40}},
		{"yxyx, normalised", decode.YXYX, true, []float32{0.125, 0.125, 0.375, 0.625}},
		{"cxcywh, normalised", decode.CXCYWH, true, []float32{0.375, 0.25, 0.5, 0.25}},
	} {
		s := settings()
		s.Mapping = decode.Mapping{Boxes: "b", Scores: "s", Classes: "c", Count: "n", Format: f.format, Normalised: f.normalised, FirstClass: 1}
		two := append(append([]float32{}, f.box...), f.box...)
		list = append(list, sample{"boxes " + f.name, "boxes", s, []decode.Output{
			as("n", []float32{2}, 1), as("b", append(two, f.box...), 1, 3, 4), as("s", []float32{0.5, 0.3, 0.9}, 1, 3), as("c", []float32{3, 1, 1}, 1, 3),
		}, []decode.Detection{detection(0.5, 2)}, true})
	}
	rows := settings()
	s := settings()
	s.Mapping = decode.Mapping{Boxes: "b", Scores: "s"}
	two := []float32{8, 4, 40, 12, 8, 4, 40, 12}
	return append(
		list,
		sample{"boxes in rows", "boxes", rows, []decode.Output{as("o", []float32{8, 4, 40, 12, 0.75, 2, 8, 4, 40, 12, 0.25, 1}, 1, 2, 6)}, []decode.Detection{detection(0.75, 2)}, true},
		sample{"boxes with scores for each class", "boxes", s, []decode.Output{as("b", two, 2, 4), as("s", []float32{0.1, 0.8, 0.2, 0.1, 0.1, 0.3}, 1, 2, 3)}, []decode.Detection{detection(0.8, 1)}, true},
		sample{"boxes with scores by class", "boxes", s, []decode.Output{as("b", two, 1, 2, 4), as("s", []float32{0.1, 0.1, 0.8, 0.1, 0.2, 0.3}, 1, 3, 2)}, []decode.Detection{detection(0.8, 1)}, true},
		sample{"boxes of one class", "boxes", s, []decode.Output{as("b", two, 1, 2, 4), as("s", []float32{0.1, 0.8}, 2)}, []decode.Detection{detection(0.8, 0)}, true},
	)
}
