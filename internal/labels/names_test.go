package labels

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNamesOfMetadata(t *testing.T) {
	for text, want := range map[string][]string{
		`{0: 'red', 1: 'green', 2: 'blue'}`:       {"red", "green", "blue"},
		`{1: "b", 0: 'a',}`:                       {"a", "b"},
		`{"0": "a", "1": "b\u00e9\ud83d\ude00"}`:  {"a", "bé😀"},
		` [ 'it\'s', "a \"b\"", u'c\x41\\' ] `:    {"it's", `a "b"`, `cA\`},
		`('x',)`:                                  {"x"},
		`{0: 'person, standing', 1: "{2: 'no'}"}`: {"person, standing", "{2: 'no'}"},
		"{0: 'a',\n 1: '\\U0001F600\\n'}":         {"a", "😀\n"},
		`["a", "a"]`:                              {"a", "a"},
	} {
		if got, err := ParseNames(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
	for text, says := range map[string]string{
		"": "neither a map", "names": "neither a map", "{}": "no name", "[]": "no name", "{0: 'a'": "comma or the end", "{0: 'a": "no end", "{0 'a'}": "colon",
		"{1: 'a'}": "class 1", "{0: 'a', 0: 'b'}": "twice", "{-1: 'a'}": "no class", "{0: a}": "in quotes", "{0: open('f')}": "in quotes",
		"{0: 'a'} + x": "more text", `['\q']`: "escape", `['\u12zz']`: "no number", "['a\nb']": "line ends", "{99999999999: 'a'}": "no class",
		strings.Repeat(" ", maxNamesText+1): "the limit", "[" + strings.Repeat("'a',", maxNames+1) + "]": "more than",
	} {
		if got, err := ParseNames(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%.40s: %q, %v", text, got, err)
		}
	}
}

// FuzzParseNames: no text makes it panic; names are text, and come back from JSON as they are.
func FuzzParseNames(f *testing.F) {
	for _, seed := range []string{`{0: 'red', 1: "green"}`, `["a", 'b\u00e9\ud83d\ude00']`, `{"0": "a"}`, `('x',)`, `{0: '\x41\n\U0001F600'}`, "{{", `['\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		names, err := ParseNames(text)
		if err != nil {
			return
		}
		for _, n := range names {
			if !utf8.ValidString(n) {
				t.Errorf("%q is no text", n)
			}
		}
		data, err := json.Marshal(names)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := ParseNames(string(data)); err != nil || !slices.Equal(again, names) {
			t.Errorf("%q came back as %q, %v", names, again, err)
		}
	})
}
