package columns

// AddOutputs adds the outputs of all positions to sums, one for each output channel of all groups.
func (w *Window) AddOutputs(sums []float64, y []float32) {
	if w.rows {
		addRows(sums, y)
		return
	}
	space := volume(w.out)
	for c := 0; (c+1)*space <= len(y); c++ {
		sums[c%w.outputs] += total(y[c*space : (c+1)*space])
	}
}

func addRows(sums []float64, values []float32) {
	for p := 0; (p+1)*len(sums) <= len(values); p++ {
		for i, v := range values[p*len(sums) : (p+1)*len(sums)] {
			sums[i] += float64(v)
		}
	}
}

func total(values []float32) float64 {
	a, b, c, d := 0.0, 0.0, 0.0, 0.0
	for len(values) >= 4 {
		a, b, c, d = a+float64(values[0]), b+float64(values[1]), c+float64(values[2]), d+float64(values[3])
		values = values[4:]
	}
	for _, v := range values {
		a += float64(v)
	}
	return a + b + c + d
}

// AddInputs adds the columns of all positions to sums: K of each group, one group after the other. An input that a tap reads counts once for
// each position at which it does.
func (w *Window) AddInputs(sums []float64, x []float32) {
	if w.rows {
		addRows(sums, x)
		return
	}
	plane, taps := volume(w.in), len(w.taps)
	reads := w.reads()
	lines := make([]float64, plane/w.in[len(w.in)-1]*len(reads.last))
	for c := 0; (c+1)*plane <= len(x); c++ {
		reads.lines(lines, x[c*plane:(c+1)*plane])
		to := sums[c%w.channels*taps : (c%w.channels+1)*taps]
		for t := range to {
			to[t] += reads.sum(lines, t)
		}
	}
}

// reads says which inputs the taps read, summed along the last dimension first.
type reads struct {
	w       *Window
	last    []int   // the different offsets of taps along the last dimension
	indices [][]int // for each of them: the places that are read; nil: a run from..to with step 1
	runs    [][2]int
	of      []int   // tap → its place in last
	outer   [][]int // tap → the lines that are read
}

func (w *Window) reads() *reads {
	r := &reads{w: w}
	d := len(w.in) - 1
	known := map[int]int{}
	for _, tap := range w.taps {
		k, ok := known[tap[d]]
		if !ok {
			k = len(r.last)
			known[tap[d]] = k
			r.last = append(r.last, tap[d])
			places := w.along(d, tap[d])
			r.indices = append(r.indices, places)
			run := [2]int{-1, -1}
			if len(places) > 0 && places[len(places)-1]-places[0] == len(places)-1 {
				run = [2]int{places[0], places[len(places)-1] + 1}
			}
			r.runs = append(r.runs, run)
		}
		r.of = append(r.of, k)
		lines := []int{0}
		for i := range d {
			var next []int
			for _, v := range w.along(i, tap[i]) {
				for _, l := range lines {
					next = append(next, l*w.in[i]+v)
				}
			}
			lines = next
		}
		r.outer = append(r.outer, lines)
	}
	return r
}

// along lists the places along a dimension that a tap reads over all positions, in order.
func (w *Window) along(i, tap int) []int {
	var places []int
	for at := range w.out[i] {
		one := Window{in: w.in[i : i+1], stride: w.stride[i : i+1], pad: w.pad[i : i+1], transposed: w.transposed}
		if off := one.offset([]int{at}, []int{tap}); off >= 0 {
			places = append(places, off)
		}
	}
	return places
}

// lines sums each line of a plane along the last dimension, for each offset.
func (r *reads) lines(into []float64, plane []float32) {
	width := r.w.in[len(r.w.in)-1]
	for l := 0; (l+1)*width <= len(plane); l++ {
		line := plane[l*width : (l+1)*width]
		whole, known := 0.0, false
		for k := range r.last {
			sum := 0.0
			if run := r.runs[k]; run[0] >= 0 {
				if !known {
					whole, known = total(line), true
				}
				sum = whole
				for _, v := range line[:run[0]] {
					sum -= float64(v)
				}
				for _, v := range line[run[1]:] {
					sum -= float64(v)
				}
			} else {
				for _, i := range r.indices[k] {
					sum += float64(line[i])
				}
			}
			into[l*len(r.last)+k] = sum
		}
	}
}

// sum adds up the lines that a tap reads.
func (r *reads) sum(lines []float64, tap int) float64 {
	sum := 0.0
	for _, l := range r.outer[tap] {
		sum += lines[l*len(r.last)+r.of[tap]]
	}
	return sum
}
