package cli

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/benchmark"
	"quantcheck/internal/benchmark/inputs"
	"quantcheck/internal/device/dial"
	"quantcheck/internal/publish"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
	"quantcheck/internal/variant"
	"quantcheck/internal/workspace"
)

type benchmarkCmd struct {
	DLC   string `name:"dlc" placeholder:"M.dlc" help:"The DLC, as the converter wrote it."`
	ONNX  string `name:"onnx" placeholder:"O.onnx" help:"The float model that the DLC was made from: modelconverter's intermediate_outputs/<name>-modified.onnx, not the one it was given."`
	Name  string `help:"Name of the model in the results (the DLC's file name)."`
	Image string `placeholder:"FILE" help:"The picture whose layers are kept."`

	Images string   `placeholder:"PATH" help:"Pictures to compare and profile on: a folder, a text file that names them, .npy or .raw files, an SNPE input list."`
	Data   string   `placeholder:"DIR" help:"Raw files in the DLC's own types, with inputs_raw.txt, to profile on (quantcheck raw writes them); without it the pictures are encoded."`
	Calib  string   `placeholder:"PATH" help:"Pictures that calibrate the variants (the compared ones)."`
	Limit  int      `placeholder:"N" help:"Take the first N pictures."`
	File   string   `placeholder:"models.yaml" help:"Several models: a list 'models' of dlc, onnx, name, image, images, data, calib, model-config, variants. Paths are relative to the file; flags stand for what a model does not say."`
	Steps  []string `placeholder:"STEP,..." help:"Only these: ${steps} (all)."`
	Again  bool     `help:"Run steps that are done already."`
	Keep   bool     `help:"Leave the DLC and the inputs on the device, so that the next run sends only what changed."`
	NoWait bool     `help:"Fail with status 4 if somebody else works on the device, or another run under the same name in the workspace, instead of waiting."`
	Out    string   `default:"." placeholder:"DIR" help:"Workspace that the results go to (the working folder)."`

	Variant      []string `sep:"none" placeholder:"SPEC" help:"What stands beside the device in the comparison, as in quantcheck check: w8a8, w8a8@htp, NAME=file.onnx. Repeatable."`
	Emulate      bool     `negatable:"" default:"true" help:"Run the very DLC on the HTP emulator too, and say where device and emulator part (yes, where the emulator is installed)."`
	SaveTensors  bool     `negatable:"" default:"true" help:"Write every layer of the first picture to models_dlc/<name>/output and models_onnx/<name>/output, as the seed tool does (yes)."`
	LocalSamples int      `name:"isolated-samples" aliases:"local-samples" default:"4" placeholder:"N" help:"Pictures on which the error that each layer makes alone is measured, for variants (4)."`
	DivergeUnder float64  `name:"flag-below-db" aliases:"diverge-under" default:"20" placeholder:"DB" help:"A layer diverges when its SQNR is under this (20)."`
	JSON         bool     `name:"json" help:"Print the whole result as JSON instead of the summary."`

	Connect deviceFlags `embed:"" group:"Device:"`
	Tools   toolFlags   `embed:"" group:"Tools:"`
	Input   inputFlags  `embed:"" group:"Input:"`
	Engine  engineFlags `embed:"" group:"Engine:"`
	HTP     htpFlags    `embed:"" group:"Emulator:"`
}

// toolFlags say how SNPE's tools are run.
type toolFlags struct {
	Runtime     string        `enum:"${runtimes}" default:"dsp" help:"Where the model runs: ${enum} (${default})."`
	PerfProfile string        `default:"balanced" placeholder:"balanced" help:"SNPE's --perf_profile (balanced)."`
	Duration    int           `default:"60" placeholder:"S" help:"Seconds of a throughput run (60)."`
	Repeats     int           `default:"3" placeholder:"N" help:"How often the throughput is measured (3)."`
	Profiled    int           `default:"16" placeholder:"N" help:"Pictures that are profiled at most; 0: all (16)."`
	Timeout     time.Duration `default:"5m" placeholder:"5m" help:"How long a tool may be silent (5m)."`
	Interval    time.Duration `default:"1s" placeholder:"1s" help:"How often power, temperature, memory and load are read; 0: never (1s)."`
}

