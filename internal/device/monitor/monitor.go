// Package monitor watches what a device does: processor, memory, temperatures, power, DSP.
//
//  1. One script runs on the device as long as it is watched and prints a block of lines for every sample (script.go).
//  2. A block becomes a Sample; rates are taken between two blocks (parse.go, dsp.go).
//
// What a device does not offer is absent from a sample, never 0.
package monitor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"quantcheck/internal/device"
)

// Sample is what a device did at one time. A pointer that is nil, and a list that is empty, was not offered.
type Sample struct {
	// Time is when it arrived, by this machine's clock; Uptime is the device's own, in seconds.
	Time   time.Time `json:"time"`
	Uptime *float64  `json:"uptime_s,omitempty"`
	// Load is the device's load average over a minute. CPU is how many percent of all processors' time since the sample
	// before were spent on something; the first sample has none.
	Load *float64 `json:"load,omitempty"`
	CPU  *float64 `json:"cpu_percent,omitempty"`
	// MemTotal and MemAvailable are bytes.
	MemTotal     *int64  `json:"mem_total_bytes,omitempty"`
	MemAvailable *int64  `json:"mem_available_bytes,omitempty"`
	Temps        []Temp  `json:"temps,omitempty"`
	Power        []Power `json:"power,omitempty"`
	Clocks       []Clock `json:"clocks,omitempty"`
	// DSP is how many percent of what it could have computed since the sample before the compute DSP did: the time in each
	// frequency, weighted with it, of the time at the highest one. DSPMHz is its mean frequency while it was active. Both
	// need sysMonApp on the device.
	DSP    *float64 `json:"dsp_percent,omitempty"`
	DSPMHz *float64 `json:"dsp_mhz,omitempty"`
	// NotRead counts lines that were not understood.
	NotRead int `json:"not_read,omitempty"`
}

// Temp is a thermal zone's temperature.
type Temp struct {
	// Zone is the kernel's name, thermal_zone0 and so on; Type says what is measured and need not be unique.
	Zone    string  `json:"zone"`
	Type    string  `json:"type"`
	Celsius float64 `json:"celsius"`
}

// Power is what a sensor says that something takes.
type Power struct {
	// Source is the kernel's name of the sensor, as hwmon0/power1 or battery; Name says what is measured, if it is known.
	Source string  `json:"source"`
	Name   string  `json:"name,omitempty"`
	Watts  float64 `json:"watts"`
}

// Clock is a frequency: of a processor core (cpu0), or of a device whose frequency the kernel changes.
type Clock struct {
	Name string  `json:"name"`
	MHz  float64 `json:"mhz"`
}

// Watch gives take a sample at once and then after every pause of interval, until the context ends, which is no error and takes
// at most a second. take is called by one goroutine, and not any more when Watch has returned; a slow one slows the watching.
// The error is device.ErrLost if the connection ended.
func Watch(ctx context.Context, d device.Device, interval time.Duration, take func(Sample)) error {
	return watch(ctx, d, "", interval, interval+sampleLimit, take)
}

// watch is Watch for a device whose /proc and /sys lie in a folder. A sample has to come within patience of the one before.
func watch(ctx context.Context, d device.Device, root string, interval, patience time.Duration, take func(Sample)) error {
	if interval < 10*time.Millisecond {
		return fmt.Errorf("watch %s every %s: that is too often", d.Name(), interval)
	}
	caller := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(patience, func() {
		cancel(fmt.Errorf("%w: no sample for %s", device.ErrTimeout, patience))
	})
	defer late.Stop()
	b := &blocks{take: func(s Sample) {
		take(s)
		late.Reset(patience)
	}}
	rest := interval % time.Second
	c := device.Shell(script, root, strconv.FormatFloat(rest.Seconds(), 'f', 3, 64), strconv.Itoa(int(interval/time.Second)))
	// A watch goes on for ever. What it may say is bounded by the sample, and by the time to the next one.
	c.Stdout, c.Limits = b, device.Limits{Output: device.Unlimited, Time: device.Unlimited}
	err := d.Run(ctx, c)
	if err == nil {
		err = errors.New("the script ended by itself")
	}
	if caller.Err() == nil { // Else it is how watching ends.
		return fmt.Errorf("watch %s: %w", d.Name(), err)
	}
	return nil
}

// sampleLimit is how long a device may take to read its sensors and counters; sysMonApp takes a second or two.
const sampleLimit = 30 * time.Second

// blockLimit is how many bytes a sample may have: hundreds of sensors take a tenth.
const blockLimit = 256 << 10

// blocks cuts the script's output into samples.
type blocks struct {
	take func(Sample)
	held []byte
	last *counters
}

var blockEnd = []byte("\nend\n")

func (b *blocks) Write(p []byte) (int, error) {
	b.held = append(b.held, p...)
	for {
		i := bytes.Index(b.held, blockEnd)
		if i < 0 {
			break
		}
		s, now := parse(b.held[:i+1], b.last)
		s.Time = time.Now()
		b.last = now
		b.held = append(b.held[:0], b.held[i+len(blockEnd):]...)
		b.take(s)
	}
	if len(b.held) > blockLimit {
		return 0, fmt.Errorf("a sample has more than %d bytes", blockLimit)
	}
	return len(p), nil
}
