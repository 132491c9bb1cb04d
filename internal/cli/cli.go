// Package cli is the program as a user meets it: commands, flags, what is printed, and the exit status.
//
// A command's file turns flags into a spec, calls a use case, and draws its result. Nothing else reads flags.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/device"
	"quantcheck/internal/device/dial"
	"quantcheck/internal/hostinfo"
	"quantcheck/internal/lock"
	"quantcheck/internal/netrun"
	"quantcheck/internal/onnxruntime"
	"quantcheck/internal/qnn"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/terminal"
	"quantcheck/internal/usage"
)

// Exit statuses, as the help documents them.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNo          = 3
	exitUnavailable = 4
	exitInterrupted = 130
)

// ErrReaderGone is the cause that a context ends with when nobody reads what the program prints.
var ErrReaderGone = errors.New("the reader of the output is gone")

const description = `Shows what quantization does to a neural network, layer by layer.

Exit status: 0 done, 1 failed, 2 wrong usage or input, 3 done but a threshold says no, 4 engine, device or name in the workspace not available, 130 interrupted, 141 the reader of the output is gone.`

type program struct {
	Check     checkCmd     `cmd:"" help:"Compare a float ONNX model with quantized variants of it, layer by layer."`
	Report    reportCmd    `cmd:"" help:"Write one page with all runs of a workspace."`
	Optimize  optimizeCmd  `cmd:"" help:"Rewrite a model so that the DSP runs it better, with every pass proved on samples."`
	Estimate  estimateCmd  `cmd:"" help:"Estimate how long the DSP takes, layer by layer, without a board."`
	Diff      diffCmd      `cmd:"" help:"Hold the encodings of a DLC against what was asked for."`
	Info      infoCmd      `cmd:"" help:"Show what a DLC or an ONNX model holds, without any SDK."`
	Eval      evalCmd      `cmd:"" help:"Score a model and its variants on a data set: what quantization costs in accuracy."`
	Explore   exploreCmd   `cmd:"" help:"Find the few layers that need more bits: where the score is lost, the smallest cure, what it costs."`
	Stats     statsCmd     `cmd:"" help:"Put all evaluations of a workspace side by side."`
	Raw       rawCmd       `cmd:"" help:"Turn pictures into raw files, as a device's tools take them."`
	Layers    layersCmd    `cmd:"" help:"Show the same layer over all variants and models of a workspace."`
	Lint      lintCmd      `cmd:"" help:"Find what costs accuracy or speed on the DSP, each with its fix."`
	Quantize  quantizeCmd  `cmd:"" help:"Write a model quantized: QDQ ONNX, encodings, DLC."`
	Strip     stripCmd     `cmd:"" help:"Write the float twin of a model that is quantized already."`
	NetRun    netRunCmd    `cmd:"" name:"net-run" help:"Run a DLC as it is on the HTP's emulator, as snpe-net-run does on a board."`
	Benchmark benchmarkCmd `cmd:"" help:"Measure a DLC on a device: layers, throughput, cycles, beside float model and emulator."`
	Device    deviceCmd    `cmd:"" help:"Show, watch, unlock or clean up a device."`
	Doctor    doctorCmd    `cmd:"" help:"List what is there and what is missing, with the command that brings it."`
	Version   versionCmd   `cmd:"" help:"Print the version."`
}

// console is where a command reads and writes. Stdout is for results, stderr for people.
// All that is written to them is safe to print; control sequences are methods of theirs.
type console struct {
	ctx            context.Context //nolint:containedctx // commands get their context through kong's bindings
	stdin          io.Reader
	stdout, stderr *terminal.Writer
	args           []string // the command line, without the program
	atEnd          []func() // what the command has opened
}

// say tells people something, in one line or with the further ones indented.
func (c *console) say(format string, args ...any) {
	fmt.Fprintf(c.stderr, "quantcheck: %s\n", terminal.Message(fmt.Sprintf(format, args...)))
}

// errNo is the error of a run that is done but whose threshold says no; it has been reported already.
var errNo = errors.New("a threshold was not reached")

