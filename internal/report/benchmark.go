package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"quantcheck/internal/align"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/sheet"
)

// DeviceRow is an operator of a DLC on the device: what it takes, what was expected, and how wrong the layer is that it makes.
type DeviceRow struct {
	Cycles    result.LayerCycle   `json:"cycles"`
	Layer     *result.DeviceLayer `json:"layer,omitempty"` // nil: it makes no layer of the float model, or none was compared
	Estimated *float64            `json:"estimated,omitempty"`
}

// Op is the layer's operator, "" without a layer.
func (r DeviceRow) Op() string {
	if r.Layer == nil {
		return ""
	}
	return r.Layer.Op
}

// DeviceRows joins the cycles of a benchmark with its layers, by the names of the DLC's nodes. Of several layers that one node makes
// the first stands for it. The estimate is of cycles: a profile in another unit has none beside it.
func DeviceRows(b *result.Benchmark) []DeviceRow {
	if b.Cycles == nil {
		return nil
	}
	layers, clean := map[string]*result.DeviceLayer{}, map[string]*result.DeviceLayer{}
	if b.Layers != nil {
		for i := range b.Layers.Rows {
			l := &b.Layers.Rows[i]
			for _, name := range []string{l.Node, l.Tensor} {
				if name == "" {
					continue
				}
				if layers[name] == nil {
					layers[name] = l
				}
				if key := align.Clean(name); clean[key] == nil {
					clean[key] = l
				}
			}
		}
	}
	var rows []DeviceRow
	for _, c := range b.Cycles.Layers {
		r := DeviceRow{Cycles: c, Layer: cmp.Or(layers[c.Name], clean[align.Clean(c.Name)])}
		if inCycles(c.Unit) {
			r.Estimated = expected(b.Cycles.Estimated, r)
		}
		rows = append(rows, r)
	}
	return rows
}

// expected is what the estimate has of a row, nil if it has nothing.
func expected(estimated map[string]float64, r DeviceRow) *float64 {
	names := []string{r.Cycles.Name}
	if r.Layer != nil {
		names = append(names, r.Layer.Node)
	}
	for _, name := range names {
		if e, ok := estimated[name]; ok {
			return &e
		}
	}
	return nil
}

// Against is how many times the estimate the device took, over rows that have both; ok is false without any.
func Against(rows []DeviceRow) (times float64, ok bool) {
	measured, estimated := 0.0, 0.0
	for _, r := range rows {
		if r.Estimated != nil {
			measured, estimated = measured+r.Cycles.Mean, estimated+*r.Estimated
		}
	}
	return measured / estimated, estimated > 0
}

// OperatorTime is what one type of operator takes on the device and in the estimate.
type OperatorTime struct {
	Op        string  `json:"op"`
	Layers    int     `json:"layers"`
	Measured  float64 `json:"measured"`  // cycles
	Estimated float64 `json:"estimated"` // cycles, of those that have an estimate
	Times     float64 `json:"times"`     // measured by estimated, of these; 0: none has an estimate
}

// OperatorTimes sums rows up by operator, the slowest first.
func OperatorTimes(rows []DeviceRow) []OperatorTime {
	groups := map[string][]DeviceRow{}
	for _, r := range rows {
		groups[r.Op()] = append(groups[r.Op()], r)
	}
	var list []OperatorTime
	for op, group := range groups {
		t := OperatorTime{Op: op, Layers: len(group)}
		for _, r := range group {
			t.Measured += r.Cycles.Mean
			if r.Estimated != nil {
				t.Estimated += *r.Estimated
			}
		}
		if times, ok := Against(group); ok {
			t.Times = times
		}
		list = append(list, t)
	}
	slices.SortFunc(list, func(a, b OperatorTime) int {
		return cmp.Or(cmp.Compare(b.Measured, a.Measured), cmp.Compare(a.Op, b.Op))
	})
	return list
}

// DeviceCorners sorts rows by what they cost, measured, and by how wrong their layers are; the numbers are those of rows. What
// makes no layer of the model, or none that was compared, is slow at most.
func DeviceCorners(b *result.Benchmark, rows []DeviceRow) []Corner {
	if b.Layers == nil {
		return nil
	}
	var list []weighed
	for i, r := range rows {
		bad := r.Layer != nil && (r.Layer.Share.OK && r.Layer.Share.V > Much(len(rows)) || !r.Layer.Share.OK && r.Layer.SQNR.OK && r.Layer.SQNR.V < b.Layers.Under)
		unknown := r.Layer == nil || !r.Layer.Share.OK && !r.Layer.SQNR.OK
		list = append(list, weighed{layer: i, time: r.Cycles.Share, wrong: bad, unknown: unknown, noise: badness(r)})
	}
	return corners(list)
}

