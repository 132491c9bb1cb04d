package main

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"quantcheck/internal/fakeboard/control"
)

// throughput is snpe-throughput-net-run: it says how often a second the DSP would run the DLC after the compiler's estimate.
func throughput(c *call) error {
	if err := c.need("container", "duration"); err != nil {
		return err
	}
	if err := c.onDSP(); err != nil {
		return err
	}
	seconds, err := strconv.ParseFloat(c.given.get("duration"), 64)
	if err != nil || !(seconds > 0) || math.IsInf(seconds, 0) {
		return fmt.Errorf("%s: --duration %s is no time in seconds", c.Tool, c.given.get("duration"))
	}
	if in := c.given.get("input_raw"); in != "" {
		if _, err := os.Stat(in); err != nil {
			return c.failure(err)
		}
	}
	m, err := c.remember(c.given.get("container"))
	if err != nil {
		return c.failure(err)
	}
	e, err := c.estimate(m)
	if err != nil {
		return c.failure(err)
	}
	done := c.busy(time.Now())
	defer done()
	c.pause(time.Duration(math.Min(seconds, 1e6) * float64(time.Second)))
	rate := c.unsteady(1/(float64(e.Cycles)/(megahertz*1e6)+overhead), m.Sum)
	label := "dsp_fixed8_tf"
	if c.Fault(control.OnCPU) != nil {
		rate, label = rate/40, "cpu_float32"
	}
	text := strconv.FormatFloat(rate, 'g', 6, 64)
	switch {
	case c.Fault(control.Integer) != nil:
		text = strconv.FormatFloat(math.Round(rate), 'f', 0, 64)
	case c.Fault(control.Exponent) != nil:
		rate, text = 1e6, "1e+06"
	}
	elapsed := int64(seconds * 1e6)
	c.line("[Thread 0 - %s] %s infs/sec - Number of images processed: %d - Build time: %d microseconds - Elapsed time: %d microseconds - Real time: %d microseconds - Teardown time: 10750 microseconds - Batch : 1",
		label, text, int64(rate*seconds), 657077, elapsed+188, elapsed-10476)
	c.line("Total throughput: %s infs/sec     ", text)
	return nil
}

// unsteady changes a rate by up to one in two hundred, otherwise at each call.
func (c *call) unsteady(rate float64, sum string) float64 {
	return rate * (1 + 0.01*(chance(sum, c.Number)-0.5))
}

// chance is a number between 0 and 1 that is always the same for the same things.
func chance(things ...any) float64 {
	sum := sha256.Sum256(fmt.Append(nil, things...))
	return float64(binary.LittleEndian.Uint64(sum[:])>>11) / (1 << 53)
}
