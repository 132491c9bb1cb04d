package web_test

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/metric"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
	"quantcheck/internal/web"
)

// onDevice makes a run with a device beside its variants, and the benchmark that it is of: with names that mean harm.
func onDevice() (*result.Run, *result.Benchmark) {
	v := metric.Defined
	run := invent(9, 40, 2)
	device := run.Variants[0]
	device.Spec = variant.Spec{Name: "device", Kind: variant.Device, File: "m.dlc", Target: "ssh://root@board" + hostile}
	device.Counterpart, device.FirstMismatchLayer, device.Emulator = -1, 4, nil
	run.Variants = append(run.Variants, device)
	done := run.Started.Add(30 * time.Second)
	b := &result.Benchmark{
		Name: run.Name, DLC: "m.dlc" + hostile, Device: device.Spec.Target, SNPE: "2.22" + hostile, Tool: "0.1.0",
		Steps: map[result.Step]*result.StepDone{
			result.StepLayers:     {Finished: done, Seconds: 10, ToolSeconds: 8, Notes: []string{"a note " + hostile}},
			result.StepThroughput: {Finished: done.Add(-time.Hour), Seconds: 20, ToolSeconds: 19}, // of an earlier run
			result.StepCycles:     {Finished: done.Add(5 * time.Second), Seconds: 3, ToolSeconds: 2},
			result.StepInfo:       nil,
		},
		Throughput: &result.DeviceThroughput{Runtime: "dsp" + hostile, Profile: "burst", Duration: 6, PerSecond: []float64{100, 140, 110}},
		Layers:     &result.DeviceLayers{Images: 3, Variant: "device", Against: "emulated@htp", Parts: run.Layers[4].Name, From: "w8a8", Under: 20},
		Cycles: &result.DeviceCycles{Inferences: 3, SoC: "rvc4" + hostile, Estimated: map[string]float64{}, Globals: []result.Statistic{
			{Name: "Total Inference Time", Unit: "US", Value: 400}, {Name: "Accelerator (execute) time", Unit: "US", Value: 300}, {Name: "Total Inference Time", Unit: "US", Value: 600}, {Name: hostile, Unit: hostile, Value: 1},
		}},
	}
	total := 0.0
	for k, l := range run.Layers {
		name, node := l.Name, l.Node
		b.Layers.Rows = append(b.Layers.Rows, result.DeviceLayer{Name: name, Op: l.Op, Tensor: "tensor" + name, Node: node, SQNR: v(float64(10 + k)), CosSim: v(0.9), Apart: v(0.25), TwinSQNR: v(math.Inf(1)), Share: v(1 / 64.0)})
		if k == len(run.Layers)-1 {
			continue // a layer that the profile does not have
		}
		cycles := result.LayerCycle{ID: k, Name: node, Mean: float64(1000 + k), Std: v(2), Unit: "CYCLES"}
		switch k {
		case 8:
			cycles.Mean = 20000
		case 9:
			cycles.Mean, b.Layers.Rows[k].Share = 10000, v(0.4)
		case 10:
			b.Layers.Rows[k].Share = v(0.3)
		case 11:
			b.Layers.Rows[k].Share = v(0)
		case 12:
			cycles.Mean = 0
		}
		total += cycles.Mean
		b.Cycles.Layers = append(b.Cycles.Layers, cycles)
		if k != 13 {
			b.Cycles.Estimated[node] = cycles.Mean / 2
		}
	}
	b.Cycles.Estimated[run.Layers[7].Node] = 100 // the one that is farthest off
	b.Cycles.Layers = append(b.Cycles.Layers, result.LayerCycle{ID: 99, Name: "Output" + hostile, Mean: 15000, Unit: "CYCLES"})
	total += 15000
	for i := range b.Cycles.Layers {
		b.Cycles.Layers[i].Share = b.Cycles.Layers[i].Mean / total
	}
	for i, s := range []result.Step{result.StepThroughput, result.StepLayers, result.StepCycles} {
		for k := range 4 - i {
			watts, load := float64(5+i), 0.5
			c := result.Condition{Step: s, At: float64(2 * k), Power: &watts, CPU: &load}
			if k == 0 {
				c.CPU = nil
			}
			b.Conditions = append(b.Conditions, c)
		}
	}
	return run, b
}

