package cli

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"quantcheck/internal/archive"
	"quantcheck/internal/eval"
	"quantcheck/internal/metric"
	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/score"
	"quantcheck/internal/workspace"
)

type evalCmd struct {
	Model   string   `arg:"" help:"The float model, an .onnx file or a Luxonis NN archive of one."`
	Task    string   `placeholder:"TASK" help:"${tasks}; agreement has no truth: each output's distance to float (from the model's YAML)."`
	Data    string   `required:"" placeholder:"PATH" help:"The truth: COCO's JSON or a folder of YOLO's labels; a folder with images/ and masks/ (or depth/, gt/); a folder per class, or a CSV of file,label; for agreement, pictures."`
	Images  string   `name:"image-dir" aliases:"images" placeholder:"DIR" help:"The pictures, where they do not lie beside the data."`
	Calib   string   `placeholder:"PATH" help:"Samples that calibrate (the scored pictures)."`
	Limit   int      `placeholder:"N" help:"Take the first N pictures."`
	Variant []string `sep:"none" placeholder:"SPEC" help:"What to score beside float, as in check; repeatable (w8a8)."`
	Out     string   `default:"." placeholder:"DIR" help:"Workspace that the results go to (the working folder)."`
	Name    string   `help:"Name of the model in the results (the file's name)."`

	Decoder  string  `placeholder:"NAME" help:"How a detector's outputs are read: ${decoders} (recognised)." group:"Detection:"`
	Conf     float64 `default:"-1" placeholder:"0.01" help:"Least confidence of a box that is scored (0.01)." group:"Detection:"`
	NmsIou   float64 `name:"nms-iou" default:"-1" placeholder:"0.65" help:"Boxes of a class that overlap more are one (0.65)." group:"Detection:"`
	MaxDet   int     `default:"-1" placeholder:"100" help:"Boxes per picture (100)." group:"Detection:"`
	Agnostic bool    `help:"Boxes of different classes suppress each other too." group:"Detection:"`
	Strict   bool    `help:"Refuse a data set with problems instead of counting them." group:"Detection:"`

	Input  inputFlags  `embed:"" group:"Input:"`
	Engine engineFlags `embed:"" group:"Engine:"`
	HTP    htpFlags    `embed:"" group:"Emulator (variants with @htp):"`

	Wait      waitFlags `embed:""`
	TryInputs bool      `help:"Score the float model under the usual input descriptions on a few pictures, and say which fits."`
	FailUnder *float64  `placeholder:"SCORE" help:"Exit with status 3 when a variant's first score is worse than this."`
	FailDrop  *float64  `placeholder:"DROP" help:"Exit with status 3 when a variant's first score drops by more than this against float."`
	JSON      bool      `name:"json" help:"Print the whole result as JSON instead of the table."`
	Keep      keepFlags `embed:""`
}

// Help documents the command.
func (evalCmd) Help() string {
	return "Scores the float model and every variant on the same pictures, alike, and shows what quantization costs in the task's own score. Scores of detections are pycocotools' twelve numbers. It writes results/<model>.json for each model as the seed tool does, results/results.csv, and the page."
}

