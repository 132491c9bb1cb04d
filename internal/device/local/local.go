// Package local is this machine as a device.
package local

import (
	"context"
	"errors"
	"io"

	"quantcheck/internal/device"
)

// Device is this machine.
type Device struct {
	ctx   context.Context
	close context.CancelCauseFunc
}

// Parse reads what stands behind "local": nothing.
func Parse(text string) (device.Target, error) {
	if text != "" {
		return device.Target{}, errors.New("nothing stands behind local")
	}
	return device.Target{Kind: device.Local}, nil
}

// Open gives this machine.
func Open() *Device {
	d := new(Device)
	d.ctx, d.close = context.WithCancelCause(context.Background())
	return d
}

// Name implements device.Device.
func (*Device) Name() string { return "local" }

// Run implements device.Device.
func (d *Device) Run(ctx context.Context, c device.Command) error {
	ctx, cancel := device.Until(ctx, d.ctx)
	defer cancel()
	return device.RunShell(ctx, start, c)
}

// Close implements device.Device.
func (d *Device) Close() error {
	d.close(device.ErrLost)
	return nil
}

func start(ctx context.Context, script string, input io.Reader, stdout, stderr io.Writer) (device.Process, error) {
	return device.StartProgram(ctx, []string{"sh", "-c", script}, input, stdout, stderr)
}
