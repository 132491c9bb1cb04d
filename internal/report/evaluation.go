package report

import (
	"fmt"
	"io"
	"math"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// shownColumns is how many scores stand in the terminal's table; all are in the JSON, the database and the page.
const shownColumns = 5

// Evaluation draws an evaluation for people.
func Evaluation(w io.Writer, e *result.Evaluation) {
	fmt.Fprintf(w, "%s\n\n", ScoreVerdict(e))
	t := NewTable(w)
	head := table.Row{"model"}
	var numbers []string
	columns := e.Columns[:min(len(e.Columns), shownColumns)]
	for i, c := range columns {
		head, numbers = append(head, c.Key), append(numbers, c.Key)
		if i == 0 {
			head = append(head, "drop")
		}
	}
	head = append(head, "as float", "size MiB", "FPS")
	t.AppendHeader(head)
	t.SetColumnConfigs(right(append(numbers, "drop", "as float", "size MiB", "FPS")...))
	for i := range e.Models {
		m := &e.Models[i]
		row := table.Row{Short(m.Name, 30)}
		for k := range columns {
			row = append(row, score(m.Scores[k]))
			if k == 0 {
				row = append(row, score(m.Drop))
			}
		}
		agree := "–"
		if m.Agree.Share.OK {
			agree = fmt.Sprintf("%.1f %%", 100*m.Agree.Share.V)
		}
		t.AppendRow(append(row, agree, fmt.Sprintf("%.2f", float64(m.Bytes)/(1<<20)), number(m.FPS)))
	}
	t.Render()
	fmt.Fprintln(w)
	for i := 1; i < len(e.Models); i++ {
		if text := changes(e, &e.Models[i]); text != "" {
			fmt.Fprintln(w, text)
		}
	}
	if worst := ClassDrops(e, 5); worst != "" {
		fmt.Fprintln(w, worst)
	}
	line := func(key, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", key, Printable(fmt.Sprintf(format, args...)))
	}
	line("model", "%s (opset %d), %s", e.Model.Path, e.Model.Opset, e.Spec.Input)
	line("data", "%s: %s", e.Spec.Data, e.Data)
	line("read as", "%s", e.Reading)
	line("engine", "ONNX Runtime %s, %d threads (another number moves the last digits); %s", e.ONNXRuntime, e.Spec.Threads, e.Machine.CPU)
	if e.Spec.MemoryMiB > 0 {
		line("memory", "%s", MemoryBound(e.Spec.MemoryMiB, e.Spec.MemoryOf))
	}
	line("time", "%.1f s, %.1f s of it inference", e.Seconds, e.Inference)
	for _, p := range e.Problems {
		line("problem", "%s", p)
	}
	for _, n := range e.Warnings {
		line("note", "%s", n)
	}
}

// score writes a score in four decimals, as people compare them.
func score(v metric.Value) string {
	switch {
	case !v.OK:
		return "–"
	case math.IsInf(v.V, 0):
		return v.String()
	}
	return fmt.Sprintf("%.4f", v.V)
}

// ScoreVerdict says in a sentence what quantization costs.
func ScoreVerdict(e *result.Evaluation) string {
	key := e.Columns[0].Key
	float := e.Models[0].Scores[0]
	blind := ""
	if e.Blind() {
		blind = Blind(e) + " "
	}
	if len(e.Models) == 1 {
		return fmt.Sprintf("%sfloat: %s %s.", blind, key, score(float))
	}
	var parts []string
	for _, m := range e.Models[1:] {
		switch s := m.Scores[0]; {
		case !s.OK:
			parts = append(parts, fmt.Sprintf("%s has no %s", m.Name, key))
		case e.Task == result.Agreement:
			parts = append(parts, fmt.Sprintf("%s keeps %s dB against float", m.Name, number(s)))
		case !m.Drop.OK:
			parts = append(parts, fmt.Sprintf("%s has %s %s", m.Name, key, score(s)))
		default:
			share := ""
			if float.V != 0 && e.Columns[0].Higher {
				share = fmt.Sprintf(", %s of float's (%s)", verdict.Percent(s.V/float.V), verdict.GradeOf(s.V/float.V))
			}
			parts = append(parts, fmt.Sprintf("%s has %s%s", m.Name, score(s), share))
		}
	}
	if e.Task == result.Agreement {
		return strings.Join(parts, "; ") + "."
	}
	return fmt.Sprintf("%s%s: float %s; %s.", blind, key, score(float), strings.Join(parts, "; "))
}

// Blind says that an evaluation's float model itself scores next to nothing. A warning of the evaluation says what to do.
func Blind(e *result.Evaluation) string {
	return fmt.Sprintf("The float model itself sees next to nothing (%s %s): this says nothing about quantization, see the notes.", e.Columns[0].Key, score(e.Models[0].Scores[0]))
}

// changes says what became of float's boxes, and how far the outputs are off.
func changes(e *result.Evaluation, m *result.EvalModel) string {
	a := m.Agree
	text := ""
	if e.Task == result.Detection {
		text = fmt.Sprintf("%s: of the boxes that people see (confidence over 0.25), %d are as in float, %d moved, %d have another class, %d are lost, %d are new.", m.Name, a.Kept, a.Moved, a.Other, a.Lost, a.New)
	}
	if a.SQNR.OK && e.Task != result.Agreement {
		if text == "" {
			text = m.Name + ":"
		}
		text += fmt.Sprintf(" The worst output keeps %s dB against float (cosine %s).", number(a.SQNR), number(a.Cos))
	}
	return text
}

// ClassDrops names the classes that lose most in the worst variant; "" if there are none.
func ClassDrops(e *result.Evaluation, most int) string {
	worst := -1
	for i := 1; i < len(e.Models); i++ {
		if d := e.Models[i].Drop; d.OK && (worst < 0 || d.V > e.Models[worst].Drop.V) {
			worst = i
		}
	}
	if worst < 0 || len(e.Classes) < 2 || e.Models[worst].Drop.V <= 0 {
		return ""
	}
	type drop struct {
		class int
		by    float64
	}
	var list []drop
	for k := range e.Classes {
		a, b := e.Models[0].ByClass[k], e.Models[worst].ByClass[k]
		if a.OK && b.OK && a.V > b.V {
			at := len(list)
			for at > 0 && list[at-1].by < a.V-b.V {
				at--
			}
			list = append(list[:at], append([]drop{{k, a.V - b.V}}, list[at:]...)...)
		}
	}
	if len(list) == 0 {
		return ""
	}
	var names []string
	for _, d := range list[:min(most, len(list))] {
		names = append(names, fmt.Sprintf("%s −%.3f", Short(e.Classes[d.class], 30), d.by))
	}
	return fmt.Sprintf("%s loses most in %s.", e.Models[worst].Name, strings.Join(names, ", "))
}

// Statistics draws all evaluations of a workspace, each model as its last evaluation has it.
func Statistics(w io.Writer, list []*result.Evaluation) {
	for _, task := range result.Tasks {
		models := latest(task, list)
		if len(models) == 0 {
			continue
		}
		columns := models[0].e.Columns[:min(len(models[0].e.Columns), shownColumns)]
		t := NewTable(w)
		head, numbers := table.Row{string(task)}, []string{"drop", "as float", "size MiB", "FPS"}
		for _, c := range columns {
			head, numbers = append(head, c.Key), append(numbers, c.Key)
		}
		t.AppendHeader(append(head, "drop", "as float", "size MiB", "FPS"))
		t.SetColumnConfigs(right(numbers...))
		for _, m := range models {
			row := table.Row{Short(m.model.File, 40)}
			for k := range columns {
				row = append(row, score(m.model.Scores[k]))
			}
			agree := "–"
			if m.model.Agree.Share.OK {
				agree = fmt.Sprintf("%.1f %%", 100*m.model.Agree.Share.V)
			}
			t.AppendRow(append(row, score(m.model.Drop), agree, fmt.Sprintf("%.2f", float64(m.model.Bytes)/(1<<20)), number(m.model.FPS)))
		}
		t.Render()
		fmt.Fprintln(w)
	}
}
