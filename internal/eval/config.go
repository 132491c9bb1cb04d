package eval

import (
	"errors"
	"fmt"
	"strings"

	"quantcheck/internal/dataset"
	"quantcheck/internal/decode"
	"quantcheck/internal/result"
	"quantcheck/internal/yamltext"
)

// Config says how a model's outputs are read and scored: the block eval of the YAML file beside the model.
type Config struct {
	Task    result.Task `yaml:"task"`
	Decoder string      `yaml:"decoder"` // of a detector; "": recognised
	// Classes are the model's class names, in the order of its outputs.
	Classes []string `yaml:"classes"`
	// ModelNames are the names in the model's metadata; they stand behind Classes.
	ModelNames []string `yaml:"-"`
	// Decode are the settings of a detector; what is left out is that of scoring.
	Decode decode.Settings `yaml:"decode"`
	// Output is the output that a segmentation, depth or classification model is read from; "": recognised.
	Output string `yaml:"output"`
	// Threshold divides the values of a segmentation with one channel.
	Threshold float64 `yaml:"threshold"`
	// Ignore is the value of the truth that counts for nothing (255).
	Ignore int `yaml:"ignore"`
	// DepthScale: truth in a picture, divided by it, is in the model's unit (1). DepthAlign "median" scales each
	// prediction to the truth's median first, for models of relative depth.
	DepthScale float64 `yaml:"depth-scale"`
	DepthAlign string  `yaml:"depth-align"`
	// ClassOffset is added to the truth's classes: 1 for models with a background class in front.
	ClassOffset int `yaml:"class-offset"`
}

// Usual is what holds where nothing is said.
func Usual() Config {
	return Config{Threshold: 0.5, Ignore: 255, DepthScale: 1, Decode: decode.ScoringSettings()}
}

// ReadConfig reads the block over the usual.
func ReadConfig(b dataset.Block) (c Config, err error) {
	c = Usual()
	if strings.TrimSpace(string(b)) == "" {
		return c, nil
	}
	if err := yamltext.Unmarshal([]byte(b), &c, true); err != nil {
		return c, fmt.Errorf("eval: %w", err)
	}
	return c, c.Check()
}

// Check says what is wrong.
func (c Config) Check() error {
	known := c.Task == ""
	for _, t := range result.Tasks {
		known = known || c.Task == t
	}
	switch {
	case !known:
		return fmt.Errorf("task %q; there are %v", c.Task, result.Tasks)
	case c.Classes != nil && len(c.Classes) == 0:
		return errors.New("classes is empty: name the model's classes, or leave the key out")
	case c.Threshold-c.Threshold != 0:
		return errors.New("the threshold is no number")
	case !(c.DepthScale > 0):
		return fmt.Errorf("depth-scale %g is not positive", c.DepthScale)
	case c.DepthAlign != "" && c.DepthAlign != "none" && c.DepthAlign != "median":
		return fmt.Errorf("depth-align %q; it can be none or median", c.DepthAlign)
	case c.ClassOffset < -1000 || c.ClassOffset > 1000:
		return fmt.Errorf("class-offset %d", c.ClassOffset)
	}
	return nil
}

// pick finds the output that is read: the one that was named, else the first that fits.
func (c Config) pick(outs []decode.Output, what string, fits func(shape []int64) bool) (int, error) {
	var names []string
	for i, o := range outs {
		if c.Output != "" && o.Name == c.Output || c.Output == "" && fits(o.Tensor.Shape) {
			return i, nil
		}
		names = append(names, fmt.Sprintf("%s %v", o.Name, o.Tensor.Shape))
	}
	if c.Output != "" {
		return 0, fmt.Errorf("the model has no output %q; there are %s", c.Output, strings.Join(names, ", "))
	}
	return 0, fmt.Errorf("none of the outputs is %s: %s; name it in the model's YAML (eval: output: NAME)", what, strings.Join(names, ", "))
}
