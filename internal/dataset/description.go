// Package dataset turns pictures and raw files into the tensors that a model takes.
//
//  1. A Description says how the model wants its pictures: colour order, resizing, padding, scaling, layout.
//  2. Find lists the samples of a path; nothing is read yet.
//  3. A Loader reads one sample after another.
package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"quantcheck/internal/yamltext"
)

// Description says how a picture becomes a model's input. Its keys are those of the flags and of the YAML file beside
// the model. x = (pixel − Mean) / Scale, with one number or one per channel in the model's own channel order.
type Description struct {
	InputColor  string     `yaml:"input-color" json:"input_color"`   // of Colours
	Resize      string     `yaml:"resize" json:"resize"`             // of Resizes
	PadValue    int        `yaml:"pad-value" json:"pad_value"`       // 0..255, for letterbox
	PadPosition string     `yaml:"pad-position" json:"pad_position"` // of PadPositions
	Mean        Numbers    `yaml:"mean" json:"mean"`
	Scale       Numbers    `yaml:"scale" json:"scale"`
	Layout      string     `yaml:"layout" json:"layout"` // of Layouts, or "": from the shape
	InputShape  ShapeTexts `yaml:"input-shape" json:"input_shape"`
	// Eval is the block that says how the model's outputs are read and scored, as YAML; eval.ReadConfig reads it.
	Eval Block `yaml:"eval" json:"eval,omitempty"`
}

// Block is a part of the file that is read elsewhere, as YAML.
type Block string

// UnmarshalYAML keeps whatever there is.
func (b *Block) UnmarshalYAML(unmarshal func(any) error) error {
	var value any
	if err := unmarshal(&value); err != nil {
		return err
	}
	text, err := yaml.Marshal(value)
	*b = Block(text)
	return err
}

// ShapeTexts are shapes as they were written, "1,3,640,640", by input; the name "" stands for the only input.
type ShapeTexts map[string]string

// Numbers is one number for all channels or one per channel.
type Numbers []float64

// UnmarshalYAML takes a single number as well as a list.
func (n *Numbers) UnmarshalYAML(unmarshal func(any) error) error {
	var one float64
	if unmarshal(&one) == nil {
		*n = Numbers{one}
		return nil
	}
	return unmarshal((*[]float64)(n))
}

// Default is what holds where nothing is said.
func Default() Description {
	return Description{
		InputColor: Colours[0].Name, Resize: Resizes[0].Name, PadValue: 114, PadPosition: PadPositions[0].Name,
		Mean: Numbers{0}, Scale: Numbers{1},
	}
}

