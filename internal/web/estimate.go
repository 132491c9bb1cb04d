package web

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
)

type estimate struct {
	ID      int64    `json:"id"`
	Name    string   `json:"name"`
	Variant string   `json:"variant"`
	Path    string   `json:"path"`
	Started string   `json:"started"`
	Tool    string   `json:"tool"`
	Verdict string   `json:"verdict"`
	Goes    string   `json:"goes"` // where most of the time goes; "" if that is not known
	Model   string   `json:"model"`
	Notes   []string `json:"notes"`

	Cycles int64 `json:"cycles"`
	Lower  int64 `json:"lower"` // cycles
	Upper  int64 `json:"upper"`
	US     int64 `json:"us"`
	USLow  int64 `json:"usLower"`
	USHigh int64 `json:"usUpper"`
	DDR    int64 `json:"ddr"` // bytes, both ways

	Layers costs `json:"layers"`
	Lanes  lanes `json:"lanes"`
}

// costs are columns over an estimate's layers, in its order.
type costs struct {
	Kind   []htpcost.Kind `json:"kind"`
	Name   []string       `json:"name"`
	Op     []string       `json:"op"`
	Added  []int          `json:"added"` // indices of the layers that the compiler or the runtime put in
	Cycles []float64      `json:"cycles"`
	Share  []num          `json:"share"`
	HMX    []int64        `json:"hmx"`
	HVX    []int64        `json:"hvx"`
	DMA    []int64        `json:"dma"`
	Scalar []int64        `json:"scalar"`
	DRAM   []int64        `json:"dram"`
	MACs   []*int64       `json:"macs"` // null: not known
	Events []int          `json:"events"`
}

// lanes are a timeline: one lane for each thread, and columns over the events, which are sorted by lane, then by start.
type lanes struct {
	Name   []string `json:"name"`
	Unit   []string `json:"unit"`   // what works there
	Events []int    `json:"events"` // how many of the columns' entries are the lane's
	// Start is how many cycles after the event before it in its lane an event starts, for the first one the cycle itself.
	Start []int64  `json:"start"`
	Dur   []int64  `json:"dur"` // cycles
	Layer []int    `json:"layer"`
	Op    []int    `json:"op"` // index into Ops
	On    []int    `json:"on"` // unit, as cost numbers them
	DRAM  []int64  `json:"dram"`
	VTCM  []int64  `json:"vtcm"`
	Ops   []string `json:"ops"` // the DSP's operators
	End   int64    `json:"end"` // cycles of the whole
	MHz   float64  `json:"mhz"` // 0: not said
}

// timed joins a variant of a check with an estimate of it.
type timed struct {
	Run      int   `json:"run"` // indices into the page's runs, their variants and the estimates
	Variant  int   `json:"variant"`
	Estimate int   `json:"estimate"`
	Layer    []int `json:"layer"` // for each layer of the estimate the run's, −1 if it is none of them
}

// estimates is the view of estimated times.
type estimates struct {
	Estimates []estimate `json:"estimates"`
	Timed     []timed    `json:"timed"`
}

var _ = show(func(c Content) estimates {
	var p estimates
	p.Estimates, p.Timed = []estimate{}, join(c.Runs, c.Estimates)
	for _, one := range c.Estimates {
		p.Estimates = append(p.Estimates, describeEstimate(one))
	}
	return p
})

func describeEstimate(e *result.Estimated) estimate {
	f := e.Figures
	d := estimate{
		ID: e.ID, Name: e.Name, Variant: e.Variant, Path: e.Path, Started: e.Started.Format(minute), Tool: fmt.Sprintf("%s, onnxruntime-qnn %s", e.Tool, e.Wheel),
		Verdict: verdict(f), Model: modelled(e.Estimate), Notes: append([]string{}, e.Notes...),
		Cycles: f.Cycles, Lower: f.Lower, Upper: f.Upper, US: f.Microseconds, USLow: f.LowerMicroseconds, USHigh: f.UpperMicroseconds,
		DDR: f.InputFillBytes + f.OutputSpillBytes + f.IntermediateFillBytes + f.IntermediateSpillBytes,
	}
	d.Goes = goes(e.Layers)
	if n := len(e.Refused); n > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("the HTP refuses %d operators (%s): this is the time of the other %s %% of the model's nodes", n, strings.Join(e.Refused, ", "), percent(e.Covered)))
	}
	c := &d.Layers
	*c = costs{
		Kind: []htpcost.Kind{}, Name: []string{}, Op: []string{}, Added: []int{}, Cycles: []float64{}, Share: []num{}, HMX: []int64{}, HVX: []int64{},
		DMA: []int64{}, Scalar: []int64{}, DRAM: []int64{}, MACs: []*int64{}, Events: []int{},
	}
	for i, l := range e.Layers {
		c.Kind, c.Name, c.Op = append(c.Kind, l.Kind), append(c.Name, layerName(l)), append(c.Op, l.Op)
		c.Cycles, c.Share = append(c.Cycles, exact(l.Cycles)), append(c.Share, some(l.Share))
		c.HMX, c.HVX, c.DMA, c.Scalar = append(c.HMX, l.HMX), append(c.HVX, l.HVX), append(c.DMA, l.DMA), append(c.Scalar, l.Scalar)
		c.DRAM, c.Events = append(c.DRAM, l.DRAMBytes), append(c.Events, l.Events)
		var macs *int64
		if n, ok := e.MACs[l.Name]; ok {
			macs = &n
		}
		c.MACs = append(c.MACs, macs)
		if l.Added {
			c.Added = append(c.Added, i)
		}
	}
	d.Lanes = describeTimeline(e.Timeline, e.Layers)
	return d
}