func TestTheDeviceShownIsTheBenchmark(t *testing.T) {
	t.Parallel()
	run, b := onDevice()
	eval := browse(t, buildContent(t, web.Content{Runs: []*result.Run{run}, Benchmarks: []*result.Benchmark{b}}), 1280)
	text := func(selector string) string {
		return fmt.Sprint(eval(`return document.querySelector('` + selector + `')?.textContent`))
	}
	if got := text("#device-verdict"); !strings.HasPrefix(got, "DEVICE AND EMULATED@HTP PART at long") {
		t.Errorf("the page opens with %q, not with where device and emulator part", got)
	}
	for _, want := range []string{
		"110.00 inferences a second on the DSP", "median of 3, 100.00 to 140.00.", "takes 500 µs, of which the accelerator computes for 300 µs (60 %)", "over 40 operators, mean of 3 inferences",
		"The steps took 33.0 s, of which SNPE's tools ran 29.0 s", "layers 8.0 of 10.0 s", "a note ",
	} {
		if !strings.Contains(text("#device"), want) {
			t.Errorf("%q is not said: %s", want, text("#device"))
		}
	}
	rows := report.DeviceRows(b)
	want := map[string]int{}
	for _, c := range report.DeviceCorners(b, rows) {
		for _, i := range c.Layers {
			if (rows[i].Layer == nil) != (c.Title == "slow") {
				t.Errorf("%s is %s", rows[i].Cycles.Name, c.Title)
			}
			want[c.Title]++
		}
	}
	if len(want) != 4 {
		t.Fatalf("the corners are %v", want)
	}
	delete(want, "slow") // it has no place in the plot
	for title, n := range want {
		if !strings.Contains(text("#device-corners"), fmt.Sprintf("%s: %d", title, n)) {
			t.Errorf("the plot has not %d of %s: %s", n, title, text("#device-corners"))
		}
	}
	if n := eval(`return document.querySelectorAll('#device-error circle').length`); n != 39.0 {
		t.Errorf("%v points, 39 operators make a layer", n)
	}
	if got := text("#device-found"); !strings.Contains(got, "slow (its error is not known): Output") || !strings.Contains(got, "slow and wrong (rewrite it, or keep it out of the model): ") {
		t.Errorf("what is slow or wrong is not named: %q", got)
	}
	// A point tells of its layer when it is pointed at; a click shows all of it, and the way to the layers.
	eval(`const c = document.querySelector('#device-error circle[data-layer="9"]'); c.dispatchEvent(new MouseEvent('mouseenter')); c.dispatchEvent(new MouseEvent('click', { bubbles: true }))`)
	if got := text("#device-error-readout"); !strings.Contains(got, "40 % of the noise") || !strings.Contains(got, "slow and wrong") {
		t.Errorf("pointed at: %q", got)
	}
	if got := text("#device-layer"); !strings.Contains(got, "10,000 cycles ± 2") || !strings.Contains(got, "estimated 5,000, 2 times as much") || !strings.Contains(got, "slow and wrong") || !strings.Contains(got, "25 % of its values are more than one step apart from emulated@htp, inf dB") {
		t.Errorf("clicked: %q", got)
	}
	if got := eval(`return document.querySelector('#device-rows tr.chosen')?.dataset.row`); got != "9" {
		t.Errorf("row %v is chosen", got)
	}
	eval(`document.querySelector('#device-layer button').click()`)
	if got := text("#detail-name"); got != run.Layers[9].Name {
		t.Errorf("among the layers %q is shown", got)
	}
	if got := text("[aria-label=variant] button[aria-pressed=true]"); got != "device" {
		t.Errorf("of variant %q", got)
	}
	nothingWrong(t, eval)
}