// Help documents the command.
func (benchmarkCmd) Help() string {
	return `Measures a DLC on a device, over SSH, over ADB or on the board itself: every layer against the float model and against the emulator, throughput, cycles per layer, in the seed tool's folders and files. Steps that are done are not run again; what is made on the device is removed.

    quantcheck benchmark --dlc M.dlc --onnx O.onnx --images DIR --device ssh://root@192.168.1.5`
}

func (c *benchmarkCmd) places() places {
	p := places{
		model: place{"--onnx", c.ONNX}, samples: []place{{"--image", c.Image}, {"--images", c.Images}, {"--data", c.Data}, {"--calib", c.Calib}},
		reads:   append(variantFiles(c.Variant), place{"--dlc", c.DLC}, place{"--file", c.File}, place{"--model-config", c.Input.ModelConfig}),
		folders: []place{{"--out", c.Out}},
	}
	if c.DLC != "" {
		name := workspace.ModelName(c.Name, c.DLC)
		folder := workspace.Folder(c.Out)
		p.replaces = append(p.replaces, place{"--out", folder.RawInputs(name)}, place{"--out", folder.RawOutputs(name)})
	}
	return p
}

func (c *benchmarkCmd) Run(con *console) error {
	models, err := c.models()
	if err != nil {
		return err
	}
	specs := make([]benchmark.Spec, len(models))
	for i, m := range models {
		if specs[i], err = c.spec(m); err != nil {
			if len(models) > 1 {
				return fmt.Errorf("model %d, %s: %w", i+1, m.DLC, err)
			}
			return err
		}
	}
	if err := checkOut(c.Out); err != nil {
		return err
	}
	folder := workspace.Folder(c.Out)
	for _, spec := range specs {
		name := spec.Check.Name
		if err := folder.Try(con.ctx, folder.Benchmark(name), folder.Similarities(name, onDeviceName), filepath.Join(folder.RawInputs(name), "x"), folder.Results(filepath.Join("speeds", name+".csv"))); err != nil {
			return notComputed(err)
		}
	}
	var failed error
	for i, spec := range specs {
		if len(specs) > 1 && !c.JSON {
			fmt.Fprintf(con.stdout, "\n%d of %d: %s\n", i+1, len(specs), spec.Check.Name)
		}
		err := c.one(con, models[i], spec)
		switch {
		case err == nil:
		case len(specs) == 1 || con.ctx.Err() != nil:
			return err
		default: // the others may well be measured
			failed = fmt.Errorf("%s: %w", spec.Check.Name, err)
			con.say("%v", failed)
		}
	}
	return failed
}

// spec turns a model and the flags into what is asked for.
func (c *benchmarkCmd) spec(m benchModel) (benchmark.Spec, error) {
	steps, err := c.steps()
	if err != nil {
		return benchmark.Spec{}, err
	}
	check, err := c.check(m, steps)
	if err != nil {
		return benchmark.Spec{}, err
	}
	switch t := c.Tools; {
	case !slices.Contains(snpe.PerfProfiles, t.PerfProfile):
		return benchmark.Spec{}, usagef("--perf-profile %q; there are %s", t.PerfProfile, strings.Join(snpe.PerfProfiles, ", "))
	case t.Duration < 1 || t.Duration > 24*3600:
		return benchmark.Spec{}, usagef("--duration %d: seconds, from 1", t.Duration)
	case t.Repeats < 1 || t.Repeats > 1000:
		return benchmark.Spec{}, usagef("--repeats %d", t.Repeats)
	case t.Profiled < 0 || t.Timeout <= 0 || t.Interval < 0 || t.Interval > 0 && t.Interval < 10*time.Millisecond:
		return benchmark.Spec{}, usagef("--profiled %d, --timeout %s, --interval %s", t.Profiled, t.Timeout, t.Interval)
	}
	return benchmark.Spec{
		DLC: m.DLC, Data: m.Data, Base: c.Connect.DeviceDir, On: snpe.On{Runtime: c.Tools.Runtime, Profile: c.Tools.PerfProfile}, Steps: steps,
		Seconds: c.Tools.Duration, Repeats: c.Tools.Repeats, Profile: c.Tools.Profiled, Keep: c.Keep, Again: c.Again, Emulate: c.Emulate, Check: check,
	}, nil
}

