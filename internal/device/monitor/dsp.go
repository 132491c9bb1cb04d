package monitor

import (
	"regexp"
	"strconv"
	"strings"
)

// dspTimes is what sysMonApp getPowerStats prints: how many seconds the DSP has run at each frequency in MHz since somebody
// cleared it, and for how long in all. They are compared, not cleared, since others may read them too.
type dspTimes struct {
	seconds map[float64]float64
	total   float64 // 0 if it was not said
}

// dspRow is a frequency and its time.
var dspRow = regexp.MustCompile(`^\s*(\d+(?:\.\d+)?)\s+(\d+\.\d+)\s*$`)

// dspRows is how many frequencies are read at most.
const dspRows = 256

func (d *dspTimes) line(text string) {
	if m := dspRow.FindStringSubmatch(text); m != nil && len(d.seconds) < dspRows {
		mhz, err := strconv.ParseFloat(m[1], 64)
		seconds, e := strconv.ParseFloat(m[2], 64)
		if err == nil && e == nil && mhz > 0 {
			if d.seconds == nil {
				d.seconds = map[float64]float64{}
			}
			d.seconds[mhz] = seconds
		}
		return
	}
	if fields := strings.Fields(text); len(fields) > 2 && strings.Contains(strings.ToLower(text), "total time") {
		if f, ok := number(fields[len(fields)-1]); ok && f > 0 {
			d.total = f
		}
	}
}

// since compares with what was printed before. elapsed is how many seconds ago that was, 0 if it is not known.
func (d *dspTimes) since(last *dspTimes, elapsed float64) (percent, mhz *float64) {
	if len(d.seconds) == 0 || len(last.seconds) == 0 {
		return nil, nil
	}
	if d.total > 0 && last.total > 0 {
		elapsed = d.total - last.total
	}
	var highest, active, cycles float64
	for f, seconds := range d.seconds {
		delta := seconds - last.seconds[f]
		if delta < 0 {
			return nil, nil
		}
		highest = max(highest, f)
		active += delta
		cycles += f * delta
	}
	if elapsed = max(elapsed, active); elapsed <= 0 {
		return nil, nil
	}
	p := 100 * cycles / (highest * elapsed)
	percent = &p
	if active > 0 {
		m := cycles / active
		mhz = &m
	}
	return percent, mhz
}