func TestTheRowsOfADeviceAreSortedAndSummedUp(t *testing.T) {
	t.Parallel()
	run, b := onDevice()
	eval := browse(t, buildContent(t, web.Content{Runs: []*result.Run{run}, Benchmarks: []*result.Benchmark{b}}), 1280)
	column := func(n int) (list []string) {
		for _, cell := range eval(fmt.Sprintf(`return [...document.querySelectorAll('#device-rows tbody tr')].map((r) => r.cells[%d].textContent)`, n)).([]any) {
			list = append(list, cell.(string))
		}
		return list
	}
	press := func(title string) {
		eval(`[...document.querySelectorAll('#device-rows th button, #device-ops th button, #device ~ section .bar button')].find((b) => b.textContent.replace(/ [↓↑]/, '') === '` + title + `').click()`)
	}
	if got := column(4); len(got) != 41 || got[0] != "20,000" || got[1] != "15,000" || got[40] != "–" {
		t.Errorf("measured: %q", got)
	}
	press("ratio")
	if got := column(8); got[0] != "10.07" || got[1] != "2" || !slices.Equal(got[37:], []string{"–", "–", "–", "–"}) {
		t.Errorf("ratios: %q", got)
	}
	press("#")
	if got := column(0); got[0] != "1" || got[40] != "41" {
		t.Errorf("in order: %q", got)
	}
	eval(`const s = document.querySelector('#device-corner'); s.value = 'slow and wrong'; s.dispatchEvent(new Event('change', { bubbles: true }))`)
	if got := column(0); !slices.Equal(got, []string{"10"}) {
		t.Errorf("slow and wrong: %q", got)
	}
	press("operator types")
	ops := report.OperatorTimes(report.DeviceRows(b))
	cells := eval(`return [...document.querySelectorAll('#device-ops tbody tr')].map((r) => [...r.cells].map((c) => c.textContent))`).([]any)
	if len(cells) != len(ops) {
		t.Fatalf("%v for %v", cells, ops)
	}
	for _, row := range cells {
		row := row.([]any)
		k := slices.IndexFunc(ops, func(o report.OperatorTime) bool {
			return o.Op == row[0] || o.Op == "" && row[0] == "(no layer of the model)"
		})
		if k < 0 || row[1] != strconv.Itoa(ops[k].Layers) || strings.ReplaceAll(row[2].(string), ",", "") != fmt.Sprintf("%.0f", ops[k].Measured) || (row[5] == "–") != (ops[k].Times == 0) {
			t.Errorf("%v, want %+v", row, ops)
		}
	}
	pressAll(t, eval)
	nothingWrong(t, eval)
}

func TestWhatADeviceWasLikeStandsStepByStep(t *testing.T) {
	t.Parallel()
	_, b := onDevice()
	eval := browse(t, buildContent(t, web.Content{Benchmarks: []*result.Benchmark{b}}), 1280)
	text := func(selector string) string {
		return fmt.Sprint(eval(`return document.querySelector('` + selector + `')?.textContent`))
	}
	if n := eval(`return document.querySelectorAll('#watched .uplot').length`); n != 2.0 {
		t.Errorf("%v charts; there are power and load", n)
	}
	body := fmt.Sprint(eval(`return document.querySelector('main').textContent`))
	if !strings.Contains(body, "The device does not offer: hottest zone, memory, DSP.") || strings.Contains(text("#watched-steps thead"), "DSP") {
		t.Error("what the device does not offer is drawn, or not said")
	}
	rows := fmt.Sprint(eval(`return [...document.querySelectorAll('#watched-steps tbody tr')].map((r) => [...r.cells].map((c) => c.textContent).join('|'))`))
	if want := "[throughput|20|4|5 W (5 W)|50 % (50 %) layers|10|3|6 W (6 W)|50 % (50 %) cycles|3|2|7 W (7 W)|50 % (50 %)]"; rows != want {
		t.Errorf("%s\nwant %s", rows, want)
	}
	// 33 seconds in all: the second step begins at 20, its second sample is at 22. Both charts have the cursor there.
	eval(`const o = document.querySelector('#watched .u-over'), b = o.getBoundingClientRect();
		o.dispatchEvent(new MouseEvent('mouseenter', { bubbles: true })); o.dispatchEvent(new MouseEvent('mousemove', { bubbles: true, clientX: b.left + b.width * 22 / 32, clientY: b.top + 20 }))`)
	if got := text("#watched-readout"); got != "layers, 2 s after its begin: power 6 W, CPU 50 %" {
		t.Errorf("pointed at: %q", got)
	}
	places := eval(`return [...document.querySelectorAll('#watched .u-cursor-x')].map((e) => e.style.transform)`).([]any)
	if len(places) != 2 || places[0] != places[1] || places[0] == "" {
		t.Errorf("cursors at %v", places)
	}
	nothingWrong(t, eval)
}

