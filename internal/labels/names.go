package labels

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxNamesText = 4 << 20 // bytes
	maxNames     = 1 << 16
)

// ParseNames reads class names as models carry them in their metadata: Python's or JSON's text of a map of numbers to names or of a list, such
// as {0: 'person', 1: 'bicycle'} (Ultralytics' names). The numbers are those of 0 … n−1, in any order; nothing is evaluated.
func ParseNames(text string) ([]string, error) {
	if len(text) > maxNamesText {
		return nil, fmt.Errorf("class names of %d bytes; the limit is %d", len(text), maxNamesText)
	}
	p := &literal{text: text}
	names, err := p.names()
	if err != nil {
		return nil, fmt.Errorf("class names: at byte %d: %w", p.at, err)
	}
	return names, nil
}

// literal reads a literal of Python or JSON.
type literal struct {
	text string
	at   int
}

func (p *literal) space() {
	for p.at < len(p.text) && strings.IndexByte(" \t\r\n", p.text[p.at]) >= 0 {
		p.at++
	}
}

// take says whether a character comes next, and goes over it.
func (p *literal) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *literal) names() ([]string, error) {
	var closing byte
	switch {
	case p.take('{'):
		closing = '}'
	case p.take('['):
		closing = ']'
	case p.take('('):
		closing = ')'
	default:
		return nil, errors.New("neither a map nor a list")
	}
	byNumber := map[int]string{}
	for n := 0; !p.take(closing); n++ {
		if n > 0 && !p.take(',') {
			return nil, errors.New("a comma or the end is missing")
		}
		if n > 0 && p.take(closing) { // Python takes a comma at the end
			break
		}
		if n >= maxNames {
			return nil, fmt.Errorf("more than %d names", maxNames)
		}
		number := n
		if closing == '}' {
			var err error
			if number, err = p.number(); err != nil {
				return nil, err
			}
			if !p.take(':') {
				return nil, errors.New("a colon is missing")
			}
		}
		name, err := p.quoted()
		if err != nil {
			return nil, err
		}
		if _, twice := byNumber[number]; twice {
			return nil, fmt.Errorf("the class %d is named twice", number)
		}
		byNumber[number] = name
	}
	if p.space(); p.at < len(p.text) {
		return nil, errors.New("more text follows")
	}
	if len(byNumber) == 0 {
		return nil, errors.New("no name")
	}
	names := make([]string, len(byNumber))
	for k, name := range byNumber {
		if k < 0 || k >= len(names) {
			return nil, fmt.Errorf("%d names, but one of a class %d", len(names), k)
		}
		names[k] = name
	}
	return names, nil
}

// number is a whole number, also in quotes.
func (p *literal) number() (int, error) {
	p.space()
	var text string
	if p.at < len(p.text) && (p.text[p.at] == '\'' || p.text[p.at] == '"') {
		var err error
		if text, err = p.quoted(); err != nil {
			return 0, err
		}
	} else {
		begin := p.at
		for p.at < len(p.text) && p.text[p.at] >= '0' && p.text[p.at] <= '9' {
			p.at++
		}
		text = p.text[begin:p.at]
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return 0, fmt.Errorf("%.20q is no class", text)
	}
	return int(n), nil
}

// quoted is a text in single or double quotes.
func (p *literal) quoted() (string, error) {
	p.space()
	if p.at+1 < len(p.text) && p.text[p.at] == 'u' { // as Python 2 writes it
		p.at++
	}
	if p.at >= len(p.text) || p.text[p.at] != '\'' && p.text[p.at] != '"' {
		return "", errors.New("a text in quotes is missing")
	}
	quote := p.text[p.at]
	p.at++
	var b strings.Builder
	for p.at < len(p.text) {
		c := p.text[p.at]
		p.at++
		switch c {
		case quote:
			return strings.ToValidUTF8(b.String(), "\uFFFD"), nil
		case '\n':
			return "", errors.New("a line ends within a text")
		case '\\':
			r, err := p.escape()
			if err != nil {
				return "", err
			}
			b.WriteRune(r)
		default:
			b.WriteByte(c)
		}
	}
	return "", errors.New("a text has no end")
}

// escape is what stands behind a backslash.
func (p *literal) escape() (rune, error) {
	if p.at >= len(p.text) {
		return 0, errors.New("a text has no end")
	}
	c := p.text[p.at]
	p.at++
	switch c {
	case '\\', '\'', '"', '/':
		return rune(c), nil
	case 'n', 'r', 't', 'b', 'f':
		return map[byte]rune{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f'}[c], nil
	case 'x':
		return p.hex(2)
	case 'U':
		return p.hex(8)
	case 'u':
		r, err := p.hex(4)
		if err == nil && utf16.IsSurrogate(r) && strings.HasPrefix(p.text[p.at:], `\u`) { // JSON writes two
			p.at += 2
			var low rune
			if low, err = p.hex(4); err == nil {
				r = utf16.DecodeRune(r, low)
			}
		}
		return r, err
	}
	return 0, fmt.Errorf("the escape \\%c is not known", c)
}

func (p *literal) hex(digits int) (rune, error) {
	if len(p.text)-p.at < digits {
		return 0, errors.New("an escape has no end")
	}
	n, err := strconv.ParseUint(p.text[p.at:p.at+digits], 16, 32)
	if err != nil {
		return 0, fmt.Errorf("%q is no number of a character", p.text[p.at:p.at+digits])
	}
	p.at += digits
	if n > utf8.MaxRune {
		return utf8.RuneError, nil
	}
	return rune(n), nil
}
