package decode_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/decode"
)

// split cuts an output along an axis, before the elements at.
func split(o decode.Output, axis int, at ...int) []decode.Output {
	dims := o.Tensor.Shape
	outer, inner := 1, 1
	for k, d := range dims {
		switch {
		case k < axis:
			outer *= int(d)
		case k > axis:
			inner *= int(d)
		}
	}
	var list []decode.Output
	begin := 0
	for n, end := range append(slices.Clone(at), int(dims[axis])) {
		var v []float32
		for k := range outer {
			from := k * int(dims[axis]) * inner
			v = append(v, o.Tensor.F32[from+begin*inner:from+end*inner]...)
		}
		d := slices.Clone(dims)
		d[axis] = int64(end - begin)
		list = append(list, as(fmt.Sprintf("%s.%d", o.Name, n), v, d...))
		begin = end
	}
	return list
}

// turn makes [1,c,n] of [1,n,c].
func turn(o decode.Output) decode.Output {
	n, c := int(o.Tensor.Shape[1]), int(o.Tensor.Shape[2])
	return as(o.Name, toNHWC(o.Tensor.F32, n, 1, c), 1, int64(c), int64(n))
}

// cutHead is a head in pieces, with the decoder and the output that they are pieces of.
type cutHead struct {
	name, decoder string
	settings      decode.Settings
	whole         decode.Output // as the decoder takes it
	pieces        []decode.Output
	byName        bool // values and shapes do not tell the decoder
}

// rowHeads are the samples of one output of rows.
func rowHeads() []cutHead {
	var list []cutHead
	for _, s := range samples() {
		if len(s.outs) == 1 && len(s.outs[0].Tensor.Shape) == 3 && s.settings.Mapping.Boxes == "" {
			h := cutHead{name: s.name, decoder: s.decoder, settings: s.settings, whole: s.outs[0]}
			list = append(list, h)
			if s.name == "yolov5 rows" {
				h.name, h.decoder, h.byName = "yolov7 rows", "yolov7", true
				list = append(list, h)
			}
		}
	}
	return list
}

func cutHeads() []cutHead {
	const cells8, cells16 = 32, 40 // where the second and the third grid begin
	var list []cutHead
	for _, h := range rowHeads() {
		straight := h.whole
		if h.name == "yolov8 boxes" {
			straight = turn(straight)
		}
		columns := map[string][][]int{
			"yolov8": {{4}, {2, 4}, {1, 2, 3, 4}}, "boxes": {{4}, {4, 5}},
			"yolov5": {{4, 5}, {5}, {4}, {2, 4}, {2, 4, 5}},
		}
		columns["yolov6"], columns["yolov7"], columns["yolox"] = columns["yolov5"], columns["yolov5"], columns["yolov5"]
		scales := []int{cells8, cells16}
		if h.decoder == "yolov5" || h.decoder == "yolov7" {
			scales = []int{3 * cells8, 3 * cells16}
		}
		add := func(what string, pieces ...decode.Output) {
			c := h
			c.name += ", " + what
			c.pieces = pieces
			list = append(list, c)
		}
		for _, at := range columns[h.decoder] {
			pieces := split(straight, 2, at...)
			add(fmt.Sprint("columns at ", at), pieces...)
			if h.decoder == "boxes" {
				continue
			}
			var turned []decode.Output
			for _, p := range pieces {
				turned = append(turned, turn(p))
			}
			add(fmt.Sprint("turned, columns at ", at), turned...)
			var both, bothTurned []decode.Output
			for _, scale := range split(straight, 1, scales...) {
				for _, p := range split(scale, 2, at...) {
					both, bothTurned = append(both, p), append(bothTurned, turn(p))
				}
			}
			add(fmt.Sprint("scales and columns at ", at), both...)
			add(fmt.Sprint("turned, scales and columns at ", at), bothTurned...)
			var ofScales []decode.Output // the boxes of all scales, then the scores
			for k := range len(at) + 1 {
				for n := range 3 {
					ofScales = append(ofScales, both[n*(len(at)+1)+k])
				}
			}
			add(fmt.Sprint("columns of scales at ", at), ofScales...)
			if p := pieces[1].Tensor.Shape[2]; p == pieces[0].Tensor.Shape[2] && len(at) > 1 { // pieces of rows and of columns are alike
				continue
			}
			uneven := append(split(pieces[0], 1, scales...), pieces[1:]...)
			add(fmt.Sprint("scales of the first columns at ", at), uneven...)
		}
		if h.decoder == "boxes" {
			continue
		}
		byScale := split(straight, 1, scales...)
		add("scales", byScale...)
		var turned []decode.Output
		for _, p := range byScale {
			turned = append(turned, turn(p))
		}
		add("turned, scales", turned...)
	}
	return list
}

