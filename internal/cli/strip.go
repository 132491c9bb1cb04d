package cli

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/encodings"
	"quantcheck/internal/onnx"
	"quantcheck/internal/report"
	"quantcheck/internal/strip"
)

type stripCmd struct {
	Model            string `arg:"" help:"A quantized .onnx model: QDQ, QOperator, dynamically quantized, or with integer weights."`
	Output           string `short:"o" required:"" placeholder:"FLOAT.onnx" help:"Where the float twin goes."`
	Overwrite        bool   `help:"Let -o replace the model that is read, and its file of weights; nothing else that is read may be replaced."`
	Encodings        string `placeholder:"FILE" help:"Write the encodings that the model had as AIMET-style JSON, by the names of the twin, so that no range is lost."`
	EncodingsVersion string `default:"${encodings}" placeholder:"${encodings}" help:"Format of the encodings: ${encodings_versions}; 0.6.1 is SNPE's converters' (${default})."`
	JSON             bool   `name:"json" help:"Print what was done as JSON."`

	InputShape []string    `sep:"none" placeholder:"[NAME=]1,3,H,W" help:"Shape for an input with dynamic dimensions, for the trial run; repeatable."`
	Engine     engineFlags `embed:"" group:"Engine:"`
}

// Help documents the command.
func (stripCmd) Help() string {
	return "Writes the float twin of a quantized model: its quantizers are gone, its weights are the real numbers that their integers stand for. The twin is the reference that check needs where the original float model is lost. Its weights stay rounded as the quantized model has them, so a comparison of the two shows what the activations lose. The twin is loaded and run, and compared with the quantized model, before it is written."
}

func (c *stripCmd) places() places {
	return places{model: place{"MODEL", c.Model}, models: []place{{"-o", c.Output}}, files: []place{{"--encodings", c.Encodings}}, overwrite: c.Overwrite}
}

func (c *stripCmd) Run(con *console) error {
	switch {
	case !slices.Contains(encodings.Versions, c.EncodingsVersion):
		return usagef("--encodings-version %q: there are %s", c.EncodingsVersion, strings.Join(encodings.Versions, ", "))
	case !strings.EqualFold(filepath.Ext(c.Output), ".onnx"):
		return usagef("-o %s: the float model is an .onnx file", c.Output)
	}
	shapes, err := inputShapes(c.InputShape, c.Model)
	if err != nil {
		return err
	}
	if err := tryFiles(c.Output, c.Encodings); err != nil {
		return err
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return err
	}
	s, err := strip.Run(con.ctx, r, strip.Spec{Model: c.Model, Shapes: shapes})
	if err != nil {
		return err
	}
	var b atomicfile.Batch
	defer b.Discard()
	if err := onnx.SaveTo(&b, s.Model, c.Output); err != nil {
		return err
	}
	files := []string{c.Output}
	if c.Encodings != "" {
		data, err := encodings.Write(c.EncodingsVersion, s.Layers, &s.Variant)
		if err != nil {
			return err
		}
		if err := b.WriteBytes(c.Encodings, data); err != nil {
			return err
		}
		files = append(files, c.Encodings)
	}
	if err := b.Commit(); err != nil {
		return err
	}
	if c.JSON {
		return report.JSON(con.stdout.Data(), s)
	}
	c.draw(con.stdout, s)
	listFiles(con.stdout, "written", files)
	fmt.Fprintf(con.stdout, "next         quantcheck check %s --variant mine=%s --images PATH\n", report.Printable(c.Output), report.Printable(c.Model))
	return nil
}

func (c *stripCmd) draw(w io.Writer, s *strip.Result) {
	fmt.Fprintf(w, "%-12s %s\n", "was", s.Was)
	line := func(key, format string, args ...any) {
		fmt.Fprintf(w, "%-12s %s\n", key, report.Printable(fmt.Sprintf(format, args...)))
	}
	line("removed", "%d quantizers and %d dequantizers of activations", s.Report.Quantizers, s.Report.Dequantize)
	for _, op := range slices.Sorted(maps.Keys(s.Report.Operators)) {
		line("replaced", "%d %s by float operators", s.Report.Operators[op], op)
	}
	list := func(key, what string, names []string) {
		if len(names) == 0 {
			return
		}
		const most = 4
		text := fmt.Sprintf("%d %s: %s", len(names), what, strings.Join(names[:min(most, len(names))], ", "))
		if len(names) > most {
			text += fmt.Sprintf(", and %d more", len(names)-most)
		}
		line(key, "%s", text)
	}
	list("dequantized", "constants", s.Report.Weights)
	list("as they were", "constants, whose float values are in the file", s.Report.Kept)
	var clamps []string
	for _, cl := range s.Report.Clamps {
		clamps = append(clamps, cl.Op+" "+cl.Tensor)
	}
	list("put back", "activations that the ranges stood for", clamps)
	for i, st := range s.Report.Stays {
		const most = 8
		if i == most {
			line("", "and %d more (--json lists them)", len(s.Report.Stays)-most)
			break
		}
		line("stays", "%s (%s): %s", st.Node, st.Op, st.Reason)
	}
	for _, n := range s.Notes {
		line("note", "%s", n)
	}
	for _, o := range s.Outputs {
		line("output", "%s", o.String())
	}
	c.Engine.footer(w)
}
