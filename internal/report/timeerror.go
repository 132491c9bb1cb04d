package report

import (
	"fmt"
	"io"
	"slices"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
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

// Corners sorts a variant's layers by what they cost, in time (estimated) and in error: the layer's share of the noise that all
// layers make alone, or if that was not measured, being under the run's threshold. Layers that are neither slow nor wrong are in none.
func Corners(run *result.Run, v *result.Variant) []Corner {
	if v.Time == nil {
		return nil
	}
	corners := []Corner{
		{Title: "slow and wrong", Advice: "rewrite it, or keep it out of the model"},
		{Title: "slow and harmless", Advice: "here time can be won"},
		{Title: "cheap and wrong", Advice: "give it more bits"},
	}
	known := 0
	for _, l := range v.Layers {
		if l.Cycles != nil {
			known++
		}
	}
	much := max(muchShare, muchTimes/float64(max(known, 1)))
	much = min(much, 0.25) // of few layers each has a large share
	for k := range v.Layers {
		l := &v.Layers[k]
		if l.Cycles == nil {
			continue
		}
		slow, bad := *l.Cycles > much*float64(v.Time.Cycles), wrong(run, l, much)
		switch {
		case slow && bad:
			corners[0].Layers = append(corners[0].Layers, k)
		case slow:
			corners[1].Layers = append(corners[1].Layers, k)
		case bad:
			corners[2].Layers = append(corners[2].Layers, k)
		}
	}
	for i, c := range corners {
		slices.SortStableFunc(c.Layers, func(a, b int) int {
			x, y := *v.Layers[b].Cycles, *v.Layers[a].Cycles
			if i == 2 && v.Layers[a].Local != nil && v.Layers[b].Local != nil {
				x, y = v.Layers[b].Local.Share, v.Layers[a].Local.Share
			}
			switch {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		})
	}
	return slices.DeleteFunc(corners, func(c Corner) bool { return len(c.Layers) == 0 })
}

func wrong(run *result.Run, l *result.LayerResult, much float64) bool {
	if l.Local != nil {
		return l.Local.Share > much
	}
	sqnr := l.Summary[metric.SQNR].Mean
	return l.Has() && run.Spec.LocalSamples == 0 && sqnr.OK && sqnr.V < run.Spec.DivergeUnder
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
