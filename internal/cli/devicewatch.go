package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/device/monitor"
	"quantcheck/internal/floatjson"
	"quantcheck/internal/report"
	"quantcheck/internal/terminal"
)

type deviceWatchCmd struct {
	deviceTarget
	Interval time.Duration `default:"1s" placeholder:"TIME" help:"The pause between two samples (1s)."`
	For      time.Duration `placeholder:"TIME" help:"Stop after that long (when interrupted)."`
	JSON     bool          `name:"json" help:"Print a JSON object per sample, one a line."`
}

// Help documents the command.
func (deviceWatchCmd) Help() string {
	return "Shows what the device does: processor, memory, temperatures, power, clocks, and the DSP's load where sysMonApp is there. What it does not offer is not shown. When the connection is lost, it is made anew."
}

// watchRetries is how many times the connection is made anew.
const watchRetries = 100

func (c *deviceWatchCmd) Run(con *console) error {
	if c.Interval < 10*time.Millisecond || c.For < 0 {
		return usagef("--interval %s --for %s: at least 10ms, and not less than nothing", c.Interval, c.For)
	}
	d, done, err := c.open(con)
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := withLimit(con.ctx, c.For)
	defer cancel()
	show := newWatchView(con.stdout, c.JSON)
	var broken error
	err = d.Retry(ctx, "watch "+d.Name(), watchRetries, con.waiting, func(ctx context.Context) error {
		return monitor.Watch(ctx, d, c.Interval, func(s monitor.Sample) {
			if err := show(&s); err != nil && broken == nil {
				broken = err
				cancel() // Nobody reads any more.
			}
		})
	})
	switch {
	case con.ctx.Err() != nil:
		return con.ctx.Err()
	case broken != nil:
		return broken
	case ctx.Err() != nil: // Its time is over.
		return nil
	}
	return err
}

// newWatchView gives what draws a sample: an object a line, a view that is drawn over itself on a terminal, else a line.
func newWatchView(w *terminal.Writer, asJSON bool) func(*monitor.Sample) error {
	if asJSON {
		document := w.Data()
		return func(s *monitor.Sample) error {
			text, err := floatjson.Marshal(s)
			if err != nil {
				return err
			}
			_, err = document.Write(append(text, '\n'))
			return err
		}
	}
	if !w.IsTerminal() {
		return func(s *monitor.Sample) error {
			_, err := fmt.Fprintf(w, "%s  %s\n", s.Time.Format(time.TimeOnly), strings.Join(watchLines(s, 1), "  "))
			return err
		}
	}
	drawn := 0
	return func(s *monitor.Sample) error {
		width, height := w.Size()
		lines := watchLines(s, 6)
		lines = lines[:min(len(lines), height-1)]
		var b strings.Builder
		for _, l := range lines {
			b.WriteString(report.Short(l, width-1) + "\n")
		}
		err := w.ClearUp(drawn)
		drawn = len(lines)
		_, e := io.WriteString(w, b.String())
		return errors.Join(err, e)
	}
}

// watchLines says a sample in words, with so many temperatures, hottest first.
func watchLines(s *monitor.Sample, temps int) []string {
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, report.Printable(fmt.Sprintf(format, args...)))
	}
	if s.CPU != nil {
		add("CPU %3.0f %%", *s.CPU)
	}
	if s.Load != nil {
		add("load %.2f", *s.Load)
	}
	if s.MemTotal != nil && s.MemAvailable != nil {
		add("memory %s of %s used", gib(*s.MemTotal-*s.MemAvailable), gib(*s.MemTotal))
	}
	if s.DSP != nil {
		text := fmt.Sprintf("DSP %3.0f %%", *s.DSP)
		if s.DSPMHz != nil {
			text += fmt.Sprintf(" at %.0f MHz", *s.DSPMHz)
		}
		add("%s", text)
	}
	for _, p := range s.Power {
		add("%.2f W %s", p.Watts, cmp.Or(p.Name, p.Source))
	}
	hot := slices.Clone(s.Temps)
	slices.SortStableFunc(hot, func(a, b monitor.Temp) int { return cmp.Compare(b.Celsius, a.Celsius) })
	for _, t := range hot[:min(len(hot), temps)] {
		add("%.1f °C %s", t.Celsius, cmp.Or(t.Type, t.Zone))
	}
	if more := len(hot) - temps; more > 0 {
		add("(%d more, cooler)", more)
	}
	if text := clockRange(s.Clocks); text != "" {
		add("%s", text)
	}
	if s.NotRead > 0 {
		add("%d lines were not understood", s.NotRead)
	}
	if lines == nil {
		add("the device offers nothing to watch")
	}
	return lines
}

// clockRange says how fast the cores are, and each other clock.
func clockRange(clocks []monitor.Clock) string {
	var low, high float64
	n := 0
	var others []string
	for _, c := range clocks {
		if !strings.HasPrefix(c.Name, "cpu") {
			others = append(others, fmt.Sprintf("%s %.0f MHz", c.Name, c.MHz))
			continue
		}
		if n++; n == 1 {
			low, high = c.MHz, c.MHz
		}
		low, high = min(low, c.MHz), max(high, c.MHz)
	}
	if n > 0 {
		text := fmt.Sprintf("cores at %.0f MHz", low)
		if low != high {
			text = fmt.Sprintf("cores at %.0f to %.0f MHz", low, high)
		}
		others = append([]string{text}, others...)
	}
	return strings.Join(others, ", ")
}
