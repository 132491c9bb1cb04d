// Package variant is the little language in which people say how a model is to be quantized: w8a8, fp16,
// w4a16,per-tensor,percentile:99.99, or NAME=file.onnx; @htp behind it runs it on the HTP's emulator. NAME=x.encodings quantizes the float
// model with the encodings of a file. NAME=M.dlc@htp runs a
// DLC as it is; NAME=dumps:DIR@M.dlc compares what a DLC computed elsewhere, NAME=device:TARGET@M.dlc what it computes on a device.
package variant

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/modelfile"
	"quantcheck/internal/terminal"
)

// Kind says what a variant is made from.
type Kind string

// A variant is made by quantizing the float model by a recipe or with ready encodings, by rounding it to half precision, is a ready QDQ model
// or DLC, or was run elsewhere.
const (
	Recipe Kind = "recipe"
	Half   Kind = "fp16"
	File   Kind = "file"
	// Encodings quantizes the float model with the encodings of a file: AIMET's JSON, or those that a QDQ model or a DLC holds.
	Encodings Kind = "encodings"
	DLC       Kind = "dlc"    // as a converter wrote it, on the emulator
	Dumps     Kind = "dumps"  // tensors that a DLC computed elsewhere, in a folder
	Device    Kind = "device" // a DLC on a device
)

// Spec is a parsed variant.
type Spec struct {
	Name       string     `json:"name"` // as files and tables call it
	Kind       Kind       `json:"kind"`
	Engine     Engine     `json:"engine,omitempty"`
	WeightBits int        `json:"weight_bits,omitempty"`
	ActBits    int        `json:"act_bits,omitempty"`
	PerChannel bool       `json:"per_channel,omitempty"`
	Calibrator Calibrator `json:"calibrator,omitempty"`
	Percentile float64    `json:"percentile,omitempty"`
	BiasBits   int        `json:"bias_bits,omitempty"`
	File       string     `json:"file,omitempty"`   // of a ready model or a DLC, or the DLC of dumps or of a device
	Dir        string     `json:"dir,omitempty"`    // of dumps
	Target     string     `json:"target,omitempty"` // the device, as dial.Parse reads it
	// SmallBits8 gives weights of at most so many values 8 bits, if WeightBits is less; 0: none.
	SmallBits8 int `json:"small_bits8,omitempty"`
	// Heal has weights and biases fitted to what the float model gives for the inputs that the quantized one has.
	Heal bool `json:"heal,omitempty"`
	// Choices are the activations that differ from the recipe; Name does not tell of them.
	Choices Choices `json:"choices,omitempty"`
}

// OfDLC reports whether the variant's File is a DLC, run as it is here or elsewhere.
func (s Spec) OfDLC() bool { return s.Kind == DLC || s.Elsewhere() }

// Elsewhere reports whether the variant's tensors come from elsewhere.
func (s Spec) Elsewhere() bool { return s.Kind == Dumps || s.Kind == Device }

// Error says where a variant could not be parsed.
type Error struct {
	Text    string
	At      int // byte offset into Text
	Message string
}

// Error shows the text with a caret under the place.
func (e *Error) Error() string {
	return fmt.Sprintf("variant: %s\n%s", e.Message, terminal.At(e.Text, e.At))
}

const (
	dumpsPrefix  = "dumps:"
	devicePrefix = "device:"
	// encodingsPrefix takes the encodings of a file that could be run as it is, too.
	encodingsPrefix = "encodings:"
)

const grammar = "a variant is w{4|8|16}a{8|16} or fp16, with options after commas, or NAME=file.onnx, or NAME=x.encodings, or NAME=MODEL.dlc@htp, or NAME=dumps:FOLDER@MODEL.dlc; @htp behind it runs it on the emulator"