func badness(r DeviceRow) float64 {
	switch {
	case r.Layer == nil:
		return math.Inf(-1)
	case r.Layer.Share.OK:
		return r.Layer.Share.V
	}
	return -r.Layer.SQNR.V
}

// nameShown bounds a name in a sentence.
const nameShown = 120

// Parting says where the device and what it is held against part: the first thing to know of a device.
func Parting(b *result.Benchmark) string {
	l := b.Layers
	switch {
	case l == nil:
		return ""
	case l.Against == "":
		return "The device was not held against the emulator; with it (quantcheck doctor --install htp) the first layer is named where the two part."
	case l.Parts == "":
		return fmt.Sprintf("Device and %s agree: no value of any of the %d layers is more than one step of its encoding apart, on %d images.", l.Against, len(l.Rows), l.Images)
	}
	k := slices.IndexFunc(l.Rows, func(r result.DeviceLayer) bool { return r.Name == l.Parts })
	if k < 0 {
		return fmt.Sprintf("DEVICE AND %s PART at %s.", strings.ToUpper(l.Against), Short(l.Parts, nameShown))
	}
	r, last := l.Rows[k], l.Rows[len(l.Rows)-1]
	text := fmt.Sprintf("DEVICE AND %s PART at %s (%s, number %d of %d): %s of its values are more than one step of the encoding apart, the two are %s dB apart there",
		strings.ToUpper(l.Against), Short(r.Name, nameShown), r.Op, k+1, len(l.Rows), percent(r.Apart), number(r.TwinSQNR))
	if k < len(l.Rows)-1 {
		text += fmt.Sprintf(" and %s dB at the last layer", number(last.TwinSQNR))
	}
	return text + "."
}

// Benchmark draws what a device did: where it leaves the emulator first, then accuracy, speed, and what both have to do with each
// other. run is the comparison, nil if it was made earlier.
func Benchmark(w io.Writer, b *result.Benchmark, run *result.Run) {
	if p := Parting(b); p != "" {
		fmt.Fprintf(w, "%s\n", p)
	}
	if run != nil {
		Terminal(w, run)
	} else if b.Layers != nil {
		measuredEarlier(w, b)
	}
	fmt.Fprintf(w, "\n%s on %s", Printable(b.Name), Printable(b.Device))
	if b.SNPE != "" {
		fmt.Fprintf(w, ", SNPE %s", Printable(b.SNPE))
	}
	fmt.Fprintln(w)
	if t := b.Throughput; t != nil {
		fmt.Fprintf(w, "throughput   %s\n", ThroughputText(t))
	}
	deviceTime(w, b)
	conditions(w, b)
	for _, s := range result.Steps {
		if d := b.Steps[s]; d != nil {
			fmt.Fprintf(w, "step         %-10s %s, %.1f s, of which the device's tools took %.1f s\n", s, d.Finished.Format("2006-01-02 15:04"), d.Seconds, d.ToolSeconds)
			for _, n := range d.Notes {
				fmt.Fprintf(w, "note         %s\n", Printable(n))
			}
		}
	}
}

// measuredEarlier tells of a comparison that is done, in short.
func measuredEarlier(w io.Writer, b *result.Benchmark) {
	least := -1
	for i, r := range b.Layers.Rows {
		if r.SQNR.OK && (least < 0 || r.SQNR.V < b.Layers.Rows[least].SQNR.V) {
			least = i
		}
	}
	if least >= 0 {
		r := b.Layers.Rows[least]
		fmt.Fprintf(w, "Layers were compared before, on %d images; the worst is %s (%s) with %s dB against float.\n", b.Layers.Images, Printable(r.Name), r.Op, number(r.SQNR))
	}
}

const slowestShown = 10

func deviceTime(w io.Writer, b *result.Benchmark) {
	rows := DeviceRows(b)
	if len(rows) == 0 {
		return
	}
	if split := SplitText(b.Cycles); split != "" {
		fmt.Fprintf(w, "time         %s\n", split)
	}
	fmt.Fprintf(w, "cycles       %s\n\n", CyclesText(b.Cycles, rows))
	order := make([]int, len(rows))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(rows[y].Cycles.Mean, rows[x].Cycles.Mean) })
	t := NewTable(w)
	t.AppendHeader(table.Row{"slowest layers", "op", "cycles", "±", "share", "estimated", "measured / estimated", "SQNR dB", "noise"})
	t.SetColumnConfigs(right("cycles", "±", "share", "estimated", "measured / estimated", "SQNR dB", "noise"))
	for _, i := range order[:min(len(order), slowestShown)] {
		t.AppendRow(deviceCells(rows[i]))
	}
	t.Render()
	for _, c := range DeviceCorners(b, rows) {
		fmt.Fprintf(w, "%-18s (%s)\n", c.Title, c.Advice)
		const most = 3
		for n, i := range c.Layers {
			if n == most {
				fmt.Fprintf(w, "  and %d more\n", len(c.Layers)-most)
				break
			}
			r := rows[i]
			text := fmt.Sprintf("  %s: %.1f %% of the time", Short(r.Cycles.Name, 60), 100*r.Cycles.Share)
			if r.Layer != nil {
				text += fmt.Sprintf(", SQNR %s dB", number(r.Layer.SQNR))
				if r.Layer.Share.OK {
					text += fmt.Sprintf(", %.1f %% of the noise", 100*r.Layer.Share.V)
				}
			}
			fmt.Fprintln(w, text)
		}
	}
	operatorTable(w, rows)
}