func TestBenchmarksThatLackSomething(t *testing.T) {
	t.Parallel()
	_, whole := onDevice()
	only := func(change func(b *result.Benchmark)) *result.Benchmark {
		b := *whole
		change(&b)
		return &b
	}
	alone := *whole.Layers
	alone.Against, alone.Parts = "", ""
	agree := *whole.Layers
	agree.Parts = ""
	inMicroseconds := *whole.Cycles
	inMicroseconds.Layers = slices.Clone(whole.Cycles.Layers)
	for i := range inMicroseconds.Layers {
		inMicroseconds.Layers[i].Unit = "MICROSEC"
	}
	most, least := math.MaxFloat64, -math.MaxFloat64
	list := []*result.Benchmark{
		only(func(b *result.Benchmark) { b.Name, b.Layers, b.Conditions = "no layers", nil, nil }),
		only(func(b *result.Benchmark) { b.Name, b.Layers, b.Cycles = "no emulator", &alone, nil }),
		only(func(b *result.Benchmark) { b.Name, b.Layers, b.Cycles = "the same", &agree, &inMicroseconds }),
		{Name: "bare"},
		only(func(b *result.Benchmark) { // numbers that no device gives
			b.Name, b.Layers = "beyond", nil
			b.Cycles = &result.DeviceCycles{Layers: []result.LayerCycle{{Name: "a", Mean: most, Share: most, Unit: "CYCLES"}, {Name: "b", Mean: most, Share: -1, Unit: "CYCLES"}}, Estimated: map[string]float64{"a": 5e-324}}
			b.Conditions = []result.Condition{{Step: result.StepCycles, At: -most, Power: &most}, {Step: result.StepCycles, At: most, Power: &most, Hot: &least}, {Step: hostile, At: 3, Power: &least}}
		}),
	}
	eval := browse(t, buildContent(t, web.Content{Benchmarks: list}), 420)
	for i, want := range [][]string{
		{"The layers were not compared", "The device was not watched.", "No operator has both cycles and an error", "40 of 40"},
		{"was not held against the emulator", "40 of 40", "it has no row in the profile"},
		{"emulated@htp agree: no value of any of the 40 layers", "cannot be held against this unit"},
		{"Neither layers nor cycles were measured", "no step done"},
		{"The device does not offer: memory, CPU, DSP."},
	} {
		eval(fmt.Sprintf(`const s = document.querySelector('#benchmark'); s.selectedIndex = %d; s.dispatchEvent(new Event('change', { bubbles: true }))`, i))
		eval(`document.querySelector('#device-rows tbody tr')?.click()`)
		said := fmt.Sprint(eval(`return document.querySelector('main').textContent`))
		for _, w := range want {
			if !strings.Contains(said, w) {
				t.Errorf("%s: %q is not said: %s", list[i].Name, w, said)
			}
		}
		if eval(`return [...document.querySelectorAll('button')].some((b) => b.textContent === 'see it among the layers')`) == true {
			t.Errorf("%s: a way to layers that are not there", list[i].Name)
		}
		pressAll(t, eval)
		nothingWrong(t, eval)
	}
	// Without a benchmark there is no view of devices.
	eval = browse(t, build(t, invent(1, 10, 1)), 420)
	if n := eval(`return document.querySelectorAll('#device, .tabs').length`); n != 0.0 {
		t.Errorf("a view of devices without one")
	}
}

