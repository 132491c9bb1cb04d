package cli

import (
	"cmp"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore"
	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

type exploreCmd struct {
	Model    string `arg:"" help:"The float model, an .onnx file or a Luxonis NN archive of one."`
	Images   string `placeholder:"PATH" help:"The pictures, where there are no labels."`
	ImageDir string `placeholder:"DIR" help:"The pictures of --data, where they do not lie beside it."`
	Task     string `placeholder:"TASK" help:"${tasks}; agreement has no labels: the agreement with float is the score (agreement without --data, else from the model's YAML)."`
	Data     string `placeholder:"PATH" help:"The truth, as for eval."`
	Calib    string `placeholder:"PATH" help:"Samples that calibrate (the first 32 pictures of the search)."`
	Limit    int    `placeholder:"N" help:"Take the first N pictures."`
	Variant  string `placeholder:"SPEC" help:"The recipe that is explored, and kept; without it w8a8, and the search starts from the calibrator that scores best."`

	Target   string        `default:"99%" placeholder:"99%" help:"Share of the float model's score that has to be reached (99%)."`
	Budget   time.Duration `default:"5m" placeholder:"5m" help:"When it is spent, the best so far is given; the same command goes on from there (5m)."`
	Engine   string        `enum:"auto,cpu,htp" default:"auto" placeholder:"cpu|htp" help:"What has the last word: the simulation, or the emulator of the DSP (htp where it is installed)."`
	Optimize bool          `help:"Rewrite the model first, as optimize does with --enable split-gates on the pictures of the search, and explore that one."`
	Apply    bool          `help:"Write the recommended model: QDQ ONNX, encodings in all formats, DLC, and the commands that take them."`
	Out      string        `default:"." placeholder:"DIR" help:"Workspace that the results go to, and that an interrupted exploration goes on from (the working folder)."`
	Name     string        `help:"Name of the model in the results (the file's name)."`
	JSON     bool          `name:"json" help:"Print the whole result as JSON."`

	Decoder string `placeholder:"NAME" help:"How a detector's outputs are read, as for eval (recognised)."`

	Input inputFlags  `embed:"" group:"Input:"`
	ORT   engineFlags `embed:"" group:"Engine:"`
	HTP   htpFlags    `embed:"" group:"Emulator:"`

	Wait waitFlags `embed:""`
}

// Help documents the command.
func (exploreCmd) Help() string {
	return "Says where a quantized model loses its score, finds the smallest change that brings it back, and says what that costs. Every third picture is held out: it takes no part in the search, and what is found is scored on it too. Status 3: the target is out of reach, or nothing could be searched."
}

func (c *exploreCmd) spec() (result.ExploreSpec, eval.Config, error) {
	e := evalCmd{
		Model: c.Model, Task: c.Task, Data: c.Data, Images: cmp.Or(c.ImageDir, c.Images), Calib: c.Calib, Limit: c.Limit, Variant: []string{"w8a8"}, Out: c.Out, Name: c.Name,
		Decoder: c.Decoder, Conf: -1, NmsIou: -1, MaxDet: -1, Input: c.Input, Engine: c.ORT, HTP: c.HTP,
	}
	if c.Data == "" {
		switch {
		case c.ImageDir != "":
			return result.ExploreSpec{}, eval.Config{}, usagef("--image-dir %s has the pictures of labels: --data PATH", c.ImageDir)
		case c.Images == "":
			return result.ExploreSpec{}, eval.Config{}, usagef("--images PATH: the pictures to explore on (or --task and --data)")
		case c.Task != "" && c.Task != string(result.Agreement):
			return result.ExploreSpec{}, eval.Config{}, usagef("--task %s needs labels: --data PATH", c.Task)
		}
		e.Task, e.Data, e.Images = string(result.Agreement), c.Images, ""
	}
	if c.Variant != "" {
		e.Variant = []string{c.Variant}
	}
	target, err := share(c.Target)
	if err != nil {
		return result.ExploreSpec{}, eval.Config{}, err
	}
	spec, config, err := e.spec()
	if err != nil {
		return result.ExploreSpec{}, eval.Config{}, err
	}
	chip, note, err := c.HTP.priced()
	if c.Input.notes = e.Input.notes; note != "" {
		c.Input.notes = append(c.Input.notes, note)
	}
	return result.ExploreSpec{
		Sources: spec.Sources, Variants: spec.Variants, Place: spec.Place, Input: spec.Input, Bounds: spec.Bounds, Emulation: spec.Emulation, Scoring: spec.Scoring,
		Target: target, Seconds: c.Budget.Seconds(), Chip: chip, Fixed: c.Variant != "", Apply: c.Apply,
	}, config, err
}

// share reads a share, such as 99% or 0.99.
func share(text string) (float64, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(text), "%")
	v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v > 0 && v <= 1) || math.IsNaN(v) {
		return 0, usagef("--target %s: a share of the float model's score, such as 99%%", text)
	}
	return v, nil
}

