// Verdicts holds the verdicts of quantcheck check against what they should tell: models × recipes, and beside each verdict by how much the score
// of the task drops, or, where there are no labels, how many decisions differ on samples that the check did not see. It lists every false good
// and every false alarm, and ends with status 1 if there is one.
//
// A verdict of good is false where the score drops by more than 2 %, one of poor or bad where it drops by less than 1 %. Of decisions that are
// counted one by one so many must differ for a false good as would by chance, at 2 %, in less than one of twenty such sets. An alarm is not false if outputs
// of which nothing is decided raise it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"

	"quantcheck/internal/qnn"
	"quantcheck/internal/result"
)

var recipes = []string{"w8a8", "w8a8,mse", "w8a8,mse-out", "w8a8,enhanced", "w8a8,per-tensor", "w8a8,percentile:99.99", "w8a16", "fp16"}

const (
	falseGood  = 0.02 // of the score
	falseAlarm = 0.01
)

// options are what the flags say.
type options struct {
	pictures             int
	emulated, few, small bool
	zoo                  string
	models, recipes      []string
}

func main() {
	var o options
	flag.IntVar(&o.pictures, "pictures", 64, "pictures of each model with labels, and samples of each without")
	flag.BoolVar(&o.emulated, "emulated", true, "w8a8 and w8a16 on the emulator too, where it is, for small networks")
	flag.BoolVar(&o.few, "few", false, "the recipes w8a8, w8a8,mse and w8a16 only")
	flag.BoolVar(&o.small, "small", false, "the fixtures that this project makes only, few samples: what a change is held against")
	flag.StringVar(&o.zoo, "zoo", "third_party/zoo", "folder of the zoo, whose networks are judged if they are there; empty: none")
	flag.Func("models", "judge these only, as in -models minilm,magika", func(s string) error { o.models = strings.Split(s, ","); return nil })
	flag.Func("recipes", "these recipes only, with semicolons between them, as in -recipes 'w8a8;w8a8,mse'", func(s string) error { o.recipes = strings.Split(s, ";"); return nil })
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	wrong, err := run(ctx, os.Stdout, os.Stderr, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "verdicts:", err)
		os.Exit(1)
	}
	if wrong > 0 {
		os.Exit(1)
	}
}

func run(ctx context.Context, w, log io.Writer, o options) (wrong int, err error) {
	out, err := os.MkdirTemp("", "verdicts-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(out) }()
	list := slices.Clone(recipes)
	switch {
	case o.recipes != nil:
		list = o.recipes
	case o.few || o.small:
		list = []string{"w8a8", "w8a8,mse", "w8a16", "fp16"}
	}
	if o.emulated {
		if _, err := qnn.Find(""); err != nil {
			o.emulated = false
			fmt.Fprintf(w, "nothing is judged on the emulator: %v\n\n", err)
		}
	}
	all, err := models(o, out)
	if err != nil {
		return 0, err
	}
	fmt.Fprintf(w, "| %-18s | %-22s | %-7s | %-10s | %8s | %8s | %s |\n|---|---|---|---|---:|---:|---|\n", "model", "variant", "verdict", "by", "kept", "drop", "of")
	judged, failed := 0, 0
	for i, m := range all {
		fmt.Fprintf(log, "verdicts: model %d of %d: %s\n", i+1, len(all), m.name)
		wanted := slices.Clone(list)
		if m.emulated && o.recipes == nil {
			wanted = append(wanted, "w8a8@htp", "w8a16@htp")
		}
		rows, err := m.judge(ctx, out, wanted)
		if ctx.Err() != nil {
			return wrong, ctx.Err()
		}
		if err != nil {
			failed++
			fmt.Fprintf(w, "| %-18s | %s |\n", m.name, err)
			continue
		}
		for _, r := range rows {
			if r.known {
				judged++
			}
			if r.wrong() != "" {
				wrong++
			}
			fmt.Fprintln(w, r.line(m.name))
		}
	}
	fmt.Fprintf(w, "\n%d of %d verdicts are wrong\n", wrong, judged)
	switch {
	case failed > 0:
		return wrong, fmt.Errorf("%d of %d models could not be judged", failed, len(all))
	case judged == 0:
		return wrong, errors.New("no verdict was judged")
	}
	return wrong, nil
}

// row is one verdict with what it should tell.
type row struct {
	variant string
	verdict result.Verdict
	kept    float64 // share of the check's own decisions
	decides bool    // there are such
	drop    float64 // of the score, or of the decisions on other samples
	known   bool
	of      string  // what the drop was counted of
	single  bool    // decisions are counted one by one
	lost    float64 // so many of total differ
	total   float64
	others  bool // outputs of which nothing is decided make the grade poor
}

// wrong says what is false about the verdict, "" if nothing is.
func (r *row) wrong() string {
	switch g := r.verdict.Grade; {
	case !r.known:
		return ""
	case g == result.Good && r.drop > falseGood && (!r.single || chance(r.lost, r.total, falseGood) < 0.05):
		return "FALSE GOOD"
	case (g == result.Poor || g == result.Bad) && r.drop < falseAlarm && !r.others:
		return "FALSE ALARM"
	}
	return ""
}

// chance is the probability that at least lost of n differ if each does with probability p.
func chance(lost, n, p float64) float64 {
	sum, term := 0.0, math.Pow(1-p, n) // of none
	for k := 0.0; k < math.Round(lost); k++ {
		sum += term
		term *= (n - k) / (k + 1) * p / (1 - p)
	}
	return 1 - sum
}

func (r *row) line(model string) string {
	kept, drop := "–", "–"
	if r.decides {
		kept = fmt.Sprintf("%.3f", r.kept)
	}
	if r.known {
		drop = fmt.Sprintf("%.1f %%", 100*r.drop)
	}
	if r.others && (r.verdict.Grade == result.Poor || r.verdict.Grade == result.Bad) {
		r.of += "; outputs without decisions are " + string(r.verdict.Grade)
	}
	return strings.TrimRight(fmt.Sprintf("| %-18s | %-22s | %-7s | %-10s | %8s | %8s | %s | %s", model, r.variant, r.verdict.Grade, r.verdict.Basis, kept, drop, r.of, r.wrong()), " |") + " |"
}