// Set gives a key the value that was written as text, as flags do. An input shape is "1,3,640,640" or
// "name=1,3,640,640"; several numbers are separated by commas.
func (d *Description) Set(key, value string) error {
	switch key {
	case "input-color":
		d.InputColor = value
	case "resize":
		d.Resize = value
	case "pad-position":
		d.PadPosition = value
	case "layout":
		d.Layout = value
	case "pad-value":
		n, err := strconv.Atoi(value)
		if err != nil {
			return fmt.Errorf("pad-value %q is not a whole number", value)
		}
		d.PadValue = n
	case "mean", "scale":
		var numbers Numbers
		for part := range strings.SplitSeq(value, ",") {
			f, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil {
				return fmt.Errorf("%s %q is not a number or a list of numbers such as 123.7,116.3,103.5", key, value)
			}
			numbers = append(numbers, f)
		}
		if key == "mean" {
			d.Mean = numbers
		} else {
			d.Scale = numbers
		}
	case "input-shape":
		name, dims, named := cutLast(value, "=")
		if !named {
			name, dims = "", value
		}
		if d.InputShape == nil {
			d.InputShape = ShapeTexts{}
		}
		d.InputShape[name] = dims
	default:
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// ReadFile reads a YAML file over what the description holds already.
func (d *Description) ReadFile(path string) error {
	data, err := yamltext.ReadFile(path)
	if err != nil {
		return err
	}
	if err := d.Parse(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Parse reads YAML over what the description holds already. Unknown keys are errors, shown with their place.
func (d *Description) Parse(data []byte) error {
	read := *d
	if err := yamltext.Unmarshal(data, &read, true); err != nil {
		return err
	}
	*d = read
	return nil
}

// UnmarshalYAML takes a text, a list of numbers, or a map of these by input name.
func (s *ShapeTexts) UnmarshalYAML(unmarshal func(any) error) error {
	var value any
	if err := unmarshal(&value); err != nil {
		return err
	}
	byName, ok := value.(map[string]any)
	if !ok {
		byName = map[string]any{"": value}
	}
	*s = ShapeTexts{}
	for name, v := range byName {
		switch x := v.(type) {
		case string:
			(*s)[name] = x
		case []any:
			parts := make([]string, len(x))
			for i, p := range x {
				parts[i] = fmt.Sprint(p)
			}
			(*s)[name] = strings.Join(parts, ",")
		default:
			return fmt.Errorf("input-shape: %v is neither a list of numbers nor a text such as 1,3,640,640", v)
		}
	}
	return nil
}

// Shapes gives the input shapes as numbers.
func (d Description) Shapes() (map[string][]int64, error) {
	shapes := map[string][]int64{}
	for name, text := range d.InputShape {
		for part := range strings.SplitSeq(text, ",") {
			n, err := strconv.ParseInt(strings.TrimSpace(part), 10, 64)
			if err != nil || n < 1 || n > 1<<24 {
				return nil, fmt.Errorf("input-shape %q is not a list of whole numbers such as 1,3,640,640", text)
			}
			shapes[name] = append(shapes[name], n)
		}
	}
	return shapes, nil
}

// Check says what is wrong with a description.
func (d Description) Check() error {
	if err := errors.Join(
		among("input-color", d.InputColor, Colours),
		among("resize", d.Resize, Resizes),
		among("pad-position", d.PadPosition, PadPositions),
		among("layout", cmp.Or(d.Layout, Layouts[0].Name), Layouts),
	); err != nil {
		return err
	}
	if d.PadValue < 0 || d.PadValue > 255 {
		return fmt.Errorf("pad-value %d is not in 0..255", d.PadValue)
	}
	for _, list := range []struct {
		key     string
		numbers Numbers
	}{{"mean", d.Mean}, {"scale", d.Scale}} {
		if len(list.numbers) == 0 || len(list.numbers) > 4 {
			return fmt.Errorf("%s has %d numbers; it has one, or one per channel", list.key, len(list.numbers))
		}
	}
	if slices.ContainsFunc(d.Scale, func(f float64) bool { return f == 0 || f-f != 0 }) || slices.ContainsFunc(d.Mean, func(f float64) bool { return f-f != 0 }) {
		return errors.New("scale and mean are finite numbers, and scale is not 0")
	}
	_, err := d.Shapes()
	return err
}

// String says in a line what is done to a picture.
func (d Description) String() string {
	s := d.InputColor + ", " + d.Resize
	if d.Resize == "letterbox" {
		s += fmt.Sprintf(" (pad %d, %s)", d.PadValue, d.PadPosition)
	}
	if slices.Equal(d.Mean, Numbers{0}) && slices.Equal(d.Scale, Numbers{1}) {
		return s + ", values 0..255"
	}
	return s + fmt.Sprintf(", (pixel − %s) / %s", d.Mean, d.Scale)
}

func (n Numbers) String() string {
	parts := make([]string, len(n))
	for i, f := range n {
		parts[i] = strconv.FormatFloat(f, 'g', -1, 64)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "[" + strings.Join(parts, " ") + "]"
}

// Flags are the flags that say the description, each with its value, as far as it differs from Default; Eval has none.
func (d Description) Flags() []string {
	usual := Default()
	var list []string
	say := func(key, value, unless string) {
		if value != unless {
			list = append(list, "--"+key, value)
		}
	}
	say("input-color", d.InputColor, usual.InputColor)
	say("resize", d.Resize, usual.Resize)
	say("pad-value", strconv.Itoa(d.PadValue), strconv.Itoa(usual.PadValue))
	say("pad-position", d.PadPosition, usual.PadPosition)
	say("mean", d.Mean.text(), usual.Mean.text())
	say("scale", d.Scale.text(), usual.Scale.text())
	say("layout", d.Layout, usual.Layout)
	for _, name := range slices.Sorted(maps.Keys(d.InputShape)) {
		text := d.InputShape[name]
		if name != "" {
			text = name + "=" + text
		}
		say("input-shape", text, "")
	}
	return list
}

// text writes numbers as --mean and --scale take them.
func (n Numbers) text() string {
	parts := make([]string, len(n))
	for i, v := range n {
		parts[i] = strconv.FormatFloat(v, 'g', -1, 64)
	}
	return strings.Join(parts, ",")
}
