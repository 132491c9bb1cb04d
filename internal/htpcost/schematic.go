package htpcost

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSchematic means that bytes are no schematic of the compiler's, or a damaged one.
var ErrSchematic = errors.New("no schematic of the compiler's")

// Schematic is what is read of the compiler's graphs: both maps go by the number of the model's operator.
type Schematic struct {
	Names map[uint32]string // as the compiler was told them; inputs and outputs have none
	Ops   map[uint32]string // QNN's operator types before optimisation, such as Conv2d
}

// ReadSchematic reads a *_schematic.bin, which is a text. Every error is an ErrSchematic; beside it stands what could be read.
func ReadSchematic(text []byte) (Schematic, error) {
	s := Schematic{Names: map[uint32]string{}, Ops: map[uint32]string{}}
	number, inside := uint32(0), false
	_, _ = eachLine(text, "graph_before_optimization = {", func(line []byte) error {
		line = bytes.TrimSpace(line)
		if id, ok := bytes.CutSuffix(line, []byte(": {")); ok {
			if number, inside = node(id); inside {
				return nil
			}
		}
		if op, ok := bytes.CutPrefix(line, []byte("'operation':'")); ok && inside {
			if op, ok = bytes.CutSuffix(op, []byte("',")); ok {
				s.Ops[number] = operator(string(op))
			}
		}
		return nil
	})
	var open []byte // an entry whose name goes on in the next line
	found, err := eachLine(text, "qnn_name_translations = {", func(line []byte) error {
		if open != nil {
			line = append(open, line...)
		}
		id, name, _ := bytes.Cut(line, []byte(":"))
		n, ok := node(bytes.TrimSpace(id))
		if !ok {
			return fmt.Errorf("%w: a name belongs to no number: %.40q", ErrSchematic, line)
		}
		t, ok := literal(bytes.TrimSpace(name))
		if !ok {
			open = line // lines do not share memory to append to
			return nil
		}
		s.Names[n], open = t, nil
		return nil
	})
	if err == nil && open != nil {
		err = fmt.Errorf("%w: a name has no end: %.40q", ErrSchematic, open)
	}
	if !found {
		return s, fmt.Errorf("%w: it names no operators", ErrSchematic)
	}
	return s, err
}

// eachLine goes over the lines of a dictionary that begins with a line of its own. It is an error if it has no end.
func eachLine(text []byte, first string, each func(line []byte) error) (found bool, err error) {
	at := bytes.Index(text, []byte("\n"+first))
	switch {
	case bytes.HasPrefix(text, []byte(first)):
		text = text[len(first):]
	case at >= 0:
		text = text[at+1+len(first):]
	default:
		return false, nil
	}
	_, text, _ = bytes.Cut(text, []byte("\n")) // a remark behind the brace
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("}")) {
			return true, nil
		}
		if err := each(line); err != nil {
			return true, err
		}
	}
	return true, fmt.Errorf("%w: it is cut off", ErrSchematic)
}

// node reads an operator's number: the low half of its id. Operators that the compiler made have something in the high half.
func node(id []byte) (uint32, bool) {
	v, err := strconv.ParseUint(string(id), 0, 64)
	return uint32(v), err == nil
}

// literal reads a name between quotes. The compiler escapes nothing, not even a quote: what ends the line ends the name.
func literal(t []byte) (string, bool) {
	t = bytes.TrimSuffix(t, []byte(","))
	if len(t) < 2 || t[0] != '\'' && t[0] != '"' || t[len(t)-1] != t[0] {
		return "", false
	}
	return strings.ToValidUTF8(string(t[1:len(t)-1]), "\uFFFD"), true
}

// operator is QNN's name of an operator type, without the compiler's: q::QNN_Conv2d_w_scale is a Conv2d with a scale per
// channel.
func operator(op string) string {
	name, ok := strings.CutPrefix(op, "q::QNN_")
	if !ok {
		return op
	}
	return strings.TrimSuffix(name, "_w_scale")
}
