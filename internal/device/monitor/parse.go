package monitor

import (
	"math"
	"strconv"
	"strings"
)

// counters are what rates are taken from: totals since the device was started.
type counters struct {
	uptime     *float64
	busy, idle uint64
	cpu        bool
	dsp        dspTimes
}

// parse reads one block. last are the counters of the block before, nil if there is none.
func parse(block []byte, last *counters) (Sample, *counters) {
	var s Sample
	now := &counters{}
	for line := range strings.Lines(string(block)) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		kind, rest, _ := strings.Cut(line, " ")
		name, value, _ := strings.Cut(rest, " ")
		if kind == "dsp" {
			now.dsp.line(value) // Most of its lines are for people.
			continue
		}
		if !s.read(now, kind, name, value) {
			s.NotRead++
		}
	}
	if last != nil {
		s.rates(last, now)
	}
	return s, now
}

// read takes one line; false if it is not understood.
func (s *Sample) read(now *counters, kind, name, value string) bool {
	switch kind {
	case "uptime", "load":
		f, ok := number(value)
		if !ok || f < 0 {
			return false
		}
		if kind == "load" {
			s.Load = &f
		} else {
			s.Uptime, now.uptime = &f, &f
		}
		return true
	case "stat":
		return now.stat(value)
	case "mem":
		f, ok := number(value)
		if !ok || f < 0 || f > 1<<50 {
			return false
		}
		bytes := int64(f) << 10
		switch name {
		case "MemTotal:":
			s.MemTotal = &bytes
		case "MemAvailable:":
			s.MemAvailable = &bytes
		default:
			return false
		}
		return true
	}
	return s.sensor(kind, name, value)
}

// sensor takes a line of a sensor. One that says what cannot be, as those do that are off, is not offered.
func (s *Sample) sensor(kind, name, value string) bool {
	first, label, _ := strings.Cut(value, " ")
	f, ok := number(first)
	if !ok || name == "" {
		return false
	}
	label = strings.TrimSpace(label)
	switch kind {
	case "temp": // 1/1000 °C
		if c := f / 1000; c > -60 && c < 250 {
			s.Temps = append(s.Temps, Temp{name, label, c})
		}
	case "power": // µW
		s.Power = append(s.Power, Power{name, label, f / 1e6})
	case "supply": // µV, and µA in label; a battery that is charged says less than nothing
		amps, ok := number(label)
		if !ok {
			return false
		}
		s.Power = append(s.Power, Power{Source: name, Watts: math.Abs(f * amps / 1e12)})
	case "khz":
		s.Clocks = append(s.Clocks, Clock{name, f / 1e3})
	case "hz":
		s.Clocks = append(s.Clocks, Clock{name, f / 1e6})
	default:
		return false
	}
	return true
}

// number reads the first word.
func number(text string) (float64, bool) {
	word, _, _ := strings.Cut(text, " ")
	f, err := strconv.ParseFloat(word, 64)
	return f, err == nil && !math.IsInf(f, 0) && !math.IsNaN(f)
}

// stat reads "cpu user nice system idle iowait irq softirq steal …", of which guest times are parts of others (proc(5)).
func (c *counters) stat(value string) bool {
	fields := strings.Fields(value)
	if len(fields) < 5 || fields[0] != "cpu" {
		return false
	}
	var busy, idle uint64
	for i, f := range fields[1:min(len(fields), 9)] {
		n, err := strconv.ParseUint(f, 10, 63)
		if err != nil {
			return false
		}
		if i == 3 || i == 4 {
			idle += n
		} else {
			busy += n
		}
	}
	c.busy, c.idle, c.cpu = busy, idle, true
	return true
}

// rates compares two blocks. A counter that has gone back, after a restart or when somebody cleared it, says nothing.
func (s *Sample) rates(last, now *counters) {
	if last.cpu && now.cpu && now.busy >= last.busy && now.idle >= last.idle {
		busy, idle := float64(now.busy-last.busy), float64(now.idle-last.idle)
		if all := busy + idle; all > 0 {
			p := 100 * busy / all
			s.CPU = &p
		}
	}
	var elapsed float64
	if last.uptime != nil && now.uptime != nil {
		elapsed = *now.uptime - *last.uptime
	}
	s.DSP, s.DSPMHz = now.dsp.since(&last.dsp, elapsed)
}
