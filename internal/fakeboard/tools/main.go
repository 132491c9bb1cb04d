// The stand-in board: one program in the place of snpe-net-run, snpe-throughput-net-run, snpe-diagview, snpe-dlc-info,
// snpe-platform-validator and sysMonApp. It is for tests only, and no device: its numbers come from running the DLC on
// Qualcomm's emulator, its cycles from the compiler's cost model of a similar chip, its texts from samples of the real tools.
//
//  1. Package fakeboard makes a file for each tool, which starts this program with the tool's name and the board's folder.
//  2. The call is noted there, and the faults that it shall show are read.
//  3. The tool does its work, or fails as it was told to.
//
// What the real tools say of a missing file or an unknown flag is not known to us; that they fail is.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/runner/qnnworker"
)

// version is what the tools call themselves.
const version = "2.22.6.standin"

func main() {
	if qnnworker.IsWorker() {
		os.Exit(qnnworker.Work())
	}
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "this is the stand-in board of quantcheck's tests; package fakeboard starts it")
		os.Exit(2)
	}
	os.Exit(run(context.Background(), os.Args[1], os.Args[2:], os.Stdout, os.Stderr))
}

// tool is a tool of the board.
type tool struct {
	name  string
	order string // what its first argument has to be; "": a flag
	flags []flag
	run   func(*call) error
}

// tools are what the board has.
func tools() []tool {
	return []tool{
		{"snpe-net-run", "", netRunFlags, netRun},
		{"snpe-throughput-net-run", "", throughputFlags, throughput},
		{"snpe-diagview", "", diagviewFlags, diagview},
		{"snpe-dlc-info", "", infoFlags, info},
		{"snpe-platform-validator", "", validatorFlags, validate},
		{"sysMonApp", "getPowerStats", monitorFlags, monitor},
	}
}

// call is one call of a tool.
type call struct {
	*control.Call
	ctx            context.Context //nolint:containedctx // a call's context is the process's
	folder         control.Folder
	config         control.Config
	given          given
	stdout, stderr io.Writer
}

// run is the program without its process.
func run(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	all := tools()
	i := slices.IndexFunc(all, func(t tool) bool { return t.name == name })
	folder := control.Folder(os.Getenv(control.Variable))
	if i < 0 || folder == "" {
		fmt.Fprintf(stderr, "the stand-in board has no tool %q, or %s is not set\n", name, control.Variable)
		return 2
	}
	c := &call{ctx: ctx, folder: folder, stdout: stdout, stderr: stderr}
	var err error
	if c.config, err = folder.Config(); err == nil {
		// What a killed process leaves behind lies in the board's folder.
		err = os.Setenv("TMPDIR", folder.Path("tmp"))
	}
	if err == nil {
		c.Call, err = folder.Begin(name, args)
	}
	if err != nil {
		fmt.Fprintf(stderr, "the stand-in board: %v\n", err)
		return 2
	}
	if status, done := c.early(); done {
		return status
	}
	if f := c.Fault(control.Slow); f != nil {
		c.stdout = &slow{w: stdout, pause: f.Pause}
	}
	status := c.status(c.work(all[i]))
	if status == 0 && c.Fault(control.BadExit) != nil {
		return 1
	}
	return status
}

func (c *call) work(t tool) error {
	var err error
	args := c.Argv
	if t.order != "" {
		if len(args) == 0 || args[0] != t.order {
			return fmt.Errorf("%s: the stand-in knows the order %s only", t.name, t.order)
		}
		args = args[1:]
	}
	if c.given, err = parse(t.name, t.flags, args); err != nil {
		return err
	}
	switch {
	case c.given.has("help"):
		_, err = io.WriteString(c.stdout, usage(t.name, t.flags))
		return err
	case c.given.has("version"):
		_, err = fmt.Fprintf(c.stdout, "SNPE v%s\n", version)
		return err
	}
	return t.run(c)
}

// early shows the faults that come before anything else.
func (c *call) early() (status int, done bool) {
	switch {
	case c.Fault(control.Missing) != nil:
		fmt.Fprintf(c.stderr, "sh: %s: not found\n", c.Tool)
		return 127, true
	case c.Fault(control.Silent) != nil:
		return 0, true
	case c.Fault(control.Error) != nil:
		text := c.Fault(control.Error).Text
		if text == "" {
			text = "Unable to set up the DSP runtime"
		}
		return c.status(&snpeError{code: 1002, text: text, component: "Dsp Runtime"}), true
	}
	if f := c.Fault(control.Killed, control.Signal, control.Hung); f != nil && f.After == 0 {
		return c.end(f), true
	}
	return 0, false
}

// end ends the process as a fault says, or lets it hang until somebody kills it.
func (c *call) end(f *control.Fault) int {
	switch f.Kind {
	case control.Signal:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL) // Nothing comes after it.
	case control.Hung:
		for {
			time.Sleep(math.MaxInt64)
		}
	}
	return 137
}

// snpeError is an error as SNPE's tools print it.
type snpeError struct {
	code            int
	text, component string
}

func (e *snpeError) Error() string {
	text := strings.ReplaceAll(strings.Join(strings.Fields(e.text), " "), ";", ",")
	return fmt.Sprintf("error_code=%d; error_message=%s; error_component=%s; line_no=0; thread_id=%d", e.code, text, e.component, os.Getpid())
}

// statusError is an error that has been told already.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("status %d", int(e)) }

// status tells an error and gives the exit status.
func (c *call) status(err error) int {
	var told statusError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &told):
		return int(told)
	}
	fmt.Fprintln(c.stderr, err)
	return 1
}

// line prints a line.
func (c *call) line(format string, args ...any) { fmt.Fprintf(c.stdout, format+"\n", args...) }

// pause sleeps for a time, or for as long as tests let it.
func (c *call) pause(d time.Duration) { time.Sleep(min(d, c.config.SleepMost)) }

// slow is a writer before each line of which some time passes.
type slow struct {
	w     io.Writer
	pause time.Duration
}

func (s *slow) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		end := slices.Index(p, '\n') + 1
		if end == 0 {
			end = len(p)
		}
		time.Sleep(s.pause)
		k, err := s.w.Write(p[:end])
		n += k
		if err != nil {
			return n, err
		}
		p = p[end:]
	}
	return n, nil
}
