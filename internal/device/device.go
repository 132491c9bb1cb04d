// Package device runs commands on another machine, or on this one, and moves files there and back.
//
// A connection offers one thing only, to run a command with its three streams (Device); everything else is said in commands
// that every POSIX shell has, so that it behaves alike over SSH, over ADB and locally:
//
//  1. A Command, which is a list of arguments, becomes a script (quote.go, the only place that quotes).
//  2. RunShell runs it through a connection's Start, finds its process and its exit status, and ends it when the context does.
//  3. Push, Pull, Sums, Sync and PullTar move files; what arrives is whole or not there.
//  4. Lock, Registry and Sweep keep a shared device in order.
//
// The packages local, ssh and adb are the connections; devicetest is the suite they all pass. Nothing here knows what the
// commands are for.
package device

import (
	"context"
	"io"
)

// Device is a connection to a machine with a POSIX shell. All methods may be called by several goroutines at once.
type Device interface {
	// Name says which machine it is, as a target that Parse reads. It holds no secret and is the same in every run.
	Name() string

	// Run runs one command and returns when it has ended and all its output has been written. Its error is
	//
	//   - nil if the exit status is 0;
	//   - *ExitError if there is another one (ErrToolMissing, ErrOutOfMemory, ErrDiskFull by errors.Is);
	//   - ErrLost if the connection ended before the command did: whether it still runs is not known;
	//   - the context's cause if that ended first, with ErrTimeout if its deadline passed. Run then returns within a
	//     second, and the command's process group has been told to end and has been killed if it did not;
	//   - ErrTooMuch or ErrTimeout if it passed its Limits, after which it is ended as with the context;
	//   - the error of c.Stdin or of a writer, in which case the command is ended too. Nothing more is written to them.
	//
	// All but a broken Command carry the last lines of the command's output (*RunError or *ExitError).
	Run(ctx context.Context, c Command) error

	// Close ends the connection; running commands fail with ErrLost. It is harmless to call it twice.
	Close() error
}

// Command is what runs on a device. Args[0] is a program's name, looked up in the device's PATH, or its path.
type Command struct {
	// Args arrive as they are, whatever bytes they hold; only the zero byte is refused.
	Args []string
	// Dir is the absolute folder it runs in; "" is the one that the connection starts in.
	Dir string
	// Env is added to the device's environment, each as NAME=value.
	Env []string
	// Stdin is read until its end or the command's; nil is empty. It may still be read, once, after Run has returned.
	Stdin io.Reader
	// Stdout and Stderr get the output, each from one goroutine at a time; nil drops it. A slow writer slows the command.
	Stdout, Stderr io.Writer
	// Limits bound it; without any it is a question, which may take two minutes and 16 MiB.
	Limits Limits
}

// Shell is a command that runs a script of a POSIX shell. The arguments are $1, $2 and so on in it.
func Shell(script string, args ...string) Command {
	return Command{Args: append([]string{"sh", "-c", script, "sh"}, args...)}
}
