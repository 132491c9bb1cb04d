package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/benchmark"
	"quantcheck/internal/device"
	"quantcheck/internal/device/dial"
	"quantcheck/internal/device/monitor"
	"quantcheck/internal/device/reconnect"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
	"quantcheck/internal/workspace"
	"quantcheck/internal/yamltext"
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
	LocalSamples int      `default:"4" placeholder:"N" help:"Pictures on which the error that each layer makes alone is measured, for variants (4)."`
	DivergeUnder float64  `default:"20" placeholder:"DB" help:"A layer diverges when its SQNR is under this (20)."`
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

// benchModel is a model of --file.
type benchModel struct {
	DLC         string   `yaml:"dlc"`
	ONNX        string   `yaml:"onnx"`
	Name        string   `yaml:"name"`
	Image       string   `yaml:"image"`
	Images      string   `yaml:"images"`
	Data        string   `yaml:"data"`
	Calib       string   `yaml:"calib"`
	ModelConfig string   `yaml:"model-config"`
	Variants    []string `yaml:"variants"`
}

// readModels reads a YAML file of models.
func readModels(path string) (models []benchModel, err error) {
	data, err := yamltext.ReadFile(path)
	if err != nil {
		return nil, usageError{err}
	}
	var list struct {
		Models []benchModel `yaml:"models"`
	}
	if err := yamltext.Unmarshal(data, &list, true); err != nil {
		return nil, usagef("%s: %w", path, err)
	}
	if len(list.Models) == 0 {
		return nil, usagef("%s names no models: it holds a list 'models', each with dlc and onnx", path)
	}
	for i := range list.Models {
		m := &list.Models[i]
		for _, p := range []*string{&m.DLC, &m.ONNX, &m.Image, &m.Images, &m.Data, &m.Calib, &m.ModelConfig} {
			if *p != "" && !filepath.IsAbs(*p) {
				*p = filepath.Join(filepath.Dir(path), *p)
			}
		}
		for j, v := range m.Variants { // a file's path in them, too
			if name, file, ok := strings.Cut(v, "="); ok && !filepath.IsAbs(file) {
				m.Variants[j] = name + "=" + filepath.Join(filepath.Dir(path), file)
			}
		}
	}
	return list.Models, nil
}

// models are those that are to be measured.
func (c *benchmarkCmd) models() ([]benchModel, error) {
	own := benchModel{DLC: c.DLC, ONNX: c.ONNX, Name: c.Name, Image: c.Image, Images: c.Images, Data: c.Data, Calib: c.Calib, ModelConfig: c.Input.ModelConfig, Variants: c.Variant}
	if c.File == "" {
		if c.DLC == "" {
			return nil, usagef("which model? --dlc M.dlc --onnx O.onnx, or several with --file models.yaml")
		}
		return []benchModel{own}, nil
	}
	if c.DLC != "" || c.ONNX != "" || c.Name != "" {
		return nil, usagef("--file names the models: --dlc, --onnx and --name go without it")
	}
	list, err := readModels(c.File)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	for i := range list {
		m := &list[i]
		for _, p := range []struct{ to, from *string }{{&m.Image, &own.Image}, {&m.Images, &own.Images}, {&m.Data, &own.Data}, {&m.Calib, &own.Calib}, {&m.ModelConfig, &own.ModelConfig}} {
			if *p.to == "" {
				*p.to = *p.from
			}
		}
		if m.Variants == nil {
			m.Variants = own.Variants
		}
		if m.DLC == "" {
			return nil, usagef("%s: model %d has no dlc", c.File, i+1)
		}
		name := workspace.ModelName(m.Name, m.DLC)
		if named[name] {
			return nil, usagef("%s: two models are called %s; give them names", c.File, name)
		}
		named[name] = true
	}
	return list, nil
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
func (c *benchmarkCmd) check(m benchModel, steps []result.Step) (result.Spec, error) {
	name := workspace.ModelName(m.Name, m.DLC)
	spec := result.Spec{
		Model: m.ONNX, Images: m.Images, Calib: m.Calib, Limit: c.Limit, Variants: m.Variants, Out: c.Out, Name: name, Threads: c.Engine.threads(),
		SaveTensors: c.SaveTensors, LocalSamples: c.LocalSamples, DivergeUnder: c.DivergeUnder, SoC: c.HTP.SocModel, HTPArch: c.HTP.HtpArch,
		HTPFallback: c.HTP.HtpFallback, DLCLayouts: c.HTP.DlcLayout, AnyVersion: c.HTP.AnyVersion,
	}
	pictures := slices.Contains(steps, result.StepLayers) || slices.Contains(steps, result.StepCycles) && m.Data == ""
	switch {
	case pictures && m.ONNX == "":
		return spec, usagef("%s: with which float model is it compared? --onnx O.onnx", m.DLC)
	case pictures && m.Image == "" && m.Images == "":
		return spec, usagef("%s: on which pictures? --image FILE or --images DIR", m.DLC)
	case c.Limit < 0 || c.LocalSamples < 0 || c.LocalSamples > 1<<16:
		return spec, usagef("--limit %d, --local-samples %d", c.Limit, c.LocalSamples)
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
		if _, err = benchmark.PictureFirst(m.Image, m.Images); err != nil {
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
func pictureFirst(folder workspace.Folder, m benchModel, spec result.Spec) error {
	path := pictureList(folder, spec.Name)
	if spec.Images != path || m.Image == "" || m.Images == "" {
		return nil
	}
	list, err := benchmark.PictureFirst(m.Image, m.Images)
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
			saved, err = c.keep(con, to, stage, run)
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
	unstored := keep.store(func(to workspace.Folder) (err error) {
		files, err = c.write(con, keep, to, found, run)
		return err
	})
	if con.interrupted(unstored) {
		return unstored
	}
	progress.clear()
	return errors.Join(unstored, c.draw(con, found, run, append(files, saved...)))
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
			files, err = c.write(con, keep, to, found, run)
			return err
		})
		if unstored != nil {
			return errors.Join(err, unstored, c.draw(con, found, run, files))
		}
		con.say("%s; the page shows them: %s", kept, keep.folder.Report())
	}
	return &keptError{err, kept}
}

// reach says how the device is connected to, waited for and watched.
func (c *benchmarkCmd) reach(con *console, bench *benchmark.Bench) {
	bench.Say = func(text string) {
		_ = con.stderr.ClearLine() // Where progress is drawn.
		con.say("%s", text)
	}
	var open *reconnect.Device
	bench.Open = func(context.Context) (device.Device, error) {
		d, err := c.Connect.open(con)
		if err != nil {
			return nil, err
		}
		open = d
		return d, nil
	}
	told := false
	bench.Patience = snpedevice.Options{Idle: c.Tools.Timeout}
	if !c.NoWait {
		bench.Patience.Wait = func(held *device.LockedError) bool {
			if !told {
				bench.Say(held.Error() + "; waiting. If nobody works there any more: quantcheck device unlock " + c.Connect.Device)
			}
			told = true
			return true
		}
	}
	const attempts = 3
	bench.Patience.Again = func(ctx context.Context, what string, f func(context.Context) error) error {
		return open.Retry(ctx, what, attempts, func(n reconnect.Notice) { bench.Say(n.String()) }, f)
	}
	if c.Tools.Interval > 0 {
		bench.Watch = func(ctx context.Context, d device.Device, see func(result.Condition)) error {
			return monitor.Watch(ctx, d, c.Tools.Interval, func(s monitor.Sample) { see(condition(s)) })
		}
	}
}

// condition is a sample in the results' terms.
func condition(s monitor.Sample) result.Condition {
	var c result.Condition
	if s.MemTotal != nil && s.MemAvailable != nil {
		used := float64(*s.MemTotal-*s.MemAvailable) / (1 << 20)
		c.Memory = &used
	}
	for _, t := range s.Temps {
		if c.Hot == nil || t.Celsius > *c.Hot {
			c.Hot = &t.Celsius
		}
	}
	for _, p := range s.Power { // the first: a board's sum, or its only sensor
		c.Power = &p.Watts
		break
	}
	part := func(percent *float64) *float64 {
		if percent == nil {
			return nil
		}
		v := *percent / 100
		return &v
	}
	c.CPU, c.DSP = part(s.CPU), part(s.DSP)
	return c
}

// hostTool runs a program of this machine.
func hostTool(ctx context.Context, dir string, args []string) ([]byte, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], device.ErrToolMissing)
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s: %w; it said: %s", args[0], err, report.Printable(string(out[max(len(out)-500, 0):])))
	}
	return out, nil
}

