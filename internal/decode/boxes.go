package decode

import (
	"fmt"
	"slices"

	"quantcheck/internal/suggest"
)

var boxes = Decoder{
	Name: "boxes",
	Help: `outputs that are boxes already, told by a mapping of names: boxes [1,N,4] or [1,4,N] with scores [1,N] and classes [1,N],
or with scores [1,N,C]; or one output [1,N,6] of box, score and class, as YOLOv10 gives it (without a mapping: corners in pixels,
suppressed by the model).`,
	Source: "the model's own description",
	fits: func(shapes []Shape, s Settings) (bool, string) {
		m, why := mapped(shapes, s)
		if why != "" {
			return false, why
		}
		if !s.Mapping.set() {
			return true, fmt.Sprintf("%d rows of box, score and class in %q, fewer than the input has cells", m.boxes.n, shapes[m.boxes.output].Name)
		}
		return true, fmt.Sprintf("the mapping names outputs that are there; %d boxes", m.boxes.n)
	},
	decode: decodeBoxes,
}

// found are the outputs that a mapping names; −1 where it names none.
type found struct {
	boxes                  rows // n boxes of 4, or 6 numbers with score and class
	scores, classes, count int
	perClass               rows // scores [1,N,C], if they are
}

// mapped finds the mapping's outputs, or says why they do not fit.
func mapped(shapes []Shape, s Settings) (found, string) {
	f := found{scores: -1, classes: -1, count: -1}
	if !s.Mapping.set() {
		r, ok := readyRows(shapes)
		if !ok {
			return f, "no mapping says which outputs hold boxes, scores and classes, and the only output is not [1,N,6] with at most 1000 rows"
		}
		f.boxes = r
		return f, ""
	}
	index := map[string]int{}
	names := make([]string, len(shapes))
	for i, shape := range shapes {
		index[shape.Name], names[i] = i, shape.Name
	}
	at := func(name string) (int, string) {
		if name == "" {
			return -1, ""
		}
		i, ok := index[name]
		if !ok {
			return -1, fmt.Sprintf("the mapping names an output %q that is not there; the outputs are, nearest first, %q", name, suggest.Nearest(name, names))
		}
		return i, ""
	}
	box := -1
	for _, p := range []struct {
		name  string
		index *int
	}{{s.Mapping.Boxes, &box}, {s.Mapping.Scores, &f.scores}, {s.Mapping.Classes, &f.classes}, {s.Mapping.Count, &f.count}} {
		var why string
		if *p.index, why = at(p.name); why != "" {
			return f, why
		}
	}
	if box < 0 {
		return f, "the mapping names no output of boxes"
	}
	d, ok := flat(shapes[box].Dims, 2)
	turned := ok && d[0] == 4 && d[1] != 4 && f.scores >= 0
	if !ok || !turned && d[1] != 4 && (d[1] < 6 || f.scores >= 0) {
		return f, fmt.Sprintf("%s is neither [1,N,4], [1,4,N] nor, without scores apart, [1,N,6]", shapes[box])
	}
	f.boxes = rows{box, d[0], d[1], false}
	if turned {
		f.boxes = rows{box, d[1], d[0], true}
	}
	switch {
	case f.boxes.c != 4:
		return f, ""
	case f.scores < 0:
		return f, "the mapping names boxes of four numbers but no scores"
	}
	return f.scoresOf(shapes)
}

// readyRows says whether the only output is [1,N,6]. Pieces of it meet behind the box.
func readyRows(shapes []Shape) (rows, bool) {
	if len(shapes) != 1 {
		return rows{}, false
	}
	d, ok := known(shapes[0].Dims)
	if !ok || len(d) != 3 || d[0] != 1 || d[2] != 6 || d[1] > 1000 || !shapes[0].whole(1) || !shapes[0].whole(2) && (!columnsFit(shapes[0].cuts(2), 5, true) || !slices.Contains(shapes[0].cuts(2), 4)) {
		return rows{}, false
	}
	return rows{0, d[1], 6, false}, true
}