func (c *exploreCmd) places() places {
	p := places{
		model: place{"MODEL", c.Model}, samples: []place{{"--data", c.Data}, {"--images", c.Images}, {"--image-dir", c.ImageDir}, {"--calib", c.Calib}},
		reads:   []place{{"--model-config", c.Input.ModelConfig}},
		folders: []place{{"--out", c.Out}},
	}
	folder, name := workspace.Folder(c.Out), workspace.ModelName(c.Name, c.Model)
	if c.Apply {
		p.models = append(p.models, place{"--apply", publish.ExploredFile(folder, name, publish.ExploredName, ".onnx")})
	}
	if c.Optimize {
		p.models = append(p.models, place{"--optimize", publish.ExploredFile(folder, name, publish.OptimizedName, ".onnx")})
	}
	return p
}

func (c *exploreCmd) Run(con *console) error {
	spec, config, err := c.spec()
	if err != nil {
		return err
	}
	w, err := c.ORT.start(con, &spec.Sources, spec.Place, func(folder workspace.Folder) (*workspace.Claim, error) { return c.begin(con, folder, spec) })
	if err != nil {
		return err
	}
	defer w.end()
	folder, progress := w.folder, w.progress
	defer boundGarbage(spec.MemoryMiB)()
	engines := c.HTP.engines(w.engine)
	switch c.Engine {
	case "htp":
		spec.Engine = variant.HTP
	case "auto":
		if _, err := engines.HTP(); err == nil {
			spec.Engine, spec.Auto = variant.HTP, true
		}
	}
	if c.Optimize {
		spec.Rewritten = publish.ExploredFile(folder, spec.Name, publish.OptimizedName, ".onnx")
		if err := atomicfile.MakeFolder(filepath.Dir(spec.Rewritten)); err != nil {
			return err
		}
	}
	var problems []string
	spec.Measured, problems = measuredCycles(folder, spec)
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return err
	}
	defer db.Close()
	keep := &storing{con: con, folder: folder}
	trials := &exploreCache{keep: keep, db: db}
	defer trials.Close()
	x, err := explore.Run(con.ctx, engines, spec, config, trials, progress)
	if err != nil {
		return &keptError{err, "what was found is kept in " + folder.Database() + ", and the same command goes on from there"}
	}
	x.Warnings = append(append(x.Warnings, c.Input.notes...), problems...)
	files := x.Files
	err = keep.end(progress, nil, func(to workspace.Folder) error {
		x.Files = slices.Clone(files) // of a workspace that failed nothing is listed
		return publish.Exploration(con.ctx, to, x)
	}, func() error {
		if c.JSON {
			return report.JSON(con.stdout.Data(), x.Explored)
		}
		report.Explored(con.stdout, x.Explored)
		return nil
	})
	if err == nil && !x.Reached {
		con.say("%s: %s", x.Verdict, strings.Join(x.Limits, "; "))
		return errNo
	}
	return err
}

// begin claims the exploration's names and tries its workspace.
func (c *exploreCmd) begin(con *console, folder workspace.Folder, spec result.ExploreSpec) (*workspace.Claim, error) {
	names := []string{spec.Name, spec.Name + "-" + publish.ExploredName, spec.Name + "-" + publish.OptimizedName}
	var files []string
	if c.Apply {
		files = append(files, filepath.Join(folder.ModelONNX(names[1], ""), "x.onnx"), filepath.Join(folder.ModelDLC(names[1]), "x.dlc"))
	}
	if c.Optimize {
		files = append(files, filepath.Join(folder.ModelONNX(names[2], ""), "x.onnx"))
	}
	needs := []workspace.Need{{What: "page and database", Bytes: 4 << 20}}
	if info, err := os.Stat(c.Model); err == nil && (c.Apply || c.Optimize) {
		needs = append(needs, workspace.Need{What: "models", Bytes: 2 * info.Size()}) // QDQ with a DLC, and the rewritten one
	}
	if err := folder.Room(needs...); err != nil {
		return nil, notComputed(err)
	}
	return con.begin(folder, c.Wait.NoWait, names, files...)
}

// measuredCycles are the cycles of a benchmark of the recipe in the workspace, models_dlc/<model>-<recipe>/ or models_dlc/<model>/;
// 0 if there is none.
func measuredCycles(folder workspace.Folder, spec result.ExploreSpec) (cycles float64, problems []string) {
	list, problems := workspace.ReadCycles(folder)
	for _, name := range []string{spec.Name + "-" + variant.Clean(spec.Variants[0]), spec.Name} {
		for _, c := range list {
			if c.Model != name {
				continue
			}
			for _, l := range c.Layers {
				cycles += l.Mean
			}
			return cycles, problems
		}
	}
	return 0, problems
}
