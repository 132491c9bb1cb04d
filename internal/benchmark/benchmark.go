// Package benchmark is the use case of quantcheck benchmark: a DLC is measured on a device, layer by layer, for throughput and for cycles.
package benchmark

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/inspect"
	"quantcheck/internal/paths"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/scratch"
	"quantcheck/internal/session"
	"quantcheck/internal/snpe"
	"quantcheck/internal/snpedevice"
	"quantcheck/internal/usage"
	"quantcheck/internal/variant"
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

// Bench is the surroundings of a benchmark.
type Bench struct {
	Engines session.Engines
	// Open connects to the device; it is called once, when the first step needs it.
	Open func(ctx context.Context) (device.Device, error)
	// Patience says how patient the board is; Base and On are the spec's.
	Patience snpedevice.Options
	// Watch observes the device until ctx ends; nil: nobody does.
	Watch func(ctx context.Context, d device.Device, see func(result.Condition)) error
	// Keep stores a comparison's run and gives it its number.
	Keep func(run *result.Run, stage *workspace.Stage) error
	// Say tells the user something that is neither a result nor an error.
	Say func(text string)
	// HostTool runs a program of this machine in a folder, for tools that the device lacks; device.ErrToolMissing: it is not here either.
	HostTool func(ctx context.Context, dir string, args []string) ([]byte, error)
	Progress progress.Reporter
}

// benchmark is one under way.
type benchmark struct {
	Bench
	spec   Spec
	folder workspace.Folder
	device device.Device
	board  *snpedevice.Board
	done   *result.Benchmark
	run    *result.Run // of this run's comparison
	began  time.Time   // of the conditions
	notes  []string    // of the step under way
	model  string      // the DLC's path on the device, once it is there
	dir    string      // for what comes from the device, removed at the end
	// watching are those who still observe the device: each ends soon after its step, which does not wait for that.
	watching sync.WaitGroup
}

// Run measures a DLC on a device, step by step. A step that was finished before, with the same files and settings, is left
// out; each is written when it is done, so that a later run goes on where this one ended.
//
//  1. What is wrong with the request is said before the device is touched.
//  2. The device is taken, cleaned of what earlier runs left, and given the DLC and the inputs that it does not have yet.
//  3. Each step runs SNPE's tools there, watched, and files what they give in the seed tool's layout.
//  4. What was made on the device is removed, and what an earlier run could not remove, even if no step had to run.
func Run(ctx context.Context, bench Bench, spec Spec) (found *result.Benchmark, run *result.Run, err error) {
	b := &benchmark{Bench: bench, spec: spec, folder: workspace.Folder(spec.Check.Out)}
	if err := b.begin(); err != nil {
		return nil, nil, err
	}
	defer os.RemoveAll(b.dir)
	defer func() {
		if e := b.leave(ctx); err == nil {
			err = e
		}
	}()
	for _, step := range result.Steps {
		if !slices.Contains(spec.Steps, step) {
			continue
		}
		if err := b.step(ctx, step); err != nil {
			return b.done, b.run, fmt.Errorf("step %s: %w", step, err)
		}
	}
	b.cleanUp(ctx)
	return b.done, b.run, nil
}

// begin reads what is there already and makes the files that stand for the models.
func (b *benchmark) begin() error {
	f, err := inspect.OpenDLC(b.spec.DLC)
	if err != nil {
		return err
	}
	defer f.Close()
	if f.Major == 0 {
		return usage.Mark(fmt.Errorf("%s is a listing of a DLC; the DLC itself is needed to run it", b.spec.DLC))
	}
	if len(f.Graphs[0].At(dlc.Input)) == 0 {
		return usage.Mark(fmt.Errorf("%s names no input", b.spec.DLC))
	}
	sum, err := hashOf(b.spec.DLC)
	if err != nil {
		return err
	}
	name := b.spec.Check.Name
	if b.done, err = workspace.ReadBenchmark(b.folder, name); err != nil {
		return usage.Mark(err)
	}
	if b.done == nil || b.done.DLCSHA256 != sum || b.done.Device != b.spec.Target {
		b.done = &result.Benchmark{Steps: map[result.Step]*result.StepDone{}}
	}
	b.done.Name, b.done.DLC, b.done.DLCSHA256, b.done.Device, b.done.Tool = name, paths.Absolute(b.spec.DLC), sum, b.spec.Target, hostinfo.Version
	if b.spec.Check.Model != "" {
		b.done.Model = paths.Absolute(b.spec.Check.Model)
	}
	if b.spec.Again {
		for _, s := range b.spec.Steps {
			delete(b.done.Steps, s)
		}
	}
	if err := copyFile(b.spec.DLC, filepath.Join(b.folder.ModelDLC(name), name+".dlc")); err != nil {
		return err
	}
	if b.dir, err = scratch.Hidden(string(b.folder), "device"); err != nil {
		return err
	}
	return nil
}