// Run is the program. It writes results to stdout and everything else to stderr, and gives the exit status.
func Run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	con := &console{ctx: ctx, stdin: stdin, stdout: terminal.New(stdout), stderr: terminal.New(stderr), args: args}
	code := con.run(args)
	// A stream that does not take half a character has refused what came before.
	for _, end := range con.atEnd {
		end()
	}
	_, _ = con.stdout.Flush(), con.stderr.Flush()
	return code
}

func (c *console) run(args []string) int {
	var p program
	exited := -1
	parser, err := kong.New(&p,
		kong.Name("quantcheck"), kong.Description(description), kong.UsageOnError(), kong.Writers(c.stdout, c.stderr),
		kong.Exit(func(code int) { exited = code }), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: mostHelp}), kong.Help(c.help), lists(),
	)
	if err != nil {
		c.say("%v", err)
		return exitFailed
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	k, err := parser.Parse(args)
	if exited >= 0 { // help was printed
		return exited
	}
	if err != nil {
		c.say("%v", err)
		fmt.Fprintf(c.stderr, "Try: quantcheck %s--help\n", commandOf(args))
		return exitUsage
	}
	return c.status(unpanicked(func() error {
		if command, ok := k.Selected().Target.Addr().Interface().(placed); ok {
			if err := command.places().check(); err != nil {
				return err
			}
		}
		return hint(k, k.Run(c))
	}))
}

func commandOf(args []string) string {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return terminal.Text(args[0]) + " "
	}
	return ""
}

// hint names the flag of a command that has one for what failed.
func hint(k *kong.Context, err error) error {
	var refused *htp.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	for _, group := range k.Flags() {
		if group.Name == "htp-fallback" {
			return fmt.Errorf("%w. --htp-fallback runs what the HTP refuses on the CPU", err)
		}
	}
	return err
}

// status is the one place where errors become exit statuses.
func (c *console) status(err error) int {
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNo):
		return exitNo
	case c.ctx.Err() != nil || errors.Is(err, context.Canceled):
		written := "nothing was written"
		var partly *netrun.PartlyError
		var kept *keptError
		var unfinished *checkpoint.UnfinishedError
		if errors.As(err, &unfinished) {
			written = goesOn(unfinished)
		}
		if errors.As(err, &kept) {
			written = kept.what
		}
		if errors.As(err, &partly) && partly.Done > 0 {
			written = fmt.Sprintf("the results of the first %d inferences are written", partly.Done)
		}
		why := "interrupted"
		if errors.Is(context.Cause(c.ctx), ErrReaderGone) {
			why = ErrReaderGone.Error()
		}
		c.say("%s; %s", why, written)
		return exitInterrupted
	}
	c.say("%v", err)
	var unfinished *checkpoint.UnfinishedError
	if errors.As(err, &unfinished) {
		c.say("%s", goesOn(unfinished))
	}
	switch {
	case errors.Is(err, onnxruntime.ErrNoLibrary), errors.Is(err, qnn.ErrUnavailable), errors.Is(err, dial.ErrUnavailable),
		errors.Is(err, device.ErrLost), errors.Is(err, device.ErrLocked), errors.Is(err, lock.ErrHeld):
		return exitUnavailable
	case errors.Is(err, usage.Err), errors.Is(err, errUsage), errors.Is(err, dial.ErrUsage):
		return exitUsage
	}
	return exitFailed
}

// keptError is an error of a command that has finished a part, which is kept.
type keptError struct {
	error
	what string
}

func (e *keptError) Unwrap() error { return e.error }

// errUsage marks errors in a command's own flags.
var errUsage = errors.New("wrong usage")

type usageError struct{ error }

func (e usageError) Is(target error) bool { return target == errUsage }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

type versionCmd struct{}

func (versionCmd) Run(c *console) error {
	info := hostinfo.Describe()
	revision := info.Revision
	if revision == "" {
		revision = "unknown revision"
	}
	_, err := fmt.Fprintf(c.stdout, "quantcheck %s (%s, %s, %s/%s)\n", hostinfo.Version, revision, info.Go, info.OS, info.Arch)
	return err
}
