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

	"quantcheck/internal/deployed"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
)

// layersShown bounds the tables of an estimate.
const layersShown = 20

// Estimate draws what the compiler expects of one variant: the verdict, where the time goes, and a table by layer, op or prefix.
func Estimate(w io.Writer, e *result.Estimated, by string) {
	fmt.Fprintf(w, "%s\n", EstimateVerdict(e))
	if e.Forecast != nil {
		fmt.Fprintln(w, Printable(ForecastText(e.Forecast)))
	}
	if s := WhereItGoes(e); s != "" {
		fmt.Fprintln(w, s)
	}
	fmt.Fprintf(w, "%-12s %s\n", "DDR", traffic(e.Estimate))
	modelled := e.SoC.Name
	if e.Base != "" {
		modelled += fmt.Sprintf(" (the compiler calls what it simulated %s)", e.Base)
	}
	if e.SoC.Note != "" {
		modelled += "; " + e.SoC.Note
	}
	fmt.Fprintf(w, "%-12s %s\n", "modelled on", Printable(modelled))
	fmt.Fprintf(w, "%-12s %s\n", "model", Printable(e.Path))
	if s := FormText(e); s != "" {
		fmt.Fprintf(w, "%-12s %s\n", "form", Printable(s))
	}
	for i, r := range e.Refused {
		if i == 8 {
			fmt.Fprintf(w, "%-12s and %d more\n", "", len(e.Refused)-i)
			break
		}
		fmt.Fprintf(w, "%-12s %s\n", map[bool]string{true: "refused"}[i == 0], Printable(r))
	}
	if len(e.Refused) > 0 {
		fmt.Fprintf(w, "%-12s the HTP refuses %d operators; the estimate is of the other %.1f %% of the graph, and not of the way between the two\n", "note", len(e.Refused), 100*e.Covered)
	}
	for _, n := range e.Notes {
		fmt.Fprintf(w, "%-12s %s\n", "note", Printable(n))
	}
	fmt.Fprintln(w)
	switch by {
	case "op":
		groups(w, "operators", htpcost.Groups(e.Layers, htpcost.ByOp))
	case "prefix":
		groups(w, "prefix", htpcost.Groups(e.Layers, htpcost.ByPrefix(prefixParts(e.Layers))))
	default:
		estimatedLayers(w, e)
	}
}

// FormText says what goes in and out in the form that was estimated; "" for a DLC, which has its own.
func FormText(e *result.Estimated) string {
	var text string
	switch e.IO {
	case result.NativeIO:
		text = "as deployed: "
	case result.FloatIO:
		text = "float inputs and outputs, converted on the DSP: "
	default:
		return ""
	}
	return text + portsText(e.Ports.Inputs) + " in, " + portsText(e.Ports.Outputs) + " out"
}

// ForecastText says what a board is expected to take.
func ForecastText(f *htpcost.Forecast) string {
	return fmt.Sprintf("Forecast for a board with %s: %s (%s to %s, where nine of ten published times lie; from %d networks).", f.Board, Time(f.Microseconds), Time(f.Lower), Time(f.Upper), f.Networks)
}

// portsShown is how many inputs or outputs are written out.
const portsShown = 3

func portsText(list []deployed.Port) string {
	var texts []string
	for i, p := range list {
		if i == portsShown {
			texts = append(texts, fmt.Sprintf("%d more", len(list)-i))
			break
		}
		dims := make([]string, len(p.Shape))
		for k, d := range p.Shape {
			dims[k] = strconv.FormatInt(d, 10)
		}
		texts = append(texts, fmt.Sprintf("%s %s %s", Short(p.Name, 40), p.Type, strings.Join(dims, "×")))
	}
	return strings.Join(texts, ", ")
}

// EstimateVerdict is the estimate in a sentence.
func EstimateVerdict(e *result.Estimated) string {
	s := fmt.Sprintf("%s: an estimate of %s (%s to %s), %s cycles", e.Variant, Time(e.Microseconds), Time(e.LowerMicroseconds), Time(e.UpperMicroseconds), grouped(e.Cycles))
	switch {
	case e.Covered < mostOfGraph:
		s += fmt.Sprintf("; that is the time of %.1f %% of the model's operators, so it says nothing of the whole model", 100*e.Covered)
	case e.Microseconds > 0:
		s += "; " + RateBound(e.Microseconds)
	}
	return Printable(s)
}

