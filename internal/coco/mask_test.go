package coco

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestPolygonsAreDrawnAsPycocotoolsDoes(t *testing.T) {
	for _, c := range []struct { // results of pycocotools.mask.frPyObjects, area and toBbox
		name    string
		polygon []float64
		h, w    int
		runs    string
		area    int
		box     [4]float64
	}{
		{"a rectangle on pixels", []float64{10, 10, 10, 20, 25, 20, 25, 10}, 30, 40, "f9:d0000000000000000000000000000h=", 150, [4]float64{10, 10, 15, 10}},
		{"halves", []float64{1.5, 2.5, 7.5, 2.5, 7.5, 9.5, 1.5, 9.5}, 12, 10, "k075000000000e0", 42, [4]float64{2, 3, 6, 7}},
		{"a triangle", []float64{3.2, 1.1, 17.9, 8.4, 5.5, 19.3}, 20, 20, "m12c07H8IO0O2N1O2N1O2N1O2N101N1OQ1", 127, [4]float64{3, 1, 15, 18}},
		{"beyond every border", []float64{-5.3, -7.7, 30.2, -2.1, 28.8, 40.4, -9.9, 33.3}, 24, 22, "0``0", 528, [4]float64{0, 0, 22, 24}},
		{"a corner twice", []float64{2, 2, 2, 2, 9, 2, 9, 9, 2, 9}, 12, 12, "j07500000000000R1", 49, [4]float64{2, 2, 7, 7}},
		{"crossing itself", []float64{1, 1, 15, 15, 15, 1, 1, 15}, 16, 16, "a0=4N2N2N2N2N2N10O2N2N2N2N2N2>", 98, [4]float64{1, 1, 14, 13}},
		{"a number without partner", []float64{1, 1, 9, 1, 9, 9, 1, 9, 5}, 10, 10, ";8200000000000009", 64, [4]float64{1, 1, 8, 8}},
		{"a point", []float64{3, 3, 3, 3, 3, 3}, 6, 6, "T1", 0, [4]float64{0, 0, 0, 0}},
		{"thin", []float64{0.2, 0.2, 19.6, 0.9, 19.6, 1.3, 0.2, 0.6}, 4, 20, "0130000000000000`1", 8, [4]float64{0, 0, 8, 1}},
		{"steep", []float64{3.1, 0, 3.9, 19.7, 5.2, 19.9, 4.4, 0.3}, 21, 9, "o17a0:T2", 24, [4]float64{3, 0, 2, 20}},
		{"outside", []float64{50, 50, 60, 50, 60, 60, 50, 60}, 20, 20, "`<", 0, [4]float64{0, 0, 0, 0}},
		{"at negative corners", []float64{-3, -3, -3, 4, 4.6, 4.6, 4, -3}, 8, 8, "044000012Me0", 19, [4]float64{0, 0, 5, 5}},
		{"random 0", []float64{4.13, 59.12, 28.18, 35.66, 37.39, 58.62, 27.85, 33.55, 8.42, 45.2, 32.87, 33.47, 22.8, 55.27, 11.23, 5.61}, 42, 39, "U91R17H8I7H8L44L4L5J5L4KTOEo07QOIT11lN0V1OjN0U10210OkN0Q11nN0R1OnN2Q1OnN2Q1NoN3Q132NOMnNNS132N1Om6", 289, [4]float64{6, 7, 27, 35}},
		{"random 1", []float64{-3.94, 49.41, 6.16, 62.02, -2.0, 49.61, 52.65, 13.86, 36.63, 59.41, 22.13, 50.17, 24.89, 45.97, 35.38, 62.49, 4.39, 20.59, -2.49, 29.64, 13.06, 42.04, 49.53, 54.87, 24.48, 53.34}, 29, 52, "j03h02O1O1O11O1O2N1O1OUb0Ol]O0O1O100O1O100O1O100O1O100O1O100O00N3N1N2NE", 188, [4]float64{0, 14, 52, 15}},
		{"random 2", []float64{35.96, 35.9, 58.29, 42.74, 60.03, 54.95, 64.37, 41.99, 6.42, 55.24, 62.52, 58.33, 34.84, 44.97, 9.78, 53.21, 35.15, 14.95, -0.56, 54.78, 64.29, 1.2, 51.04, 23.73, 5.55, 15.57, 48.82, 56.09}, 27, 39, "]61j01O1O100O1O1O1O100O1O00000001O00000O1O2N\\OMb01_O0a0O^O3d01M3OI_O6d0O0O1O1O1O7", 185, [4]float64{7, 16, 31, 11}},
		{"random 3", []float64{48.31, 21.45, 36.05, 33.56, 59.53, 14.54, 11.52, -2.48, -4.49, 2.57}, 43, 44, "13X11O0O101O00001O00001O001O00001O000010O00010O00010O01O01O01O01O01O01O01O01O01\\OF69IG8:FF;:DF>9AG`0:^OF:", 409, [4]float64{0, 0, 44, 32}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := FromPolygon(c.polygon, c.h, c.w)
			if err != nil {
				t.Fatal(err)
			}
			if m.String() != c.runs || m.Area() != c.area || m.Box() != c.box {
				t.Errorf("%q, area %d, box %v; want %q, %d, %v", m, m.Area(), m.Box(), c.runs, c.area, c.box)
			}
			again, err := ParseMask(c.runs, c.h, c.w)
			if err != nil || !slices.Equal(again.Counts, m.Counts) {
				t.Errorf("reads back as %v (%v), was %v", again.Counts, err, m.Counts)
			}
		})
	}
}

