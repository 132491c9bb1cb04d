package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/fakeboard/simulation"
	"quantcheck/internal/netrun"
	"quantcheck/internal/qnn"
	"quantcheck/internal/qnn/compose"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/snpe"
)

// netRun is snpe-net-run.
//
//  1. The faults that make numbers wrong are planted: a DLC or inputs of their own are run instead.
//  2. The emulator computes, into the output folder itself, or into one beside it from which files are then put there, if the
//     results are kept or faults of files are shown.
//  3. SNPEDiag.log is written, and the line that says that all went well.
func netRun(c *call) error {
	if err := c.need("container", "input_list"); err != nil {
		return err
	}
	if err := c.onDSP(); err != nil {
		return err
	}
	began := time.Now()
	defer c.busy(began)()
	r := &netRunning{call: c, out: c.given.get("output_dir")}
	if r.out == "" {
		r.out = "output"
	}
	if err := r.read(); err != nil {
		return c.failure(err)
	}
	dlc, err := c.remember(c.given.get("container"))
	if err != nil {
		return c.failure(err)
	}
	if err := r.plant(dlc); err != nil {
		return fmt.Errorf("the stand-in board cannot plant the fault: %w", err)
	}
	if err := r.compute(); err != nil {
		return c.failure(err)
	}
	if err := r.writeLog(dlc, time.Since(began)); err != nil {
		return err
	}
	if c.Fault(control.NoSuccess) == nil {
		c.line("Successfully executed graph %s", r.graph)
	}
	return nil
}

// onDSP refuses the runtimes that the board does not have.
func (c *call) onDSP() error {
	first, _, _ := strings.Cut(strings.ToLower(c.given.get("runtime_order")), ",")
	if !c.given.has("use_dsp") && first != "dsp" || c.given.any("use_cpu", "use_gpu", "use_gpu_fp16", "use_aip") != "" {
		return &snpeError{code: 202, text: "the stand-in board has no other runtime than the DSP", component: "Runtime"}
	}
	return nil
}

// failure is an error of the emulator, or of what it was given, as SNPE would print it. The code of a bad DLC is SNPE's; the
// other codes are the libraries' or nobody's.
func (*call) failure(err error) error {
	var q *compose.Error
	var told statusError
	var snpe *snpeError
	switch {
	case errors.As(err, &told), errors.As(err, &snpe):
		return err
	case errors.Is(err, qnnworker.ErrNotDLC), errors.Is(err, qnnworker.ErrOldVersion):
		return &snpeError{311, "Dlc container is bad. " + err.Error(), "Dl Container"}
	case errors.As(err, &q):
		return &snpeError{q.Code, err.Error(), q.Call}
	}
	return &snpeError{1, err.Error(), "Stand-in"}
}

// netRunning is one call of snpe-net-run.
type netRunning struct {
	*call
	spec  netrun.Spec
	out   string
	list  *snpe.InputList
	begun int // inferences
	graph string
}

// read makes the spec of the flags.
func (r *netRunning) read() error {
	path := r.given.get("input_list")
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if r.list, err = snpe.ReadInputList(data); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	soc, err := qnn.ParseSoC("qcs8550")
	if err != nil {
		return err
	}
	r.spec = netrun.Spec{Container: r.given.get("container"), InputList: path, OutputDir: r.out, Debug: r.given.has("debug"), SoC: soc.Number}
	for name := range strings.SplitSeq(r.given.get("set_output_tensors"), ",") {
		if name = strings.TrimSpace(name); name != "" {
			r.spec.Outputs = append(r.spec.Outputs, name)
		}
	}
	r.spec.Input, r.spec.Output = r.fileTypes()
	return nil
}

