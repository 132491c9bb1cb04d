// Package plan is what is asked of a benchmark and what is known of it: which steps are to be run, and what the finished ones depend on.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"quantcheck/internal/dlc"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/inspect"
	"quantcheck/internal/paths"
	"quantcheck/internal/result"
	"quantcheck/internal/snpe"
	"quantcheck/internal/usage"
	"quantcheck/internal/workspace"
)

// Spec says what is measured on a device.
type Spec struct {
	DLC     string
	Data    string // folder of raw files in the DLC's own types, with inputs_raw.txt; "": the images are encoded
	Target  string // the device, for people and results
	Base    string // absolute folder on the device
	On      snpe.On
	Steps   []result.Step
	Seconds int // of a throughput run
	Repeats int
	Profile int // images that are profiled at most; 0: all
	Keep    bool
	Again   bool // steps that are done already are run again
	Emulate bool // the very DLC is run on the emulator too
	// Check holds the rest: float model, images, variants, input, workspace, name.
	Check result.CheckSpec
}

// The names of the variants that a benchmark adds.
const (
	OnDevice   = "device"
	OnEmulator = "emulated"
)

// Plan is a benchmark under way: what is asked for, and what was found of it.
type Plan struct {
	Spec
	Folder workspace.Folder
	// Done is what is known: of earlier runs with the same DLC and device, and of the steps that this one has finished.
	Done *result.Benchmark
	// Notes are what there is to say of the step under way.
	Notes []string
}

// New reads what is there already, and copies the DLC into the workspace. What is wrong with the request is said here, before the device is touched.
func New(spec Spec) (*Plan, error) {
	f, err := inspect.OpenDLC(spec.DLC)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Major == 0 {
		return nil, usage.Mark(fmt.Errorf("%s is a listing of a DLC; the DLC itself is needed to run it", spec.DLC))
	}
	if len(f.Graphs[0].At(dlc.Input)) == 0 {
		return nil, usage.Mark(fmt.Errorf("%s names no input", spec.DLC))
	}
	sum, err := hashOf(spec.DLC)
	if err != nil {
		return nil, err
	}
	p := &Plan{Spec: spec, Folder: workspace.Folder(spec.Check.Out)}
	if p.Done, err = workspace.ReadBenchmark(p.Folder, p.Name()); err != nil {
		return nil, usage.Mark(err)
	}
	if p.Done == nil || p.Done.DLCSHA256 != sum || p.Done.Device != spec.Target {
		p.Done = &result.Benchmark{Steps: map[result.Step]*result.StepDone{}}
	}
	p.Done.Name, p.Done.DLC, p.Done.DLCSHA256, p.Done.Device, p.Done.Tool = p.Name(), paths.Absolute(spec.DLC), sum, spec.Target, hostinfo.Version
	if spec.Check.Model != "" {
		p.Done.Model = paths.Absolute(spec.Check.Model)
	}
	if spec.Again {
		for _, s := range spec.Steps {
			delete(p.Done.Steps, s)
		}
	}
	return p, Copy(spec.DLC, filepath.Join(p.ModelFolder(), p.Name()+".dlc"))
}

// Name is the model's name in the results.
func (p *Plan) Name() string { return p.Check.Name }

// ModelFolder is where what belongs to the DLC lies: models_dlc/<name>.
func (p *Plan) ModelFolder() string { return p.Folder.ModelDLC(p.Name()) }

// Note adds something to say of the step under way.
func (p *Plan) Note(format string, args ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, args...))
}

// Begin says whether a step has to run: it was not finished before with the same files and settings. key is for Finish.
func (p *Plan) Begin(step result.Step) (key string, needed bool, err error) {
	if key, err = p.key(step); err != nil {
		return "", false, err
	}
	if d := p.Done.Steps[step]; d != nil && d.Key == key {
		return key, false, nil
	}
	p.Notes = nil
	return key, true, nil
}

// Finish notes that a step is done, how long it took since began and how much of that SNPE's tools, and writes all that is known: a later
// run goes on from there.
func (p *Plan) Finish(step result.Step, key string, began time.Time, tools time.Duration) error {
	p.Done.Steps[step] = &result.StepDone{Key: key, Finished: time.Now().UTC().Truncate(time.Second), Seconds: time.Since(began).Seconds(), ToolSeconds: tools.Seconds(), Notes: p.Notes}
	return workspace.WriteJSON(p.Folder.Benchmark(p.Name()), p.Done)
}

// key is a hash of what a step's result depends on.
func (p *Plan) key(step result.Step) (string, error) {
	parts := []any{string(step), p.Done.DLCSHA256, p.Target, p.On}
	switch step {
	case result.StepLayers, result.StepCycles:
		images, err := p.imagesKey()
		if err != nil {
			return "", usage.Mark(err)
		}
		parts = append(parts, images, p.Check.Input)
		if step == result.StepCycles {
			parts = append(parts, p.Profile)
			break
		}
		model, err := hashOf(p.Check.Model)
		if err != nil {
			return "", usage.Mark(err)
		}
		parts = append(parts, model, p.Check.Variants, p.Emulate, p.Check.LocalSamples, p.Check.DivergeUnder)
	case result.StepThroughput:
		parts = append(parts, p.Seconds, p.Repeats)
	case result.StepInfo:
		done := p.Done.Steps[result.StepThroughput] // info.json holds the FPS
		if done != nil {
			parts = append(parts, done.Key, done.Finished)
		}
	}
	text, err := floatjson.Marshal(parts)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), err
}

// imagesKey names the images by path, size and time of change: reading hundreds of them would take longer than it is worth.
func (p *Plan) imagesKey() ([]string, error) {
	source := p.Check.Images
	if p.Data != "" {
		source = p.Data
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	list := []string{source, info.ModTime().String(), fmt.Sprint(info.Size(), p.Check.Limit)}
	if info.IsDir() {
		entries, err := os.ReadDir(source)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if info, err := e.Info(); err == nil {
				list = append(list, e.Name(), info.ModTime().String(), strconv.FormatInt(info.Size(), 10))
			}
		}
	}
	return list, nil
}
