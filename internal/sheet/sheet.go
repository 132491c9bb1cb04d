// Package sheet writes CSV files: every writer of them goes through it.
//
// A spreadsheet takes a cell that begins with = + - @, a tab or a line break for a formula and runs it, wherever the text came from
// (OWASP, "CSV Injection"). Text of that kind gets an apostrophe in front, which spreadsheets take for the mark of plain text;
// numbers stay as they are, to the byte.
package sheet

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"
)

// Writer writes rows. It may be used by one goroutine at a time.
type Writer struct{ csv *csv.Writer }

// NewWriter makes a writer of rows to w.
func NewWriter(w io.Writer) *Writer { return &Writer{csv.NewWriter(w)} }

// Write adds a row whose cells are made safe; row itself is not changed. The error is that of the writer below, now or later.
func (w *Writer) Write(row []string) error {
	safe := make([]string, len(row))
	for i, cell := range row {
		safe[i] = Safe(cell)
	}
	return w.csv.Write(safe)
}

// Flush writes what is still held, and gives the first error of all.
func (w *Writer) Flush() error {
	w.csv.Flush()
	return w.csv.Error()
}

// Safe is a cell that no spreadsheet takes for a formula: the cell itself, or with an apostrophe in front.
func Safe(cell string) string {
	if active(cell) {
		return "'" + cell
	}
	return cell
}

// Plain takes from a cell that was read what Safe put in front.
func Plain(cell string) string {
	if rest, ok := strings.CutPrefix(cell, "'"); ok && active(rest) {
		return rest
	}
	return cell
}

// active says whether a spreadsheet may take a cell for a formula. Some spreadsheets skip white space, and take the wide forms of
// the signs too.
func active(cell string) bool {
	if cell == "" {
		return false
	}
	if strings.ContainsRune("\t\r\n", rune(cell[0])) {
		return true
	}
	trimmed := strings.TrimSpace(cell)
	if trimmed == "" || !strings.ContainsAny(firstRune(trimmed), "=+-@＝＋－＠|") {
		return false
	}
	_, err := strconv.ParseFloat(cell, 64)
	return err != nil
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}