// fileTypes are what files hold: float32, or with native files what a --userbuffer flag says, else the DLC's own types.
func (r *netRunning) fileTypes() (in, out netrun.FileType) {
	bits := func(name string) int {
		n, _ := strconv.Atoi(r.given.get(name)) // It is one of the numbers that the flag takes.
		return n
	}
	kind := func(suffix string, otherwise netrun.FileType) netrun.FileType {
		switch name := r.given.any("userbuffer_float"+suffix, "userbuffer_floatN"+suffix, "userbuffer_tf8"+suffix, "userbuffer_tfN"+suffix, "userbuffer_uintN"+suffix); strings.TrimSuffix(name, suffix) {
		case "userbuffer_float":
			return netrun.FileType{Kind: netrun.Floats, Bits: 32}
		case "userbuffer_floatN":
			return netrun.FileType{Kind: netrun.Floats, Bits: bits(name)}
		case "userbuffer_tf8":
			return netrun.FileType{Kind: netrun.Fixed, Bits: 8}
		case "userbuffer_tfN":
			return netrun.FileType{Kind: netrun.Fixed, Bits: bits(name)}
		case "userbuffer_uintN":
			return netrun.FileType{Kind: netrun.Uints, Bits: bits(name)}
		}
		return otherwise
	}
	in = netrun.FileType{Kind: netrun.Floats, Bits: 32}
	out = in
	both := kind("", netrun.FileType{Kind: netrun.Native})
	if r.given.has("use_native_input_files") {
		in = both
	}
	if r.given.has("use_native_output_files") {
		out = kind("_output", both)
	}
	return in, out
}

// emulate runs the DLC on the emulator, or the QDQ model in its place.
func (r *netRunning) emulate(out string, watch netrun.Watcher) (*netrun.Ran, error) {
	spec := r.spec
	spec.OutputDir = out
	if s := r.config.Simulation; s != nil {
		return simulation.Run(r.ctx, spec, *s, watch)
	}
	return netrun.Run(r.ctx, r.kit, spec, watch)
}

// unwatched is for runs of which nothing is told before they are done.
type unwatched struct{}

func (unwatched) Opened(*netrun.Ran) {}
func (unwatched) Begins([]string)    {}

func (c *call) kit() (qnn.Kit, error) { return qnn.Find(c.config.Libraries) }

// Opened implements netrun.Watcher.
func (r *netRunning) Opened(ran *netrun.Ran) { r.opened(ran.Graph) }

// opened prints what snpe-net-run 2.22 prints first.
func (r *netRunning) opened(graph string) {
	rule := strings.Repeat("-", 79)
	r.graph = graph
	r.line("%s\nModel String: N/A\nSNPE v%s\n%s\n\nProcessing graph : %s", rule, version, rule, graph)
}

// Begins implements netrun.Watcher.
func (r *netRunning) Begins([]string) {
	r.line("Processing DNN input(s):")
	for _, item := range r.list.Inferences[r.begun].Items { // the files that were asked for, whatever is run in their place
		r.line("%s", item.Path)
	}
	r.begun++
}

// fileFaults are the faults for which files are not written as they come.
var fileFaults = []control.Kind{
	control.Killed, control.Signal, control.Hung, control.Full, control.Truncated, control.Resized, control.Lost, control.Unwritten, control.Disorder,
}

// compute runs the emulator and puts the results into the output folder.
func (r *netRunning) compute() error {
	if r.config.Cache == "" && r.Fault(fileFaults...) == nil {
		_, err := r.emulate(r.out, r)
		return err
	}
	kept, err := r.kept()
	if err != nil {
		return err
	}
	graph, err := os.ReadFile(filepath.Join(kept, "graph"))
	if err != nil {
		return err
	}
	r.opened(string(graph))
	return r.deliver(kept)
}

// kept gives a folder with the results, from the cache if they are there.
func (r *netRunning) kept() (string, error) {
	key, err := r.key()
	if err != nil {
		return "", err
	}
	dir := r.config.Cache
	if dir == "" {
		dir = r.folder.Path("tmp")
	}
	kept := filepath.Join(dir, "run-"+key)
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	fresh, err := os.MkdirTemp(dir, "fresh-*")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(fresh) // what is left of it
	ran, err := r.emulate(fresh, unwatched{})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(fresh, "graph"), []byte(ran.Graph), 0o600); err != nil {
		return "", err
	}
	if err := os.Rename(fresh, kept); err != nil && !errors.Is(err, os.ErrExist) { // somebody else may have been quicker
		return "", err
	}
	return kept, nil
}
