package cli

import (
	"context"
	"fmt"
	"os/exec"

	"quantcheck/internal/benchmark"
	"quantcheck/internal/device"
	"quantcheck/internal/device/monitor"
	"quantcheck/internal/device/reconnect"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/snpedevice"
)

// reach says how the device is connected to, waited for and watched.
func (c *benchmarkCmd) reach(con *console, bench *benchmark.Bench) {
	bench.Say = func(text string) {
		_ = con.stderr.ClearLine() // Where progress is drawn.
		con.say("%s", text)
	}
	var open *reconnect.Device
	bench.Open = func(context.Context) (device.Device, error) {
		d, err := c.Connect.open(con)
		if err != nil {
			return nil, err
		}
		open = d
		return d, nil
	}
	told := false
	bench.Patience = snpedevice.Options{Idle: c.Tools.Timeout}
	if !c.NoWait {
		bench.Patience.Wait = func(held *device.LockedError) bool {
			if !told {
				bench.Say(held.Error() + "; waiting. If nobody works there any more: quantcheck device unlock " + c.Connect.Device)
			}
			told = true
			return true
		}
	}
	const attempts = 3
	bench.Patience.Again = func(ctx context.Context, what string, f func(context.Context) error) error {
		return open.Retry(ctx, what, attempts, func(n reconnect.Notice) { bench.Say(n.String()) }, f)
	}
	if c.Tools.Interval > 0 {
		bench.Watch = func(ctx context.Context, d device.Device, see func(result.Condition)) error {
			return monitor.Watch(ctx, d, c.Tools.Interval, func(s monitor.Sample) { see(condition(s)) })
		}
	}
}

// condition is a sample in the results' terms.
func condition(s monitor.Sample) result.Condition {
	var c result.Condition
	if s.MemTotal != nil && s.MemAvailable != nil {
		used := float64(*s.MemTotal-*s.MemAvailable) / (1 << 20)
		c.Memory = &used
	}
	for _, t := range s.Temps {
		if c.Hot == nil || t.Celsius > *c.Hot {
			c.Hot = &t.Celsius
		}
	}
	for _, p := range s.Power { // the first: a board's sum, or its only sensor
		c.Power = &p.Watts
		break
	}
	part := func(percent *float64) *float64 {
		if percent == nil {
			return nil
		}
		v := *percent / 100
		return &v
	}
	c.CPU, c.DSP = part(s.CPU), part(s.DSP)
	return c
}

// hostTool runs a program of this machine.
func hostTool(ctx context.Context, dir string, args []string) ([]byte, error) {
	path, err := exec.LookPath(args[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", args[0], device.ErrToolMissing)
	}
	cmd := exec.CommandContext(ctx, path, args[1:]...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return out, fmt.Errorf("%s: %w; it said: %s", args[0], err, report.Printable(string(out[max(len(out)-500, 0):])))
	}
	return out, nil
}