// equal says whether what was found is the same to the bit.
func equal(t *testing.T, got, want *decode.Candidates) {
	t.Helper()
	if !slices.Equal(got.List, want.List) || got.NotFinite != want.NotFinite || len(want.List) == 0 {
		t.Fatalf("%d boxes, not the %d of the whole output; %q", len(got.List), len(want.List), got.Notes)
	}
}

func TestCutHeadsAreReadAsWholeOnes(t *testing.T) {
	t.Parallel()
	for _, h := range cutHeads() {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			d := lookup(t, h.decoder)
			want, err := d.Candidates([]decode.Output{h.whole}, h.settings)
			if err != nil {
				t.Fatal(err)
			}
			got, err := d.Candidates(h.pieces, h.settings)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, got, want)
			if !slices.ContainsFunc(got.Notes, func(n string) bool { return strings.Contains(n, "cut head") }) {
				t.Errorf("notes %q do not say so", got.Notes)
			}
			again, err := d.Candidates(h.pieces, got.Settled)
			if err != nil {
				t.Fatal("with settled settings:", err)
			}
			equal(t, again, want)
			if h.byName {
				return
			}
			if ok, why := d.Fits(shapesOf(h.pieces), h.settings); !ok {
				t.Errorf("the shapes do not fit: %s", why)
			}
			found, why, err := decode.RecogniseValues(h.pieces, h.settings)
			if err != nil || found.Name != h.decoder {
				t.Errorf("recognised as %s (%s), %v", found.Name, why, err)
			}
		})
	}
}

// TestPiecesInAnotherOrder lists the pieces of a head in all orders: where one order fits, it is found.
func TestPiecesInAnotherOrder(t *testing.T) {
	t.Parallel()
	for _, h := range cutHeads() {
		if len(h.pieces) > 4 || strings.Contains(h.name, "2 4") || strings.Contains(h.name, "2 3") || h.decoder == "boxes" { // centre and size are alike
			continue
		}
		want, err := lookup(t, h.decoder).Candidates([]decode.Output{h.whole}, h.settings)
		if err != nil {
			t.Fatal(err)
		}
		r := rand.New(rand.NewPCG(3, 5))
		for range 6 {
			pieces := slices.Clone(h.pieces)
			r.Shuffle(len(pieces), func(i, k int) { pieces[i], pieces[k] = pieces[k], pieces[i] })
			got, err := lookup(t, h.decoder).Candidates(pieces, h.settings)
			if err != nil {
				t.Fatalf("%s as %v: %v", h.name, shapesOf(pieces), err)
			}
			if !slices.Equal(got.List, want.List) {
				t.Errorf("%s as %v: other boxes", h.name, shapesOf(pieces))
			}
		}
	}
}

func TestCutMapsAreReadAsWholeOnes(t *testing.T) {
	t.Parallel()
	for _, s := range samples() {
		var cuts [][]int
		switch {
		case len(s.outs) != 3 || len(s.outs[0].Tensor.Shape) != 4 || strings.Contains(s.name, "NHWC"):
			continue
		case s.name == "yolov6 with a confidence":
			cuts = [][]int{{4, 5}, {5}}
		case s.name == "yolov6 without a confidence":
			cuts = [][]int{{4}}
		case s.name == "yolov6 in bins":
			cuts = [][]int{{68}}
		case strings.HasPrefix(s.name, "yolov8 maps"):
			cuts = [][]int{{64}}
		case s.name == "yolov5 maps", s.name == "yolov7 maps":
			cuts = [][]int{{8, 16}}
		default:
			continue
		}
		for _, at := range cuts {
			want, err := lookup(t, s.decoder).Candidates(s.outs, s.settings)
			if err != nil {
				t.Fatal(err)
			}
			var pieces []decode.Output
			for k, o := range s.outs {
				o.Name = fmt.Sprint("o", k)
				pieces = append(pieces, split(o, 1, at...)...)
			}
			got, err := lookup(t, s.decoder).Candidates(pieces, s.settings)
			if err != nil {
				t.Fatalf("%s at %v: %v", s.name, at, err)
			}
			equal(t, got, want)
		}
	}
	for _, s := range samples() {
		if s.name != "yolox maps" {
			continue
		}
		want, err := lookup(t, "yolox").Candidates(s.outs, s.settings)
		if err != nil {
			t.Fatal(err)
		}
		var pieces []decode.Output
		for _, o := range s.outs {
			pieces = append(pieces, split(o, 3, 4, 5)...)
		}
		got, err := lookup(t, "yolox").Candidates(pieces, s.settings)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
	}
}