// exact keeps cycles to a thousandth, so that the layers still add up to the whole.
func exact(cycles float64) float64 { return math.Round(1000*cycles) / 1000 }

// layerName is what the page calls a layer.
func layerName(l htpcost.Layer) string {
	switch {
	case l.Kind != htpcost.Operator:
		return string(l.Kind)
	case l.Name == "":
		return fmt.Sprintf("operator 0x%x", l.Node)
	}
	return l.Name
}

// describeTimeline lays events into lanes, one for each thread at which something works. Without a timeline there is none.
func describeTimeline(t *htpcost.Timeline, layers []htpcost.Layer) lanes {
	d := lanes{
		Name: []string{}, Unit: []string{}, Events: []int{}, Start: []int64{}, Dur: []int64{}, Layer: []int{}, Op: []int{}, On: []int{},
		DRAM: []int64{}, VTCM: []int64{}, Ops: []string{},
	}
	if t == nil {
		return d
	}
	d.End = t.Cycles
	if text, ok := t.Setting("sim_core_freq"); ok {
		if f, err := strconv.ParseFloat(text, 64); err == nil && f > 0 && f < 1e6 {
			d.MHz = f
		}
	}
	place, known := map[uint32]int{}, map[string]int{}
	for i, l := range layers {
		if l.Kind != htpcost.Idle {
			place[l.Node] = i
		}
	}
	events := slices.Clone(t.Events)
	slices.SortStableFunc(events, func(a, b htpcost.Event) int {
		return cmp.Or(cmp.Compare(a.Thread, b.Thread), cmp.Compare(a.Start, b.Start), cmp.Compare(a.Cycles, b.Cycles))
	})
	before := int64(0)
	for i, e := range events {
		if i == 0 || e.Thread != events[i-1].Thread {
			d.Name, d.Unit, d.Events = append(d.Name, threadName(t, e.Thread)), append(d.Unit, unitsOf(events[i:])), append(d.Events, 0)
			before = 0
		}
		d.Events[len(d.Events)-1]++
		op, ok := known[e.Op]
		if !ok {
			op = len(d.Ops)
			known[e.Op] = op
			d.Ops = append(d.Ops, e.Op)
		}
		layer, ok := place[e.Node()]
		if !ok {
			layer = -1
		}
		d.Start, d.Dur, d.Layer, d.Op, d.On = append(d.Start, e.Start-before), append(d.Dur, e.Cycles), append(d.Layer, layer), append(d.Op, op), append(d.On, int(e.Unit))
		d.DRAM, d.VTCM = append(d.DRAM, e.Bytes.DRAMRead+e.Bytes.DRAMWrite), append(d.VTCM, e.Bytes.VTCMRead+e.Bytes.VTCMWrite)
		before = e.Start
	}
	return d
}

func threadName(t *htpcost.Timeline, id int) string {
	for _, x := range t.Threads {
		if x.ID == id && x.Name != "" {
			return strings.TrimSuffix(x.Name, ":")
		}
	}
	return fmt.Sprintf("thread %d", id)
}

// unitsOf names what works on the thread of the first event; the events are sorted by thread.
func unitsOf(events []htpcost.Event) string {
	var works [4]bool
	for _, e := range events {
		if e.Thread != events[0].Thread {
			break
		}
		if e.Unit >= 0 && int(e.Unit) < len(works) {
			works[e.Unit] = true
		}
	}
	var names []string
	for _, u := range []htpcost.Unit{htpcost.HMX, htpcost.Scalar, htpcost.HVX, htpcost.DMA} {
		if works[u] {
			names = append(names, u.String())
		}
	}
	return strings.Join(names, ", ")
}

