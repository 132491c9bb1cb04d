package report

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// Quantity is something of a device that is watched.
type Quantity struct {
	Name, Unit string
	Factor     float64 // from the result's unit to Unit
	Of         func(result.Condition) *float64
}

// Quantities are all of them.
var Quantities = []Quantity{
	{"power", "W", 1, func(c result.Condition) *float64 { return c.Power }},
	{"hottest zone", "°C", 1, func(c result.Condition) *float64 { return c.Hot }},
	{"memory", "MiB", 1, func(c result.Condition) *float64 { return c.Memory }},
	{"CPU", "%", 100, func(c result.Condition) *float64 { return c.CPU }},
	{"DSP", "%", 100, func(c result.Condition) *float64 { return c.DSP }},
}

// The sentences on a device that terminal and page share; they end without a full stop.

// ThroughputText is how many inferences a second the device made, with the spread of the repeats.
func ThroughputText(t *result.DeviceThroughput) string {
	median, least, greatest := t.Median()
	text := fmt.Sprintf("%s inferences a second on the %s (%s, %d s)", rate(median), Printable(strings.ToUpper(t.Runtime)), Printable(t.Profile), t.Duration)
	if len(t.PerSecond) > 1 {
		text += fmt.Sprintf("; median of %d, %s to %s", len(t.PerSecond), rate(least), rate(greatest))
	}
	return text
}

func rate(v float64) string {
	return strconv.FormatFloat(v, 'f', max(0, 2-int(math.Log10(max(v, 1)))/3), 64)
}

// CyclesText is what one inference takes by the profile, whose rows are DeviceRows', and how far that is from the estimate.
func CyclesText(c *result.DeviceCycles, rows []DeviceRow) string {
	total, unit := 0.0, ""
	for _, r := range rows {
		total, unit = total+r.Cycles.Mean, r.Cycles.Unit
	}
	text := fmt.Sprintf("%s %s over %d operators, mean of %d inferences", grouped(int64(total)), Printable(cmp.Or(strings.ToLower(unit), "cycles")), len(rows), c.Inferences)
	if c.Inferences == 1 {
		text += " (one has no spread)"
	}
	switch times, ok := Against(rows); {
	case ok:
		text += fmt.Sprintf("; %s times the estimate for %s", number(metric.Defined(times)), Printable(c.SoC))
	case len(c.Estimated) > 0 && !inCycles(unit):
		text += "; the estimate, in cycles, cannot be held against this unit"
	}
	return text
}

// inCycles reports whether a profile's unit is that of the estimate. Without a word it is taken for it.
func inCycles(unit string) bool {
	return unit == "" || strings.Contains(strings.ToLower(unit), "cycle")
}

// StepsText is how long the steps of a benchmark took, and how much of that SNPE's tools ran; "" if none was finished.
func StepsText(b *result.Benchmark) string {
	whole, tools := 0.0, 0.0
	var each []string
	for _, s := range result.Steps {
		if d := b.Steps[s]; d != nil {
			whole, tools = whole+d.Seconds, tools+d.ToolSeconds
			each = append(each, fmt.Sprintf("%s %.1f of %.1f s", s, d.ToolSeconds, d.Seconds))
		}
	}
	if len(each) == 0 {
		return ""
	}
	return fmt.Sprintf("The steps took %.1f s, of which SNPE's tools ran %.1f s (%s)", whole, tools, strings.Join(each, ", "))
}

// Averages are the mean of each statistic that a profile has of its inferences, in the order of their first occurrence.
func Averages(c *result.DeviceCycles) []Average {
	var list []Average
	place := map[[2]string]int{}
	for _, g := range c.Globals {
		key := [2]string{g.Name, g.Unit}
		at, ok := place[key]
		if !ok {
			at = len(list)
			place[key] = at
			list = append(list, Average{Statistic: result.Statistic{Name: g.Name, Unit: g.Unit}})
		}
		a := &list[at]
		a.Times++
		a.Value += (g.Value - a.Value) / float64(a.Times)
	}
	return list
}

// Average is a statistic's mean.
type Average struct {
	result.Statistic
	Times int `json:"times"` // how many values it is the mean of
}

// The statistics of snpe-diagview that split an inference's time, in microseconds.
const (
	inferenceTime   = "Total Inference Time"
	acceleratorTime = "Accelerator (execute) time"
	startTime       = "SNPE (init) time"
)

// SplitText is what an inference's time goes into, by the statistics of the profile; "" if it does not have them.
func SplitText(c *result.DeviceCycles) string {
	us := map[string]float64{}
	for _, a := range Averages(c) {
		if strings.EqualFold(a.Unit, "us") && a.Value > 0 && a.Value < 1e15 {
			us[a.Name] = a.Value
		}
	}
	all, busy := us[inferenceTime], us[acceleratorTime]
	if all == 0 || busy == 0 {
		return ""
	}
	text := fmt.Sprintf("An inference takes %s, of which the accelerator computes for %s (%.0f %%)", Time(int64(all)), Time(int64(busy)), 100*busy/all)
	if start := us[startTime]; start > 0 {
		text += fmt.Sprintf("; the start takes %s", Time(int64(start)))
	}
	return text
}
