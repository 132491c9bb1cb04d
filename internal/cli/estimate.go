package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quantcheck/internal/dataset"
	"quantcheck/internal/estimate"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/inspect"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

type estimateCmd struct {
	Model    string        `arg:"" help:"A model (.onnx, float or QDQ), a DLC (.dlc), or an earlier estimate: its .json, or a workspace (its last one, or DIR#ID)."`
	Variant  []string      `sep:"none" placeholder:"SPEC" help:"Which form of a float model: w8a8, w8a16, fp16 and so on, as for check, or NAME=file.onnx; repeatable, side by side (w8a8)."`
	Calib    string        `aliases:"images" placeholder:"PATH" help:"Samples that calibrate (seeded random input: the ranges hardly change the time)."`
	Limit    int           `placeholder:"N" help:"Take the first N samples."`
	Soc      string        `default:"${soc}" placeholder:"${soc}" help:"The chip: ${socs} (${default})."`
	IO       string        `name:"io" enum:"native,float" default:"native" placeholder:"native|float" help:"Inputs and outputs: integers with their channels last, as DepthAI and SNPE's native buffers give them, or float in the model's order of axes, converted on the DSP (native)."`
	By       string        `enum:"layer,op,prefix" default:"layer" placeholder:"layer|op|prefix" help:"What the table's rows are (layer)."`
	Trace    string        `placeholder:"FILE.json" help:"Write the simulated timeline for Perfetto or chrome://tracing."`
	Against  string        `placeholder:"OTHER" help:"Hold it against another model or DLC, the JSON of an earlier estimate, or a workspace (its last estimate, or DIR#ID)."`
	FailOver time.Duration `placeholder:"5ms" help:"Exit with status 3 when an estimate is over this."`
	NoAdvice bool          `help:"Do not try which pass of optimize would help."`
	JSON     bool          `name:"json" help:"Print the estimate as JSON."`
	Out      string        `placeholder:"DIR" help:"Workspace whose database the estimates go to."`
	Name     string        `help:"Name of the model in the workspace (the file's name)."`

	Input  inputFlags  `embed:"" group:"Input:"`
	Engine engineFlags `embed:"" group:"Engine:"`
}

// Help documents the command.
func (estimateCmd) Help() string {
	return "Asks the cost model in Qualcomm's HTP compiler how long the DSP takes for a model, and where the time goes, layer by layer. No board is needed and nothing is run: an estimate compares forms of one model well; how far it is from published times stands in docs/estimate.md."
}

func (c *estimateCmd) places() places {
	return places{
		model: place{"MODEL", c.Model}, samples: []place{{"--calib", c.Calib}},
		reads: append(variantFiles(c.Variant), place{"MODEL", c.Model}, place{"--against", c.Against}, place{"--model-config", c.Input.ModelConfig}),
		files: []place{{"--trace", c.Trace}}, folders: []place{{"--out", c.Out}},
	}
}

func (c *estimateCmd) Run(con *console) error {
	if _, err := htpcost.Find(c.Soc); err != nil {
		return usageError{err}
	}
	memory, err := c.Engine.memoryMiB()
	if err != nil {
		return err
	}
	switch {
	case c.Limit < 0:
		return usagef("--limit %d: a number of samples is not negative", c.Limit)
	case c.FailOver < 0:
		return usagef("--fail-over %s: a time is not negative", c.FailOver)
	case !earlier(c.Model) && !inspect.IsDLC(c.Model) && !modelfile.Is(c.Model):
		return usagef("%s is neither a model (%s) nor a .dlc file, nor an earlier estimate: its .json or a workspace", c.Model, modelfile.Endings())
	case earlier(c.Model) && (c.Out != "" || c.Trace != "" && strings.EqualFold(filepath.Ext(c.Model), ".json") || len(c.Variant) > 0):
		return usagef("%s is an earlier estimate: it is only drawn and held against others", c.Model)
	case c.Trace != "" && len(c.Variant) > 1:
		return usagef("--trace writes one timeline: give one --variant")
	}
	if c.Out != "" {
		if err := checkOut(c.Out); err != nil {
			return err
		}
		if err := workspace.Folder(c.Out).Try(con.ctx); err != nil {
			return notComputed(err)
		}
	}
	if err := tryFiles(c.Trace); err != nil {
		return err
	}
	list, err := c.subject(con, memory)
	if err != nil {
		return err
	}
	var other *result.Estimated
	if c.Against != "" {
		if other, err = c.against(con, list[0], memory); err != nil {
			return err
		}
	}
	if err := c.draw(con.stdout, list, other); err != nil {
		return err
	}
	files, err := c.write(con, list)
	if err != nil {
		return err
	}
	if !c.JSON {
		listFiles(con.stdout, "written", files)
	}
	return c.gate(con.stderr, list)
}

