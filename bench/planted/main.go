// Planted holds the causes that quantcheck check names against what is so: it plants one fault into a network, and looks whether the leading
// cause is of that kind and at that place; of the network without the fault it must not be. It prints a table of kinds and networks.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/metric"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
)

// outcome is what was found of a fault in a network.
type outcome struct {
	fault, kind, network string // fault is the row of the table, kind that of the cause
	unfit                bool   // the network has no place for it
	led                  string // the kind of the leading cause; "": none
	right, quiet         bool   // kind and place are right; the near miss does not name it first
	said                 string // what was named instead
}

func main() {
	only := flag.String("only", "", "kinds, separated by commas")
	nets := flag.String("networks", "", "networks, separated by commas")
	seed := flag.Uint64("seed", 1, "of the places")
	debug = flag.Bool("debug", false, "show where the layers of a fault that was not found lose")
	flag.Parse()
	pick := func(list, name string) bool { return list == "" || slices.Contains(strings.Split(list, ","), name) }
	list, err := run(context.Background(), os.Stdout, *seed, func(kind, network string) bool { return pick(*only, kind) && pick(*nets, network) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "planted:", err)
		os.Exit(1)
	}
	if right, of := count(list); right < of {
		os.Exit(1)
	}
}

// open finds ONNX Runtime.
func open() (session.Engines, error) {
	fixture.Expose()
	library, err := onnxruntime.Find("")
	if err != nil {
		return session.Engines{}, err
	}
	r, err := onnxruntime.Open(library, 2)
	if err != nil {
		return session.Engines{}, err
	}
	return session.Engines{ORT: ort.InProcess(r)}, nil
}

// run plants every fault that is wanted into every network, and prints what was found.
func run(ctx context.Context, w io.Writer, seed uint64, wanted func(kind, network string) bool) ([]outcome, error) {
	engines, err := open()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "planted-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var list []outcome
	for i, n := range networks() {
		if !slices.ContainsFunc(faults, func(f fault) bool { return wanted(f.kind, n.name) }) {
			continue
		}
		begun := time.Now()
		g, err := prepare(ctx, engines, n, i, filepath.Join(dir, n.name))
		if err != nil {
			return list, fmt.Errorf("%s: %w", n.name, err)
		}
		fmt.Fprintf(w, "%-20s %-10s %5.1fs leads: %s\n", "(as it is)", n.name, time.Since(begun).Seconds(), tell(leading(g.plain), g.plain))
		for _, f := range faults {
			if !wanted(f.kind, n.name) {
				continue
			}
			begun := time.Now()
			o, err := g.try(ctx, f, seed)
			if err != nil {
				o.said = err.Error()
			}
			mark := "right"
			switch {
			case o.unfit:
				mark = "–"
			case !o.right:
				mark = "WRONG"
			case !o.quiet:
				mark = "FALSE ALARM"
			}
			fmt.Fprintf(w, "%-20s %-10s %5.1fs %-11s %s\n", o.kind, o.network, time.Since(begun).Seconds(), mark, o.said)
			list = append(list, o)
		}
	}
	table(w, list)
	return list, nil
}

// leading is the cause that is named first of the last variant of a run.
func leading(run *result.Run) *result.Cause {
	if v := run.Variants[len(run.Variants)-1].Verdict; v != nil && len(v.Causes) > 0 {
		return &v.Causes[0]
	}
	return nil
}

func tell(c *result.Cause, run *result.Run) string {
	if c == nil {
		return fmt.Sprintf("no cause (%s)", run.Variants[len(run.Variants)-1].Verdict.Grade)
	}
	return fmt.Sprintf("%s %.2f: %s", c.Kind, c.Confidence, c.Evidence)
}

