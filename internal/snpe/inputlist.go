package snpe

import (
	"errors"
	"fmt"
	"strings"
)

// InputList is what snpe-net-run is told to run: which outputs, on which files.
type InputList struct {
	Layers     []string // of leading lines that begin with '#': what these layers make is put out
	Tensors    []string // of leading lines that begin with '%': these are put out
	Inferences []InputLine
}

// InputLine is one inference.
type InputLine struct {
	Number int    // of the line, from 1
	Text   string // without the blanks around it
	Items  []InputItem
}

// InputItem is a file for an input.
type InputItem struct {
	Name string // of the input; "" if the line does not say
	Path string
}

// ReadInputList reads an input list. Lines of "name:=path" items, or of bare paths, are an inference each; lines that begin
// with '#' or '%' name outputs as long as no inference stands before them. The error says which line is wrong.
func ReadInputList(data []byte) (*InputList, error) {
	l := &InputList{}
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case line[0] == '#' || line[0] == '%':
			if len(l.Inferences) > 0 {
				return nil, fmt.Errorf("line %d: outputs are named before the first inputs, not behind them", number)
			}
			if names := strings.Fields(line[1:]); line[0] == '#' {
				l.Layers = append(l.Layers, names...)
			} else {
				l.Tensors = append(l.Tensors, names...)
			}
		default:
			items, err := InputItems(line)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", number, err)
			}
			l.Inferences = append(l.Inferences, InputLine{number, line, items})
		}
	}
	if len(l.Inferences) == 0 {
		return nil, errors.New("it names no inputs")
	}
	return l, nil
}

// InputItems divides a line into its items. Either all have names or none has. Names may hold colons.
func InputItems(line string) ([]InputItem, error) {
	named := strings.Contains(line, ":=")
	var items []InputItem
	seen := map[string]bool{}
	for word := range strings.FieldsSeq(line) {
		if !named {
			items = append(items, InputItem{Path: word})
			continue
		}
		at := strings.LastIndex(word, ":=")
		if at <= 0 || at+2 == len(word) {
			return nil, fmt.Errorf("%q is not name:=path", word)
		}
		item := InputItem{word[:at], word[at+2:]}
		if seen[item.Name] {
			return nil, fmt.Errorf("input %q is given twice", item.Name)
		}
		seen[item.Name] = true
		items = append(items, item)
	}
	return items, nil
}
