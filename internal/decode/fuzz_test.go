package decode_test

import (
	"math"
	"testing"

	"quantcheck/internal/decode"
	"quantcheck/internal/tensor"
)

// FuzzDecode: no bytes as shapes, values and settings make a decoder panic, and what it gives keeps its promises.
func FuzzDecode(f *testing.F) {
	f.Add([]byte{3, 1, 8, 4, 8, 1, 8, 2, 4, 1, 8, 1, 2}, uint16(3), []byte("values"))
	f.Add([]byte{2, 1, 42, 8, 1, 42, 4}, uint16(0), []byte{0, 255, 128, 7})
	f.Add([]byte{1, 1, 126, 8}, uint16(3|1<<8), []byte{200, 1})
	known := samples()
	for i := range known {
		f.Add([]byte{byte(i)}, uint16(classes), []byte("values"))
		f.Add([]byte{byte(i)}, uint16(classes|8|16), []byte{13, 14, 4, 1})
	}
	f.Fuzz(func(t *testing.T, dims []byte, choice uint16, data []byte) {
		s := settings()
		s.Classes = int(choice & 7)
		s.MultiLabel = choice&8 != 0
		s.Agnostic = choice&16 != 0
		s.Sigmoid = []decode.Option{decode.Auto, decode.Yes, decode.No, "auto"}[choice>>5&3]
		s.Priors.Decoded = []decode.Option{decode.Auto, decode.Yes, decode.No, decode.Auto}[choice>>7&3]
		if choice&1<<9 != 0 {
			s.Strides = []int{8, 16}
		}
		if choice&1<<10 != 0 {
			s.Anchors = [][][2]float64{}
		}
		if choice&1<<11 != 0 {
			s.Mapping = decode.Mapping{Boxes: "a", Scores: []string{"b", ""}[choice>>12&1], Classes: []string{"", "c"}[choice>>13&1], Count: []string{"", "d"}[choice>>14&1], Format: decode.XYWH}
		}
		s.PreNMS, s.Most = 50, 20
		outs := fuzzOutputs(dims, choice, data, known)
		_, _, _ = decode.RecogniseValues(outs, s)
		for _, d := range decode.All {
			d.Fits(shapesOf(outs), s)
			r, err := decode.Decode(d, outs, s)
			if err != nil {
				continue
			}
			if len(r.Detections) > s.Most {
				t.Errorf("%s: %d boxes", d.Name, len(r.Detections))
			}
			for _, b := range r.Detections {
				if b.Class < 0 || !(b.Score > 0) || b.Score > math.MaxFloat32 || b.Box[2] < b.Box[0] || b.Box[3] < b.Box[1] || math.IsInf(float64(b.Box[0]-b.Box[2]), 0) {
					t.Errorf("%s: %+v", d.Name, b)
				}
			}
		}
	})
}

// fuzzOutputs makes outputs of a sample's shapes, if there is but one byte of dimensions, or of any.
func fuzzOutputs(dims []byte, choice uint16, data []byte, known []sample) []decode.Output {
	var shapes []decode.Shape
	if len(dims) == 1 {
		shapes = shapesOf(known[int(dims[0])%len(known)].outs)
	}
	for i := 0; i < 4 && len(dims) > 1; i++ {
		rank := min([]int{4, 3, 5, 2}[int(choice>>i)&3], len(dims))
		shape := make([]int64, rank)
		for k := range shape {
			shape[k] = int64(int8(dims[k]))
		}
		dims = dims[rank:]
		shapes = append(shapes, decode.Shape{Name: string(rune('a' + i)), Dims: shape})
	}
	var outs []decode.Output
	for _, s := range shapes {
		n, err := tensor.Count(s.Dims)
		if err != nil || n > 1<<16 {
			n = 0
		}
		list := make([]float32, n)
		for k := range list {
			if len(data) > 0 {
				list[k] = fuzzValues[int(data[k%len(data)])%len(fuzzValues)]
			}
		}
		outs = append(outs, as(s.Name, list, s.Dims...))
	}
	return outs
}

var fuzzValues = []float32{0, 0.5, 1, -1, 0.9, 3, 30, -30, 1e30, -1e30, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 0.41, 0.01}