func TestAnSSDInPieces(t *testing.T) {
	t.Parallel()
	const n = 96 + 16 + 4 + 3
	r := rand.New(rand.NewPCG(1, 2))
	s := settings()
	s.Classes = 5
	outs := []decode.Output{as("a", values(r, 4*n, -1, 1), 1, n, 4), as("b", values(r, 6*n, 0, 1), 1, n, 6)}
	want, err := lookup(t, "ssd").Candidates(outs, s)
	if err != nil {
		t.Fatal(err)
	}
	pieces := append(split(outs[0], 1, 96, 112, 116), split(outs[1], 1, 96, 112, 116)...)
	for range 3 {
		got, err := lookup(t, "ssd").Candidates(pieces, s)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
		if d, why, err := decode.RecogniseValues(pieces, s); err != nil || d.Name != "ssd" {
			t.Errorf("%s (%s), %v", d.Name, why, err)
		}
		r.Shuffle(len(pieces), func(i, k int) { pieces[i], pieces[k] = pieces[k], pieces[i] })
	}
}

// TestTwinsAreToldApart has as many classes as a box has numbers: names tell, else values, else the model's order.
func TestTwinsAreToldApart(t *testing.T) {
	t.Parallel()
	const n = 42
	r := rand.New(rand.NewPCG(1, 2))
	box, scores := values(r, 4*n, 2, 30), values(r, 4*n, 0, 1)
	s := settings()
	s.Classes = 4
	whole, err := lookup(t, "yolov8").Candidates([]decode.Output{as("o", slices.Concat(box, scores), 1, 8, n)}, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		outs []decode.Output
	}{
		{"in order", []decode.Output{as("a", box, 1, 4, n), as("b", scores, 1, 4, n)}},
		{"values", []decode.Output{as("a", scores, 1, 4, n), as("b", box, 1, 4, n)}},
		{"names", []decode.Output{as("cls", scores, 1, 4, n), as("reg", box, 1, 4, n)}},
	} {
		got, err := lookup(t, "yolov8").Candidates(row.outs, s)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if !slices.Equal(got.List, whole.List) {
			t.Errorf("%s: other boxes", row.name)
		}
	}
	s.Outputs = []string{"b", "a"} // the description decides
	got, err := lookup(t, "yolov8").Candidates([]decode.Output{as("a", scores, 1, 4, n), as("more", scores, 1, 4, n), as("b", box, 1, 4, n)}, s)
	if err != nil || !slices.Equal(got.List, whole.List) || !slices.Contains(got.Notes, "outputs that were not read: more[1,4,42]") {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestPiecesThatCannotBeToldApartAreRefused(t *testing.T) {
	t.Parallel()
	const n = 42
	s := settings()
	s.Classes = 4
	r := rand.New(rand.NewPCG(1, 2))
	outs := []decode.Output{as("a", values(r, n, 0, 1), 1, 1, n), as("b", values(r, 4*n, 0, 1), 1, 4, n), as("c", values(r, 4*n, 0, 1), 1, 4, n)}
	if _, err := lookup(t, "yolox").Candidates(outs, s); err == nil || !strings.Contains(err.Error(), "outputs: [...]") || !strings.Contains(err.Error(), "c+a+b") {
		t.Errorf("%v", err)
	}
	s.Outputs = []string{"b", "a", "c"}
	if _, err := lookup(t, "yolox").Candidates(outs, s); err != nil {
		t.Error(err)
	}
	s.Outputs = []string{"b", "d"}
	if _, err := lookup(t, "yolox").Candidates(outs, s); err == nil || !strings.Contains(err.Error(), "not there: d") {
		t.Errorf("%v", err)
	}
	s.Outputs = []string{"b", "b"}
	if _, err := lookup(t, "yolox").Candidates(outs, s); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Errorf("%v", err)
	}
	s = settings()
	s.Joins = []decode.Join{{Axis: 1, Parts: []int{0, 7}}}
	if _, err := lookup(t, "yolov8").Candidates(outs, s); err == nil || !strings.Contains(err.Error(), "joined before") {
		t.Errorf("%v", err)
	}
}

// TestAMappingOfTurnedBoxes names boxes [1,4,N] and scores [1,C,N].
func TestAMappingOfTurnedBoxes(t *testing.T) {
	t.Parallel()
	for _, h := range rowHeads() {
		if h.name != "yolov8 boxes" {
			continue
		}
		want, err := lookup(t, h.decoder).Candidates([]decode.Output{h.whole}, h.settings)
		if err != nil {
			t.Fatal(err)
		}
		s := h.settings
		s.Mapping = decode.Mapping{Boxes: "o.0", Scores: "o.1", Format: decode.CXCYWH}
		got, err := lookup(t, "boxes").Candidates(split(h.whole, 1, 4), s)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, got, want)
	}
}