// Parse reads one variant. The error is an *Error.
func Parse(text string) (Spec, error) {
	base, engine := text, CPU
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		name := text[at+1:]
		if found, ok := engineOf(name); ok {
			base, engine = text[:at], found
		} else if !strings.Contains(text, "=") { // a file's name may hold an @
			return Spec{}, &Error{Text: text, At: at, Message: fmt.Sprintf("there is no engine %q; there are %s", name, enginesText())}
		}
	}
	s, err := parse(base)
	var e *Error
	if errors.As(err, &e) {
		e.Text = text
	}
	if err == nil && s.Elsewhere() && engine != CPU {
		return Spec{}, &Error{Text: text, At: len(base), Message: string(s.Kind) + " is computed elsewhere: it runs on no engine"}
	}
	if err == nil && s.Kind == DLC && engine != HTP {
		return Spec{}, &Error{Text: text, At: len(base), Message: "a DLC runs on the emulator only: write NAME=MODEL.dlc@htp (NAME=encodings:MODEL.dlc simulates its encodings, raw outputs of a board are NAME=dumps:FOLDER@MODEL.dlc)"}
	}
	if s.Engine = engine; engine != CPU {
		s.Name += "@" + string(engine)
	}
	return s, err
}

func parse(text string) (Spec, error) {
	fail := func(at int, format string, args ...any) (Spec, error) {
		return Spec{}, &Error{Text: text, At: at, Message: fmt.Sprintf(format, args...)}
	}
	if name, file, ok := strings.Cut(text, "="); ok {
		switch {
		case name == "":
			return fail(0, "a name is missing before '='")
		case name != Clean(name):
			return fail(badByte(name), "a name has letters, digits, '.', '_' and '-' only")
		case file == "":
			return fail(len(text), "a file is missing after '='")
		case strings.HasPrefix(file, dumpsPrefix):
			at := strings.LastIndexByte(file, '@')
			if at <= len(dumpsPrefix) || at == len(file)-1 {
				return fail(len(name)+1, "dumps are written dumps:FOLDER@MODEL.dlc: the folder of raw outputs, and the DLC that made them")
			}
			return Spec{Name: name, Kind: Dumps, Dir: file[len(dumpsPrefix):at], File: file[at+1:]}, nil
		case strings.HasPrefix(file, devicePrefix):
			at := strings.LastIndexByte(file, '@')
			if at <= len(devicePrefix) || at == len(file)-1 {
				return fail(len(name)+1, "a device is written device:TARGET@MODEL.dlc")
			}
			return Spec{Name: name, Kind: Device, Target: file[len(devicePrefix):at], File: file[at+1:]}, nil
		case strings.HasPrefix(file, encodingsPrefix):
			if file = file[len(encodingsPrefix):]; file == "" {
				return fail(len(text), "encodings are written encodings:FILE, a .json or .encodings of AIMET, a QDQ model or a DLC")
			}
			return Spec{Name: name, Kind: Encodings, File: file}, nil
		case modelfile.IsEncodings(file):
			return Spec{Name: name, Kind: Encodings, File: file}, nil
		case strings.EqualFold(filepath.Ext(file), ".dlc"):
			return Spec{Name: name, Kind: DLC, File: file}, nil
		case !modelfile.Is(file):
			return fail(len(name)+1, "a ready model is a file that ends in %s, or a .dlc on the emulator; encodings are a .json or an .encodings file", modelfile.Endings())
		}
		return Spec{Name: name, Kind: File, File: file}, nil
	}
	head, rest, more := strings.Cut(text, ",")
	if head == "fp16" {
		if more {
			return fail(len(head), "fp16 has no options")
		}
		return Spec{Name: "fp16", Kind: Half}, nil
	}
	s := Spec{Kind: Recipe, PerChannel: true, Calibrator: TF, BiasBits: 32}
	at := 0
	var ok bool
	if s.WeightBits, at, ok = width(head, at, 'w', 4, 8, 16); !ok {
		return fail(at, "%s", grammar)
	}
	if s.ActBits, at, ok = width(head, at, 'a', 8, 16); !ok {
		return fail(at, "%s", grammar)
	}
	if at != len(head) {
		return fail(at, "unexpected %q; options follow after a comma", head[at:])
	}
	used := map[string]string{}
	for at++; more; at += len(head) + 1 {
		head, rest, more = strings.Cut(rest, ",")
		word, argument, hasArgument := strings.Cut(head, ":")
		o, group, known := findOption(word)
		if !known {
			return fail(at, "unknown option %q; there are %s", head, strings.Join(Options(), ", "))
		}
		if before, twice := used[group]; twice {
			return fail(at, "%q contradicts %q", head, before)
		}
		used[group] = head
		o.set(&s)
		switch {
		case word == "percentile":
			p, err := strconv.ParseFloat(argument, 64)
			if err != nil || !(p >= 50 && p <= 100) {
				return fail(at+min(len("percentile:"), len(head)), "a percentile is a number from 50 to 100, such as percentile:99.99")
			}
			s.Percentile = p
		case word == small8:
			n, err := strconv.Atoi(argument)
			if err != nil || n < 1 {
				return fail(at+min(len(word)+1, len(head)), "%s takes a number of weights, such as %s:16384", small8, small8)
			}
			s.SmallBits8 = n
		case hasArgument:
			return fail(at+len(word), "%s takes no value", word)
		}
	}
	s.Name = s.canonical()
	return s, nil
}

