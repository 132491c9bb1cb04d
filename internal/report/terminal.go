package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/terminal"
	"quantcheck/internal/variant"
	"quantcheck/internal/verdict"
)

const worstShown = 10

// Terminal draws a run for people: what came out, where it is worst, what was used.
func Terminal(w io.Writer, run *result.Run) {
	if len(run.Variants) > 1 {
		compareVariants(w, run)
	}
	for i := range run.Variants {
		v := &run.Variants[i]
		fmt.Fprintf(w, "\n%s\n", Verdict(run, v))
		if s := Sources(run, v); s != "" {
			fmt.Fprintln(w, s)
		}
		for _, c := range Causes(run, v) {
			fmt.Fprintln(w, c)
		}
		for _, n := range slices.Concat(Healed(v), Container(run, v), Emulation(run, v), InputNotes(run, v)) {
			fmt.Fprintln(w, n)
		}
		fmt.Fprintln(w)
		worstLayers(w, run, v)
		timeAndError(w, run, v)
		fmt.Fprintf(w, "\n%d layers: %d compared, %d fused, %d not quantized, %d not comparable.\n", len(v.Layers),
			v.Counts[result.Compared], v.Counts[result.Fused], v.Counts[result.NotQuantized], v.Counts[result.NotComparable])
		for _, f := range v.Failed {
			fmt.Fprintf(w, "FAILED %s\n", Printable(f))
		}
	}
	fmt.Fprintln(w)
	used(w, run)
}

// NewTable is the table that all commands draw.
func NewTable(w io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(w)
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options.DrawBorder = false
	style.Options.SeparateColumns = false
	t.SetStyle(style)
	return t
}

