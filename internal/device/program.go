package device

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
)

// StartProgram is a Start's half for scripts that a program of this machine runs: argv holds the script already. The program
// is the leader of a process group, so that Ctrl-C in a terminal does not reach it.
func StartProgram(_ context.Context, argv []string, input io.Reader, stdout, stderr io.Writer) (Process, error) {
	//nolint:noctx // It outlives the context by the time that ending it in order takes; Abandon kills it.
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var pipe io.WriteCloser
	if input != nil {
		var err error
		if pipe, err = cmd.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if input != nil {
		go Feed(pipe, input)
	}
	return &program{cmd: cmd}, nil
}

// Until gives a context that ends with ctx, and for the same cause, or with the connection's.
func Until(ctx, connection context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(connection, func() { cancel(context.Cause(connection)) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}

// Feed copies a command's input and closes it. Errors are told elsewhere: the reader's by RunShell, and a command need not
// read all of its input.
func Feed(w io.WriteCloser, r io.Reader) {
	buf := make([]byte, 256<<10)
	_, _ = io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{r}, buf)
	_ = w.Close()
}

// programError is how the program ended, which says that the connection is lost if it is not how the script did.
type programError struct{ state *os.ProcessState }

func (e programError) Error() string { return e.state.String() }

type program struct {
	cmd  *exec.Cmd
	kill sync.Once
}

func (p *program) Wait() error {
	err := p.cmd.Wait()
	if exit := (*exec.ExitError)(nil); err == nil || errors.As(err, &exit) {
		return programError{p.cmd.ProcessState}
	}
	return err
}

func (p *program) Abandon() {
	p.kill.Do(func() {
		// It may just have ended.
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	})
}
