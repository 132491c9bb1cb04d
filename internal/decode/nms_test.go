package decode_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"quantcheck/internal/decode"
)

// slowNMS looks at every pair: a box stays if no kept box that goes before it overlaps it too much.
func slowNMS(list []decode.Detection, iou float64, agnostic bool, most int) []decode.Detection {
	overlap := func(a, b [4]float32) float64 {
		area := func(x1, y1, x2, y2 float32) float64 {
			if x2 <= x1 || y2 <= y1 {
				return 0
			}
			return (float64(x2) - float64(x1)) * (float64(y2) - float64(y1))
		}
		both := area(max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
		if both == 0 {
			return 0
		}
		return both / (area(a[0], a[1], a[2], a[3]) + area(b[0], b[1], b[2], b[3]) - both)
	}
	var kept []decode.Detection
	used := make([]bool, len(list))
	for range list {
		next := -1
		for i := range list {
			if !used[i] && (next < 0 || list[i].Score > list[next].Score) {
				next = i
			}
		}
		used[next] = true
		stays := true
		for _, k := range kept {
			if (agnostic || k.Class == list[next].Class) && overlap(k.Box, list[next].Box) > iou {
				stays = false
			}
		}
		if stays && len(kept) < most {
			kept = append(kept, list[next])
		}
	}
	return kept
}

func TestNMSEqualsTheSlowOne(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 5))
	suppressed := 0
	for round := range 400 {
		list := make([]decode.Detection, r.IntN(60))
		for i := range list {
			x, y := float32(r.IntN(20)), float32(r.IntN(20))
			list[i] = decode.Detection{
				Box:   [4]float32{x, y, x + float32(r.IntN(12)), y + float32(r.IntN(12))},
				Score: float32(r.IntN(8)) / 8, Class: r.IntN(3), // many ties
			}
		}
		before := slices.Clone(list)
		iou, agnostic, most := float64(r.IntN(11))/10, round%2 == 0, 1+r.IntN(40)
		got, want := decode.NMS(list, iou, agnostic, most), slowNMS(list, iou, agnostic, most)
		if !slices.Equal(got, want) {
			t.Fatalf("round %d (IoU %g, agnostic %v, %d boxes):\n got %v\nwant %v", round, iou, agnostic, most, got, want)
		}
		if !slices.Equal(list, before) {
			t.Fatal("the candidates were changed")
		}
		suppressed += len(list) - len(got)
	}
	if suppressed == 0 {
		t.Error("nothing was ever suppressed")
	}
}

func TestIoUHasNoExtraPixel(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name string
		a, b [4]float32
		want float64
	}{
		{"equal", [4]float32{0, 0, 2, 2}, [4]float32{0, 0, 2, 2}, 1},
		{"a third", [4]float32{0, 0, 2, 2}, [4]float32{1, 0, 3, 2}, 1. / 3},
		{"edges touch", [4]float32{0, 0, 2, 2}, [4]float32{2, 0, 4, 2}, 0},
		{"no area", [4]float32{1, 1, 1, 1}, [4]float32{1, 1, 1, 1}, 0},
		{"inside out", [4]float32{2, 2, 0, 0}, [4]float32{0, 0, 2, 2}, 0},
	} {
		if got := decode.IoU(row.a, row.b); got != row.want {
			t.Errorf("%s: %g, want %g", row.name, got, row.want)
		}
	}
}

func BenchmarkNMS(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	list := make([]decode.Detection, 30000)
	for i := range list {
		x, y := r.Float32()*600, r.Float32()*600
		list[i] = decode.Detection{Box: [4]float32{x, y, x + 40*r.Float32(), y + 40*r.Float32()}, Score: r.Float32(), Class: r.IntN(80)}
	}
	for b.Loop() {
		decode.NMS(list, 0.65, false, 300)
	}
}
