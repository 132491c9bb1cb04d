// Package adb is a device behind the Android Debug Bridge. Every command is a run of the program adb, whose "shell -T" passes
// bytes on as they are and keeps stdout and stderr apart; the device's side has to know version 2 of the shell protocol,
// which it does since Android 7.
package adb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/device"
)

// Options say which program to use.
type Options struct {
	// Program is adb; "" is the one in PATH.
	Program string
}

// Parse reads what stands behind "adb:": a serial number, or "" for the only device.
func Parse(serial string) (device.Target, error) {
	if strings.HasPrefix(serial, "-") || strings.ContainsAny(serial, " \t\n\x00/") {
		return device.Target{}, fmt.Errorf("%q is no serial number", serial)
	}
	return device.Target{Kind: device.ADB, Serial: serial}, nil
}

// Device is a device of adb's server.
type Device struct {
	program, serial string
	ctx             context.Context
	close           context.CancelCauseFunc
}

// Open finds the device with target's serial number; "" is the only one that is connected. The error is device.ErrToolMissing
// if there is no program adb, device.ErrLost if there is no such device.
func Open(ctx context.Context, target device.Target, o Options) (*Device, error) {
	d := &Device{program: o.Program, serial: target.Serial}
	if d.program == "" {
		d.program = "adb"
	}
	if d.serial == "" {
		serial, err := d.ask(ctx, "get-serialno")
		if err != nil {
			return nil, err
		}
		d.serial = serial
	}
	features, err := d.ask(ctx, "features")
	if err != nil {
		return nil, err
	}
	if !slices.Contains(strings.FieldsFunc(features, func(r rune) bool { return r <= ' ' || r == ',' }), "shell_v2") {
		return nil, fmt.Errorf("connect to %s: it does not know shell_v2, so that output and errors cannot be told apart; use SSH", d.Name())
	}
	d.ctx, d.close = context.WithCancelCause(context.Background())
	return d, nil
}

// ask runs adb for an answer of adb's own.
func (d *Device) ask(ctx context.Context, question string) (string, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	argv := d.argv(question)
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second // A server of adb's that it has started may hold its streams.
	out, errs := &answer{}, &answer{}
	cmd.Stdout, cmd.Stderr = out, errs
	err := cmd.Run()
	switch {
	case caller.Err() != nil:
		return "", context.Cause(caller)
	case ctx.Err() != nil:
		return "", fmt.Errorf("connect to %s: %w: adb %s did not end within %s", d.Name(), device.ErrLost, question, askTime)
	case out.over || errs.over:
		return "", fmt.Errorf("connect to %s: %w: adb %s wrote over %d bytes", d.Name(), device.ErrTooMuch, question, answerLimit)
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return strings.TrimSpace(string(out.text)), nil
	case errors.Is(err, exec.ErrNotFound):
		return "", fmt.Errorf("%w: adb, of Android's platform tools: %w", device.ErrToolMissing, err)
	}
	return "", fmt.Errorf("connect to %s: %w: adb %s: %w: %s", d.Name(), device.ErrLost, question, err, bytes.TrimSpace(errs.text))
}

// An answer of adb's own is a line; starting its server takes it some seconds.
const (
	answerLimit = 64 << 10
	askTime     = 30 * time.Second
)

// answer is a buffer that takes so much and no more, which ends who writes.
type answer struct {
	text []byte
	over bool
}

func (a *answer) Write(p []byte) (int, error) {
	if len(a.text)+len(p) > answerLimit {
		a.over = true
		return 0, device.ErrTooMuch
	}
	a.text = append(a.text, p...)
	return len(p), nil
}

func (d *Device) argv(args ...string) []string {
	argv := []string{d.program}
	if d.serial != "" {
		argv = append(argv, "-s", d.serial)
	}
	return append(argv, args...)
}

// Name implements device.Device.
func (d *Device) Name() string {
	return device.Target{Kind: device.ADB, Serial: d.serial}.String()
}

// Run implements device.Device.
func (d *Device) Run(ctx context.Context, c device.Command) error {
	ctx, cancel := device.Until(ctx, d.ctx)
	defer cancel()
	return device.RunShell(ctx, d.start, c)
}

// Close implements device.Device; adb's server goes on.
func (d *Device) Close() error {
	d.close(device.ErrLost)
	return nil
}

func (d *Device) start(ctx context.Context, script string, input io.Reader, stdout, stderr io.Writer) (device.Process, error) {
	return device.StartProgram(ctx, d.argv("shell", "-T", script), input, stdout, stderr)
}
