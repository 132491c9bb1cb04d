package eval

import (
	"fmt"
	"math"
	"path/filepath"
	"testing"

	"quantcheck/internal/coco"
	"quantcheck/internal/decode"
	"quantcheck/internal/labels"
	"quantcheck/internal/tensor"
)

// absurdOutputs are outputs of ranks, sizes and values that no model of any task should have.
func absurdOutputs() map[string][]decode.Output {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	fill := func(n int, v float32) []float32 {
		list := make([]float32, n)
		for i := range list {
			list[i] = v
		}
		return list
	}
	return map[string][]decode.Output{
		"none":             {},
		"no elements":      output(nil, 0),
		"no rows":          output(nil, 1, 0, 85),
		"a scalar":         output([]float32{1}),
		"one element":      output([]float32{1}, 1, 1),
		"rank 6":           output(fill(64, 1), 1, 1, 1, 1, 8, 8),
		"a batch of two":   output(fill(128, 1), 2, 1, 8, 8),
		"NaN":              output(fill(192, nan), 1, 3, 8, 8),
		"infinite":         output(fill(192, inf), 1, 3, 8, 8),
		"huge":             output(fill(192, math.MaxFloat32), 1, 3, 8, 8),
		"negative":         output(fill(64, -math.MaxFloat32), 1, 1, 8, 8),
		"scores":           output([]float32{nan, inf, -inf}, 1, 3),
		"empty map":        output(nil, 1, 3, 0, 8),
		"text":             {{Name: "y", Tensor: tensor.Tensor{DType: tensor.String, Shape: []int64{1, 3}}}},
		"boxes of nothing": ready(),
		"absurd boxes":     ready([6]float32{-inf, nan, inf, 1e38, 1, 0}, [6]float32{0, 0, 8, 8, nan, 99}, [6]float32{8, 8, 0, 0, 0.9, -5}, [6]float32{-1e38, -1e38, 1e38, 1e38, inf, 1e38}),
	}
}

// absurdPictures are pictures of no size, of a huge one, and with truth that is none.
func absurdPictures(t *testing.T) []Picture {
	t.Helper()
	mask := writeGray(t, filepath.Join(t.TempDir(), "m.png"), 8, make([]uint8, 64)...)
	list := []Picture{plain(8, 8, labels.Image{ID: 1, Truth: mask}), plain(0, 0, labels.Image{ID: 1, Truth: mask}), {Image: labels.Image{ID: 2, Truth: "gone.png", Class: -7}}, plain(1<<40, 1, labels.Image{ID: 1 << 60, Truth: mask, Class: 1 << 40})}
	tiny := plain(1, 1, labels.Image{ID: 1, Truth: writeGray(t, filepath.Join(t.TempDir(), "1.png"), 1, 255)})
	return append(list, tiny)
}

// TestNoSetIsTooAbsurdToScore gives every scorer sets of no picture, of one and of several, with absurd outputs and truth: each ends in an
// error or in scores that can be stored; none panics.
func TestNoSetIsTooAbsurdToScore(t *testing.T) {
	pictures := absurdPictures(t)
	set := detections("cat")
	set.Set.Annotations = append(set.Set.Annotations, coco.Annotation{ID: 2, ImageID: 1, CategoryID: 99, Box: [4]float64{math.NaN(), -1e308, 1e308, math.Inf(1)}}, coco.Annotation{ID: 3, ImageID: 77, CategoryID: 10})
	boxes := Usual()
	boxes.Decoder, boxes.Decode.Mapping = "boxes", decode.Mapping{Boxes: "b", Scores: "s", Classes: "c"}
	named := Usual()
	named.Output = "y"
	offset := named
	offset.ClassOffset, offset.DepthAlign = -1000, "median"
	scorers := map[string]func() Scorer{
		"distance":         func() Scorer { return NewDistance(2, true) },
		"classes":          func() Scorer { return NewLabels(&labels.Classes{}, named, 2) },
		"classes, offset":  func() Scorer { return NewLabels(&labels.Classes{}, offset, 2) },
		"masks":            func() Scorer { return NewMasks(&labels.Pairs{}, named, 2, nil) },
		"masks, shapes":    func() Scorer { return NewMasks(&labels.Pairs{}, Usual(), 2, nil) },
		"depths":           func() Scorer { return NewDepths(&labels.Pairs{}, named, 2, nil) },
		"depths, aligned":  func() Scorer { return NewDepths(&labels.Pairs{}, offset, 2, nil) },
		"boxes":            func() Scorer { return NewBoxes(set, boxes, 2, false) },
		"boxes, shapes":    func() Scorer { return NewBoxes(set, Usual(), 2, false) },
		"boxes, no truth":  func() Scorer { return NewBoxes(&labels.Detections{Set: &coco.Dataset{}}, boxes, 2, false) },
		"boxes, no labels": func() Scorer { return NewBoxes(detections("cat", "dog"), boxes, 2, true) },
	}
	outputs := absurdOutputs()
	for name, scorer := range scorers {
		end := func(what string, s Scorer) {
			e := evaluation("", "float", "v")
			if s.Conclude(e) != nil {
				return
			}
			for _, m := range e.Models {
				for i, v := range m.Scores {
					if v.OK && math.IsNaN(v.V) {
						t.Errorf("%s, %s: score %d is no number", name, what, i)
					}
				}
			}
		}
		end("no picture", scorer())
		for first, one := range outputs {
			for second, two := range outputs {
				what := fmt.Sprintf("%s and %s", first, second)
				s := scorer()
				for _, p := range pictures {
					for _, outs := range [][][]decode.Output{{one, two}, {two, nil}, {nil, one}} {
						if s.Picture(p, outs) != nil {
							break
						}
					}
				}
				end(what, s)
			}
		}
	}
}
