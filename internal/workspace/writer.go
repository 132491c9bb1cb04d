package workspace

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"quantcheck/internal/floatjson"
	"quantcheck/internal/metric"
)

// writer inserts rows, many per statement, and remembers the first error.
type writer struct {
	ctx    context.Context
	tx     *sql.Tx
	tables map[string]*rows
	err    error
}

// rows are what waits to go into a table, and the statement that takes a full batch of them.
type rows struct {
	table, columns string
	width          int
	values         []any
	full           *sql.Stmt
}

// rowsPerStatement rows are inserted by one statement, which took three quarters of the time of single ones.
const rowsPerStatement = 64

func (r *rows) text() string {
	row := "(" + strings.TrimSuffix(strings.Repeat("?, ", r.width), ", ") + ")"
	count := len(r.values) / r.width
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES %s", r.table, r.columns, strings.TrimSuffix(strings.Repeat(row+", ", count), ", "))
}

func (w *writer) json(v any) string {
	b, err := floatjson.Marshal(v)
	if err != nil && w.err == nil {
		w.err = err
	}
	return string(b)
}

// optional is JSON, or NULL.
func (w *writer) optional(v any, valid bool) sql.NullString {
	if !valid {
		return sql.NullString{}
	}
	return sql.NullString{String: w.json(v), Valid: true}
}

// one inserts a row and gives its number.
func (w *writer) one(table, columns string, values ...any) int64 {
	if w.err != nil {
		return 0
	}
	r := rows{table: table, columns: columns, width: len(values), values: storable(values)}
	done, err := w.tx.ExecContext(w.ctx, r.text(), r.values...)
	if err != nil {
		w.err = err
		return 0
	}
	id, err := done.LastInsertId()
	w.err = err
	return id
}

// storable makes NaN the text "NaN", which reads back as it: SQLite takes the number for NULL, which most columns refuse.
func storable(values []any) []any {
	for i, v := range values {
		switch f := v.(type) {
		case float64:
			if math.IsNaN(f) {
				values[i] = "NaN"
			}
		case *float64:
			if f != nil && math.IsNaN(*f) {
				values[i] = "NaN"
			}
		case sql.NullFloat64:
			if f.Valid && math.IsNaN(f.Float64) {
				values[i] = "NaN"
			}
		}
	}
	return values
}

// insert puts a row into a table, sooner or later.
func (w *writer) insert(table, columns string, values ...any) {
	r := w.tables[table]
	if r == nil {
		r = &rows{table: table, columns: columns, width: len(values)}
		w.tables[table] = r
	}
	r.values = append(r.values, storable(values)...)
	if len(r.values) < rowsPerStatement*r.width || w.err != nil {
		return
	}
	if r.full == nil {
		if r.full, w.err = w.tx.PrepareContext(w.ctx, r.text()); w.err != nil {
			return
		}
	}
	_, w.err = r.full.ExecContext(w.ctx, r.values...)
	r.values = r.values[:0]
}

// flush inserts what still waits.
func (w *writer) flush() {
	for _, r := range w.tables {
		if w.err == nil && len(r.values) > 0 {
			_, w.err = w.tx.ExecContext(w.ctx, r.text(), r.values...)
		}
	}
}

func null(v metric.Value) sql.NullFloat64 {
	return sql.NullFloat64{Float64: v.V, Valid: v.OK && !math.IsNaN(v.V)}
}
