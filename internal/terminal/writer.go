package terminal

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"unicode/utf8"

	"golang.org/x/term"
)

// lineBytes is how many bytes of a line are written at most, but for documents.
const lineBytes = 64 << 10

// Writer is a stream that people read. Whatever is written to it is made safe as Text does it, with line ends kept, and a line of
// more than 64 KiB is cut, which it says. Its methods may be called by several goroutines at once.
type Writer struct {
	out  io.Writer
	file *os.File // nil: no terminal

	mu   sync.Mutex
	held []byte // the beginning of a character that has not arrived whole
	line int    // bytes written of this line
	over int    // bytes left out of it
}

// New gives a writer for a stream. Only one that is a terminal gets control sequences.
func New(out io.Writer) *Writer {
	w := &Writer{out: out}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		w.file = f
	}
	return w
}

// IsTerminal reports whether the stream is a terminal.
func (w *Writer) IsTerminal() bool { return w.file != nil }

// Size gives a terminal's columns and rows; 80 and 24 where they are not known.
func (w *Writer) Size() (columns, rows int) {
	if w.file != nil {
		columns, rows, err := term.GetSize(int(w.file.Fd()))
		if err == nil && columns >= 10 && rows >= 3 {
			return columns, rows
		}
	}
	return 80, 24
}

// Write implements io.Writer.
func (w *Writer) Write(p []byte) (int, error) { return w.write(p, lineBytes) }

// Data gives the stream for documents that programs read, such as JSON: no line is cut. Characters that are not safe are escaped all the
// same, which inside of a JSON string is the same value.
func (w *Writer) Data() io.Writer { return document{w} }

type document struct{ w *Writer }

func (d document) Write(p []byte) (int, error) { return d.w.write(p, 0) }

func (w *Writer) write(p []byte, most int) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.held) > 0 {
		text = slices.Concat(w.held, p)
		w.held = nil
	}
	if _, err := w.out.Write(w.safe(text, most, false)); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what is held back: the beginning of a character whose end has not come. It is for the end of the program.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := w.held
	w.held = nil
	if len(text) == 0 {
		return nil
	}
	_, err := w.out.Write(w.safe(text, 0, true))
	return err
}

// safe gives what is written for p; most is how long a line may be, 0 is any length. The beginning of a character at the end is held
// back unless nothing follows.
func (w *Writer) safe(p []byte, most int, last bool) []byte {
	out := make([]byte, 0, len(p)+len(p)/16)
	for len(p) > 0 {
		n := 0
		for n < len(p) && p[n] >= ' ' && p[n] < 0x7f {
			n++
		}
		if n > 0 {
			out = w.add(out, p[:n], most)
			p = p[n:]
			continue
		}
		if p[0] == '\n' {
			out = w.end(out)
			p = p[1:]
			continue
		}
		if !last && !utf8.FullRune(p) {
			w.held = append([]byte(nil), p...)
			break
		}
		r, n := utf8.DecodeRune(p)
		out = w.add(out, appendRune(nil, string(p[:n]), r), most)
		p = p[n:]
	}
	return out
}

// add appends text of one line, as far as that may grow.
func (w *Writer) add(out, text []byte, most int) []byte {
	fits := len(text)
	if most > 0 && w.line+fits > most {
		fits = max(0, most-w.line)
		for fits > 0 && !utf8.RuneStart(text[fits]) {
			fits--
		}
	}
	w.line += fits
	w.over += len(text) - fits
	return append(out, text[:fits]...)
}

// end ends a line.
func (w *Writer) end(out []byte) []byte {
	if w.over > 0 {
		out = fmt.Appendf(out, "… (%d bytes of this line left out)", w.over)
	}
	w.line, w.over = 0, 0
	return append(out, '\n')
}

// clearLine goes to the line's beginning and empties it.
const clearLine = "\r\x1b[K"

// ClearLine empties the line that a terminal's cursor is in; elsewhere it does nothing.
func (w *Writer) ClearLine() error { return w.control(clearLine, "") }

// DrawLine draws text over the line that a terminal's cursor is in, which stays there; elsewhere it does nothing. What does not fit
// into the line is left out.
func (w *Writer) DrawLine(text string) error {
	columns, _ := w.Size()
	return w.control(clearLine, fit(Text(text), columns-1))
}

// fit gives the beginning of a safe text that takes so many columns at most.
func fit(safe string, columns int) string {
	for Width(safe) > columns {
		_, n := utf8.DecodeLastRuneInString(safe)
		safe = safe[:len(safe)-n]
	}
	return safe
}

// ClearUp empties so many lines above a terminal's cursor, which goes to the first of them; elsewhere it does nothing.
func (w *Writer) ClearUp(lines int) error {
	if lines <= 0 {
		return nil
	}
	return w.control(fmt.Sprintf("\x1b[%dA\r\x1b[J", lines), "")
}

// control writes a sequence of the program's own and the safe text behind it to a terminal.
func (w *Writer) control(sequence, text string) error {
	if w.file == nil {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.line, w.over, w.held = len(text), 0, nil
	_, err := io.WriteString(w.out, sequence+text)
	return err
}