// verdict says the whole in a sentence.
func verdict(f htpcost.Figures) string {
	text := fmt.Sprintf("%s by the estimate (%s to %s)", duration(f.Microseconds), duration(f.LowerMicroseconds), duration(f.UpperMicroseconds))
	if f.Microseconds > 0 {
		text += ", " + report.RateBound(f.Microseconds)
	}
	text += fmt.Sprintf(", %s read from DDR and %s written", size(f.InputFillBytes+f.IntermediateFillBytes), size(f.OutputSpillBytes+f.IntermediateSpillBytes))
	if spill := f.IntermediateSpillBytes + f.IntermediateFillBytes; spill > 0 {
		text += fmt.Sprintf(" (%s of them because the fast memory is full)", size(spill))
	}
	return text + "."
}

// modelled says what the estimate is of.
func modelled(e *htpcost.Estimate) string {
	text := "Modelled for " + e.SoC.Name
	if e.Base != "" {
		text += ", simulated on " + e.Base
	}
	if e.SoC.Note != "" {
		text += ": " + e.SoC.Note
	}
	return text + ". " + estimateNote
}

// estimateNote stands beside every estimate.
const estimateNote = "Good for comparing variants of one model and for finding what is slow. It is not a measurement: on a board with QCS8550, half precision took about half of the time in the matrix unit."

// goes says which operators take most of the time: the most expensive type, and how many layers of it. Without types it is "".
func goes(layers []htpcost.Layer) string {
	groups := htpcost.Groups(layers, htpcost.ByOp)
	if len(groups) == 0 || groups[0].Cycles == 0 {
		return ""
	}
	most := groups[0]
	switch most.Name {
	case "?":
		return ""
	case string(htpcost.Idle):
		return fmt.Sprintf("In %s %% of it nothing works: it waits.", percent(most.Share))
	case string(htpcost.Input), string(htpcost.Output):
		return fmt.Sprintf("%s %% of it goes into the %s.", percent(most.Share), most.Name)
	}
	busy := 0
	for _, l := range layers {
		if htpcost.ByOp(l) == most.Name && l.Cycles > 0 {
			busy++
		}
	}
	return fmt.Sprintf("%s %% of it goes into %d layers of type %s.", percent(most.Share), busy, most.Name)
}

func duration(us int64) string {
	if us < 1000 {
		return fmt.Sprintf("%d µs", us)
	}
	return fmt.Sprintf("%.4g ms", float64(us)/1000)
}

func size(bytes int64) string {
	switch {
	case bytes < 1<<10:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 1<<20:
		return fmt.Sprintf("%.4g KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%.4g MiB", float64(bytes)/(1<<20))
}

// join finds the checks of what was estimated. A run is of the same model if it has its name; of its variants those count
// that have the estimate's variant's name, without their engine if need be. An estimate whose model has no other variant's
// counts for every variant of a run that has none of that name.
func join(runs []*result.Run, estimates []*result.Estimated) []timed {
	list := []timed{}
	for k, e := range estimates {
		only := !slices.ContainsFunc(estimates, func(x *result.Estimated) bool { return x.Name == e.Name && x.Variant != e.Variant })
		for i, r := range runs {
			if r.Name != e.Name {
				continue
			}
			var of []int
			for v := range r.Variants {
				name := r.Variants[v].Spec.Name
				base, _, _ := strings.Cut(name, "@")
				if name == e.Variant || base == e.Variant {
					of = append(of, v)
				}
			}
			if len(of) == 0 && only {
				for v := range r.Variants {
					of = append(of, v)
				}
			}
			if len(of) == 0 {
				continue
			}
			layer := sameLayers(e.Layers, r.Layers)
			for _, v := range of {
				list = append(list, timed{Run: i, Variant: v, Estimate: k, Layer: layer})
			}
		}
	}
	return list
}

// sameLayers finds each layer of an estimate in a run, by the name of its node or tensor, or by what converters make of a
// tensor's name: the operator's type behind it.
func sameLayers(layers []htpcost.Layer, of []result.Layer) []int {
	index := map[string]int{}
	for _, name := range []func(result.Layer) string{
		func(l result.Layer) string { return l.Node },
		func(l result.Layer) string { return l.Name },
	} {
		for i, l := range of {
			if _, taken := index[name(l)]; !taken && name(l) != "" {
				index[name(l)] = i
			}
		}
	}
	known := func(name string) bool { _, ok := index[name]; return ok }
	behind := func(name string) bool {
		i := strings.LastIndexByte(name, '_')
		return i > 0 && known(name[:i])
	}
	list := make([]int, len(layers))
	for i, l := range layers {
		list[i] = -1
		if l.Kind != htpcost.Operator {
			continue
		}
		if name, ok := htpcost.Resolve(l.Name, known); ok {
			list[i] = index[name]
		} else if name, ok := htpcost.Resolve(l.Name, behind); ok {
			list[i] = index[name[:strings.LastIndexByte(name, '_')]]
		}
	}
	return list
}
