package cli

import (
	"fmt"
	"path/filepath"
	"strings"

	"quantcheck/internal/encodings"
	"quantcheck/internal/inspect"
	"quantcheck/internal/model"
	"quantcheck/internal/report"
	"quantcheck/internal/session/encodingsvariant"
)

type diffCmd struct {
	Dlc     string `arg:"" help:"The DLC; or a float model, to hold encodings against it before any conversion."`
	Against string `arg:"" help:"What was asked for: encodings (.json or .encodings, AIMET 0.6.1, 1.0.0 or 2.0.0), a QDQ model (.onnx), or another DLC."`
	JSON    bool   `name:"json" help:"Print the differences as JSON."`
	All     bool   `help:"List equal encodings too, and every entry of a kind."`

	InputShape []string    `sep:"none" placeholder:"[NAME=]1,3,H,W" help:"Shape for an input of a float model with dynamic dimensions; repeatable."`
	Engine     engineFlags `embed:"" group:"Engine:"`
}

// Help documents the command.
func (diffCmd) Help() string {
	return "Says, tensor by tensor, whether an encoding survived the converter: equal, re-gridded, widened, narrowed, of another width or granularity, fallen back to float, missing, or extra. Steps are those of the encoding that was asked for. Of a float model and encodings it says what does not fit: entries that make no encoding or contradict themselves, names that the model does not have, lists of a wrong length or along a wrong axis, tensors that a device gives one encoding and the file several, and what has no entry; the status is 3 if an entry cannot be used or the model does not have its tensor."
}

func (c *diffCmd) Run(con *console) error {
	if strings.EqualFold(filepath.Ext(c.Dlc), ".onnx") {
		return c.fit(con)
	}
	list, err := inspect.DiffFiles(c.Dlc, c.Against)
	if err != nil {
		return err
	}
	if c.JSON {
		return report.JSON(con.stdout.Data(), append([]inspect.Difference{}, list...))
	}
	counts := map[inspect.Kind]int{}
	for _, d := range list {
		counts[d.Kind]++
	}
	for _, k := range inspect.Kinds {
		if counts[k] > 0 {
			fmt.Fprintf(con.stdout, "%6d  %s\n", counts[k], k)
		}
	}
	const most = 10
	shown := map[inspect.Kind]int{}
	for _, d := range list {
		if shown[d.Kind]++; !c.All && (d.Kind == inspect.Equal || shown[d.Kind] > most) {
			continue
		}
		name := d.Tensor
		if d.In != "" {
			name += " (" + d.In + ")"
		}
		fmt.Fprintf(con.stdout, "%-22s  %s: %s, %s", d.Kind, report.Short(name, 100), asked(d), held(d))
		if d.Steps > 0 {
			fmt.Fprintf(con.stdout, ", %.3g steps", d.Steps)
		}
		fmt.Fprintln(con.stdout)
	}
	return nil
}

func asked(d inspect.Difference) string {
	switch {
	case d.Kind == inspect.Extra:
		return "not asked for"
	case d.AskedFloat > 0:
		return fmt.Sprintf("asked float%d", d.AskedFloat)
	case d.Asked == nil:
		return "asked nothing"
	}
	return fmt.Sprintf("asked %d bit %.5g … %.5g", d.Asked.Bits, d.Asked.Min, d.Asked.Max)
}

func held(d inspect.Difference) string {
	switch {
	case d.Kind == inspect.Missing:
		return "not in the DLC"
	case d.HeldFloat > 0:
		return fmt.Sprintf("holds float%d", d.HeldFloat)
	case d.Held == nil:
		return "holds no encoding"
	}
	return fmt.Sprintf("holds %d bit %.5g … %.5g", d.Held.Bits, d.Held.Min, d.Held.Max)
}

// fit holds encodings against a float model.
func (c *diffCmd) fit(con *console) error {
	input, err := (&inputFlags{InputShape: c.InputShape}).description(c.Dlc)
	if err != nil {
		return err
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return err
	}
	float, err := model.Open(con.ctx, r, c.Dlc, input, model.Options{Quantized: model.Twin})
	if err != nil {
		return err
	}
	f, err := inspect.ReadEncodings(c.Against, encodingsvariant.Tensors(float))
	if err != nil {
		return usageError{err}
	}
	list := encodings.Fit(f, encodingsvariant.Ground(float, f))
	counts := map[encodings.MisfitKind]int{}
	wrong := false
	for _, m := range list {
		counts[m.Kind]++
		wrong = wrong || m.Kind.Refused() || m.Kind == encodings.Unknown || m.Kind == encodings.WrongSection
	}
	if c.JSON {
		if err := report.JSON(con.stdout.Data(), map[string]any{"version": f.Version, "entries": len(f.Tensors), "misfits": append([]encodings.Misfit{}, list...)}); err != nil {
			return err
		}
	} else {
		c.drawFit(con, f, list, counts)
	}
	if wrong {
		return errNo
	}
	return nil
}

func (c *diffCmd) drawFit(con *console, f *encodings.File, list []encodings.Misfit, counts map[encodings.MisfitKind]int) {
	version := ""
	if f.Version != "" {
		version = ", version " + f.Version
	}
	fmt.Fprintf(con.stdout, "%6d  entries%s\n", len(f.Tensors), version)
	for _, k := range encodings.MisfitKinds {
		if counts[k] > 0 {
			fmt.Fprintf(con.stdout, "%6d  %s\n", counts[k], k)
		}
	}
	const most = 10
	shown := map[encodings.MisfitKind]int{}
	for _, m := range list {
		if shown[m.Kind]++; !c.All && shown[m.Kind] > most {
			continue
		}
		place := ""
		if m.Line > 0 {
			place = fmt.Sprintf(" (line %d)", m.Line)
		}
		fmt.Fprintf(con.stdout, "%-22s  %s%s: %s\n", m.Kind, report.Short(m.Tensor, 100), place, report.Printable(m.Text))
	}
	if len(list) == 0 {
		fmt.Fprintln(con.stdout, "all fit the model, and it needs no others")
	}
}
