// Quantcheck shows what quantization does to a neural network, layer by layer.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"quantcheck/internal/cli"
	"quantcheck/internal/runner/cpu"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/qnnworker"
)

func main() {
	switch {
	case htp.IsWorker():
		os.Exit(htp.Work())
	case cpu.IsWorker():
		os.Exit(cpu.Work())
	case qnnworker.IsWorker():
		os.Exit(qnnworker.Work())
	}
	signals, stop := signal.NotifyContext(context.Background(), endings()...)
	ctx, end := context.WithCancelCause(signals)
	p := pipes{end: end}
	p.catch()
	stdout, stderr := p.of(os.Stdout), p.of(os.Stderr)
	context.AfterFunc(ctx, func() {
		stop() // a second signal ends the program at once
		cli.Linger(stderr)
		os.Exit(p.status(130))
	})
	os.Exit(p.status(cli.Run(ctx, os.Args[1:], os.Stdin, stdout, stderr)))
}

// endings are the signals at which the program cleans up and ends. SIGHUP, of a terminal that is closed, is one unless the program
// was started with it ignored, as nohup does.
func endings() []os.Signal {
	list := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		list = append(list, syscall.SIGHUP)
	}
	return list
}
