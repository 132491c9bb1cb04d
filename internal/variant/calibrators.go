package variant

import (
	"fmt"
	"slices"
	"strings"
)

// Calibrator says how an observed distribution becomes a range.
type Calibrator string

// The calibrators, named as SNPE's quantizers are.
const (
	TF         Calibrator = "tf"
	Enhanced   Calibrator = "enhanced"
	Symmetric  Calibrator = "symmetric"
	Percentile Calibrator = "percentile"
	MSE        Calibrator = "mse"
	MSEOut     Calibrator = "mse-out"
)

// CalibratorInfo is all that is said of a calibrator anywhere: parsing, help and docs are made of it. What it computes is in
// the room calib.
type CalibratorInfo struct {
	Name Calibrator
	// Example is an argument as people write it behind a colon; "": the calibrator takes none.
	Example string
	// Histogram says that it looks at more than the least and the greatest value.
	Histogram bool
	Range     string // how it finds the range, as docs/quantization.md has it, in Markdown
}

// Calibrators lists them all; the first is the default.
var Calibrators = []CalibratorInfo{
	{Name: TF, Range: "least to greatest value"},
	{Name: Enhanced, Histogram: true, Range: "least rounding error + 3 · saturation error over AIMET's tf_enhanced grid"},
	{Name: Symmetric, Range: "least to greatest, symmetric"},
	{Name: Percentile, Example: "99.99", Histogram: true, Range: "(100 − P) % of the values cut off each end; weights keep their range"},
	{Name: MSE, Histogram: true, Range: "least mean squared error"},
	{Name: MSEOut, Histogram: true, Range: "least mean squared error of what follows: of f(x), where f is the activation function that reads the tensor (SiLU, Sigmoid, GELU, Mish, hard swish, in whichever operators they were exported); of x weighted by g², where it is multiplied by a gate g of −1 to 1 (Sigmoid, HardSigmoid, Tanh). Where neither is so, `mse`"},
}

// Info finds what is said of a calibrator; ok is false if there is no such.
func (c Calibrator) Info() (info CalibratorInfo, ok bool) {
	i := slices.IndexFunc(Calibrators, func(o CalibratorInfo) bool { return o.Name == c })
	if i < 0 {
		return CalibratorInfo{}, false
	}
	return Calibrators[i], true
}

// Written is the calibrator as an option of a recipe.
func (i CalibratorInfo) Written() string {
	if i.Example == "" {
		return string(i.Name)
	}
	return string(i.Name) + ":" + i.Example
}

// Markdown is the table of calibrators in docs/quantization.md.
func Markdown() string {
	var text strings.Builder
	text.WriteString("| word | range |\n|---|---|\n")
	for _, c := range Calibrators {
		word := string(c.Name)
		if c.Example != "" {
			word += ":" + strings.ToUpper(word[:1])
		}
		fmt.Fprintf(&text, "| `%s` | %s |\n", word, c.Range)
	}
	return text.String()
}