func deviceCells(r DeviceRow) table.Row {
	std, estimated, times, sqnr, share := "–", "–", "–", "–", "–"
	if r.Cycles.Std.OK {
		std = grouped(int64(math.Round(r.Cycles.Std.V)))
	}
	if r.Estimated != nil {
		estimated = grouped(int64(math.Round(*r.Estimated)))
		if *r.Estimated > 0 {
			times = number(metric.Defined(r.Cycles.Mean / *r.Estimated))
		}
	}
	if r.Layer != nil {
		sqnr = number(r.Layer.SQNR)
		if r.Layer.Share.OK {
			share = fmt.Sprintf("%.1f %%", 100*r.Layer.Share.V)
		}
	}
	return table.Row{Short(r.Cycles.Name, 52), r.Op(), grouped(int64(math.Round(r.Cycles.Mean))), std, fmt.Sprintf("%.1f %%", 100*r.Cycles.Share), estimated, times, sqnr, share}
}

// operatorTable says, per type of operator, how far measurement and estimate are apart.
func operatorTable(w io.Writer, rows []DeviceRow) {
	if _, ok := Against(rows); !ok {
		return
	}
	fmt.Fprintln(w)
	t := NewTable(w)
	t.AppendHeader(table.Row{"operator", "layers", "cycles", "estimated", "measured / estimated"})
	t.SetColumnConfigs(right("layers", "cycles", "estimated", "measured / estimated"))
	for _, o := range OperatorTimes(rows) {
		name, times := o.Op, "–"
		if name == "" {
			name = "(no layer of the model)"
		}
		if o.Times > 0 {
			times = number(metric.Defined(o.Times))
		}
		t.AppendRow(table.Row{name, o.Layers, grouped(int64(math.Round(o.Measured))), grouped(int64(math.Round(o.Estimated))), times})
	}
	t.Render()
}

// conditions says in what state the device was.
func conditions(w io.Writer, b *result.Benchmark) {
	var parts []string
	for _, q := range Quantities {
		least, greatest, n := math.Inf(1), math.Inf(-1), 0
		for _, one := range b.Conditions {
			if v := q.Of(one); v != nil {
				least, greatest, n = min(least, *v), max(greatest, *v), n+1
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %s to %s %s", q.Name, number(metric.Defined(q.Factor*least)), number(metric.Defined(q.Factor*greatest)), q.Unit))
		}
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "conditions   %s\n", strings.Join(parts, ", "))
	}
}

// Speeds writes results/speeds/<name>.csv: every operator's cycles, measured and estimated, beside its layer's error.
func Speeds(b *result.Benchmark) []byte {
	var buffer bytes.Buffer
	w := sheet.NewWriter(&buffer)
	_ = w.Write([]string{"layer_id", "layer_name", "onnx_layer", "op", "time_mean", "time_std", "unit", "share", "estimated_cycles", "SQNR", "CosSim", "noise_share", "apart_from_emulator"}) // a buffer takes everything
	exact := func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }
	value := func(v metric.Value) string {
		if !v.OK {
			return ""
		}
		return exact(v.V)
	}
	for _, r := range DeviceRows(b) {
		row := []string{strconv.Itoa(r.Cycles.ID), r.Cycles.Name, "", r.Op(), exact(r.Cycles.Mean), value(r.Cycles.Std), r.Cycles.Unit, exact(r.Cycles.Share), "", "", "", "", ""}
		if r.Estimated != nil {
			row[8] = exact(*r.Estimated)
		}
		if l := r.Layer; l != nil {
			row[2], row[9], row[10], row[11], row[12] = l.Name, value(l.SQNR), value(l.CosSim), value(l.Share), value(l.Apart)
		}
		_ = w.Write(row)
	}
	_ = w.Flush()
	return buffer.Bytes()
}
