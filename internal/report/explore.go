package report

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

// Explored draws an exploration for people: the story first, then the front, where the loss comes from, and the layers.
func Explored(w io.Writer, x *result.Explored) {
	for _, s := range x.Story {
		fmt.Fprintln(w, Printable(s))
	}
	for _, s := range x.Limits {
		fmt.Fprintf(w, "limit        %s\n", Printable(s))
	}
	fmt.Fprintln(w)
	exploredFront(w, x)
	if len(x.Origins) > 1 {
		fmt.Fprintln(w)
		exploredOrigins(w, x)
	}
	if len(x.Layers) > 0 {
		fmt.Fprintln(w)
		exploredLayers(w, x)
	}
	fmt.Fprintln(w)
	line := func(key, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", key, Printable(fmt.Sprintf(format, args...)))
	}
	line("model", "%s (opset %d), %s", x.Model.Path, x.Model.Opset, x.Spec.Input.String())
	line("data", "%s: %s; %d of them for the search, %d held out; %d samples calibrated", x.Spec.Data, x.Data, x.Pictures.Searched, x.Pictures.HeldOut, x.Pictures.Calibrating)
	line("read as", "%s", x.Reading)
	resumed := ""
	if x.Resumed > 0 {
		resumed = fmt.Sprintf(", %d of them known from before", x.Resumed)
	}
	if x.Spec.MemoryMiB > 0 {
		line("memory", "%s", MemoryBound(x.Spec.MemoryMiB, x.Spec.MemoryOf))
	}
	line("time", "%.0f s; %d candidates scored%s", x.Seconds, x.Tries, resumed)
	if x.Budget {
		line("note", "the budget of %.0f s was spent: this is the best so far; the same command goes on from here", x.Spec.Seconds)
	}
	for _, n := range x.Warnings {
		line("note", "%s", n)
	}
	some(w, "no encoding", x.Unencoded)
	some(w, "converts", x.Converts)
	for i, f := range x.Files {
		line([]string{"results", ""}[min(i, 1)], "%s", f)
	}
	for i, c := range x.Commands {
		line([]string{"use it", ""}[min(i, 1)], "%s", c)
	}
}

// some lists the first few of many.
func some(w io.Writer, key string, list []string) {
	const most = 5
	for i, s := range list {
		if i == most {
			fmt.Fprintf(w, "%-12s and %d more\n", "", len(list)-most)
			return
		}
		fmt.Fprintf(w, "%-12s %s\n", []string{key, ""}[min(i, 1)], Printable(s))
	}
}

func sharePercent(v metric.Value) string {
	if !v.OK {
		return "–"
	}
	return fmt.Sprintf("%.1f %%", 100*v.V)
}

// exploredFront is the table of points, by price.
func exploredFront(w io.Writer, x *result.Explored) {
	t := NewTable(w)
	price := "estimated cycles"
	if x.PriceUnit != result.CyclesUnit {
		price = string(x.PriceUnit)
	}
	t.AppendHeader(table.Row{"", "point", x.Column.Key, "of float", "held out", "±", "at 8 bits", price, "converts"})
	t.SetColumnConfigs(right(x.Column.Key, "of float", "held out", "±", "at 8 bits", price, "converts"))
	t.AppendRow(table.Row{"", "float", score(x.Float.All), "", score(x.Float.HeldOut), "", "", "", ""})
	for i := range x.Points {
		p := &x.Points[i]
		mark := ""
		switch {
		case i == x.Best:
			mark = "→"
		case !p.OnFront:
			mark = "·"
		}
		cost, converts := "–", "–"
		if p.Price.OK {
			cost = grouped(int64(p.Price.V))
		}
		if p.Cycles != nil {
			converts = strconv.Itoa(p.Cycles.Converts)
		}
		t.AppendRow(table.Row{mark, Short(p.Title, 44), score(p.Scored.All), sharePercent(p.Scored.Share), sharePercent(p.Scored.HeldShare), sharePercent(p.Scored.Spread),
			fmt.Sprintf("%.1f %%", 100*(1-float64(p.Wide)/float64(max(p.Tensors, 1)))), cost, converts})
	}
	t.Render()
	engine := "simulated on the CPU"
	if x.Spec.Engine == variant.HTP {
		engine = "computed by the DSP's emulator"
	}
	fmt.Fprintf(w, "→ recommended; · not on the front. Scores are %s; \"held out\" is of float's score on pictures that took no part in the search.\n", engine)
}