// oraclePolygon is rleFrPoly of maskApi.c, which visits every point of the outline.
func oraclePolygon(xy []float64, h, w int) []uint32 {
	var x, y, u, v []int
	for j := 0; j+1 < len(xy); j += 2 {
		x, y = append(x, int(float64(5*xy[j])+.5)), append(y, int(float64(5*xy[j+1])+.5))
	}
	x, y = append(x, x[0]), append(y, y[0])
	for j := range len(x) - 1 {
		xs, xe, ys, ye := x[j], x[j+1], y[j], y[j+1]
		dx, dy := abs(xe-xs), abs(ys-ye)
		flip := dx >= dy && xs > xe || dx < dy && ys > ye
		if flip {
			xs, xe, ys, ye = xe, xs, ye, ys
		}
		for d := range max(dx, dy) + 1 {
			t := d
			if flip {
				t = max(dx, dy) - d
			}
			switch {
			case dx == 0 && dy == 0:
				u, v = append(u, xs), append(v, ys)
			case dx >= dy:
				s := float64(ye-ys) / float64(dx)
				u, v = append(u, t+xs), append(v, int(float64(ys)+float64(s*float64(t))+.5))
			default:
				s := float64(xe-xs) / float64(dy)
				u, v = append(u, int(float64(xs)+float64(s*float64(t))+.5)), append(v, t+ys)
			}
		}
	}
	var borders []uint32
	for j := 1; j < len(u); j++ {
		if u[j] == u[j-1] {
			continue
		}
		xd := float64(u[j] - 1)
		if u[j] < u[j-1] {
			xd = float64(u[j])
		}
		if xd = (xd+.5)/5 - .5; math.Floor(xd) != xd || xd < 0 || xd > float64(w-1) {
			continue
		}
		yd := (float64(min(v[j], v[j-1]))+.5)/5 - .5
		borders = append(borders, uint32(int(xd)*h+int(math.Ceil(min(max(yd, 0), float64(h))))))
	}
	return runsBetween(append(borders, uint32(h*w)))
}

func TestPolygonsAreDrawnAsTheWholeOutline(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for range 20 {
			h, w := 1+rng.IntN(40), 1+rng.IntN(40)
			xy := make([]float64, 2+rng.IntN(14))
			size, step := []float64{3, 40, 300}[rng.IntN(3)], []float64{1, .2, .01}[rng.IntN(3)]
			for i := range xy {
				xy[i] = float64(int((rng.Float64()*1.5-.3)*size/step)) * step
				if i > 1 && rng.IntN(5) == 0 {
					xy[i] = xy[i-2] // an edge along an axis, or none
				}
			}
			m, err := FromPolygon(xy, h, w)
			if err != nil {
				t.Fatal(err)
			}
			if want := oraclePolygon(xy, h, w); !slices.Equal(m.Counts, want) {
				t.Fatalf("%v on %d x %d: %v, want %v", xy, h, w, m.Counts, want)
			}
		}
	})
}

// drawBitmap makes rectangles and single pixels.
func drawBitmap(rng *rand.Rand, h, w int) []bool {
	pixels := make([]bool, h*w)
	for range rng.IntN(4) {
		y0, x0 := rng.IntN(h), rng.IntN(w)
		y1, x1 := y0+rng.IntN(h-y0), x0+rng.IntN(w-x0)
		for y := y0; y <= y1; y++ {
			for x := x0; x <= x1; x++ {
				pixels[y*w+x] = rng.IntN(20) > 0
			}
		}
	}
	return pixels
}

// oracleIoU counts pixels.
func oracleIoU(ref, got []bool, crowd bool) float64 {
	both, either := 0, 0
	for i := range ref {
		if ref[i] && got[i] {
			both++
		}
		if got[i] || ref[i] && !crowd {
			either++
		}
	}
	if both == 0 {
		return 0
	}
	return float64(both) / float64(either)
}

