package cli

import (
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/report"
	"quantcheck/internal/seedfiles"
	"quantcheck/internal/workspace"
)

type infoCmd struct {
	Model  string `arg:"" help:"A DLC, or an ONNX model, float or QDQ."`
	JSON   bool   `name:"json" help:"Print everything as JSON."`
	Layers bool   `help:"List the layers."`
	Write  string `placeholder:"DIR" help:"Write the seed tool's files of a DLC into a workspace, models_dlc/<name>/{info.json,graph_config.json,dlc-info-graph.txt}, and note the model in its database for quantcheck layers."`
	Name   string `help:"Name of the model in the workspace (the file's name)."`

	Wait waitFlags `embed:""`

	InputShape []string    `sep:"none" placeholder:"[NAME=]1,3,H,W" help:"Shape for an ONNX input with dynamic dimensions; repeatable."`
	Engine     engineFlags `embed:"" group:"Engine (ONNX only):"`
}

// Help documents the command.
func (infoCmd) Help() string {
	return "Shows what a model file holds: which converter and quantizer made it and how, inputs and outputs with their encodings, layers, parameters, multiply-adds. A DLC is read natively, without any SDK, its weights are not loaded."
}

func (c *infoCmd) places() places {
	p := places{model: place{"MODEL", c.Model}, folders: []place{{"--write", c.Write}}}
	if c.Write != "" {
		name := workspace.ModelName(c.Name, c.Model)
		for _, path := range seedfiles.SeedFiles(workspace.Folder(c.Write).ModelDLC(name)) {
			p.files = append(p.files, place{"--write", path})
		}
	}
	return p
}

func (c *infoCmd) Run(con *console) error {
	v, err := c.view(con)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = report.JSON(con.stdout.Data(), v)
	default:
		drawInfo(con.stdout, v)
		c.Engine.footer(con.stdout)
		if c.Layers {
			drawLayers(con.stdout, v)
		}
	}
	if err != nil || c.Write == "" {
		return err
	}
	written, err := c.claimed(con, v)
	if !c.JSON {
		for _, path := range written {
			fmt.Fprintf(con.stdout, "%-14s %s\n", "written", report.Printable(path))
		}
	}
	return err
}

// claimed stores the view under its name.
func (c *infoCmd) claimed(con *console, v *inspect.View) (written []string, err error) {
	folder, name := workspace.Folder(c.Write), workspace.ModelName(c.Name, c.Model)
	claimed, err := con.begin(folder, c.Wait.NoWait, []string{name}, filepath.Join(folder.ModelDLC(name), "info.json"))
	if err != nil {
		return nil, err
	}
	defer claimed.Release()
	err = con.results(folder, func() error {
		written, err = c.store(con, v)
		return err
	})
	return written, err
}

// store puts the view into the workspace's database, behind the files of a DLC.
func (c *infoCmd) store(con *console, v *inspect.View) (written []string, err error) {
	folder := workspace.Folder(c.Write)
	name := workspace.ModelName(c.Name, c.Model)
	if inspect.IsDLC(c.Model) {
		if _, err := inspect.ViewDLC(c.Model, func(v *inspect.View, f *dlc.File) error {
			written, err = seedfiles.WriteSeedFiles(folder.ModelDLC(name), name, v, f, nil)
			return err
		}); err != nil {
			return written, err
		}
	}
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return written, err
	}
	defer db.Close()
	return append(written, folder.Database()), db.Models.Put(con.ctx, v.File(name, time.Now()))
}

func (c *infoCmd) view(con *console) (*inspect.View, error) {
	switch {
	case inspect.IsDLC(c.Model):
		return inspect.ViewDLC(c.Model, nil)
	case modelfile.Is(c.Model):
		shapes, err := inputShapes(c.InputShape, c.Model)
		if err != nil {
			return nil, err
		}
		r, err := c.Engine.open(con)
		if err != nil {
			return nil, err
		}
		return inspect.ViewONNX(con.ctx, r, c.Model, shapes)
	}
	return nil, usagef("%s is neither a .dlc nor a model (%s) nor a listing of snpe-dlc-info", c.Model, modelfile.Endings())
}