func TestTheWayToTheLayersIsToTheRunOfTheBenchmark(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		change func(r *result.Run)
		there  bool
	}{
		{"its own", func(*result.Run) {}, true},
		{"its own, in the second in which its end was written down", func(r *result.Run) { r.Started = r.Started.Add(30*time.Second + 900*time.Millisecond) }, true},
		{"another model's", func(r *result.Run) { r.Name = "other" }, false},
		{"another device's", func(r *result.Run) { r.Variants[2].Spec.Target = "adb:" }, false},
		{"a later one", func(r *result.Run) { r.Started = r.Started.Add(time.Hour) }, false},
	} {
		run, b := onDevice()
		row.change(run)
		eval := browse(t, buildContent(t, web.Content{Runs: []*result.Run{run}, Benchmarks: []*result.Benchmark{b}}), 800)
		eval(`[...document.querySelectorAll('.tabs button')].find((b) => b.textContent === 'Device').click()`)
		if got := eval(`return [...document.querySelectorAll('#device button')].some((b) => b.textContent === 'see it among the layers')`); got != row.there {
			t.Errorf("%s: %v", row.name, got)
		}
	}
}

func TestABenchmarkOfThousandsOfOperatorsIsFast(t *testing.T) {
	t.Parallel()
	_, b := onDevice()
	one := b.Cycles.Layers[20]
	for k := range 3000 {
		one.ID, one.Name = 1000+k, fmt.Sprintf("operator%d", k)
		b.Cycles.Layers = append(b.Cycles.Layers, one)
		b.Layers.Rows = append(b.Layers.Rows, result.DeviceLayer{Name: fmt.Sprintf("layer%d", k), Op: "Conv", Node: one.Name, SQNR: metric.Defined(float64(k % 50)), Share: metric.Defined(float64(k) / 1e7)})
	}
	b.Conditions = nil
	for i, s := range []result.Step{result.StepLayers, result.StepThroughput, result.StepCycles} {
		for k := range 600 {
			watts := 5 + float64(k%7)
			b.Conditions = append(b.Conditions, result.Condition{Step: s, At: float64(1000*i + k), Power: &watts, Memory: &watts, Hot: &watts, DSP: &watts})
		}
	}
	page := buildContent(t, web.Content{Benchmarks: []*result.Benchmark{b}})
	eval := browse(t, page, 1280)
	ready := eval(`return performance.getEntriesByName('ready')[0]?.startTime ?? -1`).(float64)
	hover := eval(`const o = document.querySelector('#watched .u-over'), b = o.getBoundingClientRect(), begin = performance.now();
		o.dispatchEvent(new MouseEvent('mouseenter', { bubbles: true }));
		for (let i = 0; i < 20; i++) o.dispatchEvent(new MouseEvent('mousemove', { bubbles: true, clientX: b.left + b.width * i / 20, clientY: b.top + 50 }));
		return (performance.now() - begin) / 20`).(float64)
	if got := eval(`return document.querySelector('#watched-readout').textContent`); !strings.HasPrefix(fmt.Sprint(got), "cycles, ") {
		t.Errorf("pointed at: %q", got)
	}
	t.Logf("3,000 operators: %d KiB, all there after %.0f ms, hover %.1f ms", len(page)>>10, ready, hover)
	if ready < 0 || ready > 3000*slack() || hover > 16*slack() {
		t.Errorf("all there after %.0f ms, hover %.1f ms", ready, hover)
	}
	nothingWrong(t, eval)
}