// step runs one step unless it is done.
func (b *benchmark) step(ctx context.Context, step result.Step) error {
	key, err := b.key(step)
	if err != nil {
		return err
	}
	if d := b.done.Steps[step]; d != nil && d.Key == key {
		return nil
	}
	b.notes = nil
	if step != result.StepInfo { // which wants the device's own listing, but not at any price
		if err := b.enter(ctx); err != nil {
			return err
		}
	}
	began, tools := time.Now(), b.toolTime()
	ended := b.watch(ctx, step)
	switch step {
	case result.StepLayers:
		err = b.layers(ctx)
	case result.StepThroughput:
		err = b.throughput(ctx)
	case result.StepCycles:
		err = b.cycles(ctx)
	case result.StepInfo:
		err = b.info(ctx)
	}
	ended()
	if err != nil {
		return err
	}
	b.done.Steps[step] = &result.StepDone{Key: key, Finished: time.Now().UTC().Truncate(time.Second), Seconds: time.Since(began).Seconds(), ToolSeconds: (b.toolTime() - tools).Seconds(), Notes: b.notes}
	return workspace.WriteJSON(b.folder.Benchmark(b.spec.Check.Name), b.done)
}

func (b *benchmark) note(format string, args ...any) {
	b.notes = append(b.notes, fmt.Sprintf(format, args...))
}

func (b *benchmark) toolTime() time.Duration {
	if b.board == nil {
		return 0
	}
	return b.board.ToolFor
}

// key is a hash of what a step's result depends on.
func (b *benchmark) key(step result.Step) (string, error) {
	parts := []any{string(step), b.done.DLCSHA256, b.spec.Target, b.spec.On}
	switch step {
	case result.StepLayers, result.StepCycles:
		images, err := b.imagesKey()
		if err != nil {
			return "", usage.Mark(err)
		}
		parts = append(parts, images, b.spec.Check.Input)
		if step == result.StepCycles {
			parts = append(parts, b.spec.Profile)
			break
		}
		model, err := hashOf(b.spec.Check.Model)
		if err != nil {
			return "", usage.Mark(err)
		}
		parts = append(parts, model, b.spec.Check.Variants, b.spec.Emulate, b.spec.Check.LocalSamples, b.spec.Check.DivergeUnder)
	case result.StepThroughput:
		parts = append(parts, b.spec.Seconds, b.spec.Repeats)
	case result.StepInfo:
		done := b.done.Steps[result.StepThroughput] // info.json holds the FPS
		if done != nil {
			parts = append(parts, done.Key, done.Finished)
		}
	}
	text, err := floatjson.Marshal(parts)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8]), err
}

// imagesKey names the images by path, size and time of change: reading hundreds of them would take longer than it is worth.
func (b *benchmark) imagesKey() ([]string, error) {
	source := b.spec.Check.Images
	if b.spec.Data != "" {
		source = b.spec.Data
	}
	info, err := os.Stat(source)
	if err != nil {
		return nil, err
	}
	list := []string{source, info.ModTime().String(), fmt.Sprint(info.Size(), b.spec.Check.Limit)}
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

// watch notes the device's condition while a step runs; the function it gives ends that.
func (b *benchmark) watch(ctx context.Context, step result.Step) (ended func()) {
	if b.Watch == nil || b.device == nil || step == result.StepInfo {
		return func() {}
	}
	b.done.Conditions = slices.DeleteFunc(b.done.Conditions, func(c result.Condition) bool { return c.Step == step })
	if b.began.IsZero() {
		b.began = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan error, 1)
	var mu sync.Mutex
	var seen []result.Condition
	began := b.began
	b.watching.Go(func() {
		over <- b.Watch(ctx, b.device, func(c result.Condition) {
			c.Step, c.At = step, time.Since(began).Seconds()
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, c)
		})
	})
	return func() {
		select {
		case err := <-over: // before the step was
			if err != nil && ctx.Err() == nil {
				b.note("the device's condition was not watched to the end: %v", err)
			}
		default:
		}
		cancel()
		mu.Lock()
		defer mu.Unlock()
		b.done.Conditions = append(b.done.Conditions, thinned(seen)...)
		seen = nil
	}
}

// mostConditions is how many a step keeps.
const mostConditions = 600

func thinned(list []result.Condition) []result.Condition {
	every := (len(list) + mostConditions - 1) / mostConditions
	if every <= 1 {
		return list
	}
	var kept []result.Condition
	for i := 0; i < len(list); i += every {
		kept = append(kept, list[i])
	}
	return kept
}

// hashOf is a file's SHA-256.
func hashOf(path string) (string, error) {
	sum, err := device.FromDisk(path, "").Sum()
	return hex.EncodeToString(sum.SHA256[:]), err
}

// copyFile copies a file unless the copy is there.
func copyFile(from, to string) error {
	if a, err := os.Stat(from); err == nil {
		if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
			return nil
		}
	}
	want, err := hashOf(from)
	if err != nil {
		return usage.Mark(err)
	}
	if got, err := hashOf(to); err == nil && got == want {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return usage.Mark(err)
	}
	defer in.Close()
	return workspace.WriteFrom(to, in)
}

// remoteName is the name that a raw file gets on the device: an input list cannot hold blanks.
func remoteName(number int, source, input string) string {
	stem := variant.Clean(strings.TrimSuffix(path.Base(filepath.ToSlash(source)), filepath.Ext(source)))
	if input != "" {
		stem += "-" + variant.Clean(input)
	}
	return fmt.Sprintf("%04d-%s.raw", number, stem)
}
