package cli

import (
	"fmt"

	"quantcheck/internal/inspect"
	"quantcheck/internal/quant"
	"quantcheck/internal/report"
)

type diffCmd struct {
	Dlc     string `arg:"" help:"The DLC."`
	Against string `arg:"" help:"What was asked for: encodings (.json, AIMET 0.6.1, 1.0.0 or 2.0.0), a QDQ model (.onnx), or another DLC."`
	JSON    bool   `name:"json" help:"Print the differences as JSON."`
	All     bool   `help:"List equal encodings too, and every extra one."`
}

// Help documents the command.
func (diffCmd) Help() string {
	return "Says, tensor by tensor, whether an encoding survived the converter: equal, re-gridded, widened, narrowed, of another width or granularity, fallen back to float, missing, or extra. Steps are those of the encoding that was asked for."
}

func (c *diffCmd) Run(con *console) error {
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
		fmt.Fprintf(con.stdout, "%-22s  %s: asked %s, holds %s", d.Kind, report.Short(name, 100), encodingShort(d.Asked), encodingShort(d.Held))
		if d.Steps > 0 {
			fmt.Fprintf(con.stdout, ", %.3g steps", d.Steps)
		}
		fmt.Fprintln(con.stdout)
	}
	return nil
}

func encodingShort(e *quant.Encoding) string {
	if e == nil {
		return "none"
	}
	return fmt.Sprintf("%d bit %.5g … %.5g", e.Bits, e.Min, e.Max)
}
