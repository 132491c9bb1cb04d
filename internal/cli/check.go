package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/archive"
	"quantcheck/internal/compare"
	"quantcheck/internal/dataset"
	"quantcheck/internal/floattwin"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/publish"
	"quantcheck/internal/qnn"
	"quantcheck/internal/remedy"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/session"
	"quantcheck/internal/workspace"
)

// inputFlags describe a model's input; every command that reads samples has them.
type inputFlags struct {
	ModelConfig string   `placeholder:"FILE" help:"YAML file with the keys of the flags below, or a Luxonis NN archive. Without it MODEL.yaml beside the model is used, if it is there."`
	InputColor  string   `placeholder:"${colours}" help:"Colour order that the model takes (rgb)."`
	Resize      string   `placeholder:"${resizes}" help:"How a picture gets the model's size; crop-pad-height keeps the width, cuts or pads black above and below (stretch)."`
	PadValue    string   `placeholder:"114" help:"Grey that a letterbox is padded with (114)."`
	PadPosition string   `placeholder:"${pad_positions}" help:"Where a letterbox is padded: on all sides, or with the picture at top left (center)."`
	Mean        string   `placeholder:"N[,N,N]" help:"x = (pixel - mean) / scale, one number or one per channel (0)."`
	Scale       string   `placeholder:"N[,N,N]" help:"See --mean (1)."`
	Layout      string   `placeholder:"${layouts}" help:"Layout of the model's input (from its shape)."`
	InputShape  []string `sep:"none" placeholder:"[NAME=]1,3,H,W" help:"Shape for an input with dynamic dimensions; repeatable."`

	notes []string // what an NN archive did not say
	read  string   // the file that the description was read from; "": none
}

// modelName is the name that a model, or an NN archive of one, gets in the workspace.
func modelName(name, model string) string {
	if name == "" && archive.Is(model) {
		name = archive.Stem(model)
	}
	return workspace.ModelName(name, model)
}

// openModel gives the path of the ONNX model: an NN archive's is unpacked into the workspace, models_onnx/<name>/. The caller has the name.
func openModel(ctx context.Context, model, name, out string) (path string, err error) {
	if !archive.Is(model) {
		return model, nil
	}
	a, err := archive.Open(model)
	if err != nil {
		return "", usageError{err}
	}
	if path, err = a.Extract(ctx, workspace.Folder(out).ModelONNX(name, "")); err != nil {
		return "", usageError{err}
	}
	if !modelfile.Is(path) {
		return "", usagef("%s holds %s, which is no ONNX model: give the float model, and the archive with --model-config", model, filepath.Base(path))
	}
	return path, nil
}

// description puts together what the file beside the model and the flags say; flags win.
func (f *inputFlags) description(model string) (dataset.Description, error) {
	d := dataset.Default()
	file := f.ModelConfig
	if file == "" {
		beside := strings.TrimSuffix(model, filepath.Ext(model)) + ".yaml"
		if _, err := os.Stat(beside); err == nil {
			file = beside
		}
	}
	if archive.Is(model) && f.ModelConfig == "" {
		file = model
	}
	switch {
	case archive.Is(file):
		a, err := archive.Open(file)
		if err == nil {
			f.notes, err = a.Describe(&d)
		}
		if err != nil {
			return d, usageError{err}
		}
	case file != "":
		if err := d.ReadFile(file); err != nil {
			return d, usageError{err}
		}
	}
	f.read = file
	if len(f.InputShape) > 0 {
		d.InputShape = nil
	}
	flags := map[string][]string{
		"input-color": {f.InputColor}, "resize": {f.Resize}, "pad-value": {f.PadValue}, "pad-position": {f.PadPosition},
		"mean": {f.Mean}, "scale": {f.Scale}, "layout": {f.Layout}, "input-shape": f.InputShape,
	}
	for _, key := range dataset.Keys {
		for _, value := range flags[key.Name] {
			if value == "" {
				continue
			}
			if err := d.Set(key.Name, value); err != nil {
				return d, usagef("--%w", err)
			}
		}
	}
	if err := d.Check(); err != nil {
		return d, usageError{err}
	}
	return d, nil
}

// inputShapes are the shapes for inputs with open dimensions, of commands that need no more of the description.
func inputShapes(flags []string, model string) (map[string][]int64, error) {
	d, err := (&inputFlags{InputShape: flags}).description(model)
	if err != nil {
		return nil, err
	}
	shapes, err := d.Shapes()
	if err != nil {
		return nil, usageError{err}
	}
	return shapes, nil
}

