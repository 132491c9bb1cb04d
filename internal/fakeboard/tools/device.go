package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"quantcheck/internal/fakeboard/control"
)

// validate is snpe-platform-validator.
func validate(c *call) error {
	runtime := c.given.get("runtime")
	if runtime == "" {
		return c.need("runtime")
	}
	if c.given.has("debug") {
		c.line("PF_VALIDATOR: DEBUG: Calling PlatformValidator->setRuntime\nPF_VALIDATOR: DEBUG: Calling PlatformValidator->RuntimeCheck")
	}
	if c.Fault(control.Unsupported) != nil || runtime != "dsp" && runtime != "all" {
		if c.given.has("debug") {
			c.line("PF_VALIDATOR: ERROR: -2 . Error while executing the sum function.")
		}
		c.line("Unit Test on the runtime DSP: Failed.\nSNPE is NOT supported for runtime DSP on the device.")
		return nil
	}
	if c.given.has("debug") {
		c.line("PF_VALIDATOR: DEBUG: Success in executing the sum function")
	}
	c.line("Unit Test on the runtime DSP: Passed.\nSNPE is supported for runtime DSP on the device.")
	if c.given.has("coreVersion") {
		c.line("Core Version of the runtime DSP: Hexagon Architecture V73")
	}
	if c.given.has("libVersion") {
		c.line("Library Version of the runtime DSP: Not Queried")
	}
	return nil
}

// span is when a tool kept the DSP busy.
type span struct{ Began, Ended time.Time }

// busy notes that the DSP is busy from now on, until the function is called. A killed tool's time ends with its process.
func (c *call) busy(began time.Time) func() {
	path := c.folder.Path("busy", fmt.Sprintf("%d-%s-%d.json", c.PID, c.Tool, c.Number))
	note := func(s span) {
		if data, err := json.Marshal(s); err == nil {
			_ = c.keep(path, data) // Only sysMonApp would miss it.
		}
	}
	note(span{Began: began})
	return func() { note(span{began, time.Now()}) }
}

// busyFor is for how long the DSP was busy since a moment.
func (c *call) busyFor(since, now time.Time) (total time.Duration, err error) {
	paths, err := filepath.Glob(c.folder.Path("busy", "*.json"))
	if err != nil {
		return 0, err
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		var s span
		if err := json.Unmarshal(data, &s); err != nil {
			return 0, err
		}
		if s.Ended.IsZero() {
			if s.Ended = s.Began; alive(path) {
				s.Ended = now
			}
		}
		if s.Began.Before(since) {
			s.Began = since
		}
		total += max(s.Ended.Sub(s.Began), 0)
	}
	return total, nil
}

// alive says whether the process by whose number a file is named is still there.
func alive(path string) bool {
	pid, _, _ := strings.Cut(filepath.Base(path), "-")
	_, err := os.Stat(filepath.Join("/proc", pid))
	return err == nil
}

// clocks are the core clocks of the DSP in MHz, of which the last is what it runs at when it is busy.
var clocks = []float64{300, 576, 806.4, 998.4, 1190.4, megahertz}

// monitor is sysMonApp's order getPowerStats: a line for each clock with the seconds in which the DSP ran at it. Monitors are
// known to read the lines that begin with two decimal numbers; the text around them is ours.
func monitor(c *call) error {
	cleared := c.folder.Path("cleared.json")
	now := time.Now()
	if c.given.has("clear") {
		data, err := json.Marshal(now)
		if err != nil {
			return err
		}
		return c.keep(cleared, data)
	}
	var since time.Time
	switch data, err := os.ReadFile(cleared); {
	case err == nil:
		if err := json.Unmarshal(data, &since); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	busy, err := c.busyFor(since, now)
	if err != nil {
		return err
	}
	c.line("Power stats of the Q6 processor (cdsp), a stand-in's:\n\n  Core clock (MHz)    Active time (s)")
	for i, clock := range clocks {
		active := 0.0
		switch i {
		case len(clocks) - 1:
			active = busy.Seconds()
		case 0:
			active = 0.01 * busy.Seconds()
		}
		c.line("%18.2f %18.6f", clock, active)
	}
	c.line("\nPower collapse time (s): %.6f", 0.0)
	return nil
}
