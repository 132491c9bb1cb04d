// Package terminal writes text for people, who may read it on a terminal: nothing that comes from a file, a device, a library or a
// server may move the cursor, change the colours or the title, turn the direction of writing, or hide.
//
//  1. Text and Lines turn data into text that is safe to print (text.go).
//  2. Writer stands around the program's standard streams and does the same with all that is written, whoever writes it. The
//     sequences that the program itself sends to a terminal are methods of Writer, and nothing else gets through (writer.go).
//
// What is not safe becomes an escape as JSON and Go have it, \u001b. Inside of a JSON document that changes no value.
package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

// At most so many characters of a text and lines of a message are printed. No path that Linux takes is longer.
const (
	textLimit = 4096
	lineLimit = 200
)

// Unsafe reports whether a character is not printed as it is: control characters (C0, DEL and C1, the line's end and the tab
// included), format characters (marks and overrides of the writing direction, zero-width characters, tags), other characters that
// show nothing, and the separators of lines and paragraphs.
func Unsafe(r rune) bool {
	if r < 0x7f {
		return r < ' '
	}
	return unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' ||
		unicode.Is(unicode.Variation_Selector, r) || unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}

// Text makes data one line of safe text. The middle of a very long one is left out, and it says how many characters that is.
func Text(s string) string {
	if n := len(s); n > textLimit { // Else it has no more characters either.
		if n = utf8.RuneCountInString(s); n > textLimit {
			s = cut(s, n)
		}
	}
	if strings.IndexFunc(s, func(r rune) bool { return Unsafe(r) || r == utf8.RuneError }) < 0 {
		return s
	}
	return quoted(s)
}

// quoted escapes what is not safe.
func quoted(s string) string {
	b := make([]byte, 0, len(s))
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		b = appendRune(b, s[:n], r)
		s = s[n:]
	}
	return string(b)
}

// cut leaves out the middle of a text of n characters.
func cut(s string, n int) string {
	const head, tail = textLimit * 2 / 3, textLimit / 3
	var begin, end, i int
	for at := range s {
		switch i {
		case head:
			begin = at
		case n - tail:
			end = at
		}
		i++
	}
	return fmt.Sprintf("%s…(%d characters left out)…%s", s[:begin], n-head-tail, s[end:])
}

// Lines makes a message safe that may have several lines. Those in the middle of very many are left out, and it says how many.
func Lines(s string) string {
	lines := strings.Split(s, "\n")
	if n := len(lines) - lineLimit; n > 0 {
		const head = lineLimit * 2 / 3
		lines = append(append(lines[:head:head], fmt.Sprintf("… (%d lines left out)", n)), lines[head+n:]...)
	}
	for i, l := range lines {
		lines[i] = Text(l)
	}
	return strings.Join(lines, "\n")
}

// Message is Lines for a text that follows a heading: all lines but the first are indented, so that none of them looks like one of the
// program's own.
func Message(s string) string {
	return strings.ReplaceAll(Lines(s), "\n", "\n    ")
}

// Width is how many columns of a terminal a text takes that Text made safe: wide characters take two, combining ones none.
func Width(safe string) int { return text.StringWidth(safe) }

// At shows where in a text a byte stands: a line with the text, made safe, and one with a caret under that place, however wide the
// characters in front of it are printed. Of a long text only what is near the place is shown. Each line is indented by two columns.
func At(s string, offset int) string {
	const near = 100 // characters on either side
	offset = max(0, min(offset, len(s)))
	before, after := []rune(quoted(s[:offset])), []rune(quoted(s[offset:]))
	if len(before) > near {
		before = append([]rune("…"), before[len(before)-near:]...)
	}
	if len(after) > near {
		after = append(after[:near:near], '…')
	}
	return fmt.Sprintf("  %s%s\n  %*s^", string(before), string(after), Width(string(before)), "")
}

// short are the control characters that JSON and Go have a letter for.
var short = map[rune]string{'\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

// appendRune appends a character that is spelt s, as it is or escaped. A byte that is no UTF-8 is given as \x and two digits.
func appendRune(b []byte, s string, r rune) []byte {
	switch {
	case r == utf8.RuneError && len(s) == 1:
		return fmt.Appendf(b, `\x%02x`, s[0])
	case !Unsafe(r):
		return append(b, s...)
	case short[r] != "":
		return append(b, short[r]...)
	case r > 0xffff:
		high, low := utf16.EncodeRune(r)
		return fmt.Appendf(b, `\u%04x\u%04x`, high, low)
	}
	return fmt.Appendf(b, `\u%04x`, r)
}