func drawInfo(w io.Writer, v *inspect.View) {
	line := func(key, format string, args ...any) {
		fmt.Fprintf(w, "%-14s %s\n", key, report.Printable(fmt.Sprintf(format, args...)))
	}
	line("model", "%s (%s, graph %s)", v.Path, v.Format, v.Graph)
	if v.Converter != "" {
		line("converter", "%s %s", report.Short(v.Converter, 160), v.Version)
	}
	if !strings.HasPrefix(v.Format, "ONNX") {
		quantizer := "none: a float model"
		if v.Quantizer != "" {
			quantizer = report.Short(v.Quantizer, 80)
		} else if v.Encoded > 0 {
			quantizer = "not named in the metadata"
		}
		line("quantizer", "%s", quantizer)
		for _, key := range slices.Sorted(maps.Keys(v.Settings)) {
			line("", "%s=%s", key, v.Settings[key])
		}
	}
	if v.Quantized != "" {
		line("quantized", "%s; quantcheck strip %s -o FLOAT.onnx writes the float twin", v.Quantized, v.Path)
	}
	for _, t := range v.Inputs {
		line("input", "%s %s %v%s", t.Name, t.DType, t.Shape, encodingText(t.Encoding))
	}
	for _, t := range v.Outputs {
		line("output", "%s %s %v%s", t.Name, t.DType, t.Shape, encodingText(t.Encoding))
	}
	macs := "an unknown number of"
	if v.MACs >= 0 {
		macs = fmt.Sprintf("%.2f M", float64(v.MACs)/1e6)
	}
	parameters := "an unknown number of"
	if v.Parameters >= 0 {
		parameters = strconv.FormatInt(v.Parameters, 10)
	}
	line("layers", "%d; %s parameters; %s multiply-adds; %.1f MiB of weights and live activations", len(v.Layers), parameters, macs, float64(v.Memory)/(1<<20))
	line("operators", "%s", counted(v.Operators))
	line("precision", "%s", counted(v.Precision))
	if v.Encoded > 0 {
		line("encodings", "%d tensors have one, %d have none", v.Encoded, len(v.Unencoded))
		for i, name := range v.Unencoded {
			if i == 5 {
				line("", "and %d more without one", len(v.Unencoded)-i)
				break
			}
			line("", "none: %s", name)
		}
	}
	for _, c := range v.Caches {
		line("cache", "%s", c)
	}
	for _, n := range v.Notes {
		line("note", "%s", n)
	}
}

func encodingText(e *inspect.Encoding) string {
	switch {
	case e == nil:
		return ""
	case e.Channels > 0:
		return fmt.Sprintf(", %d bit, %d encodings along axis %d", e.Bits, e.Channels, e.Axis)
	}
	return fmt.Sprintf(", %d bit, scale %.6g, offset %d, %.6g … %.6g", e.Bits, e.Scale, e.Offset, e.Min, e.Max)
}

func counted(m map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return m[b] - m[a]
		}
		return strings.Compare(a, b)
	})
	var list []string
	for _, k := range keys {
		list = append(list, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(list, ", ")
}

func drawLayers(w io.Writer, v *inspect.View) {
	t := report.NewTable(w)
	t.AppendHeader(table.Row{"", "layer", "op", "output", "type", "encoding", "MACs", "parameters"})
	for i, l := range v.Layers {
		row := table.Row{i + 1, report.Short(l.Name, 48), l.Op, "", "", "", l.MACs, l.Parameters}
		if len(l.Outputs) > 0 {
			o := l.Outputs[0]
			row[3], row[4], row[5] = fmt.Sprint(o.Shape), o.DType, strings.TrimPrefix(encodingText(o.Encoding), ", ")
		}
		t.AppendRow(row)
	}
	t.Render()
}