// htpFlags say what the emulator behaves as.
type htpFlags struct {
	Soc         string   `aliases:"soc-model" default:"rvc4" placeholder:"rvc4" help:"The chip, by name or by Qualcomm's number (rvc4, which is qcs8550)."`
	HtpArch     int      `placeholder:"73" help:"The HTP's architecture (the chip's)."`
	DlcLayout   []string `sep:"none" placeholder:"INPUT=0,2,3,1" help:"Which axis of the model's input each axis of a DLC's input is, where it cannot be derived; repeatable."`
	AnyVersion  bool     `help:"For DLC files, take other versions of Qualcomm's libraries than the one that was tried, if they compute a known small network as it does."`
	HtpFallback bool     `help:"Run operators that the HTP refuses on the CPU, and mark the layers that did."`
}

// rvc4 is the emulator of commands without these flags.
var rvc4 = &htpFlags{Soc: "rvc4"}

// chip is the chip that the emulator behaves as.
func (h *htpFlags) chip() (qnn.SoC, error) {
	chip, err := qnn.ParseSoC(h.Soc)
	if err != nil {
		return chip, usagef("--soc: %w", err)
	}
	if h.HtpArch != 0 {
		chip.Arch = h.HtpArch
	}
	return chip, nil
}

// emulation is what a request says of the chip.
func (h *htpFlags) emulation(chip qnn.SoC) result.Emulation {
	return result.Emulation{SoC: chip.Number, HTPArch: chip.Arch, HTPFallback: h.HtpFallback}
}

// dlcRun is what a request says of DLC files.
func (h *htpFlags) dlcRun() result.DLCRun {
	return result.DLCRun{DLCLayouts: h.DlcLayout, AnyVersion: h.AnyVersion}
}

// priced names the chip whose cost model gives prices: the one that is emulated, or the default where the compiler has no cost model of it,
// which note says.
func (h *htpFlags) priced() (name, note string, err error) {
	chip, err := h.chip()
	if err != nil {
		return "", "", err
	}
	if slices.ContainsFunc(htpcost.SoCs, func(s htpcost.SoC) bool { return s.Name == chip.Name }) {
		return chip.Name, "", nil
	}
	name = htpcost.SoCs[0].Name
	return name, fmt.Sprintf("the compiler has no cost model of %s: prices are those of %s", chip.Name, name), nil
}

// engines are the CPU's ONNX Runtime and, when a variant asks for it, the emulator.
func (h *htpFlags) engines(r ort.Engine) session.Engines {
	return session.Engines{ORT: r, HTP: func() (htp.Engine, error) {
		kit, err := qnn.Find("")
		if err != nil {
			return htp.Engine{}, err
		}
		chip, err := h.chip()
		if err != nil {
			return htp.Engine{}, err
		}
		library, err := filepath.Abs(r.About().Path)
		return htp.Engine{Kit: kit, Library: library, SoC: chip.Number, Arch: chip.Arch, Fallback: h.HtpFallback}, err
	}}
}

