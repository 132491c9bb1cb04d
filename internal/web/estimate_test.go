package web_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/cost"
	"quantcheck/internal/fixture"
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
	line, err := cost.ReadTrace(read(".trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := cost.Figures{Cycles: 20176, Lower: 17540, Upper: 23339, Microseconds: 13, LowerMicroseconds: 11, UpperMicroseconds: 15, InputFillBytes: 34816, OutputSpillBytes: 2048}
	e := &result.Estimated{
		ID: 1, Name: "zoo", Variant: variant, Path: "zoo.dlc", Started: time.Date(2026, 11, 25, 1, 2, 3, 0, time.UTC), Tool: "quantcheck", Wheel: "2.7.0",
		Covered: 1, Estimate: cost.New(cost.SoCs[0], f, line, read(".schematic.txt")),
	}
	e.MACs = map[string]int64{"/conv1/Conv_output_0_Conv_token_1": 221184}
	return e
}

// inventEstimate makes an estimate of so many events for the layers of a run that invent made.
func inventEstimate(id int64, variant string, run *result.Run, events int) *result.Estimated {
	line := &cost.Timeline{Threads: []cost.Thread{{ID: 0, Name: "FG:"}}, Settings: []cost.Setting{{Key: "sim_core_freq", Value: "1497.6"}}}
	names, types := map[uint32]string{2: "input", 3: "output"}, map[string]string{}
	for k, l := range run.Layers {
		names[uint32(16+k)] = l.Node
		types[l.Node] = l.Op
	}
	free := make([]int64, 8)
	for k := range events {
		lane := k % len(free)
		e := cost.Event{Op: "q::Op" + []string{"a", "b", hostile}[k%3], Step: k, Thread: lane, Unit: cost.HVX, Cycles: int64(1 + (k*7919)%600)}
		switch {
		case lane == 0:
			e.Unit = cost.HMX
		case lane > 4:
			e.Unit = cost.DMA
			e.Bytes = cost.Traffic{DRAMRead: 1024, VTCMWrite: 1024}
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
		e.Start = free[lane] + int64(k%40)
		free[lane] = e.End()
		line.Cycles = max(line.Cycles, e.End())
		line.Events = append(line.Events, e)
	}
	us := line.Cycles / 1498
	f := cost.Figures{
		Cycles: line.Cycles, Lower: line.Cycles * 9 / 10, Upper: line.Cycles * 11 / 10, Microseconds: us, LowerMicroseconds: us * 9 / 10, UpperMicroseconds: us * 11 / 10,
		InputFillBytes: 3 << 20, OutputSpillBytes: 1 << 20, IntermediateSpillBytes: 4096, Missing: 2,
	}
	e := &result.Estimated{
		ID: id, Name: run.Name, Variant: variant, Path: hostile, Started: run.Started.Add(time.Hour), Tool: "quantcheck", Wheel: "2.7.0", Covered: 0.9, Refused: []string{hostile},
		MACs: map[string]int64{}, Estimate: cost.New(cost.SoCs[0], f, line, nil),
	}
	e.Layers = cost.Layers(line, names)
	e.Rename(types)
	for i, l := range e.Layers {
		if i%3 == 0 && l.Kind == cost.Operator {
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
	for _, want := range []string{"13 µs by the estimate (11 µs to 15 µs)", "at most 76923 inferences a second", "34 KiB read from DDR and 2 KiB written", "rvc4", "Kailua", "QCS9100's"} {
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
	if total := rows[len(rows)-1]; number(t, total[3]) != 20176 || total[4] != "100 %" {
		t.Errorf("the total is %v", total)
	}
	// The totals by type and prefix are those of the command line.
	for button, key := range map[string]func(cost.Layer) string{"operator types": cost.ByOp, "blocks, 1 deep": cost.ByPrefix(1), "blocks, 2 deep": cost.ByPrefix(2)} {
		eval(`[...document.querySelectorAll('button')].find((b) => b.textContent === '` + button + `').click()`)
		shown := map[string]float64{}
		rows := costRows(t, eval)
		for _, r := range rows[:len(rows)-1] {
			shown[strings.TrimPrefix(r[0], "(no block)")] += number(t, r[2])
		}
		for _, g := range cost.Groups(e.Layers, key) {
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
			window.point = (cycle) => { const from = +c.dataset.from, to = +c.dataset.to; return b.left + %g + (cycle - from) / (to - from) * (b.width - %g) };
			c.dispatchEvent(new WheelEvent('wheel', { deltaY: -1500, bubbles: true, clientX: b.left + %g + %g / %d * (b.width - %g), clientY: b.top + %g }));`,
			left, left, left, float64(x.Start)+float64(x.Cycles)/2, e.Timeline.Cycles, left, top+26*float64(lane)+13))
		eval(fmt.Sprintf(`const c = document.querySelector('#timeline'), b = c.getBoundingClientRect();
			c.dispatchEvent(new PointerEvent('pointermove', { bubbles: true, clientX: point(%g), clientY: b.top + %g }))`, float64(x.Start)+float64(x.Cycles)/2, top+26*float64(lane)+13))
		told := fmt.Sprint(eval(`return document.querySelector('#timeline-readout').textContent`))
		layer := e.Layers[slices.IndexFunc(e.Layers, func(l cost.Layer) bool { return l.Node == x.Node() && l.Kind != cost.Idle })]
		name := layer.Name
		if layer.Kind != cost.Operator {
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