func (c *benchmarkCmd) steps() ([]result.Step, error) {
	if len(c.Steps) == 0 {
		return result.Steps, nil
	}
	var steps []result.Step
	for _, text := range c.Steps {
		if !slices.Contains(result.Steps, result.Step(text)) {
			return nil, usagef("--steps %s: there are %s", text, strings.Join(texts(result.Steps), ", "))
		}
		steps = append(steps, result.Step(text))
	}
	return steps, nil
}

// check is the comparison's spec.
func (c *benchmarkCmd) check(m benchModel, steps []result.Step) (result.CheckSpec, error) {
	name := workspace.ModelName(m.Name, m.DLC)
	chip, err := c.HTP.chip()
	if err != nil {
		return result.CheckSpec{}, err
	}
	spec := result.CheckSpec{
		Sources: result.Sources{Model: m.ONNX, Images: m.Images, Calib: m.Calib, Limit: c.Limit}, Variants: m.Variants, Place: result.Place{Out: c.Out, Name: name},
		Bounds: result.Bounds{Threads: c.Engine.threads()}, Saving: result.Saving{SaveTensors: c.SaveTensors}, LocalSamples: c.LocalSamples, DivergeUnder: c.DivergeUnder,
		Emulation: c.HTP.emulation(chip), DLCRun: c.HTP.dlcRun(),
	}
	pictures := slices.Contains(steps, result.StepLayers) || slices.Contains(steps, result.StepCycles) && m.Data == ""
	switch {
	case pictures && m.ONNX == "":
		return spec, usagef("%s: with which float model is it compared? --onnx O.onnx", m.DLC)
	case pictures && m.Image == "" && m.Images == "":
		return spec, usagef("%s: on which pictures? --image FILE or --images DIR", m.DLC)
	case c.Limit < 0 || c.LocalSamples < 0 || c.LocalSamples > 1<<16:
		return spec, usagef("--limit %d, --isolated-samples %d", c.Limit, c.LocalSamples)
	}
	variants, err := variant.ParseAll(m.Variants)
	if err != nil && len(m.Variants) > 0 {
		return spec, usageError{err}
	}
	for _, v := range variants {
		if v.Kind == variant.Device {
			return spec, usagef("--variant %s: the device is --device", v.Name)
		}
	}
	if spec.MemoryMiB, err = c.Engine.memoryMiB(); err != nil {
		return spec, err
	}
	if m.ONNX == "" {
		return spec, nil
	}
	input := c.Input
	input.ModelConfig = m.ModelConfig
	if spec.Input, err = input.description(m.ONNX); err != nil {
		return spec, err
	}
	switch {
	case !pictures || m.Image == "":
	case m.Images == "":
		spec.Images = m.Image
	default: // a list of both, which pictureFirst writes
		spec.Images = pictureList(workspace.Folder(c.Out), name)
		if _, err = inputs.PictureFirst(m.Image, m.Images); err != nil {
			err = usageError{err}
		}
	}
	return spec, err
}

// pictureList is the list of the picture whose layers are kept and of the others.
func pictureList(folder workspace.Folder, name string) string {
	return filepath.Join(folder.RawInputs(name), "images.txt")
}

// pictureFirst writes that list if it is the spec's.
func pictureFirst(folder workspace.Folder, m benchModel, spec result.CheckSpec) error {
	path := pictureList(folder, spec.Name)
	if spec.Images != path || m.Image == "" || m.Images == "" {
		return nil
	}
	list, err := inputs.PictureFirst(m.Image, m.Images)
	if err != nil {
		return usageError{err}
	}
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, list) { // its time says that nothing changed
		return nil
	}
	return workspace.WriteFile(path, list)
}