// scoresOf checks the shapes of the scores and the classes.
func (f found) scoresOf(shapes []Shape) (found, string) {
	n := f.boxes.n
	scores := shapes[f.scores]
	if f.classes < 0 {
		if d, ok := flat(scores.Dims, 1); ok && d[0] == n { // one class
			f.perClass = rows{f.scores, n, 1, false}
			return f, ""
		}
		d, ok := flat(scores.Dims, 2)
		switch {
		case ok && d[0] == n:
			f.perClass = rows{f.scores, n, d[1], false}
		case ok && d[1] == n:
			f.perClass = rows{f.scores, n, d[0], true}
		default:
			return f, fmt.Sprintf("%s does not hold scores for %d boxes", scores, n)
		}
		return f, ""
	}
	for _, i := range []int{f.scores, f.classes} {
		if d, ok := flat(shapes[i].Dims, 1); !ok || d[0] != n {
			return f, fmt.Sprintf("%s does not hold one number for each of %d boxes", shapes[i], n)
		}
	}
	return f, ""
}

// flat takes off leading and trailing ones until so many dimensions are left.
func flat(dims []int64, rank int) ([]int, bool) {
	d, ok := known(dims)
	for ok && len(d) > rank && d[0] == 1 {
		d = d[1:]
	}
	for ok && len(d) > rank && d[len(d)-1] == 1 {
		d = d[:len(d)-1]
	}
	return d, ok && len(d) == rank
}

func decodeBoxes(in []array, g *gather) error {
	f, why := mapped(shapesOf(in), g.s)
	if why != "" {
		return fmt.Errorf("%s; the outputs are %v", why, shapesOf(in))
	}
	for _, i := range []int{f.boxes.output, f.scores, f.classes, f.count} {
		if i >= 0 {
			g.read[i] = true
		}
	}
	g.out.Suppressed = g.s.Mapping.Suppressed || !g.s.Mapping.set()
	n := f.boxes.n
	if f.count >= 0 {
		values := in[f.count].values
		if len(values) != 1 || !(values[0] >= 0) {
			return fmt.Errorf("%s does not hold the number of boxes", in[f.count].Shape)
		}
		n = min(n, int(min(values[0], maxBoxes)))
	}
	scores := func(i int) vector { return f.perClass.at(in, i) }
	switch {
	case f.boxes.c != 4:
		scores = func(i int) vector { return f.boxes.at(in, i).part(4, 5) }
	case f.classes >= 0:
		scores = func(i int) vector { return vector{in[f.scores].values, i, 1, 1} }
	}
	logits := g.sigmoids("scores", func(yield func(vector) bool) {
		for i := range n {
			if !yield(scores(i)) {
				return
			}
		}
	})
	for i := range n {
		if !g.score(scores(i), logits, 1) || !g.renumber(in, f, i) {
			continue
		}
		g.addFormat(f.boxes.at(in, i))
	}
	return nil
}

// renumber gives the labels of a candidate the model's class numbers, from zero. Those before the first are background.
func (g *gather) renumber(in []array, f found, i int) bool {
	class := 0.0
	switch {
	case f.boxes.c != 4:
		class = f.boxes.at(in, i).at(5)
	case f.classes >= 0:
		class = float64(in[f.classes].values[i])
	}
	if !finite(class) || class < -maxClasses || class > maxClasses {
		g.out.NotFinite++
		return false
	}
	for k := range g.labels {
		g.labels[k].class += int(class) - g.s.Mapping.FirstClass
	}
	g.labels = slices.DeleteFunc(g.labels, func(l label) bool { return l.class < 0 })
	return len(g.labels) > 0
}

// addFormat adds a box in the mapping's order of numbers.
func (g *gather) addFormat(v vector) {
	a, b, c, d := v.at(0), v.at(1), v.at(2), v.at(3)
	if g.s.Mapping.Format == YXYX {
		a, b, c, d = b, a, d, c
	}
	if g.s.Mapping.Normalised {
		w, h := float64(g.s.Width), float64(g.s.Height)
		a, b, c, d = a*w, b*h, c*w, d*h
	}
	switch g.s.Mapping.Format {
	case XYWH:
		g.add(a, b, a+c, b+d)
	case CXCYWH:
		g.addCenter(a, b, c, d)
	default:
		g.add(a, b, c, d)
	}
}