func TestMasksAreSetsOfPixels(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		h, w := 1+rng.IntN(20), 1+rng.IntN(20)
		masks, union := make([]Mask, 1+rng.IntN(4)), make([]bool, h*w)
		var bitmaps [][]bool
		for i := range masks {
			pixels := drawBitmap(rng, h, w)
			m, err := FromBitmap(pixels, h, w)
			if err != nil {
				t.Fatal(err)
			}
			area, box := 0, [4]float64{float64(w), float64(h), -1, -1}
			for k, set := range pixels {
				if set {
					area++
					union[k] = true
					x, y := float64(k%w), float64(k/w)
					box = [4]float64{min(box[0], x), min(box[1], y), max(box[2], x), max(box[3], y)}
				}
			}
			box[2], box[3] = box[2]-box[0]+1, box[3]-box[1]+1
			if area == 0 {
				box = [4]float64{}
			}
			if m.Area() != area || m.Box() != box {
				t.Fatalf("area %d, box %v; want %d, %v", m.Area(), m.Box(), area, box)
			}
			back, err := m.Bitmap()
			if err != nil || !slices.Equal(back, pixels) {
				t.Fatalf("the bitmap does not come back: %v", err)
			}
			again, err := ParseMask(m.String(), h, w)
			if err != nil || !slices.Equal(again.Counts, m.Counts) {
				t.Fatalf("the string does not come back: %v", err)
			}
			masks[i], bitmaps = m, append(bitmaps, pixels)
		}
		m, err := Merge(masks...)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := m.Bitmap(); err != nil || !slices.Equal(back, union) {
			t.Fatalf("the union is wrong: %v", err)
		}
		for _, crowd := range []bool{false, true} {
			got, want := IoU(masks[0], m, crowd), oracleIoU(bitmaps[0], union, crowd)
			if got != want {
				t.Fatalf("IoU %g, want %g (crowd %v)", got, want, crowd)
			}
		}
	})
}

func TestBrokenMasksAreRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"runs too short", second(ParseMask("55", 4, 4)), "sum to 10"},
		{"runs too long", second(ParseMask("`00", 4, 3)), "sum to 16"},
		{"a byte that is none of them", second(ParseMask("5\n", 4, 4)), "0xa"},
		{"an end within a run", second(ParseMask("P", 4, 4)), "within a run"},
		{"a run below zero", second(ParseMask("O", 4, 4)), "run 0"},
		{"a run without end", second(ParseMask(strings.Repeat("P", 99), 4, 4)), "within a run"},
		{"too many pixels", second(ParseMask("0", 1<<20, 1<<20)), "may have up to"},
		{"a size below zero", second(ParseMask("0", -1, 4)), "-1 x 4"},
		{"a bitmap of another size", second(FromBitmap(make([]bool, 3), 2, 2)), "3 pixels"},
		{"a bitmap of too many pixels", second(Mask{H: 1 << 20, W: 1 << 20}.Bitmap()), "may have up to"},
		{"a corner far away", second(FromPolygon([]float64{0, 0, 1e9, 1, 5, 5}, 9, 9)), "corner 1"},
		{"an endless outline", second(FromPolygon(slices.Repeat([]float64{0, 0, 1e6, 1e6}, 9), 9, 9)), "outline"},
		{"no corner", second(FromPolygon(nil, 9, 9)), "no corner"},
		{"four numbers", second(polygonsMask([][]float64{{1, 2, 3, 4}}, 9, 9)), "4 numbers"},
		{"two sizes", second(Merge(Mask{H: 1, W: 2, Counts: []uint32{2}}, Mask{H: 2, W: 1, Counts: []uint32{2}})), "not merged"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, c.err, c.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func FuzzMaskString(f *testing.F) {
	f.Add("f9:d0000000000000000000000000000h=", 30, 40)
	f.Add("T1", 6, 6)
	f.Add("PPPPPPPPPPPP", 5, 5)
	f.Add("", 0, 0)
	f.Fuzz(func(t *testing.T, s string, h, w int) {
		m, err := ParseMask(s, h, w)
		if cap(m.Counts) > len(s) {
			t.Fatalf("%d bytes became %d runs", len(s), cap(m.Counts))
		}
		if err != nil {
			return
		}
		again, err := ParseMask(m.String(), h, w)
		if err != nil || !slices.Equal(again.Counts, m.Counts) {
			t.Fatalf("%v reads back as %v (%v)", m.Counts, again.Counts, err)
		}
		if box := m.Box(); m.Area() > 0 && (box[2] < 1 || box[3] < 1) {
			t.Fatalf("area %d in the box %v", m.Area(), box)
		}
		if area := m.plain().Area(); area != m.Area() || slices.Contains(m.plain().Counts[min(1, len(m.plain().Counts)):], 0) {
			t.Fatalf("%v is plainly %v", m.Counts, m.plain().Counts)
		}
		if v := IoU(m, m, false); v != 1 && m.Area() > 0 && !slices.Contains(m.Counts[1:], 0) {
			t.Fatalf("IoU with itself is %g", v)
		}
	})
}