// exploredOrigins is the table of other recipes, halves and rewritings.
func exploredOrigins(w io.Writer, x *result.Explored) {
	t := NewTable(w)
	priced := slices.ContainsFunc(x.Origins, func(o result.Origin) bool { return o.Price.OK })
	head := table.Row{"where it comes from", "", x.Column.Key, "of float"}
	if priced {
		head = append(head, "estimated cycles")
	}
	t.AppendHeader(head)
	t.SetColumnConfigs(right(x.Column.Key, "of float", "estimated cycles"))
	for _, o := range x.Origins {
		row := table.Row{o.Kind, o.Name, score(o.Score), sharePercent(o.Share)}
		if o.Price.OK {
			row = append(row, grouped(int64(o.Price.V)))
		}
		t.AppendRow(row)
	}
	t.Render()
	fmt.Fprintln(w, "These are simulated, on the pictures of the search.")
	for _, o := range x.Origins {
		if o.Note != "" {
			fmt.Fprintf(w, "%s: %s\n", Printable(o.Name), Printable(o.Note))
		}
	}
}

// exploredLayers is the table of the quantizers that do the most harm, and of all that the recommended point changes, the most harmful
// first.
func exploredLayers(w io.Writer, x *result.Explored) {
	changed := map[string]string{}
	if x.Best >= 0 {
		for _, c := range x.Points[x.Best].Changed {
			changed[c.Tensor] = choiceText(c.Choice)
		}
	}
	list := slices.Clone(x.Layers)
	slices.SortStableFunc(list, func(a, b result.Sensitivity) int { return cmp.Compare(harm(a), harm(b)) })
	t := NewTable(w)
	t.AppendHeader(table.Row{"what hurts most", "op", "to", "outputs dB", "weights dB", "alone dB", "accumulated dB", "emulator apart dB", "cycles"})
	t.SetColumnConfigs(right("outputs dB", "weights dB", "alone dB", "accumulated dB", "emulator apart dB", "cycles"))
	const first, most = 8, 30
	drawn, left := 0, 0
	for i, l := range list {
		to, is := changed[l.Tensor]
		if i >= first && !is {
			continue
		}
		if drawn == most {
			left++
			continue
		}
		drawn++
		cycles := "–"
		if l.Cycles.OK {
			cycles = grouped(int64(l.Cycles.V))
		}
		t.AppendRow(table.Row{Short(l.Tensor, 50), l.Op, to, number(l.SQNR), number(l.Weights), number(l.Local), number(l.Accumulated), number(l.Apart), cycles})
	}
	if left > 0 {
		t.AppendRow(table.Row{fmt.Sprintf("and %d more that change", left)})
	}
	t.Render()
	fmt.Fprintln(w, "\"outputs\" is what the outputs keep when only this quantizer is on, \"weights\" when only the constants in front of it are quantized.")
}

// harm orders quantizers: less is worse.
func harm(l result.Sensitivity) float64 {
	if !l.SQNR.OK {
		return math.Inf(1)
	}
	return l.SQNR.V
}

func choiceText(c variant.Choice) string {
	var list []string
	if c.Float {
		list = append(list, "fp16")
	}
	if c.Bits > 0 {
		list = append(list, fmt.Sprintf("%d bits", c.Bits))
	}
	if c.Calibrator != "" {
		text := string(c.Calibrator)
		if c.Percentile > 0 {
			text += fmt.Sprintf(":%g", c.Percentile)
		}
		list = append(list, text)
	}
	return strings.Join(list, ", ")
}
