package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// Bounds of what is slow, and of what is wrong: a share of the whole, and how many times what a layer has on average.
const (
	muchShare = 0.02
	muchTimes = 3
)

// Corner is a group of layers by time and error.
type Corner struct {
	Title  string
	Advice string
	Layers []int // numbers, the most of it first
}

// weighed is a layer by what it costs.
type weighed struct {
	layer int     // its number
	time  float64 // share of the whole
	wrong bool
	// unknown is that nothing is known of its error.
	unknown bool
	noise   float64 // the greater, the worse
}

// Much is the share of the whole, of time or of noise, over which one of so many layers has much of it.
func Much(layers int) float64 {
	return min(max(muchShare, muchTimes/float64(max(layers, 1))), 0.25) // of few layers each has a large share
}

// corners puts layers into groups by what they cost. Those that are neither slow nor wrong are in none.
func corners(list []weighed) []Corner {
	slow := func(w weighed) bool { return w.time > Much(len(list)) }
	byTime := func(a, b weighed) int { return cmp.Compare(b.time, a.time) }
	byNoise := func(a, b weighed) int { return cmp.Compare(b.noise, a.noise) }
	var found []Corner
	for _, c := range []struct {
		title, advice string
		holds         func(weighed) bool
		order         func(a, b weighed) int
	}{
		{"slow and wrong", "rewrite it, or keep it out of the model", func(w weighed) bool { return slow(w) && w.wrong }, byTime},
		{"slow and harmless", "here time can be won", func(w weighed) bool { return slow(w) && !w.wrong && !w.unknown }, byTime},
		{"slow", "its error is not known", func(w weighed) bool { return slow(w) && w.unknown }, byTime},
		{"cheap and wrong", "give it more bits", func(w weighed) bool { return !slow(w) && w.wrong }, byNoise},
	} {
		in := slices.DeleteFunc(slices.Clone(list), func(w weighed) bool { return !c.holds(w) })
		slices.SortStableFunc(in, c.order)
		one := Corner{Title: c.title, Advice: c.advice}
		for _, w := range in {
			one.Layers = append(one.Layers, w.layer)
		}
		if len(in) > 0 {
			found = append(found, one)
		}
	}
	return found
}

// Corners sorts a variant's layers by what they cost, in time (estimated) and in error: the layer's share of the noise that all
// layers make alone, or if that was not measured, being under the run's threshold. Layers that are neither slow nor wrong are in none.
func Corners(run *result.Run, v *result.Variant) []Corner {
	if v.Time == nil {
		return nil
	}
	var list []weighed
	engine := map[int]bool{} // computed wrongly
	for _, e := range verdict.EngineErrors(run, v) {
		engine[e.Layer] = true
	}
	for k := range v.Layers {
		if l := &v.Layers[k]; l.Cycles != nil && !engine[k] {
			w := weighed{layer: k, time: *l.Cycles / float64(v.Time.Cycles)}
			w.noise = w.time // of layers whose noise was not measured
			if l.Local != nil {
				w.noise = l.Local.Share
			}
			list = append(list, w)
		}
	}
	for i := range list {
		list[i].wrong = wrong(run, &v.Layers[list[i].layer], Much(len(list)))
	}
	found := corners(list)
	for k := range v.Layers {
		if engine[k] && v.Layers[k].Cycles != nil {
			if n := len(found); n == 0 || found[n-1].Title != computedWrong {
				found = append(found, Corner{Title: computedWrong, Advice: "by the emulator in every precision: replace the operator"})
			}
			found[len(found)-1].Layers = append(found[len(found)-1].Layers, k)
		}
	}
	return found
}

// computedWrong is the corner of the layers that are not wrong by quantization.
const computedWrong = "computed wrongly"

func wrong(run *result.Run, l *result.LayerResult, much float64) bool {
	if l.Local != nil {
		return l.Local.Share > much
	}
	sqnr := l.Summary[metric.SQNR].Mean
	return l.HasMetrics() && run.Spec.LocalSamples == 0 && sqnr.OK && sqnr.V < run.Spec.DivergeUnder
}

// timeAndError draws the short list.
func timeAndError(w io.Writer, run *result.Run, v *result.Variant) {
	if v.Time == nil {
		return
	}
	t := v.Time
	fmt.Fprintf(w, "\ntime on the DSP, estimated: %s (%s to %s), %s cycles, modelled on %s; %.0f %% of it belongs to these layers\n", Time(t.Microseconds), Time(t.LowerMicroseconds), Time(t.UpperMicroseconds), grouped(t.Cycles), t.SoC.Name, 100*t.Joined)
	const most = 3
	for _, c := range Corners(run, v) {
		fmt.Fprintf(w, "%-18s (%s)\n", c.Title, c.Advice)
		for i, k := range c.Layers {
			if i == most {
				fmt.Fprintf(w, "  and %d more\n", len(c.Layers)-most)
				break
			}
			l := &v.Layers[k]
			noise := "SQNR " + number(l.Summary[metric.SQNR].Mean) + " dB"
			if l.Local != nil {
				noise = fmt.Sprintf("%.1f %% of the noise", 100*l.Local.Share)
			}
			fmt.Fprintf(w, "  %d %s (%s): %.1f %% of the time, %s\n", k+1, Short(run.Layers[k].Name, 56), run.Layers[k].Op, 100**l.Cycles/float64(max(t.Cycles, 1)), noise)
		}
	}
}