// The names of what a benchmark adds to the variants.
const (
	onDeviceName   = "device"
	onEmulatorName = "emulated"
)

// one measures one model and draws what came out.
func (c *benchmarkCmd) one(con *console, m benchModel, spec benchmark.Spec) error {
	folder := workspace.Folder(spec.Check.Out)
	names, err := runNames(spec.Check.Name, spec.Check.Variants)
	if err != nil && len(spec.Check.Variants) > 0 {
		return err
	}
	claimed, err := con.claim(folder, c.NoWait, append(names, spec.Check.Name, spec.Check.Name+"-"+onDeviceName, spec.Check.Name+"-"+onEmulatorName)...)
	if err != nil {
		return err
	}
	defer claimed.Release()
	if err := pictureFirst(folder, m, spec.Check); err != nil {
		return err
	}
	r, err := c.Engine.open(con)
	if err != nil {
		return err
	}
	progress := newProgress(con.stderr)
	defer progress.clear()
	target, err := dial.Target(dial.Options{Target: c.Connect.Device, EnvFile: c.Connect.EnvFile})
	if err != nil {
		return err
	}
	spec.Target = target.String()
	var saved, files []string
	keep := &storing{con: con, folder: folder}
	bench := benchmark.Bench{Engines: c.HTP.engines(r), Progress: progress, HostTool: hostTool}
	bench.Keep = func(run *result.Run, stage *workspace.Stage) error {
		err := keep.store(func(to workspace.Folder) (err error) {
			if to != folder {
				lost, err := stage.Redirect(to)
				if err != nil {
					return err
				}
				run.Warnings = append(run.Warnings, lostFiles(lost)...)
			}
			saved, err = publish.Compared(con.ctx, to, stage, run)
			return err
		})
		var unstored *unstoredError
		if errors.As(err, &unstored) { // it is not lost, and what else is asked for is measured
			return nil
		}
		return err
	}
	c.reach(con, &bench)
	found, run, err := benchmark.Run(con.ctx, bench, spec)
	if err != nil {
		return c.unfinished(con, keep, found, run, err)
	}
	progress.Phase("writing", 1)
	return keep.end(progress, nil, func(to workspace.Folder) (err error) {
		var notes []string
		files, notes, err = publish.Benchmark(con.ctx, folder, to, found, run)
		con.notes(notes)
		return err
	}, func() error { return c.draw(con, found, run, append(files, saved...)) })
}

func (c *benchmarkCmd) draw(con *console, found *result.Benchmark, run *result.Run, files []string) error {
	if c.JSON {
		return report.JSON(con.stdout.Data(), found)
	}
	report.Benchmark(con.stdout, found, run)
	c.Engine.footer(con.stdout)
	listFiles(con.stdout, "results", files)
	return nil
}

// unfinished says what a run that failed has kept, and draws it if there is time.
func (c *benchmarkCmd) unfinished(con *console, keep *storing, found *result.Benchmark, run *result.Run, err error) error {
	if found == nil || len(found.Steps) == 0 {
		return err
	}
	var steps []string
	for _, s := range result.Steps {
		if found.Steps[s] != nil {
			steps = append(steps, string(s))
		}
	}
	kept := fmt.Sprintf("finished steps are kept (%s), and the same command goes on from there", strings.Join(steps, ", "))
	if con.ctx.Err() == nil {
		var files []string
		unstored := keep.store(func(to workspace.Folder) (err error) {
			var notes []string
			files, notes, err = publish.Benchmark(con.ctx, keep.folder, to, found, run)
			con.notes(notes)
			return err
		})
		if unstored != nil {
			return errors.Join(err, unstored, c.draw(con, found, run, files))
		}
		con.say("%s; the page shows them: %s", kept, keep.folder.Report())
	}
	return &keptError{err, kept}
}