type checkCmd struct {
	Model   string   `arg:"" help:"The float model, an .onnx file."`
	Images  string   `required:"" placeholder:"PATH" help:"Samples to compare on: a picture, a folder, a text file that names them, .npy or .raw files, an SNPE input list."`
	Calib   string   `placeholder:"PATH" help:"Samples that calibrate (those of --images)."`
	Limit   int      `placeholder:"N" help:"Take the first N samples of each."`
	Variant []string `sep:"none" placeholder:"SPEC" help:"What to compare: w{4|8|16}a{8|16} or fp16, with options after commas: ${options}. Or NAME=file.onnx, a ready QDQ model, NAME=x.encodings (.json too; NAME=encodings:FILE also of a QDQ model or a DLC), the encodings of AIMET on this model, NAME=MODEL.dlc@htp, a DLC as it is, or NAME=dumps:FOLDER@MODEL.dlc, raw outputs of a DLC that ran elsewhere (Result_0/**.raw for the first sample). @htp behind it runs it on the HTP emulator. Repeatable (w8a8)."`
	Out     string   `default:"." placeholder:"DIR" help:"Workspace that the results go to (the working folder)."`
	Name    string   `help:"Name of the model in the results (the file's name)."`

	Input  inputFlags  `embed:"" group:"Input:"`
	Engine engineFlags `embed:"" group:"Engine:"`
	HTP    htpFlags    `embed:"" group:"Emulator (variants with @htp):"`

	Wait         waitFlags `embed:""`
	SaveTensors  bool      `help:"Write every layer of the first sample to models_onnx/<name>/output, as the seed tool does."`
	SaveModel    bool      `help:"Write the quantized models as QDQ ONNX to models_onnx/<name>."`
	Encodings    string    `placeholder:"FILE" help:"Write the encodings as AIMET JSON 1.0.0; with several variants their names are put into the file's name."`
	LocalSamples int       `name:"isolated-samples" aliases:"local-samples" default:"4" placeholder:"N" help:"Samples on which the error that each layer makes alone is measured; 0 leaves it out (4)."`
	DivergeUnder float64   `name:"flag-below-db" aliases:"diverge-under" default:"20" placeholder:"DB" help:"A layer diverges when its SQNR is under this (20)."`
	FailUnder    []string  `sep:"none" placeholder:"cos=0.99" help:"Exit with status 3 when an output layer's ${gates} is lower; repeatable."`
	Estimate     *bool     `negatable:"" help:"Estimate the time of every variant on the DSP, layer by layer, beside the error (of variants with @htp, and of dumps where the emulator is there)."`
	NoTry        bool      `help:"Do not try the fixes of what was found on a few samples."`
	JSON         bool      `name:"json" help:"Print the whole result as JSON instead of the summary."`
	Keep         keepFlags `embed:""`
}

func (c *checkCmd) spec() (result.CheckSpec, error) {
	input, err := c.Input.description(c.Model)
	if err != nil {
		return result.CheckSpec{}, err
	}
	memory, err := c.Engine.memoryMiB()
	if err != nil {
		return result.CheckSpec{}, err
	}
	chip, err := c.HTP.chip()
	if err != nil {
		return result.CheckSpec{}, err
	}
	if c.Limit < 0 {
		return result.CheckSpec{}, usagef("--limit %d: a number of samples is not negative", c.Limit)
	}
	if c.LocalSamples < 0 || c.LocalSamples > 1<<16 {
		return result.CheckSpec{}, usagef("--isolated-samples %d", c.LocalSamples)
	}
	s := result.CheckSpec{
		Sources: result.Sources{Model: c.Model, Images: c.Images, Calib: c.Calib, Limit: c.Limit}, Variants: c.variants(),
		Place: result.Place{Out: c.Out, Name: modelName(c.Name, c.Model)}, Input: input, Bounds: c.Engine.bounds(memory),
		Saving: result.Saving{SaveTensors: c.SaveTensors, SaveModel: c.SaveModel, Encodings: c.Encodings}, LocalSamples: c.LocalSamples, DivergeUnder: c.DivergeUnder,
		Emulation: c.HTP.emulation(chip), DLCRun: c.HTP.dlcRun(), Estimate: c.Estimate,
	}
	for _, text := range c.FailUnder {
		t, err := parseThreshold(text)
		if err != nil {
			return s, err
		}
		s.FailUnder = append(s.FailUnder, t)
	}
	return s, nil
}

func parseThreshold(text string) (result.Threshold, error) {
	key, number, _ := strings.Cut(text, "=")
	value, err := strconv.ParseFloat(number, 64)
	var examples []string
	for _, m := range metric.Gates() {
		if strings.HasPrefix(m.Gate, key+"=") && err == nil && !math.IsNaN(value) {
			return result.Threshold{Metric: m.ID, Value: value}, nil
		}
		examples = append(examples, m.Gate)
	}
	return result.Threshold{}, usagef("--fail-under %q: write %s", text, either(examples))
}

func (c *checkCmd) places() places {
	p := places{
		model: place{"MODEL", c.Model}, samples: []place{{"--images", c.Images}, {"--calib", c.Calib}}, reads: append(variantFiles(c.Variant), place{"--model-config", c.Input.ModelConfig}),
		folders: []place{{"--out", c.Out}},
	}
	names, err := variantNames(c.variants())
	if err != nil {
		return p // the command will tell
	}
	stage := workspace.NewStage(workspace.Folder(c.Out), result.CheckSpec{Place: result.Place{Name: workspace.ModelName(c.Name, c.Model)}, Variants: c.variants(), Saving: result.Saving{Encodings: c.Encodings}})
	for _, v := range append([]string{""}, names...) {
		if c.SaveTensors {
			p.replaces = append(p.replaces, place{"--save-tensors", stage.Outputs(v)})
		}
		if v != "" && c.SaveModel {
			p.files = append(p.files, place{"--save-model", stage.ModelFile(v)})
		}
		if v != "" && c.Encodings != "" {
			p.files = append(p.files, place{"--encodings", stage.EncodingsFile(v)})
		}
	}
	return p
}