func width(text string, at int, letter byte, allowed ...int) (bits, end int, ok bool) {
	if at >= len(text) || text[at] != letter {
		return 0, at, false
	}
	end = at + 1
	for end < len(text) && text[end] >= '0' && text[end] <= '9' {
		end++
	}
	bits, err := strconv.Atoi(text[at+1 : end])
	if err != nil || !slices.Contains(allowed, bits) {
		return 0, at + 1, false
	}
	return bits, end, true
}

// canonical names a recipe by its widths and by the options that are not defaults.
func (s Spec) canonical() string { return s.recipe("-", "") }

// recipe writes widths and the options that are not defaults, separated by sep; mark stands before an option's argument.
func (s Spec) recipe(sep, mark string) string {
	text := fmt.Sprintf("w%da%d", s.WeightBits, s.ActBits)
	if !s.PerChannel {
		text += sep + "per-tensor"
	}
	switch s.Calibrator {
	case TF:
	case Percentile:
		text += sep + "percentile" + mark + strconv.FormatFloat(s.Percentile, 'f', -1, 64)
	default:
		text += sep + string(s.Calibrator)
	}
	if s.BiasBits != 32 {
		text += fmt.Sprintf("%sbias%d", sep, s.BiasBits)
	}
	if s.SmallBits8 > 0 {
		text += sep + small8 + cmp.Or(mark, "-") + strconv.Itoa(s.SmallBits8)
	}
	if s.Heal {
		text += sep + heal
	}
	return text
}

// BitsOf is the width of a weight of so many values.
func (s Spec) BitsOf(values int) int {
	if values <= s.SmallBits8 {
		return max(s.WeightBits, 8)
	}
	return s.WeightBits
}

// Usual is the recipe that is taken where a float model is to be quantized and none is named: w8a8.
func Usual() Spec {
	v, err := Parse("w8a8")
	if err != nil {
		panic(err) // it is in the language
	}
	return v
}

// ParseAll reads the variants of one run; names must differ.
func ParseAll(texts []string) ([]Spec, error) {
	var specs []Spec
	for _, text := range texts {
		s, err := Parse(text)
		if err != nil {
			return nil, err
		}
		for _, other := range specs {
			if other.Name == s.Name {
				return nil, &Error{Text: text, Message: fmt.Sprintf("there are two variants of the name %q", s.Name)}
			}
		}
		specs = append(specs, s)
	}
	return specs, nil
}

// Clean replaces what does not belong into a file name.
func Clean(name string) string {
	return strings.Map(func(r rune) rune {
		if plain(r) {
			return r
		}
		return '_'
	}, name)
}

func plain(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-'
}

func badByte(name string) int {
	return max(strings.IndexFunc(name, func(r rune) bool { return !plain(r) }), 0)
}

// Text writes a recipe or half precision as Parse reads it; "" for a variant that is a file or a device.
func (s Spec) Text() string {
	var text string
	switch s.Kind {
	case Half:
		text = "fp16"
	case Recipe:
		text = s.recipe(",", ":")
	default:
		return ""
	}
	if s.Engine != CPU {
		text += "@" + string(s.Engine)
	}
	return text
}
