package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"quantcheck/internal/metric"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
)

// benchmark is a DLC on a device.
type benchmark struct {
	Name     string   `json:"name"`
	DLC      string   `json:"dlc"`
	Device   string   `json:"device"`
	Tool     string   `json:"tool"`
	Finished string   `json:"finished"`
	Verdict  string   `json:"verdict"` // where device and emulator part
	Apart    bool     `json:"apart"`   // they do
	Said     []string `json:"said"`    // throughput, time, cycles, steps: what was measured
	Notes    []string `json:"notes"`

	Bounds   bounds         `json:"bounds"`
	Corners  []corner       `json:"corners"`
	Layers   deviceLayers   `json:"layers"`
	Ops      []operatorTime `json:"ops"`
	Averages []average      `json:"averages"`
	Watched  watched        `json:"watched"`
	Parts    int            `json:"parts"`   // the row where device and emulator part; −1: none
	Run      int            `json:"run"`     // the comparison: index into the page's runs, −1 if it is not there
	Variant  int            `json:"variant"` // of it, the device
	InRun    []int          `json:"inRun"`   // for each row the run's layer, −1 if there is none
	Unit     string         `json:"unit"`    // of the cycles
	SoC      string         `json:"soc"`     // that the estimate is for; "": there is none
	Against  string         `json:"against"` // what the device is held against; "": nothing
	From     string         `json:"from"`    // the variant that the noise is of; "": not measured
}

// bounds are where slow and wrong begin, as report.DeviceCorners has them.
type bounds struct {
	Much  num `json:"much"`  // share of the time, and of the noise
	Under num `json:"under"` // dB; where the noise was not measured
}

type corner struct {
	Title  string `json:"title"`
	Advice string `json:"advice"`
	Rows   []int  `json:"rows"` // the most of it first
}

// deviceLayers are columns: the profile's rows in its order, then the model's layers that have none in it.
type deviceLayers struct {
	Name      []string `json:"name"`  // the profile's; "": the row is not the profile's
	Layer     []string `json:"layer"` // the float model's; "": it is none of its layers
	Op        []string `json:"op"`
	Cycles    []count  `json:"cycles"`
	Std       []num    `json:"std"`
	Share     []num    `json:"share"`
	Estimated []count  `json:"estimated"`
	Times     []num    `json:"times"` // measured by estimated
	SQNR      []num    `json:"sqnr"`
	CosSim    []num    `json:"cosine"`
	Noise     []num    `json:"noise"`
	Apart     []num    `json:"apart"`
	Twin      []num    `json:"twin"`
	Corner    []int    `json:"corner"` // −1: neither slow nor wrong, or not in the profile
}

type operatorTime struct {
	Op        string `json:"op"`
	Layers    int    `json:"layers"`
	Measured  count  `json:"measured"`
	Estimated count  `json:"estimated"`
	Times     num    `json:"times"` // null: none of them has an estimate
}

type average struct {
	Name  string `json:"name"`
	Unit  string `json:"unit"`
	Value count  `json:"value"`
	Times int    `json:"times"`
}

// watched is what the device was like: columns over the samples, step by step.
type watched struct {
	At      []count  `json:"at"` // seconds; the steps stand one behind the other
	Power   []num    `json:"power"`
	Hot     []num    `json:"hot"`
	Memory  []num    `json:"memory"`
	CPU     []num    `json:"cpu"`
	DSP     []num    `json:"dsp"`
	Bands   []band   `json:"bands"`
	Missing []string `json:"missing"` // sentences: what is not there
}

// band is a step among the samples.
type band struct {
	Step     string `json:"step"`
	From     count  `json:"from"` // seconds
	To       count  `json:"to"`
	Finished string `json:"finished"`
	Samples  int    `json:"samples"`
}

// count is a value in nine significant digits, for what is counted or added up.
type count metric.Value

// MarshalJSON writes what the page calls Num.
func (c count) MarshalJSON() ([]byte, error) {
	if !c.OK || math.IsInf(c.V, 0) {
		return metric.Value(c).MarshalJSON()
	}
	return strconv.AppendFloat(nil, c.V, 'g', 9, 64), nil
}

func counted(v float64) count { return count(metric.Defined(v)) }

// benchmarks is the view of devices.
type benchmarks struct {
	Benchmarks []benchmark `json:"benchmarks"`
}

var _ = show(func(c Content) benchmarks {
	var p benchmarks
	p.Benchmarks = []benchmark{}
	for _, one := range c.Benchmarks {
		p.Benchmarks = append(p.Benchmarks, describeBenchmark(one, c.Runs))
	}
	return p
})