// mostOfGraph is the share of a graph that an estimate has to be of, to say how many inferences a second there are at most.
const mostOfGraph = 0.2

// RateBound says how many inferences a second there are at most if one takes so many microseconds, in a unit that fits.
func RateBound(us int64) string {
	switch {
	case us > 1_000_000:
		return fmt.Sprintf("at most %s inferences a minute", strconv.FormatFloat(60e6/float64(us), 'f', 1, 64))
	case us > 100_000:
		return fmt.Sprintf("at most %.1f inferences a second", 1e6/float64(us))
	}
	return fmt.Sprintf("at most %s inferences a second", grouped(1_000_000/max(us, 1)))
}

// Time writes microseconds so that people read them.
func Time(us int64) string {
	switch {
	case us < 1000:
		return fmt.Sprintf("%d µs", us)
	case us < 10_000:
		return fmt.Sprintf("%.2f ms", float64(us)/1000)
	case us < 1_000_000:
		return fmt.Sprintf("%.1f ms", float64(us)/1000)
	}
	return fmt.Sprintf("%.2f s", float64(us)/1e6)
}

// grouped writes a number with a comma between thousands.
func grouped(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func bytesText(n int64) string {
	switch {
	case n < 1<<10:
		return fmt.Sprintf("%d B", n)
	case n < 1<<20:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
}

func traffic(e *htpcost.Estimate) string {
	s := fmt.Sprintf("%s in (inputs and weights), %s out", bytesText(e.InputFillBytes), bytesText(e.OutputSpillBytes))
	if e.IntermediateFillBytes+e.IntermediateSpillBytes > 0 {
		s += fmt.Sprintf("; %s out and %s in again of what does not fit into the fast memory", bytesText(e.IntermediateSpillBytes), bytesText(e.IntermediateFillBytes))
	}
	return s
}

// numbers are small numbers in words.
var numbers = []string{"no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"}

func counting(n int) string {
	if n < len(numbers) {
		return numbers[n]
	}
	return strconv.Itoa(n)
}

// notable is the share that one kind of operators needs to be named in a sentence.
const notable = 0.2

// WhereItGoes says in a sentence what takes most of the time, and what would help; "" if nothing stands out.
func WhereItGoes(e *result.Estimated) string {
	all := htpcost.Groups(slices.DeleteFunc(slices.Clone(e.Layers), func(l htpcost.Layer) bool { return l.Kind != htpcost.Operator }), htpcost.ByOp)
	if len(all) == 0 || all[0].Share < notable {
		return adviceText(e, "")
	}
	g := all[0]
	var of []int // places of the operators that matter
	place := 0
	for _, l := range e.Layers {
		if l.Kind != htpcost.Operator || l.Added {
			continue
		}
		if htpcost.ByOp(l) == g.Name && l.Cycles > 0.02*g.Cycles {
			of = append(of, place)
		}
		place++
	}
	if len(of) == 0 {
		return adviceText(e, "")
	}
	who := fmt.Sprintf("are %s %s operators", counting(len(of)), Printable(g.Name))
	if len(of) == 1 {
		who = fmt.Sprintf("are one %s operator", Printable(g.Name))
	}
	if of[len(of)-1] < 2*len(of)+2 && place > 4*len(of) { // the first of many
		who += " at the input"
	}
	return adviceText(e, fmt.Sprintf("%.0f %% of %s %s", 100*g.Share, Time(e.Microseconds), who))
}

func adviceText(e *result.Estimated, where string) string {
	if a := e.Advice; a != nil {
		advice := fmt.Sprintf("`quantcheck optimize --pass %s` makes it %s by the same estimate", a.Pass, Time(a.Microseconds))
		if where == "" {
			return advice + "."
		}
		return where + "; " + advice + "."
	}
	if where != "" {
		where += "."
	}
	return where
}

func workHeader(first ...any) table.Row {
	return append(table.Row(first), "cycles", "share", "HMX", "HVX", "DMA", "scalar", "DRAM bytes")
}

func workCells(k htpcost.Work) []any {
	return []any{grouped(int64(math.Round(k.Cycles))), fmt.Sprintf("%.1f %%", 100*k.Share), grouped(k.HMX), grouped(k.HVX), grouped(k.DMA), grouped(k.Scalar), grouped(k.DRAMBytes)}
}

var workColumns = []string{"cycles", "share", "HMX", "HVX", "DMA", "scalar", "DRAM bytes"}

// estimatedLayers is the table by layer, the most expensive first; input, output and idle moments are rows like the others.
func estimatedLayers(w io.Writer, e *result.Estimated) {
	peak, known := e.SoC.Peak()
	header := workHeader("layer", "op")
	if len(e.MACs) > 0 {
		header = append(header, "MACs/cycle")
		if known {
			header = append(header, "of peak")
		}
	}
	t := NewTable(w)
	t.AppendHeader(header)
	t.SetColumnConfigs(right(append(slices.Clone(workColumns), "MACs/cycle", "of peak")...))
	list := slices.Clone(e.Layers)
	slices.SortStableFunc(list, func(a, b htpcost.Layer) int { return cmp.Compare(b.Cycles, a.Cycles) })
	rest, free, left := htpcost.Work{}, 0, 0
	shown := 0
	for _, l := range list {
		switch {
		case l.Cycles == 0 && l.Kind == htpcost.Operator:
			free++
			continue
		case shown >= layersShown && l.Kind == htpcost.Operator:
			left++
			rest.Cycles += l.Cycles
			rest.Share += l.Share
			continue
		}
		shown++
		row := append(table.Row{Short(LayerName(l), 46), Short(l.Op, 20)}, workCells(l.Work)...)
		if n, ok := e.MACs[l.Name]; ok && len(e.MACs) > 0 && l.Cycles > 0 {
			rate := float64(n) / l.Cycles
			row = append(row, grouped(int64(math.Round(rate))))
			if known {
				row = append(row, fmt.Sprintf("%.1f %%", 100*rate/float64(peak)))
			}
		}
		t.AppendRow(row)
	}
	t.Render()
	if left > 0 {
		fmt.Fprintf(w, "%d more operators take %.1f %% together; ", left, 100*rest.Share)
	}
	fmt.Fprintf(w, "%d operators cost nothing of their own, being done within others'.\n", free)
}

// LayerName is what a row of an estimate is called.
func LayerName(l htpcost.Layer) string {
	switch {
	case l.Kind != htpcost.Operator:
		return "(" + string(l.Kind) + ")"
	case l.Name == "":
		return fmt.Sprintf("operator %d", l.Node)
	}
	return l.Name
}

// prefixParts is how many parts of the names tell the groups apart: the first that gives more than two.
func prefixParts(layers []htpcost.Layer) int {
	for parts := 1; parts < 4; parts++ {
		found := map[string]bool{}
		for _, l := range layers {
			if l.Kind == htpcost.Operator {
				found[htpcost.ByPrefix(parts)(l)] = true
			}
		}
		if len(found) > 3 {
			return parts
		}
	}
	return 3
}

func groups(w io.Writer, title string, list []htpcost.Group) {
	t := NewTable(w)
	t.AppendHeader(workHeader(title, "layers"))
	t.SetColumnConfigs(right(append([]string{"layers"}, workColumns...)...))
	for i, g := range list {
		if i == 2*layersShown {
			t.Render()
			fmt.Fprintf(w, "and %d more\n", len(list)-i)
			return
		}
		name := g.Name
		if name == "" {
			name = "(no prefix)"
		}
		t.AppendRow(append(table.Row{Short(name, 46), g.Layers}, workCells(g.Work)...))
	}
	t.Render()
}

// Estimates puts several variants side by side; the first is what the others are held against.
func Estimates(w io.Writer, list []*result.Estimated) {
	t := NewTable(w)
	t.AppendHeader(table.Row{"variant", "estimate", "lower", "upper", "cycles", "ratio", "DDR in", "DDR out"})
	t.SetColumnConfigs(right("estimate", "lower", "upper", "cycles", "ratio", "DDR in", "DDR out"))
	for _, e := range list {
		t.AppendRow(table.Row{
			Short(e.Variant, 40), Time(e.Microseconds), Time(e.LowerMicroseconds), Time(e.UpperMicroseconds), grouped(e.Cycles),
			ratio(e.Cycles, list[0].Cycles), bytesText(e.InputFillBytes), bytesText(e.OutputSpillBytes),
		})
	}
	t.Render()
	for _, e := range list[1:] {
		fmt.Fprintln(w)
		EstimateDiff(w, list[0], e, 5)
	}
}

func ratio(a, b int64) string {
	if b == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", float64(a)/float64(b))
}

// EstimateDiff shows which layers two estimates differ in, at most so many.
func EstimateDiff(w io.Writer, before, after *result.Estimated, most int) {
	list := htpcost.Differences(before.Estimate, after.Estimate)
	fmt.Fprintf(w, "%s against %s: %s and %s, %s times; layers of the same name, in cycles:\n", Short(after.Variant, 40), Short(before.Variant, 40),
		Time(after.Microseconds), Time(before.Microseconds), ratio(after.Cycles, before.Cycles))
	t := NewTable(w)
	t.AppendHeader(table.Row{"layer", "op", "before", "after", "change"})
	t.SetColumnConfigs(right("before", "after", "change"))
	cell := func(c *float64) string {
		if c == nil {
			return "–"
		}
		return grouped(int64(math.Round(*c)))
	}
	shown, rest := 0, 0.0
	for _, d := range list {
		change := int64(math.Round(d.Change()))
		if change == 0 {
			continue
		}
		if shown >= most {
			rest += d.Change()
			continue
		}
		shown++
		sign := ""
		if change > 0 {
			sign = "+"
		}
		t.AppendRow(table.Row{Short(d.Name, 50), Short(d.Op, 20), cell(d.Before), cell(d.After), sign + grouped(change)})
	}
	if shown == 0 {
		fmt.Fprintln(w, "no layer differs.")
		return
	}
	t.Render()
	if r := int64(math.Round(rest)); r != 0 {
		fmt.Fprintf(w, "all others together: %s\n", strings.TrimSpace(grouped(r)))
	}
}

// PassGain says what a pass brings, behind what it did; "" if that was not estimated.
func PassGain(before, after *int64) string {
	switch {
	case after == nil:
		return ""
	case before == nil:
		return fmt.Sprintf(", %s cycles", grouped(*after))
	case *before == *after:
		return fmt.Sprintf(", %s cycles as before", grouped(*after))
	}
	return fmt.Sprintf(", %s cycles, now %s (%s)", grouped(*before), grouped(*after), faster(*before, *after))
}

func faster(before, after int64) string {
	switch {
	case before == after:
		return "no change"
	case after > 0 && before >= 2*after:
		return fmt.Sprintf("%.1f times faster", float64(before)/float64(after))
	case before > 0:
		return fmt.Sprintf("%+.1f %%", 100*(float64(after)/float64(before)-1))
	}
	return "no time before"
}

// EstimateGain holds the estimates before and after a rewrite against each other.
func EstimateGain(before, after *result.Estimated) string {
	if was, is := len(before.Refused), len(after.Refused); was != is { // two parts of two graphs have nothing to compare
		return Printable(fmt.Sprintf("%s by the estimate: operators that the HTP refuses: %d, now %d; %s, %s cycles", before.Variant, was, is, Time(after.Microseconds), grouped(after.Cycles)))
	}
	return Printable(fmt.Sprintf("%s by the estimate: %s, now %s; %s cycles, now %s (%s)", before.Variant, Time(before.Microseconds), Time(after.Microseconds),
		grouped(before.Cycles), grouped(after.Cycles), faster(before.Cycles, after.Cycles)))
}
