package cli

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"quantcheck/internal/hostinfo"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/ort"
)

// engineFlags say what inference runs on.
type engineFlags struct {
	Threads     int    `placeholder:"N" help:"Threads for the inference (all cores)."`
	OrtLib      string `placeholder:"FILE" help:"The ONNX Runtime library. Without it: $$QUANTCHECK_ORT_LIB, beside the program, where doctor --install puts it."`
	Memory      string `placeholder:"SIZE" help:"Bound for the memory that tensors and ONNX Runtime take (half of what the machine or its control group has, 1GiB at least)."`
	opened      bool
	bound       int           // of an engine that was opened, MiB
	NodeTimeout time.Duration `default:"10m" placeholder:"10m" help:"End an inference on the CPU when a part of the model has not been computed after this time; 0 for no limit (10m)."`
}

// open starts the engine; it ends with the command.
func (e *engineFlags) open(con *console) (ort.Engine, error) {
	if e.Threads < 0 || e.Threads > 1024 {
		return nil, usagef("--threads %d", e.Threads)
	}
	if e.NodeTimeout < 0 {
		return nil, usagef("--node-timeout %s: a time is not negative", e.NodeTimeout)
	}
	memory, err := e.memoryMiB()
	if err != nil {
		return nil, err
	}
	path, err := onnxruntime.Find(e.OrtLib)
	if err != nil {
		return nil, err
	}
	engine, err := cpu.Open(con.ctx, cpu.Options{Library: path, Threads: e.threads(), Memory: int64(memory) << 20, TimeLimit: e.NodeTimeout})
	if err != nil {
		return nil, err
	}
	con.atEnd = append(con.atEnd, engine.Close)
	e.opened, e.bound = true, memory
	return engine, nil
}

func (e *engineFlags) threads() int {
	if e.Threads > 0 {
		return e.Threads
	}
	return runtime.NumCPU()
}

// bounds is what a request says of them, with the bound on memory that memoryMiB gave.
func (e *engineFlags) bounds(memoryMiB int) result.Bounds {
	return result.Bounds{Threads: e.threads(), MemoryMiB: memoryMiB, MemoryOf: e.memoryOf()}
}

// memoryMiB is the bound that was asked for, else half of what there is.
func (e *engineFlags) memoryMiB() (int, error) {
	if e.Memory != "" {
		return parseMemory(e.Memory)
	}
	return defaultMemory(hostinfo.FindMemory()), nil
}

// memoryOf says where the bound comes from if nobody asked for one, else "".
func (e *engineFlags) memoryOf() string {
	if e.Memory != "" {
		return ""
	}
	m, known := hostinfo.FindMemory()
	switch {
	case !known:
		return "since the system does not say what it has"
	case m.Bytes>>20/2 < leastMemory:
		return "the least that is taken by itself"
	}
	return "half of what the " + m.Of + " has"
}

// footer says the bound on memory, of a command that has opened its engine.
func (e *engineFlags) footer(w io.Writer) {
	if e.opened {
		fmt.Fprintf(w, "%-12s %s\n", "memory", report.MemoryBound(e.bound, e.memoryOf()))
	}
}

// The bound on memory where nobody says one, in MiB.
const (
	leastMemory   = 1 << 10
	unknownMemory = 2 << 10 // where the system does not say what it has
)

func defaultMemory(m hostinfo.Memory, known bool) int {
	if !known {
		return unknownMemory
	}
	return int(min(max(m.Bytes>>20/2, leastMemory), mostMemory))
}

// The bounds of --memory, in MiB.
const (
	fewestMemory = 16
	mostMemory   = 1 << 24
)

// parseMemory reads a size and gives it in MiB.
func parseMemory(text string) (int, error) {
	units := []struct {
		suffix string
		mib    float64
	}{{"GiB", 1024}, {"MiB", 1}, {"G", 1024}, {"M", 1}, {"", 1. / (1 << 20)}}
	for _, u := range units {
		number, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if mib := v * u.mib; err == nil && mib >= fewestMemory && mib <= mostMemory {
			return int(mib), nil
		}
		break
	}
	return 0, usagef("--memory %q: write a size of 16MiB or more, such as 512MiB or 2GiB", text)
}

// boundGarbage holds Go's heap to a part of the bound until undo is called. The tensors do not lie there (runner/cpu): what is left is
// small, and collecting it more often than Go does would cost more than it frees.
func boundGarbage(memoryMiB int) (undo func()) {
	limit := debug.SetMemoryLimit(int64(memoryMiB) << 20 / 2)
	return func() { debug.SetMemoryLimit(limit) }
}