func (c *evalCmd) spec() (result.EvalSpec, eval.Config, error) {
	fail := func(err error) (result.EvalSpec, eval.Config, error) {
		return result.EvalSpec{}, eval.Config{}, err
	}
	input, err := c.Input.description(c.Model)
	if err != nil {
		return fail(err)
	}
	config, err := eval.ReadConfig(input.Eval)
	if err != nil {
		return fail(usageError{fmt.Errorf("%s: %w", c.Input.read, err)})
	}
	memory, err := c.Engine.memoryMiB()
	if err != nil {
		return fail(err)
	}
	chip, err := c.HTP.chip()
	if err != nil {
		return fail(err)
	}
	if c.Task != "" {
		config.Task = result.Task(c.Task)
	}
	if config.Task == "" {
		return fail(usagef("which task? --task detection, segmentation, depth, classification or agreement (or eval: task: in the model's YAML)"))
	}
	if c.Decoder != "" {
		config.Decoder = c.Decoder
	}
	if c.Conf >= 0 {
		config.Decode.Confidence = c.Conf
	}
	if c.NmsIou >= 0 {
		config.Decode.IoU = c.NmsIou
	}
	if c.MaxDet >= 0 {
		config.Decode.Most = c.MaxDet
	}
	config.Decode.Agnostic = config.Decode.Agnostic || c.Agnostic
	if c.Limit < 0 {
		return fail(usagef("--limit %d: a number of pictures is not negative", c.Limit))
	}
	if len(c.Variant) == 0 && !c.TryInputs {
		c.Variant = []string{"w8a8"}
	}
	return result.EvalSpec{
		Sources: result.Sources{Model: c.Model, Images: c.Images, Calib: c.Calib, Limit: c.Limit}, Variants: c.Variant,
		Place: result.Place{Out: c.Out, Name: modelName(c.Name, c.Model)}, Input: input, Bounds: c.Engine.bounds(memory), Emulation: c.HTP.emulation(chip),
		Scoring: result.Scoring{
			Task: config.Task, Data: c.Data, Decoder: config.Decoder, Confidence: config.Decode.Confidence, NMSIoU: config.Decode.IoU, MaxDet: config.Decode.Most, Agnostic: config.Decode.Agnostic,
			Strict: c.Strict,
		},
	}, config, nil
}

func (c *evalCmd) places() places {
	return places{
		model: place{"MODEL", c.Model}, samples: []place{{"--data", c.Data}, {"--image-dir", c.Images}, {"--calib", c.Calib}},
		reads:   append(variantFiles(c.Variant), place{"--model-config", c.Input.ModelConfig}),
		folders: []place{{"--out", c.Out}},
	}
}

func (c *evalCmd) Run(con *console) error {
	spec, config, err := c.spec()
	if err != nil {
		return err
	}
	w, err := c.Engine.start(con, &spec.Sources, spec.Place, func(folder workspace.Folder) (*workspace.Claim, error) { return c.begin(con, folder, spec) })
	if err != nil {
		return err
	}
	defer w.end()
	folder, progress := w.folder, w.progress
	if c.TryInputs {
		tried, err := score.TryInputs(con.ctx, c.HTP.engines(w.engine), spec, config, progress)
		if err != nil {
			return err
		}
		progress.clear()
		if c.JSON {
			return report.JSON(con.stdout.Data(), tried)
		}
		report.Tried(con.stdout, tried)
		return nil
	}
	unfinished := c.Keep.keeping(folder, progress)
	keep := &storing{con: con, folder: folder}
	e, err := score.Run(con.ctx, c.HTP.engines(w.engine), spec, config, maskFiles{keep, spec}, progress, unfinished)
	if err != nil {
		return err
	}
	e.Warnings = append(e.Warnings, c.Input.notes...)
	for i := range e.Models {
		e.Models[i].FPS = publish.MeasuredFPS(folder, e.Models[i].File)
	}
	var files []string
	err = keep.end(progress, unfinished, func(to workspace.Folder) (err error) {
		files, err = publish.Evaluation(con.ctx, folder, to, e)
		return err
	}, func() error {
		if c.JSON {
			return report.JSON(con.stdout.Data(), e)
		}
		report.Evaluation(con.stdout, e)
		listFiles(con.stdout, "results", files)
		return nil
	})
	if err != nil {
		return err
	}
	return c.gate(con, e)
}

