package cli

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/encodings"
	"quantcheck/internal/onnx"
	"quantcheck/internal/quantize"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

type quantizeCmd struct {
	Model   string `arg:"" help:"The float model, an .onnx file."`
	Calib   string `aliases:"images" required:"" placeholder:"PATH" help:"Samples that calibrate: a picture, a folder, a text file that names them, .npy or .raw files, an SNPE input list."`
	Limit   int    `placeholder:"N" help:"Take the first N samples."`
	Variant string `default:"w8a8" placeholder:"SPEC" help:"The recipe, as for check (w8a8); or NAME=x.encodings (.json too), encodings that are written as they are, NAME=encodings:FILE those of a QDQ model or a DLC."`

	Heal bool `help:"Fit weights and biases to what the float model gives for the inputs that the quantized one has: as heal in the recipe."`

	Output           string `short:"o" required:"" placeholder:"OUT.onnx" help:"Where the quantized model goes, as QDQ ONNX."`
	Overwrite        bool   `help:"Let -o replace the model that is read, and its file of weights; nothing else that is read may be replaced."`
	Encodings        string `placeholder:"FILE" help:"Write the encodings as AIMET-style JSON, for --quantization_overrides."`
	EncodingsVersion string `default:"${encodings}" placeholder:"${encodings}" help:"Format of the encodings: ${encodings_versions}; 0.6.1 is SNPE's converters' (${default})."`
	HealedFloat      string `placeholder:"FLOAT.onnx" help:"With --heal: write the float model with the healed weights, which lie on the grids of the encodings, so that a converter that is given both moves none."`
	Dlc              string `placeholder:"OUT.dlc" help:"Write a DLC with the model's own names, through Qualcomm's public libraries. No board has run such a DLC yet; the emulator does."`

	Input  inputFlags  `embed:"" group:"Input:"`
	Engine engineFlags `embed:"" group:"Engine:"`
}

// Help documents the command.
func (quantizeCmd) Help() string {
	return "Calibrates a recipe and writes the model as a device runs it: a QuantizeLinear/DequantizeLinear pair behind every tensor that is quantized, the weights as integers."
}

func (c *quantizeCmd) places() places {
	return places{
		model: place{"MODEL", c.Model}, samples: []place{{"--calib", c.Calib}}, reads: append(variantFiles([]string{c.Variant}), place{"--model-config", c.Input.ModelConfig}),
		models: []place{{"-o", c.Output}, {"--healed-float", c.HealedFloat}}, files: []place{{"--encodings", c.Encodings}, {"--dlc", c.Dlc}}, overwrite: c.Overwrite,
	}
}

func (c *quantizeCmd) Run(con *console) error {
	input, err := c.Input.description(c.Model)
	if err != nil {
		return err
	}
	memory, err := c.Engine.memoryMiB()
	if err != nil {
		return err
	}
	switch {
	case c.Limit < 0:
		return usagef("--limit %d: a number of samples is not negative", c.Limit)
	case !slices.Contains(encodings.Versions, c.EncodingsVersion):
		return usagef("--encodings-version %q: there are %s", c.EncodingsVersion, strings.Join(encodings.Versions, ", "))
	case !strings.EqualFold(filepath.Ext(c.Output), ".onnx"):
		return usagef("-o %s: the quantized model is an .onnx file", c.Output)
	case c.HealedFloat != "" && !strings.EqualFold(filepath.Ext(c.HealedFloat), ".onnx"):
		return usagef("--healed-float %s: the float model is an .onnx file", c.HealedFloat)
	case c.Dlc != "" && !strings.EqualFold(filepath.Ext(c.Dlc), ".dlc"):
		return usagef("--dlc %s: a DLC ends in .dlc", c.Dlc)
	}
	if err := tryFiles(c.Output, c.HealedFloat, c.Encodings, c.Dlc); err != nil {
		return err
	}
	if c.Variant, err = c.recipe(); err != nil {
		return err
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return err
	}
	spec := quantize.Spec{
		Model: c.Model, Name: workspace.ModelName("", c.Model), Calib: c.Calib, Limit: c.Limit, Recipe: c.Variant, Input: input, MemoryMiB: memory, DLC: c.Dlc != "",
	}
	progress := newProgress(con.stderr)
	defer progress.clear()
	q, err := quantize.Run(con.ctx, rvc4.engines(r), spec, progress)
	if err != nil {
		return err
	}
	files, err := c.write(q)
	if err != nil {
		return err
	}
	progress.clear()
	c.draw(con.stdout, q, files)
	return nil
}

