// Package fakeboard gives tests a board that is none: programs in the place of SNPE's tools, which compute what they give by
// running the DLC itself on Qualcomm's emulator of the HTP, and take their cycles from its compiler's cost model; where these are not
// installed, the QDQ model that belongs to the DLC on the CPU, with cycles by the tensors' sizes. What was proven with it was not proven
// on a device.
//
//  1. Install builds the program (folder board) and makes a folder bin with a file for each tool, to be put in front of the
//     PATH of whatever plays the device.
//  2. Inject tells the tools what goes wrong at which of their calls.
//  3. Calls lists how they were called.
//
// An sshd that plays the device gets the tools by "SetEnv PATH=…" of Path in its configuration, this machine by its environment.
//
// What it cannot show: the real tools' words for a missing file or an unknown flag, which are in no public sample, and the form
// of their SNPEDiag.log; runtimes other than the DSP; power and temperature. A planted fault reaches the following layers as
// the emulator computes them. Where the DSP fuses an operator with the next one (a convolution and its Relu6), the first one's
// tensor shows a clipped range, and what follows does not, since it is not computed from it.
//
// It is for tests only and linked into no program that people get.
package fakeboard

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/fixture"
	"quantcheck/internal/qnn"
)

// Fault is something that goes wrong at a call.
type Fault = control.Fault

// Call is how a tool was called.
type Call = control.Call

// Kinds of faults; package control says what each is.
const (
	Missing     = control.Missing
	Killed      = control.Killed
	Signal      = control.Signal
	Error       = control.Error
	Silent      = control.Silent
	Hung        = control.Hung
	Full        = control.Full
	Slow        = control.Slow
	BadExit     = control.BadExit
	Truncated   = control.Truncated
	Resized     = control.Resized
	Lost        = control.Lost
	Unwritten   = control.Unwritten
	NoSuccess   = control.NoSuccess
	EmptyLog    = control.EmptyLog
	Clipped     = control.Clipped
	Zeroed      = control.Zeroed
	Swapped     = control.Swapped
	Disorder    = control.Disorder
	OnCPU       = control.OnCPU
	Integer     = control.Integer
	Exponent    = control.Exponent
	Unsupported = control.Unsupported
)

// Tools are the names of the tools.
var tools = []string{"snpe-net-run", "snpe-throughput-net-run", "snpe-diagview", "snpe-dlc-info", "snpe-platform-validator", "sysMonApp"}

// Options say how a board is set up.
type Options struct {
	// Cache is a folder in which the results of inferences are kept, by what went in; boards may share one. "": every run
	// computes.
	Cache string
	// Simulation is what the board computes with where the emulator is not installed, and everywhere with Simulated. The planted
	// faults that change a DLC cannot be shown then.
	Simulation *control.Simulation
	Simulated  bool
	// SleepMost bounds how long snpe-throughput-net-run really takes, whatever --duration says. 0: 50 ms.
	SleepMost time.Duration
}

// Board is a board that is none.
type Board struct {
	Bin   string // folder with the tools
	State string // folder in which it keeps what it needs; nothing in it belongs to a device's own files

	t testing.TB
}

// Install makes a board that is there until the test ends. Without the emulator and a simulation in its place the test is skipped.
func Install(t testing.TB, o Options) *Board {
	t.Helper()
	kit, err := qnn.Find("")
	if o.Simulation == nil {
		kit = fixture.Emulator(t)
	} else if err == nil && !o.Simulated {
		o.Simulation = nil
	}
	dir := t.TempDir()
	b := &Board{Bin: filepath.Join(dir, "bin"), State: filepath.Join(dir, "state"), t: t}
	for _, folder := range []string{b.Bin, b.State, filepath.Join(b.State, "tmp")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if o.SleepMost == 0 {
		o.SleepMost = 50 * time.Millisecond
	}
	if o.Cache != "" {
		if err := os.MkdirAll(o.Cache, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	program(t, b.program())
	if err := b.folder().Configure(control.Config{Libraries: kit.Dir, Cache: o.Cache, SleepMost: o.SleepMost, Simulation: o.Simulation}); err != nil {
		t.Fatal(err)
	}
	for _, tool := range tools {
		b.put(tool)
	}
	return b
}

func (b *Board) folder() control.Folder { return control.Folder(b.State) }

func (b *Board) program() string { return filepath.Join(b.State, "board") }

// put makes a tool's file in Bin.
func (b *Board) put(tool string) {
	b.t.Helper()
	quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
	script := fmt.Sprintf("#!/bin/sh\n# A stand-in for %[1]s, for tests only.\n%[2]s=%[3]s exec %[4]s %[1]s \"$@\"\n", tool, control.Variable, quote(b.State), quote(b.program()))
	if err := os.WriteFile(filepath.Join(b.Bin, tool), []byte(script), 0o700); err != nil { //nolint:gosec // it is a program
		b.t.Fatal(err)
	}
}

// Inject replaces the faults that the board shows by these: none makes it whole again. Calls are counted from the board's
// beginning.
func (b *Board) Inject(faults ...Fault) {
	b.t.Helper()
	if err := b.folder().SetFaults(faults); err != nil {
		b.t.Fatal(err)
	}
	for _, tool := range tools {
		gone := slices.ContainsFunc(faults, func(f Fault) bool { return f.Kind == Missing && f.Call == 0 && (f.Tool == tool || f.Tool == "") })
		path := filepath.Join(b.Bin, tool)
		_, err := os.Stat(path)
		switch there := err == nil; {
		case gone && there:
			if err := os.Remove(path); err != nil {
				b.t.Fatal(err)
			}
		case !gone && !there: // one that is there may be starting just now
			b.put(tool)
		}
	}
}

// Calls lists how the tools were called, the earliest call first.
func (b *Board) Calls() []Call {
	b.t.Helper()
	list, err := b.folder().Calls()
	if err != nil {
		b.t.Fatal(err)
	}
	return list
}

// Next is the number that the next call of a tool gets.
func (b *Board) Next(tool string) int {
	next := 1
	for _, c := range b.Calls() {
		if c.Tool == tool {
			next = max(next, c.Number+1)
		}
	}
	return next
}

// Running lists the processes of the board that are still there, its tools' and their workers'.
func (b *Board) Running() (pids []int) {
	paths, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		b.t.Fatal(err)
	}
	for _, path := range paths {
		// One that ended meanwhile has no link any more.
		if program, err := os.Readlink(path); err == nil && program == b.program() {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				b.t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// Path is a PATH on which the tools stand first.
func (b *Board) Path() string { return b.Bin + string(os.PathListSeparator) + os.Getenv("PATH") }