// TestUnknownClassesOfCutHeads has shapes alone, and no number of classes.
func TestUnknownClassesOfCutHeads(t *testing.T) {
	t.Parallel()
	s := decode.SeedSettings()
	s.Width, s.Height = 640, 640
	shape := func(name string, dims ...int64) decode.Shape { return decode.Shape{Name: name, Dims: dims} }
	for _, row := range []struct {
		name   string
		want   string // "": none or several
		shapes []decode.Shape
	}{
		{"boxes and 80 classes", "yolov8", []decode.Shape{shape("a", 1, 4, 8400), shape("b", 1, 80, 8400)}},
		{"80 classes and boxes", "yolov8", []decode.Shape{shape("a", 1, 80, 8400), shape("b", 1, 4, 8400)}},
		{"boxes and 3 classes", "yolov8", []decode.Shape{shape("a", 1, 4, 8400), shape("b", 1, 3, 8400)}},
		{"boxes and 80 classes in rows", "yolov8", []decode.Shape{shape("a", 1, 8400, 4), shape("b", 1, 8400, 80)}},
		{"boxes, 80 classes and a mask's coefficients", "yolov8", []decode.Shape{shape("a", 1, 4, 8400), shape("b", 1, 80, 8400), shape("c", 1, 32, 8400), shape("p", 1, 32, 160, 160)}},
		{"three anchors: boxes, objectness, classes", "yolov5", []decode.Shape{shape("a", 1, 25200, 4), shape("b", 1, 25200, 1), shape("c", 1, 25200, 80)}},
		{"boxes, objectness, classes: raw or in pixels", "", []decode.Shape{shape("a", 1, 8400, 4), shape("b", 1, 8400, 1), shape("c", 1, 8400, 80)}},
		{"boxes and 20 scores in rows: or an SSD", "", []decode.Shape{shape("a", 1, 8400, 4), shape("b", 1, 8400, 20)}},
		{"an SSD", "ssd", []decode.Shape{shape("a", 1, 4420, 4), shape("b", 1, 4420, 2)}},
		{"other grids", "", []decode.Shape{shape("a", 1, 4, 8399), shape("b", 1, 80, 8399)}},
		{"a whole output and another beside it", "yolov8", []decode.Shape{shape("a", 1, 84, 8400), shape("b", 1, 4, 8400)}},
		{"two whole outputs", "yolov8", []decode.Shape{shape("a", 1, 84, 8400), shape("b", 1, 84, 8400)}},
	} {
		d, why, err := decode.Recognise(row.shapes, s)
		if row.want == "" && err == nil || row.want != "" && (err != nil || d.Name != row.want) {
			t.Errorf("%s: %q (%s), %v", row.name, d.Name, why, err)
		}
	}
}

// TestValuesTellAnSSDFromACutHead has [1,N,4] and [1,N,20], which may be either.
func TestValuesTellAnSSDFromACutHead(t *testing.T) {
	t.Parallel()
	const n = 42
	r := rand.New(rand.NewPCG(1, 2))
	s := settings()
	s.Classes = 0
	for name, box := range map[string][]float32{"ssd": values(r, 4*n, 0, 1), "yolov8": values(r, 4*n, 0, 64)} {
		outs := []decode.Output{as("a", box, 1, n, 4), as("b", values(r, 20*n, 0, 1), 1, n, 20)}
		d, why, err := decode.RecogniseValues(outs, s)
		if err != nil || d.Name != name {
			t.Errorf("%s: %s (%s), %v", name, d.Name, why, err)
		}
	}
}