func right(names ...string) []table.ColumnConfig {
	var list []table.ColumnConfig
	for _, n := range names {
		list = append(list, table.ColumnConfig{Name: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	return list
}

func compareVariants(w io.Writer, run *result.Run) {
	t := NewTable(w)
	const estimated = "time, estimated"
	t.AppendHeader(table.Row{"variant", "verdict", "kept", "worst output", "SQNR dB", "cosine", "first layer under " + strconv.FormatFloat(run.Spec.DivergeUnder, 'g', -1, 64) + " dB", estimated})
	none := !slices.ContainsFunc(run.Variants, func(v result.Variant) bool { return v.Time != nil })
	t.SetColumnConfigs(append(right("kept", "SQNR dB", "cosine"), table.ColumnConfig{Name: estimated, Align: text.AlignRight, AlignHeader: text.AlignRight, Hidden: none}))
	for i := range run.Variants {
		v := &run.Variants[i]
		d := verdict.Of(run, v)
		row := table.Row{v.Spec.Name, string(d.Grade), kept(d), "none", "", "", "none", "–"}
		if v.Time != nil {
			row[7] = Time(v.Time.Microseconds)
		}
		if k := worstOutput(run, v); k >= 0 {
			row[3], row[4], row[5] = Short(run.Layers[k].Name, 30), number(v.Layers[k].Summary[metric.SQNR].Mean), number(v.Layers[k].Summary[metric.CosSim].Mean)
		}
		if v.Diverges >= 0 {
			row[6] = fmt.Sprintf("%d %s", v.Diverges+1, Short(run.Layers[v.Diverges].Name, 50))
		}
		t.AppendRow(row)
	}
	t.Render()
}

// kept is the smallest share of decisions that are float's.
func kept(d *result.Verdict) string {
	least := metric.Value{}
	for i := range d.Decisions {
		if s := d.Decisions[i].Share(); s.OK && (!least.OK || s.V < least.V) {
			least = s
		}
	}
	if !least.OK {
		return "–"
	}
	return verdict.Percent(least.V)
}

func worstLayers(w io.Writer, run *result.Run, v *result.Variant) {
	worst := Worst(v, worstShown)
	if len(worst) == 0 {
		return
	}
	t := NewTable(w)
	apart := "emu↔sim dB"
	if v.Spec.Kind == variant.Device {
		apart = "device↔emu dB"
	}
	t.AppendHeader(table.Row{"", "worst layers", "op", "SQNR dB", "alone dB", "share", "cosine", "max steps", apart, "worst sample"})
	t.SetColumnConfigs(append(right("", "SQNR dB", "alone dB", "share", "cosine", "max steps"),
		table.ColumnConfig{Name: apart, Align: text.AlignRight, AlignHeader: text.AlignRight, Hidden: v.Counterpart < 0}))
	for _, k := range worst {
		l := &v.Layers[k]
		sample, alone, share, twin := "", "–", "–", "–"
		if l.EmulationError != nil {
			twin = number(l.EmulationError.Summary[metric.SQNR].Mean)
		}
		if l.Local != nil {
			alone, share = number(l.Local.Full.Summary[metric.SQNR].Mean), fmt.Sprintf("%.1f %%", 100*l.Local.Share)
		}
		if s := l.Summary[metric.SQNR].Worst; s >= 0 && s < len(run.Samples) {
			sample = Short(run.Samples[s].Name, 24)
		}
		t.AppendRow(table.Row{
			k + 1, Short(run.Layers[k].Name, 56), run.Layers[k].Op, number(l.Summary[metric.SQNR].Mean), alone, share,
			number(l.Summary[metric.CosSim].Mean), number(l.Summary[metric.MaxSteps].Max), twin, sample,
		})
	}
	t.Render()
}

func used(w io.Writer, run *result.Run) {
	line := func(key, format string, args ...any) { fmt.Fprintf(w, "%-12s %s\n", key, fmt.Sprintf(format, args...)) }
	line("model", "%s (opset %d)", Printable(run.Model.Path), run.Model.Opset)
	if run.Model.Layout != "" {
		line("input", "%s, %s", run.Spec.Input, run.Model.Layout)
	}
	calibration := "none needed"
	if n := len(run.Calibration); n > 0 {
		from := run.Spec.Calib
		if from == "" {
			from = "the same as compared"
		}
		calibration = fmt.Sprintf("%d (%s)", n, Printable(from))
	}
	line("samples", "%d compared (%s), calibration: %s", len(run.Samples), Printable(run.Spec.Images), calibration)
	line("engine", "ONNX Runtime %s, graph optimisation off, %d threads (another number moves the last digits); %s (%s)", run.ONNXRuntime, run.Spec.Threads, run.Machine.CPU, strings.Join(run.Machine.Features, " "))
	line("memory", "%s", MemoryBound(run.Spec.MemoryMiB, run.Spec.MemoryOf))
	line("time", "%.1f s", run.Seconds)
	for _, warning := range run.Warnings {
		line("note", "%s", Printable(warning))
	}
}

// Describe says what a recipe does, for tables and pages.
func Describe(s variant.Spec) string {
	if s.Engine == variant.HTP {
		s.Engine = variant.CPU
		return Describe(s) + ", on the HTP emulator"
	}
	switch s.Kind {
	case variant.Half:
		return "half precision"
	case variant.File:
		return "ready model " + s.File
	case variant.Encodings:
		return "the encodings of " + s.File
	case variant.DLC:
		return "the DLC " + s.File + " as it is"
	case variant.Dumps:
		return fmt.Sprintf("run elsewhere: %s, made by %s", s.Dir, s.File)
	case variant.Device:
		return fmt.Sprintf("the DLC %s on the device %s", s.File, s.Target)
	}
	granularity := "per channel"
	if !s.PerChannel {
		granularity = "per tensor"
	}
	text := fmt.Sprintf("weights %d bit %s, activations %d bit, calibrator %s, bias %d bit", s.WeightBits, granularity, s.ActBits, s.Calibrator, s.BiasBits)
	if s.SmallBits8 > 0 && s.WeightBits < 8 {
		text += fmt.Sprintf(", weights of up to %d values 8 bit", s.SmallBits8)
	}
	if s.Heal {
		text += ", healed"
	}
	return text
}

// number writes a value in four significant digits; an undefined one is "–".
func number(v metric.Value) string {
	switch {
	case !v.OK:
		return "–"
	case math.IsInf(v.V, 0):
		return v.String()
	case v.V != 0 && math.Abs(v.V) < 1e-4 || math.Abs(v.V) >= 1e6:
		return strconv.FormatFloat(v.V, 'e', 2, 64)
	}
	return strconv.FormatFloat(v.V, 'f', max(0, 4-len(strconv.Itoa(int(math.Abs(v.V))))+boolToInt(math.Abs(v.V) < 1)), 64)
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Printable is terminal.Text: one line, without what a terminal would obey or not show.
func Printable(s string) string { return terminal.Text(s) }

// Short is a printable name of at most n characters: the middle of a longer one is left out.
func Short(s string, n int) string {
	r := []rune(Printable(s))
	if len(r) <= n {
		return string(r)
	}
	head := n / 3
	return string(r[:head]) + "…" + string(r[len(r)-(n-head-1):])
}

// MemoryBound says the bound on memory, and where it comes from: "" if it was asked for.
func MemoryBound(mib int, of string) string {
	text := fmt.Sprintf("at most %.3g GiB for tensors and ONNX Runtime", float64(mib)/1024)
	if of == "" {
		return text + " (--memory)"
	}
	return text + ", " + of + "; --memory sets another"
}
