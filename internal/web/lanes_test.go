package web

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"quantcheck/internal/htpcost"
)

func TestTheColumnsOfATimelineAreItsEvents(t *testing.T) {
	t.Parallel()
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 4))
		line := &htpcost.Timeline{Threads: []htpcost.Thread{{ID: 0, Name: "FG:"}, {ID: 3, Name: ""}}, Settings: []htpcost.Setting{{Key: "sim_core_freq", Value: []string{"1497.6", "much", "-1"}[seed%3]}}}
		for range r.IntN(80) {
			e := htpcost.Event{Op: string(rune('a' + r.IntN(4))), ID: uint64(r.IntN(6)) | 9<<32, Start: r.Int64N(1 << 40), Cycles: r.Int64N(90), Unit: htpcost.Unit(r.IntN(4)), Thread: r.IntN(5)}
			e.Bytes = htpcost.Traffic{DRAMRead: r.Int64N(9), DRAMWrite: r.Int64N(9), VTCMRead: r.Int64N(9), VTCMWrite: r.Int64N(9)}
			line.Cycles = max(line.Cycles, e.End())
			line.Events = append(line.Events, e)
		}
		layers := htpcost.Layers(line, nil)
		if seed%5 == 0 && len(layers) > 0 {
			layers = layers[1:] // events of the first one have none
		}
		d := describeTimeline(line, layers)
		var got, want []string
		i := 0
		for lane, n := range d.Events {
			at := int64(0)
			for range n {
				at += d.Start[i]
				node := "none"
				if k := d.Layer[i]; k >= 0 {
					node = strconv.Itoa(int(layers[k].Node))
				}
				got = append(got, fmt.Sprint(d.Name[lane], d.Ops[d.Op[i]], node, at, d.Dur[i], d.On[i], d.DRAM[i], d.VTCM[i]))
				i++
			}
		}
		for _, e := range line.Events {
			node := "none"
			if slices.ContainsFunc(layers, func(l htpcost.Layer) bool { return l.Node == e.Node() && l.Kind != htpcost.Idle }) {
				node = strconv.Itoa(int(e.Node()))
			}
			name := fmt.Sprintf("thread %d", e.Thread)
			if e.Thread == 0 {
				name = "FG"
			}
			b := e.Bytes
			want = append(want, fmt.Sprint(name, e.Op, node, e.Start, e.Cycles, int(e.Unit), b.DRAMRead+b.DRAMWrite, b.VTCMRead+b.VTCMWrite))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) || i != len(d.Start) || d.End != line.Cycles || (d.MHz > 0) != (seed%3 == 0) {
			t.Fatalf("seed %d: %q, want %q; %g MHz", seed, got, want, d.MHz)
		}
	}
	if d := describeTimeline(nil, nil); d.Start == nil || len(d.Name) != 0 {
		t.Errorf("without a timeline: %+v", d)
	}
}
