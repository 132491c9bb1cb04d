package result

import (
	"fmt"
	"slices"
	"strings"
)

// NonFinite says where numbers that are NaN or infinite come from in the float model, so that nothing can be compared.
type NonFinite struct {
	Constants []NonFiniteConstant `json:"constants,omitempty"`
	Inputs    []NonFiniteInput    `json:"inputs,omitempty"`
	// Begins are the layers whose values are not all finite while those of all layers before them are, in graph order, on the first
	// such samples.
	Begins []NonFiniteLayer `json:"begins,omitempty"`
	// Samples are the numbers of the samples on which some layer has no value because of them.
	Samples []int `json:"samples,omitempty"`
}

// NonFiniteConstant is an initializer of the float model.
type NonFiniteConstant struct {
	Name     string `json:"name"`
	NaN      int    `json:"nan"`
	Infinite int    `json:"infinite"`
	Elements int    `json:"elements"`
}

// NonFiniteInput is an input of a sample.
type NonFiniteInput struct {
	Sample   int    `json:"sample"`
	Input    string `json:"input"`
	NaN      int    `json:"nan"`
	Infinite int    `json:"infinite"`
}

// NonFiniteLayer is where values that are not finite begin, on a sample.
type NonFiniteLayer struct {
	Layer    int `json:"layer"`
	Sample   int `json:"sample"`
	NaN      int `json:"nan"`
	Infinite int `json:"infinite"`
	// Input is the graph input that the values come from; "": the node's inputs are all finite, but for constants.
	Input string `json:"input,omitempty"`
}

// Sound is what Evaluation.Sound is, for a run of so many layers and samples.
func (n *NonFinite) Sound(layers, samples int) error {
	for _, in := range n.Inputs {
		if in.Sample < 0 || in.Sample >= samples {
			return fmt.Errorf("an input of sample %d, of %d", in.Sample, samples)
		}
	}
	for _, l := range n.Begins {
		if l.Sample < 0 || l.Sample >= samples || l.Layer < 0 || l.Layer >= layers {
			return fmt.Errorf("layer %d on sample %d, of %d and %d", l.Layer, l.Sample, layers, samples)
		}
	}
	for _, s := range n.Samples {
		if s < 0 || s >= samples {
			return fmt.Errorf("sample %d, of %d", s, samples)
		}
	}
	return nil
}

// Sentences say which constants and which samples hold NaN or infinite values, and where such values begin.
func (n *NonFinite) Sentences(run *Run) []string {
	if n == nil {
		return nil
	}
	var list []string
	const most = 4
	said := 0
	for _, c := range n.Constants {
		if said++; said <= most {
			list = append(list, fmt.Sprintf("The %s of the float model holds %s among its %d values.", Named("constant", c.Name), counts(c.NaN, c.Infinite), c.Elements))
		}
	}
	if said > most {
		list = append(list, fmt.Sprintf("So do %d more constants.", said-most))
	}
	said = 0
	for _, in := range n.Inputs {
		if said++; said <= most {
			list = append(list, fmt.Sprintf("The %s holds %s in the %s.", Named("sample", run.Samples[in.Sample].Name), counts(in.NaN, in.Infinite), Named("input", in.Input)))
		}
	}
	if said > most {
		list = append(list, fmt.Sprintf("So do %d more inputs of samples.", said-most))
	}
	return append(list, n.where(run)...)
}

// where says where values that are not finite begin, and how many samples cannot be compared for them.
func (n *NonFinite) where(run *Run) []string {
	var list []string
	if len(n.Begins) > 0 {
		first := n.Begins[0]
		l := run.Layers[first.Layer]
		from := "from inputs that are finite"
		if first.Input != "" {
			from = "from the " + Named("input", first.Input)
		}
		list = append(list, fmt.Sprintf("In the float model they begin at %s (%s, %s, number %d of %d): %s on the %s, %s.",
			l.Name, Named("node", l.Node), l.Op, first.Layer+1, len(run.Layers), counts(first.NaN, first.Infinite), Named("sample", run.Samples[first.Sample].Name), from))
	}
	if len(n.Samples) > 0 {
		list = append(list, fmt.Sprintf("%d of %d samples cannot be compared for that.", len(n.Samples), len(run.Samples)))
	}
	return list
}

// OfConstant says of a constant that holds NaN how many, where they begin in the float model, and what that costs.
func (n *NonFinite) OfConstant(c *NonFiniteConstant, run *Run) string {
	text := []string{fmt.Sprintf("the %s of the float model holds %s among its %d values, which no encoding holds", Named("constant", c.Name), counts(c.NaN, c.Infinite), c.Elements)}
	for _, s := range n.where(run) {
		text = append(text, strings.TrimSuffix(s, "."))
	}
	return strings.Join(text, ". ")
}

// Blamed says whether a constant holds NaN, so that a variant's causes name it.
func (n *NonFinite) Blamed() bool {
	return n != nil && slices.ContainsFunc(n.Constants, func(c NonFiniteConstant) bool { return c.NaN > 0 })
}

func counts(nan, infinite int) string {
	switch {
	case infinite == 0:
		return fmt.Sprintf("%d NaN", nan)
	case nan == 0 && infinite == 1:
		return "an infinite value"
	case nan == 0:
		return fmt.Sprintf("%d infinite values", infinite)
	}
	return fmt.Sprintf("%d NaN and %d infinite values", nan, infinite)
}