// variants are those that were asked for, or the one that is compared when none was: w8a8, or for a model that is quantized already
// that model as it is.
func (c *checkCmd) variants() []string {
	if len(c.Variant) > 0 {
		return c.Variant
	}
	c.Variant = []string{"w8a8"}
	if modelfile.Is(c.Model) {
		if m, err := modelfile.Load(c.Model); err == nil && floattwin.Find(m) != nil {
			c.Variant = []string{"as-it-is=" + c.Model}
		}
	}
	return c.Variant
}

func (c *checkCmd) Run(con *console) error {
	spec, err := c.spec()
	if err != nil {
		return err
	}
	w, err := c.Engine.start(con, &spec.Sources, spec.Place, func(folder workspace.Folder) (*workspace.Claim, error) { return c.begin(con, folder, spec) })
	if err != nil {
		return err
	}
	defer w.end()
	folder, progress := w.folder, w.progress
	defer boundGarbage(spec.MemoryMiB)()
	stage := workspace.NewStage(folder, spec)
	defer stage.Discard()
	keep := c.Keep.keeping(folder, progress)
	run, bench, err := compare.Check(con.ctx, c.HTP.engines(w.engine), spec, progress, stage, keep)
	if err != nil {
		return err
	}
	if !c.NoTry {
		if err := remedy.New(c.HTP.engines(w.engine)).Try(con.ctx, spec, run, bench, progress); err != nil {
			return err
		}
	}
	progress.Phase("writing", 1)
	var files []string
	err = (&storing{con: con, folder: folder}).end(progress, keep, func(to workspace.Folder) (err error) {
		if to != folder {
			lost, err := stage.Redirect(to)
			if err != nil {
				return err
			}
			run.Warnings = append(run.Warnings, lostFiles(lost)...)
		}
		files, err = publish.Check(con.ctx, to, stage, run)
		return err
	}, func() error {
		if c.JSON {
			return report.JSON(con.stdout.Data(), run)
		}
		report.Terminal(con.stdout, run)
		listFiles(con.stdout, "results", files)
		return nil
	})
	if err != nil {
		return err
	}
	for _, v := range run.Variants {
		if len(v.Failed) > 0 {
			for _, f := range v.Failed {
				con.say("%s: %s", v.Spec.Name, f)
			}
			err = errNo
		}
	}
	return err
}

// begin claims the run's names and tries its workspace and its files.
func (c *checkCmd) begin(con *console, folder workspace.Folder, spec result.CheckSpec) (*workspace.Claim, error) {
	names, err := runNames(spec.Name, spec.Variants)
	if err != nil {
		return nil, err
	}
	return con.begin(folder, c.Wait.NoWait, names, stagedFiles(folder, spec, names)...)
}

// stagedFiles is one file in every folder that a check writes to.
func stagedFiles(folder workspace.Folder, spec result.CheckSpec, names []string) []string {
	files := []string{folder.Similarities(spec.Name, "variant")}
	for _, name := range names {
		if spec.SaveModel || spec.SaveTensors {
			files = append(files, filepath.Join(folder.ModelONNX(name, ""), "config.json"))
		}
		if spec.SaveTensors {
			files = append(files, filepath.Join(folder.ModelONNX(name, ""), "output", "x.raw"))
		}
	}
	if spec.Encodings != "" {
		files = append(files, spec.Encodings)
	}
	return files
}

// lostFiles are by-products that could not be kept, in words.
func lostFiles(lost []string) []string {
	const most = 3
	var list []string
	for i, path := range lost {
		if i == most {
			return append(list, fmt.Sprintf("%d more files could not be kept", len(lost)-most))
		}
		list = append(list, path+" could not be kept")
	}
	return list
}

// checkOut sees, before long work, that the results can be written.
func checkOut(dir string) error {
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return usageError{err}
	case !info.IsDir():
		return usagef("--out %s is a file, not a folder", dir)
	}
	return nil
}