// keep stores a comparison when it is made.
func (c *benchmarkCmd) keep(con *console, folder workspace.Folder, stage *workspace.Stage, run *result.Run) ([]string, error) {
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	files, err := addRun(con, db, folder, stage, run)
	if err != nil {
		return nil, err
	}
	for i := range run.Variants {
		v := &run.Variants[i]
		if v.Spec.Kind != variant.Device {
			continue
		}
		text := report.Similarities(run, v)
		for _, path := range []string{folder.Results(filepath.Join("similarities", run.Name+".csv")), filepath.Join(folder.ModelDLC(run.Name), "similarity.csv")} {
			if err := workspace.WriteFile(path, text); err != nil {
				return nil, err
			}
			files = append(files, path)
		}
	}
	return files, nil
}

// write writes what is made of all steps, and the page. The steps themselves are in the workspace already.
func (c *benchmarkCmd) write(con *console, keep *storing, folder workspace.Folder, b *result.Benchmark, run *result.Run) ([]string, error) {
	files := []string{folder.Benchmark(b.Name)}
	if folder != keep.folder {
		if err := workspace.WriteJSON(folder.Benchmark(b.Name), b); err != nil {
			return nil, err
		}
	}
	if b.Cycles != nil {
		path := folder.Results(filepath.Join("speeds", b.Name+".csv"))
		if err := workspace.WriteFile(path, report.Speeds(b)); err != nil {
			return nil, err
		}
		files = append(files, path)
	}
	db, err := workspace.OpenStore(con.ctx, folder)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	if run != nil {
		err = writeRunPage(con, folder, db, run)
	} else {
		_, err = writePage(con, folder, db, folder.Report())
	}
	switch {
	case errors.Is(err, web.ErrNotBuilt):
		con.say("%v", err)
		return files, nil
	case err != nil:
		return files, &drawnError{err, folder}
	}
	return append([]string{folder.Report()}, files...), nil
}

// writeRunPage draws one run, with what the workspace shows beside it.
func writeRunPage(con *console, folder workspace.Folder, db *workspace.Store, run *result.Run) error {
	content, err := besideRuns(con, folder, db)
	if err != nil {
		return err
	}
	html, err := pageOf(run, content)()
	if err != nil {
		return err
	}
	return workspace.WriteFile(folder.Report(), html)
}