// try plants a fault and checks the network with it and without.
func (g *ground) try(ctx context.Context, f fault, seed uint64) (outcome, error) {
	o := outcome{fault: f.kind, kind: f.kind, network: g.name}
	s, err := g.site(ctx, seed)
	if err != nil {
		return o, err
	}
	if err := f.plant(s); errors.Is(err, errUnfit) {
		o.unfit = true
		return o, nil
	} else if err != nil {
		return o, err
	}
	if s.kind != "" {
		o.kind = s.kind
	}
	run, err := g.check(ctx, s.spec)
	if err != nil {
		return o, err
	}
	c := leading(run)
	o.said = tell(c, run)
	if c != nil {
		o.led = c.Kind
		o.right = c.Kind == o.kind && s.named(run, c)
		if c.Kind == o.kind && !o.right {
			o.said = "ELSEWHERE, wanted " + strings.Join(s.where, ", ") + ": " + o.said
		}
	}
	if *debug && (c == nil || !o.right) {
		dump(run, s.where)
	}
	without := g.plain
	if f.miss != nil {
		f.miss(s)
		if without, err = g.check(ctx, s.spec); err != nil {
			return o, err
		}
	}
	c = leading(without)
	o.quiet = c == nil || c.Kind != o.kind
	if !o.quiet {
		o.said = "near miss: " + tell(c, without)
	}
	return o, nil
}

var debug = new(bool)

func dump(run *result.Run, where []string) {
	v := &run.Variants[len(run.Variants)-1]
	show := func(k int) {
		l, r := &run.Layers[k], &v.Layers[k]
		fmt.Printf("    %-4d %-30.30s %-12s whole %6.1f", k, l.Name, l.Op, r.Summary[metric.SQNR].Mean.V)
		if r.Local != nil {
			fmt.Printf(" alone %6.1f share %.2f", r.Local.Full.Summary[metric.SQNR].Mean.V, r.Local.Share)
			if r.Local.Weights != nil {
				fmt.Printf(" w %6.1f", r.Local.Weights.Summary[metric.SQNR].Mean.V)
			}
			if r.Local.Acts != nil {
				fmt.Printf(" a %6.1f", r.Local.Acts.Summary[metric.SQNR].Mean.V)
			}
		} else {
			fmt.Printf(" %s", r.LocalReason)
		}
		if e := r.Encoding; e != nil {
			fmt.Printf(" %d bits %.3g…%.3g", e.Bits, e.Min, e.Max)
		}
		if r.Clipped != nil {
			fmt.Printf(" clipped %.3f", r.Clipped.Share)
		}
		fmt.Printf(" %v\n", l.Inputs)
	}
	var order []int
	for k := range v.Layers {
		if slices.Contains(where, run.Layers[k].Name) {
			show(k)
		}
		if v.Layers[k].Local != nil {
			order = append(order, k)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(v.Layers[a].Local.Full.Summary[metric.SQNR].Mean.V, v.Layers[b].Local.Full.Summary[metric.SQNR].Mean.V)
	})
	fmt.Printf("    verdict %s by %s, coverage %+v\n", v.Verdict.Grade, v.Verdict.Basis, v.Verdict.Coverage)
	for _, k := range order[:min(4, len(order))] {
		show(k)
	}
	for i := range min(2, len(v.Verdict.Causes)) {
		fmt.Printf("    cause %+v\n", v.Verdict.Causes[i])
	}
}

// count counts the faults that were found, and all.
func count(list []outcome) (right, of int) {
	for _, o := range list {
		if o.unfit {
			continue
		}
		of++
		if o.right && o.quiet {
			right++
		}
	}
	return right, of
}

// table draws kinds and networks.
func table(w io.Writer, list []outcome) {
	fmt.Fprintf(w, "\n| %-18s |", "fault")
	for _, n := range networks() {
		fmt.Fprintf(w, " %-18s |", n.name)
	}
	fmt.Fprintln(w)
	for _, f := range faults {
		fmt.Fprintf(w, "| %-18s |", f.kind)
		for _, n := range networks() {
			cell := ""
			for _, o := range list {
				if o.fault != f.kind || o.network != n.name {
					continue
				}
				switch {
				case o.unfit:
					cell = "–"
				case o.right && o.quiet:
					cell = "right"
				case o.right:
					cell = "false alarm"
				case o.led == o.kind:
					cell = "elsewhere"
				case o.led == "":
					cell = "none"
				default:
					cell = o.led
				}
			}
			fmt.Fprintf(w, " %-18s |", cell)
		}
		fmt.Fprintln(w)
	}
	right, of := count(list)
	fmt.Fprintf(w, "\n%d of %d planted faults lead, named where they are\n", right, of)
}
