package web_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
	"quantcheck/internal/web"
)

// zoo is the estimate of a small model as the compiler made it.
func zoo(t *testing.T, variant string) *result.Estimated {
	t.Helper()
	read := func(name string) []byte {
		data, err := os.ReadFile(fixture.Path(t, "qnn", "zoo_w8a8_per_channel"+name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	line, err := htpcost.ReadTrace(read(".trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := htpcost.Figures{Cycles: line.Cycles, Lower: 17540, Upper: 23339, Microseconds: 13, LowerMicroseconds: 11, UpperMicroseconds: 15, InputFillBytes: 34816, OutputSpillBytes: 2048}
	e := &result.Estimated{
		ID: 1, Name: "zoo", Variant: variant, Path: "zoo.dlc", Started: time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC), Tool: "quantcheck", Wheel: "2.7.0",
		Covered: 1, Estimate: htpcost.New(htpcost.SoCs[0], f, line, read(".schematic.txt")),
	}
	e.MACs = map[string]int64{"/conv1/Conv_output_0_Conv_token_1": 221184}
	return e
}

// inventEstimate makes an estimate of so many events for the layers of a run that invent made.
func inventEstimate(id int64, variant string, run *result.Run, events int) *result.Estimated {
	line := &htpcost.Timeline{Threads: []htpcost.Thread{{ID: 0, Name: "FG:"}}, Settings: []htpcost.Setting{{Key: "sim_core_freq", Value: "1497.6"}}}
	names, types := map[uint32]string{2: "input", 3: "output"}, map[string]string{}
	for k, l := range run.Layers {
		names[uint32(16+k)] = l.Node
		types[l.Node] = l.Op
	}
	free, rng := make([]int64, 8), rand.New(rand.NewPCG(uint64(id), 9))
	for k := range events {
		lane := k % len(free)
		e := htpcost.Event{Op: "q::Op" + []string{"a", "b", hostile}[k%3], Step: k, Thread: lane, Unit: htpcost.HVX, Cycles: 1 + rng.Int64N(600)}
		switch {
		case lane == 0:
			e.Unit = htpcost.HMX
		case lane > 4:
			e.Unit = htpcost.DMA
			e.Bytes = htpcost.Traffic{DRAMRead: 1024, VTCMWrite: 1024}
		}
		node := uint64(16 + k*len(run.Layers)/events)
		switch k % 997 {
		case 1:
			node = 2
		case 2:
			node = 3
		case 3:
			e.Cycles = 0
		}
		e.ID = node | uint64(k)<<32
		e.Start = free[lane] + rng.Int64N(40)
		free[lane] = e.End()
		line.Cycles = max(line.Cycles, e.End())
		line.Events = append(line.Events, e)
	}
	us := line.Cycles / 1498
	f := htpcost.Figures{
		Cycles: line.Cycles, Lower: line.Cycles * 9 / 10, Upper: line.Cycles * 11 / 10, Microseconds: us, LowerMicroseconds: us * 9 / 10, UpperMicroseconds: us * 11 / 10,
		InputFillBytes: 3 << 20, OutputSpillBytes: 1 << 20, IntermediateSpillBytes: 4096, Missing: 2,
	}
	e := &result.Estimated{
		ID: id, Name: run.Name, Variant: variant, Path: hostile, Started: run.Started.Add(time.Hour), Tool: "quantcheck", Wheel: "2.7.0", Covered: 0.9, Refused: []string{hostile},
		MACs: map[string]int64{}, Estimate: htpcost.New(htpcost.SoCs[0], f, line, nil),
	}
	e.Layers = htpcost.Layers(line, names)
	e.Rename(types)
	for i, l := range e.Layers {
		if i%3 == 0 && l.Kind == htpcost.Operator {
			e.MACs[l.Name] = int64(1000 * i)
		}
	}
	return e
}

// costRows reads the table of layers as it is shown.
func costRows(t *testing.T, eval func(string) any) [][]string {
	t.Helper()
	var rows [][]string
	for _, row := range eval(`return [...document.querySelectorAll('#costs tbody tr, #costs tfoot tr')].map((r) => [...r.cells].map((c) => c.textContent))`).([]any) {
		var cells []string
		for _, c := range row.([]any) {
			cells = append(cells, fmt.Sprint(c))
		}
		rows = append(rows, cells)
	}
	return rows
}

// number reads what the page writes.
func number(t *testing.T, text string) float64 {
	t.Helper()
	var v float64
	if _, err := fmt.Sscan(strings.ReplaceAll(text, ",", ""), &v); err != nil {
		t.Fatalf("%q is no number", text)
	}
	return v
}

func TestTheEstimateShownIsTheCompilers(t *testing.T) {
	t.Parallel()
	e := zoo(t, "w8a8")
	eval := browse(t, buildContent(t, web.Content{Estimates: []*result.Estimated{e}}), 1280)
	said := fmt.Sprint(eval(`return document.querySelector('#time').textContent`))
	for _, want := range []string{"13 µs by the estimate (11 µs to 15 µs)", "at most 76,923 inferences a second", "34 KiB read from DDR and 2 KiB written", "rvc4", "Kailua", "QCS9100's"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q is not said: %s", want, said)
		}
	}
	if all := fmt.Sprint(eval(`return document.body.textContent.replace(document.querySelector('#data')?.textContent ?? '', '')`)); strings.Contains(all, "FPS") || strings.Contains(all, "measured") {
		t.Error("an estimate is called a measurement")
	}
	eval(`document.querySelector('#costs th button').click()`) // the compiler's order
	rows := costRows(t, eval)
	if len(rows) != len(e.Layers)+1 {
		t.Fatalf("%d rows, want %d", len(rows), len(e.Layers)+1)
	}
	kinds := map[string]bool{}
	for i, l := range e.Layers {
		r := rows[i]
		kinds[r[1]] = true
		want := []float64{l.Cycles, float64(l.HMX), float64(l.HVX), float64(l.DMA), float64(l.Scalar)}
		for k, at := range []int{3, 5, 6, 7, 8} {
			if got := number(t, r[at]); math.Abs(got-want[k]) > 0.5+1e-9 {
				t.Errorf("%s: column %d shows %s, want %g", l.Name, at, r[at], want[k])
			}
		}
		if got := number(t, strings.TrimSuffix(r[4], " %")); math.Abs(got-100*l.Share) > 1e-3+0.005*100*l.Share {
			t.Errorf("%s: share %s, want %g", l.Name, r[4], l.Share)
		}
		macs := "–"
		if n, ok := e.MACs[l.Name]; ok {
			macs = fmt.Sprintf("%.3g", float64(n)/l.Cycles)
		}
		if r[10] != macs {
			t.Errorf("%s: %s multiply-adds per cycle, want %s", l.Name, r[10], macs)
		}
	}
	if !kinds["input"] || !kinds["output"] || !kinds["idle"] {
		t.Errorf("rows of what is no operator: %v", slices.Collect(maps.Keys(kinds)))
	}
	if total := rows[len(rows)-1]; number(t, total[3]) != float64(e.Cycles) || total[4] != "100 %" {
		t.Errorf("the total is %v", total)
	}
	// The totals by type and prefix are those of the command line.
	for button, key := range map[string]func(htpcost.Layer) string{"operator types": htpcost.ByOp, "blocks, 1 deep": htpcost.ByPrefix(1), "blocks, 2 deep": htpcost.ByPrefix(2)} {
		eval(`[...document.querySelectorAll('button')].find((b) => b.textContent === '` + button + `').click()`)
		shown := map[string]float64{}
		rows := costRows(t, eval)
		for _, r := range rows[:len(rows)-1] {
			shown[strings.TrimPrefix(r[0], "(no block)")] += number(t, r[2])
		}
		for _, g := range htpcost.Groups(e.Layers, key) {
			if got, ok := shown[g.Name]; !ok || math.Abs(got-g.Cycles) > 1 {
				t.Errorf("%s: %q has %g cycles, want %g", button, g.Name, got, g.Cycles)
			}
		}
	}
	nothingWrong(t, eval)
}

func TestTheTimelineShownIsTheCompilers(t *testing.T) {
	t.Parallel()
	e := zoo(t, "w8a8")
	eval := browse(t, buildContent(t, web.Content{Estimates: []*result.Estimated{e}}), 1280)
	// Each event is zoomed to with the wheel and pointed at.
	left, top := 128.0, 24.0
	threads := []int{}
	for _, x := range e.Timeline.Events {
		if !slices.Contains(threads, x.Thread) {
			threads = append(threads, x.Thread)
		}
	}
	slices.Sort(threads)
	checked := 0
	for k, x := range e.Timeline.Events {
		if x.Cycles == 0 || k%5 > 0 {
			continue
		}
		lane := slices.Index(threads, x.Thread)
		eval(fmt.Sprintf(`const c = document.querySelector('#timeline'), b = c.getBoundingClientRect();
			c.dispatchEvent(new MouseEvent('dblclick', { bubbles: true }));
			window.point = (cycle) => { const from = +c.dataset.from, to = +c.dataset.to; cycle = Math.min(Math.max(cycle, from + 2), to - 2); return b.left + %g + (cycle - from) / (to - from) * (b.width - %g) };
			c.dispatchEvent(new WheelEvent('wheel', { deltaY: -1500, bubbles: true, clientX: b.left + %g + %g / %d * (b.width - %g), clientY: b.top + %g }));`,
			left, left, left, float64(x.Start)+float64(x.Cycles)/2, e.Timeline.Cycles, left, top+26*float64(lane)+13))
		eval(fmt.Sprintf(`const c = document.querySelector('#timeline'), b = c.getBoundingClientRect();
			c.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: point(%g), clientY: b.top + %g }))`, float64(x.Start)+float64(x.Cycles)/2, top+26*float64(lane)+13))
		told := fmt.Sprint(eval(`return document.querySelector('#timeline-readout').textContent`))
		layer := e.Layers[slices.IndexFunc(e.Layers, func(l htpcost.Layer) bool { return l.Node == x.Node() && l.Kind != htpcost.Idle })]
		name := layer.Name
		if layer.Kind != htpcost.Operator {
			name = string(layer.Kind)
		}
		// Where something else is at the same place, it is of the same lane and beside it.
		plain := strings.ReplaceAll(told, ",", "")
		if !strings.Contains(plain, fmt.Sprintf("from %d", x.Start)) || !strings.Contains(plain, fmt.Sprintf("%d cycles", x.Cycles)) || !strings.Contains(told, " on "+x.Unit.String()) || !strings.Contains(told, name) {
			t.Errorf("event %d (%s from %d, %d cycles, on %s, for %s): %s", k, x.Op, x.Start, x.Cycles, x.Unit, name, told)
		}
		checked++
	}
	if checked < 10 {
		t.Errorf("%d events were checked", checked)
	}
	nothingWrong(t, eval)
}

// timedContent is a run of 80 layers with estimates of both variants and of another model.
func timedContent(t *testing.T, events int) web.Content {
	t.Helper()
	run := invent(7, 80, 2)
	return web.Content{Runs: []*result.Run{run}, Estimates: []*result.Estimated{zoo(t, "w8a8"), inventEstimate(2, "w8a8-1", run, events/2), inventEstimate(3, "w8a8-0", run, events)}}
}

func TestEveryButtonOfTheTimeDoesSomething(t *testing.T) {
	t.Parallel()
	content := timedContent(t, 2000)
	e := content.Estimates[2]
	eval := browse(t, buildContent(t, content), 1280)
	text := func(selector string) string {
		return fmt.Sprint(eval(`return document.querySelector('` + selector + `')?.textContent`))
	}
	press := func(name string) {
		eval(`[...document.querySelectorAll('button')].find((b) => b.textContent === '` + name + `').click()`)
	}
	span := func() (from, to float64) {
		both := eval(`const d = document.querySelector('#timeline').dataset; return [+d.from, +d.to]`).([]any)
		return both[0].(float64), both[1].(float64)
	}
	if text("#time-verdict") == "<nil>" {
		t.Fatal("the latest thing in the workspace, an estimate, is not what the page opens with")
	}
	for _, want := range []string{"2 operators have no costs", "the HTP refuses 1 operators", "90 % of the model's nodes", "4 KiB of them because the fast memory is full"} {
		if !strings.Contains(text("#time"), want) {
			t.Errorf("%q is not said: %s", want, text("#time"))
		}
	}
	end := float64(e.Timeline.Cycles)
	for _, step := range []struct {
		script   string
		from, to float64
	}{
		{`document.querySelector('[aria-label="zoom in"]').click()`, 0.25, 0.75},
		{`document.querySelector('[aria-label=earlier]').click()`, 0.15, 0.65},
		{`document.querySelector('[aria-label=later]').click()`, 0.25, 0.75},
		{`document.querySelector('#timeline-whole').click()`, 0, 1},
		{`dispatchEvent(new KeyboardEvent('keydown', { key: '+' }))`, 0.25, 0.75},
		{`dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', cancelable: true }))`, 0.35, 0.85},
		{`dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowLeft', cancelable: true }))`, 0.25, 0.75},
		{`dispatchEvent(new KeyboardEvent('keydown', { key: '-' }))`, 0, 1},
		{`drag(0.5, 0.75, 40)`, 0.5, 0.75},
		{`drag(0.5, 0.1, 10)`, 0.6, 0.85}, // the ruler moves
		{`drag(0.5, 0.9, 40, true)`, 0.5, 0.75},
		{`document.querySelector('#timeline').dispatchEvent(new MouseEvent('dblclick', { bubbles: true }))`, 0, 1},
		{`const c = document.querySelector('#timeline'), b = c.getBoundingClientRect(); c.dispatchEvent(new WheelEvent('wheel', { deltaY: -300 * Math.log(2), bubbles: true, clientX: b.left + 128, clientY: b.top + 50 }))`, 0, 0.5},
		{`const c = document.querySelector('#timeline'); c.dispatchEvent(new WheelEvent('wheel', { deltaX: 300, bubbles: true }))`, 0.25, 0.75},
		{`document.querySelector('#timeline-whole').click()`, 0, 1},
	} {
		eval(`window.drag = (a, b, y, shiftKey = false) => { const c = document.querySelector('#timeline'), r = c.getBoundingClientRect(), x = (f) => r.left + 128 + f * (r.width - 128);
			const send = (kind, f) => c.dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: x(f), clientY: r.top + y, shiftKey, button: 0 }));
			send('pointerdown', a); send('pointermove', (a + b) / 2); send('pointermove', b); send('pointerup', b) }; ` + step.script)
		if from, to := span(); math.Abs(from/end-step.from) > 0.003 || math.Abs(to/end-step.to) > 0.003 {
			t.Errorf("%s: %.3f to %.3f, want %.3f to %.3f", step.script, from/end, to/end, step.from, step.to)
		}
	}
	// A click on the timeline selects the layer in the table, in what is told of it, and in the graph of the check.
	eval(`const c = document.querySelector('#timeline'), r = c.getBoundingClientRect();
		for (const kind of ['pointermove', 'pointerdown', 'pointerup']) c.dispatchEvent(new PointerEvent(kind, { bubbles: true, clientX: r.left + 128 + (r.width - 128) * 0.6, clientY: r.top + 24 + 26 * 2 + 13 }))`)
	name := text("#time-layer h2")
	if name == "<nil>" || !strings.Contains(text("#timeline-readout"), name) || !strings.Contains(text("#timeline-readout"), "DRAM") || !strings.Contains(text("#costs tr.chosen .name"), name) {
		t.Errorf("selected: %q, told: %q, in the table: %q", name, text("#timeline-readout"), text("#costs tr.chosen .name"))
	}
	if from, to := span(); from != 0 || to != end {
		t.Errorf("a click zooms to %g, %g", from, to)
	}
	press("go to layer")
	if from, to := span(); from <= 0 || to-from > end/5 {
		t.Errorf("to the layer: %g to %g", from, to)
	}
	press("Layers")
	if got := text("#detail-name"); got != name+"_output_0" {
		t.Errorf("in the layers' view %q is selected, want that of %q", got, name)
	}
	press("colour by time")
	if !strings.Contains(fmt.Sprint(eval(`return document.body.textContent`)), "bright is slow") {
		t.Error("the layers' graph is not coloured by time")
	}
	press("Time")
	// Against another estimate of the model.
	eval(`const s = document.querySelector('#cost-against'); s.selectedIndex = 1; s.dispatchEvent(new Event('change', { bubbles: true }))`)
	rows := costRows(t, eval)
	if got := rows[len(rows)-1][11]; !strings.Contains(strings.ReplaceAll(got, ",", ""), strconv.FormatInt(content.Estimates[1].Cycles, 10)) || !strings.Contains(got, "×") {
		t.Errorf("against the other one: %q", got)
	}
	if n := eval(`return document.querySelectorAll('#sides tbody tr').length`); n != 2.0 {
		t.Errorf("%v estimates of the model stand side by side", n)
	}
	eval(`const f = document.querySelector('#cost-filter'); f.value = 'block.1/'; f.dispatchEvent(new Event('input'))`)
	if got := text("#cost-count"); got != fmt.Sprintf("20 of %d", len(e.Layers)) {
		t.Errorf("filtered: %s", got)
	}
	eval(`const f = document.querySelector('#cost-filter'); f.value = ''; f.dispatchEvent(new Event('input'))`)
	eval(`document.querySelector('.tabs').remove()`)
	pressAll(t, eval)
	nothingWrong(t, eval)
	eval(`const s = document.querySelector('#time-model'); s.selectedIndex = 0; s.dispatchEvent(new Event('change', { bubbles: true }))`)
	if got := text("#time-verdict"); !strings.Contains(got, "13 µs") {
		t.Errorf("the other model: %s", got)
	}
	nothingWrong(t, eval)
}

func TestTimeStandsBesideError(t *testing.T) {
	t.Parallel()
	content := timedContent(t, 2000)
	run, e := content.Runs[0], content.Estimates[2]
	shares := map[string]float64{}
	for _, l := range e.Layers {
		shares[l.Name] += l.Share
	}
	eval := browse(t, buildContent(t, content), 1280)
	circles := eval(`return [...document.querySelectorAll('#time-error circle')].map((c) => [+c.dataset.layer, c.cx.baseVal.value, c.cy.baseVal.value])`).([]any)
	var layers []int
	for k := range run.Layers {
		if run.Variants[0].Layers[k].Local != nil {
			layers = append(layers, k)
		}
	}
	if len(circles) != len(layers) {
		t.Fatalf("%d points, want %d", len(circles), len(layers))
	}
	at := map[int][]float64{}
	for _, c := range circles {
		p := c.([]any)
		at[int(p[0].(float64))] = []float64{p[1].(float64), p[2].(float64)}
	}
	sqnr := func(k int) float64 { return run.Variants[0].Layers[k].Local.Full.Summary[metric.SQNR].Mean.V }
	for _, a := range layers { // right is slower, up is better
		for _, b := range layers {
			sa, sb := shares[run.Layers[a].Node], shares[run.Layers[b].Node]
			if sa > 1.01*sb && at[a][0] < at[b][0] || sqnr(a) > 1.01*sqnr(b) && at[a][1] > at[b][1] {
				t.Fatalf("layers %d and %d: shares %g and %g, SQNR %g and %g, points %v and %v", a, b, sa, sb, sqnr(a), sqnr(b), at[a], at[b])
			}
		}
	}
	eval(`const set = (id, v) => { const i = document.querySelector(id); i.value = v; i.dispatchEvent(new Event('change', { bubbles: true })) }; set('#slow', 1.2); set('#wrong', 5)`)
	counts := map[string]int{}
	for _, k := range layers {
		name := map[bool]string{true: "slow", false: "cheap"}[shares[run.Layers[k].Node] >= 0.012] + " and " + map[bool]string{true: "wrong", false: "harmless"}[sqnr(k) < 5]
		counts[strings.Replace(name, "cheap and wrong", "cheap and wrong: give it more bits", 1)]++
	}
	said := fmt.Sprint(eval(`return document.querySelector('#quadrants').textContent`))
	for name, n := range counts {
		if !strings.Contains(said, fmt.Sprintf("%s: %d", name, n)) {
			t.Errorf("%s, want %s: %d", said, name, n)
		}
	}
	eval(`document.querySelector('#time-error circle[data-layer="20"]').dispatchEvent(new MouseEvent('mouseenter'))`)
	if got, want := fmt.Sprint(eval(`return document.querySelector('#time-error-readout').textContent`)), fmt.Sprintf("%s (%s): %.3g %% of the time, SQNR %.4g dB alone", run.Layers[20].Name, run.Layers[20].Op, 100*shares[run.Layers[20].Node], sqnr(20)); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
	eval(`document.querySelector('#time-error circle[data-layer="20"]').dispatchEvent(new MouseEvent('click', { bubbles: true }))`)
	if got := fmt.Sprint(eval(`return document.querySelector('#time-layer').textContent`)); !strings.Contains(got, run.Layers[20].Node) || !strings.Contains(got, "In run 7") {
		t.Errorf("selected: %s", got)
	}
	// Error and time stand in one table in the layers' view, the most expensive layer first if asked for.
	eval(`[...document.querySelectorAll('button')].find((b) => b.textContent === 'Layers').click()`)
	eval(`document.querySelector('#bytime').click()`)
	before := 1.0
	for i, row := range eval(`return [...document.querySelectorAll('#layers tbody tr')].map((r) => [r.dataset.layer, r.cells[5].textContent])`).([]any) {
		cells := row.([]any)
		k, err := strconv.Atoi(fmt.Sprint(cells[0]))
		if err != nil {
			t.Fatal(err)
		}
		share := shares[run.Layers[k].Node]
		if want := strings.TrimSuffix(fmt.Sprint(cells[1]), " %"); math.Abs(number(t, want)-100*share) > 0.01*100*share || share > 1.0001*before {
			t.Errorf("row %d, layer %d: %s of the time, want %g", i, k, cells[1], 100*share)
		}
		before = share
	}
	nothingWrong(t, eval)
}

func TestEstimatesThatLackSomething(t *testing.T) {
	t.Parallel()
	run := invent(1, 20, 1)
	empty := &result.Estimated{Name: "empty", Variant: "w8a8", Estimate: &htpcost.Estimate{}}
	stored := inventEstimate(1, "w8a8-0", run, 500)
	stored.Timeline = nil
	stored.Refused, stored.Missing = nil, 0
	only := inventEstimate(1, "some.dlc", run, 1)
	for name, row := range map[string]struct {
		c    web.Content
		says []string
	}{
		"nothing in it":      {web.Content{Estimates: []*result.Estimated{empty}}, []string{"The timeline of this estimate is not kept", "No check on this page"}},
		"no timeline":        {web.Content{Runs: []*result.Run{run}, Estimates: []*result.Estimated{stored}}, []string{"not kept", "slow and wrong"}},
		"one event, a check": {web.Content{Runs: []*result.Run{run}, Estimates: []*result.Estimated{only, empty}[:1]}, []string{"1 events", "slow and wrong", "stand at 0"}},
	} {
		t.Run(name, func(t *testing.T) {
			eval := browse(t, buildContent(t, row.c), 420)
			for _, want := range row.says {
				if text := fmt.Sprint(eval(`return document.body.textContent`)); !strings.Contains(text, want) {
					t.Errorf("%q is not said", want)
				}
			}
			pressAll(t, eval)
			nothingWrong(t, eval)
		})
	}
}

func TestFourteenThousandEventsAreFluid(t *testing.T) {
	const events = 14000
	run := invent(1, 500, 1)
	begin := time.Now()
	page := buildContent(t, web.Content{Runs: []*result.Run{run}, Estimates: []*result.Estimated{inventEstimate(2, "w8a8-0", run, events)}})
	made := time.Since(begin)
	without := buildContent(t, web.Content{Runs: []*result.Run{run}})
	eval := browse(t, page, 1280)
	ready := eval(`return performance.getEntriesByName('ready')[0]?.startTime ?? -1`).(float64)
	// A step is the event, what it changes in the page, and the drawing; the canvas is read to be sure that it is done.
	steps := func(script string) (median, worst float64) {
		eval(`window.steps_ = []; window.done_ = false; (async () => { const c = document.querySelector('#timeline'), b = c.getBoundingClientRect();
			for (let n = 0; n < 60; n++) { await new Promise(requestAnimationFrame); const begin = performance.now(); ` + script + `;
				for (let k = 0; k < 10; k++) await Promise.resolve(); window.steps_.push(performance.now() - begin) } window.done_ = true })()`)
		for range 500 {
			if eval(`return window.done_`) == true {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		both := eval(`const s = window.steps_.sort((a, b) => a - b); return [s[30] ?? -1, s[57] ?? -1]`).([]any)
		return both[0].(float64), both[1].(float64)
	}
	before := eval(`const d = document.querySelector('#timeline').dataset; return d.from + ' ' + d.to`)
	zoom, zoomWorst := steps(`c.dispatchEvent(new WheelEvent('wheel', { deltaY: n < 30 ? -40 : 40, bubbles: true, clientX: b.left + 500 + n, clientY: b.top + 50 }))`)
	hover, hoverWorst := steps(`c.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: b.left + 130 + 15 * n, clientY: b.top + 50 + 2 * n }))`)
	eval(`document.querySelector('#timeline').dispatchEvent(new WheelEvent('wheel', { deltaY: -300, bubbles: true }))`)
	if eval(`const d = document.querySelector('#timeline').dataset; return d.from + ' ' + d.to`) == before {
		t.Error("the wheel does not zoom")
	}
	if wrong := eval(`return window.wrong`); fmt.Sprint(wrong) != "[]" {
		t.Errorf("the page complains: %v", wrong)
	}
	t.Logf("%d events of 500 layers: %d KiB of the page, made in %.0f ms, all there %.0f ms; a zoom step takes %.1f ms (19 of 20 within %.1f), pointing %.1f ms (%.1f)",
		events, (len(page)-len(without))>>10, made.Seconds()*1000, ready, zoom, zoomWorst, hover, hoverWorst)
	if ready < 0 || ready > 2000*slack() || zoom < 0 || zoom > 16*slack() || hover < 0 || hover > 16*slack() {
		t.Error("that is too much")
	}
}
