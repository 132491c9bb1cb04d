package encodings

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	deepest   = 16 // lists and objects within each other; files of encodings have 6
	mostNames = 4096
)

// value is a JSON value, with where it begins.
type value struct {
	at     int64
	kind   kind
	text   string // of texts and numbers
	list   []value
	fields map[string]value
	twice  []string // fields that stand there more than once
}

type kind int

const (
	null kind = iota
	boolean
	number
	text
	list
	object
)

func (k kind) String() string {
	return [...]string{"null", "true or false", "a number", "text", "a list", "an object"}[k]
}

// float gives a number; one that float64 does not hold is infinite.
func (v value) float() (float64, bool) {
	if v.kind != number {
		return 0, false
	}
	x, err := strconv.ParseFloat(v.text, 64)
	return x, err == nil || errors.Is(err, strconv.ErrRange)
}

// numbers flattens a number or nested lists of them; ok is false if something else is among them.
func (v value) numbers() (values []float64, ok bool) {
	if x, one := v.float(); one {
		return []float64{x}, true
	}
	if v.kind != list {
		return nil, false
	}
	for _, e := range v.list {
		more, ok := e.numbers()
		if !ok {
			return nil, false
		}
		values = append(values, more...)
	}
	return values, true
}

// shape gives the lengths of nested lists, by the first of each.
func (v value) shape() []int {
	var dims []int
	for v.kind == list && len(v.list) > 0 {
		dims = append(dims, len(v.list))
		v = v.list[0]
	}
	return dims
}

// truth reads true, "True" and their opposites.
func (v value) truth() (is, ok bool) {
	if v.kind != boolean && v.kind != text {
		return false, false
	}
	is = strings.EqualFold(v.text, "true")
	return is, is || strings.EqualFold(v.text, "false")
}

// reader reads a file of encodings.
type reader struct {
	data    []byte
	dec     *json.Decoder
	out     *File
	counted int64 // bytes whose lines are counted
	lines   int
}

func newReader(data []byte) *reader {
	r := &reader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), out: &File{Tensors: map[string]Asked{}}, lines: 1}
	r.dec.UseNumber()
	return r
}

// line is that of a place; places are asked for in the file's order, mostly.
func (r *reader) line(at int64) int {
	at = min(max(at, 0), int64(len(r.data)))
	if at < r.counted {
		return 1 + bytes.Count(r.data[:at], []byte("\n"))
	}
	r.lines += bytes.Count(r.data[r.counted:at], []byte("\n"))
	r.counted = at
	return r.lines
}

// next is where the next token begins.
func (r *reader) next() int64 {
	at := r.dec.InputOffset()
	for at < int64(len(r.data)) && strings.IndexByte(" \t\r\n,:", r.data[at]) >= 0 {
		at++
	}
	return at
}

// none says at a place why the file is no file of encodings.
func (r *reader) none(at int64, format string, args ...any) error {
	return fmt.Errorf("line %d: this is no file of encodings, because %s", r.line(at), fmt.Sprintf(format, args...))
}

// token reads a token; an error says in our words what is wrong with the text.
func (r *reader) token() (json.Token, error) {
	at := r.next()
	t, err := r.dec.Token()
	if err == nil {
		return t, nil
	}
	rest := r.data[min(at, int64(len(r.data))):]
	if len(bytes.TrimSpace(r.data)) == 0 {
		return nil, r.none(0, "it is empty")
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || len(rest) == 0 {
		return nil, r.none(at, "it ends in the middle of the JSON: is it cut off?")
	}
	for _, word := range []string{"NaN", "-NaN", "Infinity", "-Infinity", "inf", "-inf"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return nil, r.none(at, "%s stands in it, which JSON does not have: an encoding was made of values that are not finite", word)
		}
	}
	line, _, _ := bytes.Cut(rest[:min(len(rest), 24)], []byte("\n"))
	return nil, r.none(at, "it is not JSON from %q on", line)
}

// value reads what comes next, whole.
func (r *reader) value(depth int) (value, error) {
	v := value{at: r.next()}
	if depth > deepest {
		return v, r.none(v.at, "lists and objects lie more than %d deep within each other", deepest)
	}
	t, err := r.token()
	if err != nil {
		return v, err
	}
	switch t := t.(type) {
	case nil:
	case bool:
		v.kind, v.text = boolean, strconv.FormatBool(t)
	case json.Number:
		v.kind, v.text = number, t.String()
	case string:
		v.kind, v.text = text, t
	case json.Delim:
		if t == '[' {
			v.kind = list
			for r.dec.More() {
				e, err := r.value(depth + 1)
				if err != nil {
					return v, err
				}
				v.list = append(v.list, e)
			}
		} else {
			v.kind, v.fields = object, map[string]value{}
			for r.dec.More() {
				name, err := r.key()
				if err != nil {
					return v, err
				}
				e, err := r.value(depth + 1)
				if err != nil {
					return v, err
				}
				if _, there := v.fields[name]; there {
					v.twice = append(v.twice, name)
				}
				v.fields[name] = e
			}
		}
		if _, err := r.token(); err != nil { // the end
			return v, err
		}
	}
	return v, nil
}

func (r *reader) key() (string, error) {
	at := r.next()
	t, err := r.token()
	if err != nil {
		return "", err
	}
	name, ok := t.(string)
	if !ok {
		return "", r.none(at, "a name is missing before the value")
	}
	return name, nil
}

// problem notes what is wrong with an entry.
func (r *reader) problem(tensor string, at int64, unusable bool, format string, args ...any) {
	r.out.Problems = append(r.out.Problems, Problem{Tensor: short(tensor), Line: r.line(at), Text: fmt.Sprintf(format, args...), Unusable: unusable})
}

// short bounds a name that is printed.
func short(name string) string {
	if len(name) > mostNames {
		return name[:mostNames] + "…"
	}
	return name
}