// begin claims the evaluation's names and tries its workspace; --try-inputs stores nothing, but an archive's model is unpacked for it.
func (c *evalCmd) begin(con *console, folder workspace.Folder, spec result.EvalSpec) (*workspace.Claim, error) {
	names, err := runNames(spec.Name, spec.Variants)
	switch {
	case err != nil && len(spec.Variants) > 0:
		return nil, err
	case c.TryInputs && !archive.Is(c.Model):
		return nil, nil
	}
	var files []string
	for _, name := range names {
		files = append(files, folder.Results(name+".json"))
		if spec.Task == result.Segmentation || spec.Task == result.Depth {
			files = append(files, filepath.Join(folder.Processed(name), "x.png"))
		}
	}
	return con.begin(folder, c.Wait.NoWait, names, files...)
}

// gate checks the thresholds.
func (c *evalCmd) gate(con *console, e *result.Evaluation) error {
	var failed error
	say := func(m *result.EvalModel, format string, args ...any) {
		con.say("%s: %s", m.Name, fmt.Sprintf(format, args...))
		failed = errNo
	}
	for i := 1; i < len(e.Models); i++ {
		m, column := &e.Models[i], e.Columns[0]
		score := m.Scores[0]
		if !score.OK && (c.FailUnder != nil || c.FailDrop != nil) {
			say(m, "%s has no value", column.Key)
			continue
		}
		if c.FailUnder != nil && (column.Higher && score.V < *c.FailUnder || !column.Higher && score.V > *c.FailUnder) {
			say(m, "%s %.4g is worse than %g%s", column.Key, score.V, *c.FailUnder, near(e.Task, math.Abs(*c.FailUnder-score.V)))
		}
		if c.FailDrop != nil && m.Drop.OK && m.Drop.V > *c.FailDrop {
			say(m, "%s drops by %.4g, more than %g%s", column.Key, m.Drop.V, *c.FailDrop, near(e.Task, m.Drop.V-*c.FailDrop))
		}
	}
	return failed
}

// near is result.NearThreshold for a task's first score. Only that of agreement is a metric at the outputs; by how much threads move the
// others depends on the pictures and is not known.
func near(task result.Task, misses float64) string {
	if task != result.Agreement {
		return ""
	}
	return result.NearThreshold(metric.SQNR, misses)
}

// maskFiles writes the masks that models gave into processed_outputs/<model>/, as the seed has them.
type maskFiles struct {
	keep *storing
	spec result.EvalSpec
}

// Plan implements score.EvaluationPlanner. The sizes are those of usual results: a mask of some thousand pixels, a hundred boxes.
func (m maskFiles) Plan(pictures, models int) error {
	const perMask, perPicture, page = 16 << 10, 8 << 10, 4 << 20
	all := int64(pictures) * int64(models)
	needs := []workspace.Need{{What: "page", Bytes: page}}
	switch m.spec.Task {
	case result.Segmentation, result.Depth:
		needs = append(needs, workspace.Need{What: "masks", Bytes: all * perMask})
	case result.Detection:
		needs = append(needs, workspace.Need{What: "boxes", Bytes: all * perPicture})
	}
	return m.keep.folder.Room(needs...)
}

// Mask implements eval.Sink.
func (m maskFiles) Mask(model int, picture string, png []byte) (string, error) {
	name := m.spec.Name
	if model > 0 {
		specs, err := variantNames(m.spec.Variants)
		if err != nil {
			return "", err
		}
		name += "-" + specs[model-1]
	}
	base := strings.TrimSuffix(strings.NewReplacer("/", "_", "\\", "_").Replace(picture), filepath.Ext(picture))
	write := func(folder workspace.Folder) (string, error) {
		path := filepath.Join(folder.Processed(name), base+".png")
		return path, workspace.WriteFile(path, png)
	}
	folder := m.keep.folder
	if m.keep.refuge != "" {
		folder = m.keep.refuge
	}
	path, err := write(folder)
	if err != nil && m.keep.refuge == "" { // the disk is full, say: the pictures that were scored are not lost for that
		if folder, err = m.keep.place(err); err == nil {
			path, err = write(folder)
		}
	}
	if err != nil {
		return "", err
	}
	full, err := filepath.Abs(path)
	return full, err
}
