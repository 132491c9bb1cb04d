package dataset

import (
	"fmt"
	"strings"
)

// Word is a value that a key of a description takes by name.
type Word struct {
	Name string
	Does string // what it means, for docs, in Markdown; "": its name says it
}

// cropPadHeight is the way of the seed tool's to_raw.
const cropPadHeight = "crop-pad-height"

// The words of the keys that take words; the first of each is the default, but for Layouts, where it follows from the shape.
var (
	Colours = []Word{{Name: "rgb"}, {Name: "bgr"}, {Name: "gray"}}
	Resizes = []Word{
		{Name: "stretch"},
		{"letterbox", "whole picture, padded"},
		{"crop", "filled, cut at the centre"},
		{cropPadHeight, "as the seed tool's `to_raw`, the width is kept, what is too high is cut, what is too low padded black above and below"},
	}
	PadPositions = []Word{{Name: "center"}, {"bottom-right", "the picture is at the top left"}}
	Layouts      = []Word{{Name: "NCHW"}, {Name: "NHWC"}}
)

// Names are the names of words.
func Names(words []Word) []string {
	var list []string
	for _, w := range words {
		list = append(list, w.Name)
	}
	return list
}

// Key is a key of a description: a flag, and a line of the YAML file.
type Key struct {
	Name    string
	Words   []Word // that it takes; nil where it takes something else
	Takes   string // what that is, in Markdown
	Default string // in Markdown
}

// Keys are the description's keys, for flags, messages and docs.
var Keys = []Key{
	{Name: "input-color", Words: Colours, Default: "`rgb`"},
	{Name: "resize", Words: Resizes, Default: "`stretch`"},
	{Name: "pad-value", Takes: "0..255", Default: "114"},
	{Name: "pad-position", Words: PadPositions, Default: "`center`"},
	{Name: "mean", Takes: "x = (pixel − mean) / scale; one number, or one per channel in the model's channel order", Default: "0"},
	{Name: "scale", Takes: "see `mean`", Default: "1"},
	{Name: "layout", Words: Layouts, Default: "from the shape"},
	{Name: "input-shape", Takes: "`1,3,640,640`, or `name=1,3,640,640`; for dynamic dimensions", Default: "the model's"},
}

// Markdown is the table of keys in docs/input.md.
func Markdown() string {
	var text strings.Builder
	text.WriteString("| key | values | default |\n|---|---|---|\n")
	for _, k := range Keys {
		takes := k.Takes
		if k.Words != nil {
			separator := ", "
			var words []string
			for _, w := range k.Words {
				word := "`" + w.Name + "`"
				if w.Does != "" {
					separator, word = "; ", word+": "+w.Does
				}
				words = append(words, word)
			}
			takes = strings.Join(words, separator)
		}
		fmt.Fprintf(&text, "| `%s` | %s | %s |\n", k.Name, takes, k.Default)
	}
	return text.String()
}

// oldCropPadHeight is what crop-pad-height was called; files and scripts that say it hold.
const oldCropPadHeight = "seed"

// among says that a key's value is none of its words.
func among(key, value string, words []Word) error {
	for _, w := range words {
		if w.Name == value || w.Name == cropPadHeight && value == oldCropPadHeight {
			return nil
		}
	}
	return fmt.Errorf("%s is %q; it can be %s", key, value, strings.Join(Names(words), ", "))
}
