package workspace

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"quantcheck/internal/quant"
	"quantcheck/internal/result"
)

// DamagePrefix is what the warnings of a run begin with that are about rows of the database which were left out.
const DamagePrefix = "the database is damaged:"

// damage gathers the rows of a run that cannot be: they are left out, and the run says so.
type damage struct {
	tables []string
	counts map[string]int
	first  map[string]string
}

// add counts a row of a table with what is wrong with it; names that somebody else wrote are shortened.
func (d *damage) add(table string, err error) {
	if d.counts == nil {
		d.counts, d.first = map[string]int{}, map[string]string{}
	}
	if d.counts[table] == 0 {
		d.tables = append(d.tables, table)
		d.first[table] = fmt.Sprintf("%.200s", strings.ToValidUTF8(err.Error(), "\ufffd"))
	}
	d.counts[table]++
}

// list gives a line for each table.
func (d *damage) list() []string {
	var lines []string
	for _, t := range d.tables {
		rows := "rows"
		if d.counts[t] == 1 {
			rows = "row"
		}
		lines = append(lines, fmt.Sprintf("%s %d %s of the table %s left out: %s", DamagePrefix, d.counts[t], rows, t, d.first[t]))
	}
	return lines
}

// rows goes through a query's rows. One whose values cannot be is counted and left out.
func (b *database) rows(ctx context.Context, d *damage, table, query string, args []any, row func(scan func(...any) error) error) error {
	return b.each(ctx, query, args, func(scan func(...any) error) error {
		if err := row(scan); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d.add(table, err)
		}
		return nil
	})
}

// whole reads a row of a result that is stored as JSON: its number, the JSON, and what else is asked for.
func whole(scan func(...any) error, value any, more ...any) (id int64, err error) {
	var text string
	if err := scan(append([]any{&id, &text}, more...)...); err != nil {
		return id, err
	}
	return id, json.Unmarshal([]byte(text), value)
}

// damaged is the sentence for a result that is left out.
func (b *database) damaged(what string, id int64, err error) string {
	return fmt.Sprintf("%s %d of %s is damaged and is left out: %.200s", what, id, b.path, strings.ToValidUTF8(err.Error(), "\ufffd"))
}

// guard makes an error of a panic of the database's library, which a damaged file has brought about.
func guard(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("the database is damaged: %v", p)
	}
}

// mostResults bounds what a run's layers and variants take in memory, whose rows may be missing.
const mostResults = 4 << 20

// outside says whether a number is neither −1, none, nor one of so many.
func outside(number, of int) bool { return number < -1 || number >= of }

// soundLinks takes out what in a run's layers and variants points outside of it.
func soundLinks(run *result.Run, d *damage) {
	for i := range run.Layers {
		l := &run.Layers[i]
		if k := slices.IndexFunc(l.Inputs, func(n int) bool { return n < 0 || n >= i }); k >= 0 { // layers stand in the graph's order
			d.add("layers", fmt.Errorf("%s is computed from layer %d", l.Name, l.Inputs[k]))
			l.Inputs = slices.DeleteFunc(l.Inputs, func(n int) bool { return n < 0 || n >= i })
		}
	}
	for i := range run.Variants {
		v := &run.Variants[i]
		for what, n := range map[string]*int{"diverges at": &v.Diverges, "parts at": &v.FirstMismatchLayer} {
			if outside(*n, len(run.Layers)) {
				d.add("variants", fmt.Errorf("%s %s layer %d", v.Spec.Name, what, *n))
				*n = -1
			}
		}
		if outside(v.Counterpart, len(run.Variants)) || v.Counterpart == i {
			d.add("variants", fmt.Errorf("%s has the twin %d", v.Spec.Name, v.Counterpart))
			v.Counterpart = -1
		}
		for k := range v.Layers {
			if v.Layers[k].Status == "" {
				d.add("layer_results", fmt.Errorf("the row of layer %d of %s is missing", k, v.Spec.Name))
				v.Layers[k] = result.LayerResult{Status: result.NotComparable, Reason: "the database has no row of it"}
				v.Counts[result.NotComparable]++
			}
		}
		if k := v.Diverges; k >= 0 && !v.Layers[k].HasMetrics() {
			d.add("variants", fmt.Errorf("%s diverges at layer %d, which has no numbers", v.Spec.Name, k))
			v.Diverges = -1
		}
		if k := v.FirstMismatchLayer; k >= 0 && v.Layers[k].EmulationError == nil {
			d.add("variants", fmt.Errorf("%s parts from its twin at layer %d, which has none", v.Spec.Name, k))
			v.FirstMismatchLayer = -1
		}
	}
}

// soundEncoding says what is wrong with an encoding.
func soundEncoding(e quant.Encoding) error {
	if e.Bits < 1 || e.Bits > 64 {
		return fmt.Errorf("an encoding of %d bits", e.Bits)
	}
	return nil
}

var errOrder = errors.New("the database is damaged: rows are missing")