func describeBenchmark(b *result.Benchmark, runs []*result.Run) benchmark {
	d := benchmark{
		Name: b.Name, DLC: b.DLC, Device: b.Device, Tool: "quantcheck " + b.Tool, Verdict: report.Parting(b), Apart: b.Layers != nil && b.Layers.Parts != "",
		Said: []string{}, Notes: []string{}, Corners: []corner{}, Ops: []operatorTime{}, Averages: []average{}, Parts: -1,
	}
	if b.SNPE != "" {
		d.Tool += ", SNPE " + b.SNPE
	}
	if t := b.Finished(); !t.IsZero() {
		d.Finished = t.Format(second)
	}
	if d.Verdict == "" {
		d.Verdict = "The layers were not compared (step layers)."
	}
	for _, s := range result.Steps {
		if step := b.Steps[s]; step != nil {
			d.Notes = append(d.Notes, step.Notes...)
		}
	}
	rows := report.DeviceRows(b)
	for _, text := range said(b, rows) {
		d.Said = append(d.Said, text+".")
	}
	d.describeProfile(b, rows)
	d.Layers = columnsOf(b, rows)
	for k, c := range report.DeviceCorners(b, rows) {
		d.Corners = append(d.Corners, corner{c.Title, c.Advice, c.Layers})
		for _, i := range c.Layers {
			d.Layers.Corner[i] = k
		}
	}
	d.Bounds.Much = some(report.Much(len(rows)))
	if l := b.Layers; l != nil {
		d.Bounds.Under, d.Against, d.From = some(l.Under), l.Against, l.From
		if l.Parts != "" {
			d.Parts = slices.Index(d.Layers.Layer, l.Parts)
		}
	}
	d.Run, d.Variant = comparison(b, runs)
	d.InRun = inRun(d.Layers.Layer, d.Run, runs)
	d.Watched = watch(b)
	return d
}

// describeProfile fills in what is of the profile as a whole.
func (d *benchmark) describeProfile(b *result.Benchmark, rows []report.DeviceRow) {
	if b.Cycles == nil {
		return
	}
	d.SoC = b.Cycles.SoC
	if len(rows) > 0 {
		d.Unit = cmp.Or(strings.ToLower(rows[0].Cycles.Unit), "cycles")
	}
	for _, a := range report.Averages(b.Cycles) {
		d.Averages = append(d.Averages, average{a.Name, a.Unit, counted(a.Value), a.Times})
	}
	for _, o := range report.OperatorTimes(rows) {
		t := operatorTime{Op: o.Op, Layers: o.Layers, Measured: counted(o.Measured), Estimated: counted(o.Estimated)}
		if o.Times > 0 {
			t.Times = some(o.Times)
		}
		d.Ops = append(d.Ops, t)
	}
}

// second is how the page writes a benchmark's time: a run's is that of its beginning, in the same minute often.
const second = "2006-01-02 15:04:05 UTC"

// said are the sentences on what was measured.
func said(b *result.Benchmark, rows []report.DeviceRow) []string {
	var list []string
	if t := b.Throughput; t != nil {
		list = append(list, report.ThroughputText(t))
	}
	if c := b.Cycles; c != nil {
		if text := report.SplitText(c); text != "" {
			list = append(list, text)
		}
		text := report.CyclesText(c, rows)
		if ops := report.OperatorTimes(rows); len(ops) > 0 && ops[0].Measured > 0 {
			total := 0.0
			for _, o := range ops {
				total += o.Measured
			}
			text += fmt.Sprintf("; %s %% of it goes into %s", percent(ops[0].Measured/total), operators(ops[0]))
		}
		list = append(list, text)
	}
	if text := report.StepsText(b); text != "" {
		list = append(list, text)
	}
	return list
}

func operators(o report.OperatorTime) string {
	if o.Op == "" {
		return fmt.Sprintf("%d operators that make no layer of the model", o.Layers)
	}
	return fmt.Sprintf("%d of type %s", o.Layers, o.Op)
}

// columnsOf lays out the profile's rows, and behind them the layers that it does not have.
func columnsOf(b *result.Benchmark, rows []report.DeviceRow) deviceLayers {
	d := deviceLayers{
		Name: []string{}, Layer: []string{}, Op: []string{}, Cycles: []count{}, Std: []num{}, Share: []num{}, Estimated: []count{}, Times: []num{},
		SQNR: []num{}, CosSim: []num{}, Noise: []num{}, Apart: []num{}, Twin: []num{}, Corner: []int{},
	}
	shown := map[string]bool{}
	for _, r := range rows {
		estimated, times := count{}, num{}
		if r.Estimated != nil {
			estimated = counted(*r.Estimated)
			if *r.Estimated > 0 {
				times = some(r.Cycles.Mean / *r.Estimated)
			}
		}
		d.Name, d.Cycles, d.Std, d.Share = append(d.Name, r.Cycles.Name), append(d.Cycles, counted(r.Cycles.Mean)), append(d.Std, num(r.Cycles.Std)), append(d.Share, some(r.Cycles.Share))
		d.Estimated, d.Times = append(d.Estimated, estimated), append(d.Times, times)
		l := r.Layer
		if l == nil {
			l = &result.DeviceLayer{}
		} else {
			shown[l.Name] = true
		}
		d.add(l)
	}
	if b.Layers == nil {
		return d
	}
	for i := range b.Layers.Rows {
		if l := &b.Layers.Rows[i]; !shown[l.Name] {
			d.Name, d.Cycles, d.Std, d.Share = append(d.Name, ""), append(d.Cycles, count{}), append(d.Std, num{}), append(d.Share, num{})
			d.Estimated, d.Times = append(d.Estimated, count{}), append(d.Times, num{})
			d.add(l)
		}
	}
	return d
}

