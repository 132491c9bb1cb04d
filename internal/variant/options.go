package variant

import (
	"slices"
	"strings"
)

// option is a word that may follow the first comma.
type option struct {
	word, example string // example: an argument behind a colon; "": none
	set           func(*Spec)
}

// written is the option as people write it.
func (o option) written() string {
	if o.example == "" {
		return o.word
	}
	return o.word + ":" + o.example
}

// optionGroups are the options; of each group there may be one, and the default is what Parse begins with.
var optionGroups = []struct {
	of        string
	options   []option
	byDefault string
}{
	{"granularity", []option{
		{"per-channel", "", func(s *Spec) { s.PerChannel = true }},
		{"per-tensor", "", func(s *Spec) { s.PerChannel = false }},
	}, "per-channel"},
	{"calibrator", calibratorOptions(), string(TF)},
	{"bias", []option{
		{"bias8", "", func(s *Spec) { s.BiasBits = 8 }},
		{"bias32", "", func(s *Spec) { s.BiasBits = 32 }},
	}, "bias32"},
	{"small weights", []option{{small8, "16384", func(*Spec) {}}}, ""},
	{"cure", []option{{heal, "", func(s *Spec) { s.Heal = true }}}, ""},
}

// Options that have no other of their group.
const (
	small8 = "small8"
	heal   = "heal"
)

func calibratorOptions() []option {
	var list []option
	for _, c := range Calibrators {
		list = append(list, option{string(c.Name), c.Example, func(s *Spec) { s.Calibrator = c.Name }})
	}
	return list
}

// findOption finds an option by its word, and the group that it belongs to.
func findOption(word string) (o option, group string, ok bool) {
	for _, g := range optionGroups {
		if i := slices.IndexFunc(g.options, func(o option) bool { return o.word == word }); i >= 0 {
			return g.options[i], g.of, true
		}
	}
	return option{}, "", false
}

// Options lists the options of a recipe as people write them.
func Options() []string {
	var list []string
	for _, g := range optionGroups {
		for _, o := range g.options {
			list = append(list, o.written())
		}
	}
	return list
}

// OptionsHelp says in a line which options there are, by their groups, and which hold where nothing is said.
func OptionsHelp() string {
	var groups []string
	for _, g := range optionGroups {
		var words []string
		for _, o := range g.options {
			word := o.written()
			if o.word == g.byDefault {
				word += " (default)"
			}
			words = append(words, word)
		}
		last := len(words) - 1
		if last == 0 {
			groups = append(groups, words[0])
			continue
		}
		groups = append(groups, strings.Join(words[:last], ", ")+" or "+words[last])
	}
	return strings.Join(groups, "; ")
}