// earlier says whether a path is that of estimates which were made before.
func earlier(path string) bool {
	dir, _, _ := strings.Cut(path, "#")
	info, err := os.Stat(dir)
	return err == nil && info.IsDir() || strings.EqualFold(filepath.Ext(path), ".json")
}

// fetch reads an earlier estimate; mine is the one that it is held against, if there is one.
func fetch(con *console, path string, mine *result.Estimated) (*result.Estimated, error) {
	if strings.EqualFold(filepath.Ext(path), ".json") {
		return readEstimate(path)
	}
	dir, number, numbered := strings.Cut(path, "#")
	return storedEstimate(con, dir, number, numbered, mine)
}

// subject gives the estimates that are drawn: new ones, or one of before.
func (c *estimateCmd) subject(con *console, memory int) ([]*result.Estimated, error) {
	if !earlier(c.Model) {
		return c.estimate(con, c.Model, c.Variant, memory, !c.NoAdvice)
	}
	e, err := fetch(con, c.Model, nil)
	if err != nil {
		return nil, err
	}
	return []*result.Estimated{e}, nil
}

// estimate asks the compiler.
func (c *estimateCmd) estimate(con *console, model string, variants []string, memory int, advise bool) ([]*result.Estimated, error) {
	spec := estimate.Spec{
		Model: model, Variants: variants, Images: c.Calib, Limit: c.Limit, SoC: c.Soc, Name: workspace.ModelName(c.Name, model), MemoryMiB: memory, Advise: advise, FloatIO: c.IO == string(result.FloatIO), Input: dataset.Default(),
	}
	var err error
	if !inspect.IsDLC(model) {
		if spec.Input, err = c.Input.description(model); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(model); err != nil {
		return nil, usageError{err}
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return nil, err
	}
	progress := newProgress(con.stderr)
	defer progress.clear()
	return estimate.Run(con.ctx, rvc4.engines(r), spec, progress)
}

// against finds the other estimate.
func (c *estimateCmd) against(con *console, mine *result.Estimated, memory int) (*result.Estimated, error) {
	other := c.Against
	switch {
	case earlier(other):
		return fetch(con, other, mine)
	case inspect.IsDLC(other), modelfile.Is(other):
		var variants []string
		if mine.Spec != nil && mine.Spec.Kind != variant.File && !mine.Spec.OfDLC() && len(c.Variant) > 0 {
			variants = c.Variant[:1]
		}
		list, err := c.estimate(con, other, variants, memory, false)
		if errors.Is(err, usage.Err) && len(variants) > 0 { // a quantized model or a DLC has no variants
			list, err = c.estimate(con, other, nil, memory, false)
		}
		if err != nil {
			return nil, fmt.Errorf("--against: %w", err)
		}
		list[0].Variant = filepath.Base(other)
		return list[0], nil
	}
	return nil, usagef("--against %s: expected an .onnx, a .dlc, the .json of an earlier estimate, or a workspace", other)
}

// mostJSON bounds an estimate that is read.
const mostJSON = 64 << 20

func readEstimate(path string) (*result.Estimated, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usageError{err}
	}
	if info.Size() > mostJSON {
		return nil, usagef("%s has %d bytes, too many for an estimate", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, usageError{err}
	}
	var list []*result.Estimated
	if trimmed := bytes.TrimSpace(data); len(trimmed) > 0 && trimmed[0] == '[' {
		err = json.Unmarshal(data, &list)
	} else {
		list = []*result.Estimated{{}}
		err = json.Unmarshal(data, list[0])
	}
	if err != nil {
		return nil, usagef("%s is no estimate: %w", path, err)
	}
	if len(list) == 0 || list[0] == nil || list[0].Estimate == nil || len(list[0].Layers) == 0 {
		return nil, usagef("%s is no estimate: it has no layers", path)
	}
	return list[0], nil
}

// storedEstimate is the one with the number, else the last one of the same model and variant, of the same model, of any.
func storedEstimate(con *console, dir, number string, numbered bool, mine *result.Estimated) (*result.Estimated, error) {
	db, err := workspace.OpenExisting(con.ctx, workspace.Folder(dir))
	if err != nil {
		return nil, usageError{err}
	}
	defer db.Close()
	list, problems, err := db.Estimates.All(con.ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range problems {
		fmt.Fprintf(con.stderr, "quantcheck: %s\n", report.Printable(p))
	}
	if len(list) == 0 {
		return nil, usagef("the workspace %s has no estimate yet; make one with quantcheck estimate --out", dir)
	}
	fits := []func(*result.Estimated) bool{
		func(e *result.Estimated) bool {
			return mine != nil && e.ID != mine.ID && e.Name == mine.Name && e.Variant == mine.Variant
		},
		func(e *result.Estimated) bool { return mine != nil && e.ID != mine.ID && e.Name == mine.Name },
		func(*result.Estimated) bool { return true },
	}
	if numbered {
		id, err := strconv.ParseInt(number, 10, 64)
		if err != nil {
			return nil, usagef("%s#%s: an estimate has a number", dir, number)
		}
		fits = []func(*result.Estimated) bool{func(e *result.Estimated) bool { return e.ID == id }}
	}
	slices.Reverse(list)
	for _, fit := range fits {
		if i := slices.IndexFunc(list, fit); i >= 0 {
			return list[i], nil
		}
	}
	return nil, usagef("%s has no estimate %s", dir, number)
}

func (c *estimateCmd) draw(w io.Writer, list []*result.Estimated, other *result.Estimated) error {
	if c.JSON {
		type compared struct {
			*result.Estimated
			Against     *result.Estimated    `json:"against"`
			Differences []htpcost.Difference `json:"differences"`
		}
		switch {
		case other != nil:
			return report.JSON(w, compared{list[0], other, htpcost.Differences(other.Estimate, list[0].Estimate)})
		case len(list) == 1:
			return report.JSON(w, list[0])
		}
		return report.JSON(w, list)
	}
	if len(list) > 1 {
		report.Estimates(w, list)
		fmt.Fprintln(w)
	}
	for i, e := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		report.Estimate(w, e, c.By)
	}
	if other != nil {
		fmt.Fprintln(w)
		report.EstimateDiff(w, other, list[0], 20)
	}
	c.Engine.footer(w)
	return nil
}

// write writes what was asked for, and gives the paths.
func (c *estimateCmd) write(con *console, list []*result.Estimated) ([]string, error) {
	var files []string
	if c.Trace != "" {
		if list[0].Timeline == nil {
			return nil, usagef("--trace: this estimate was stored without its timeline")
		}
		var b bytes.Buffer
		if err := htpcost.Chrome(&b, list[0].Timeline, list[0].Names()); err != nil {
			return nil, err
		}
		if err := workspace.WriteFile(c.Trace, b.Bytes()); err != nil {
			return nil, err
		}
		files = append(files, c.Trace)
	}
	if c.Out == "" {
		return files, nil
	}
	var stored []string
	folder := workspace.Folder(c.Out)
	err := (&storing{con: con, folder: folder}).store(func(to workspace.Folder) (err error) {
		var notes []string
		stored, notes, err = publish.Estimates(con.ctx, to, list)
		con.notes(notes)
		return err
	})
	return append(files, stored...), err
}

// gate holds the estimates against the threshold.
func (c *estimateCmd) gate(w io.Writer, list []*result.Estimated) error {
	if c.FailOver == 0 {
		return nil
	}
	var err error
	for _, e := range list {
		if time.Duration(e.Microseconds)*time.Microsecond > c.FailOver {
			fmt.Fprintf(w, "FAILED %s: the estimate of %s is over %s\n", report.Printable(e.Variant), report.Time(e.Microseconds), c.FailOver)
			err = errNo
		}
	}
	return err
}