// add puts a layer's columns behind those of the profile.
func (d *deviceLayers) add(l *result.DeviceLayer) {
	d.Layer, d.Op, d.SQNR, d.CosSim = append(d.Layer, l.Name), append(d.Op, l.Op), append(d.SQNR, num(l.SQNR)), append(d.CosSim, num(l.CosSim))
	d.Noise, d.Apart, d.Twin, d.Corner = append(d.Noise, num(l.Share)), append(d.Apart, num(l.Apart)), append(d.Twin, num(l.TwinSQNR)), append(d.Corner, -1)
}

// comparison finds the run that a benchmark's layers are of: the last one of its name and device that had begun when they were
// done.
func comparison(b *result.Benchmark, runs []*result.Run) (run, v int) {
	if b.Layers == nil || b.Device == "" {
		return -1, -1
	}
	for i, r := range slices.Backward(runs) {
		// A step's end is kept in whole seconds, a run's beginning in thousandths.
		if done := b.Steps[result.StepLayers]; r.Name != b.Name || done != nil && !r.Started.Before(done.Finished.Add(time.Second)) {
			continue
		}
		v := slices.IndexFunc(r.Variants, func(v result.Variant) bool {
			return v.Spec.Target == b.Device && v.Spec.Name == b.Layers.Variant
		})
		if v >= 0 {
			return i, v
		}
	}
	return -1, -1
}

// inRun finds layers in a run by their names.
func inRun(names []string, run int, runs []*result.Run) []int {
	place := map[string]int{}
	if run >= 0 {
		for i, l := range runs[run].Layers {
			place[l.Name] = i
		}
	}
	list := make([]int, len(names))
	for i, name := range names {
		list[i] = -1
		if at, ok := place[name]; ok && name != "" {
			list[i] = at
		}
	}
	return list
}

// watch lays the samples out. Steps may be of different runs, whose clocks have nothing to do with each other: each begins where
// the one before it ended.
func watch(b *result.Benchmark) watched {
	d := watched{At: []count{}, Power: []num{}, Hot: []num{}, Memory: []num{}, CPU: []num{}, DSP: []num{}, Bands: []band{}, Missing: []string{}}
	steps := map[result.Step][]result.Condition{}
	for _, c := range b.Conditions {
		steps[c.Step] = append(steps[c.Step], c)
	}
	at := 0.0
	for _, s := range inTime(b) {
		list := steps[s]
		slices.SortStableFunc(list, func(x, y result.Condition) int { return cmp.Compare(x.At, y.At) })
		begin, end := list[0].At, list[len(list)-1].At
		one := band{Step: string(s), From: counted(at), Samples: len(list)}
		for _, c := range list {
			d.At = append(d.At, counted(at+c.At-begin))
			d.Power, d.Hot, d.Memory = append(d.Power, maybe(c.Power)), append(d.Hot, maybe(c.Hot)), append(d.Memory, maybe(c.Memory))
			d.CPU, d.DSP = append(d.CPU, maybe(c.CPU)), append(d.DSP, maybe(c.DSP))
		}
		length := end - begin
		if done := b.Steps[s]; done != nil {
			length, one.Finished = max(length, done.Seconds), done.Finished.Format(second)
		}
		at += length
		one.To = counted(at)
		d.Bands = append(d.Bands, one)
	}
	d.Missing = missing(b, steps)
	return d
}

// inTime are the steps that were watched, in the order in which they were done, as far as that is known.
func inTime(b *result.Benchmark) []result.Step {
	var list []result.Step
	for _, c := range b.Conditions {
		if !slices.Contains(list, c.Step) {
			list = append(list, c.Step)
		}
	}
	slices.SortStableFunc(list, func(x, y result.Step) int {
		a, b := b.Steps[x], b.Steps[y]
		if a == nil || b == nil {
			return 0
		}
		return a.Finished.Compare(b.Finished)
	})
	return list
}

// missing says what was not watched.
func missing(b *result.Benchmark, steps map[result.Step][]result.Condition) []string {
	list := []string{}
	if len(b.Conditions) == 0 {
		return append(list, "The device was not watched.")
	}
	var names []string
	for _, q := range report.Quantities {
		if !slices.ContainsFunc(b.Conditions, func(c result.Condition) bool { return q.Of(c) != nil }) {
			names = append(names, q.Name)
		}
	}
	if len(names) > 0 {
		list = append(list, "The device does not offer: "+strings.Join(names, ", ")+".")
	}
	for _, s := range result.Steps {
		if b.Steps[s] != nil && s != result.StepInfo && len(steps[s]) == 0 {
			list = append(list, fmt.Sprintf("Step %s was not watched.", s))
		}
	}
	return list
}

func maybe(v *float64) num {
	if v == nil {
		return num{}
	}
	return some(*v)
}