// recipe is the variant, healed if that is asked for.
func (c *quantizeCmd) recipe() (string, error) {
	v, err := variant.Parse(c.Variant)
	if err != nil {
		return "", usage.Mark(err)
	}
	if c.Heal && v.Kind == variant.Recipe && !v.Heal {
		v.Heal = true
		c.Variant = v.Text()
	}
	switch {
	case c.Heal && !v.Heal:
		return "", usagef("--heal: %s is no recipe; weights are healed where they are calibrated, as with --variant w4a16", c.Variant)
	case c.HealedFloat != "" && !v.Heal:
		return "", usagef("--healed-float writes weights that were healed: add --heal")
	}
	return c.Variant, nil
}

// write writes what was asked for, and gives the paths.
func (c *quantizeCmd) write(q *quantize.Result) ([]string, error) {
	var b atomicfile.Batch
	defer b.Discard()
	if err := onnx.SaveTo(&b, q.Model, c.Output); err != nil {
		return nil, err
	}
	files := []string{c.Output}
	if c.HealedFloat != "" {
		if err := onnx.SaveTo(&b, q.Float, c.HealedFloat); err != nil {
			return nil, err
		}
		files = append(files, c.HealedFloat)
	}
	if c.Encodings != "" {
		data, err := encodings.Write(c.EncodingsVersion, q.Run.Layers, &q.Run.Variants[0])
		if err != nil {
			return nil, err
		}
		if err := b.WriteBytes(c.Encodings, data); err != nil {
			return nil, err
		}
		files = append(files, c.Encodings)
	}
	if c.Dlc != "" {
		if err := b.WriteBytes(c.Dlc, q.DLC); err != nil {
			return nil, err
		}
		files = append(files, c.Dlc)
	}
	return files, b.Commit()
}

func (c *quantizeCmd) draw(w io.Writer, q *quantize.Result, files []string) {
	v := &q.Run.Variants[0]
	fmt.Fprintf(w, "%s: %s\n", c.Variant, report.Describe(v.Spec))
	fmt.Fprintf(w, "%d samples calibrated; %d of %d layers have an encoding, %d are fused, %d stay float; %d constants are quantized.\n", len(q.Run.Calibration),
		v.Counts[result.Compared], len(v.Layers), v.Counts[result.Fused], v.Counts[result.NotQuantized], len(v.Params))
	for _, line := range report.Healed(v) {
		fmt.Fprintln(w, line)
	}
	const most = 5
	without := q.Unencoded()
	for i, name := range without {
		if i == most {
			fmt.Fprintf(w, "  and %d more\n", len(without)-most)
			break
		}
		fmt.Fprintf(w, "  without one: %s\n", report.Printable(name))
	}
	for _, n := range q.Run.Warnings {
		fmt.Fprintf(w, "note         %s\n", report.Printable(n))
	}
	c.Engine.footer(w)
	listFiles(w, "written", files)
	if c.Encodings != "" && c.EncodingsVersion == "0.6.1" {
		fmt.Fprintf(w, "next         snpe-onnx-to-dlc -i %s --quantization_overrides %s, then snpe-dlc-quant --override_params\n", report.Printable(cmp.Or(c.HealedFloat, c.Model)), report.Printable(c.Encodings))
	}
}
