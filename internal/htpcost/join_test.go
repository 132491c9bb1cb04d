package htpcost

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

// fixtureEstimate is the fixture's, without the wheel.
func fixtureEstimate(t *testing.T) *Estimate {
	t.Helper()
	line := timeline(t, read(t, "qnn", zoo+".trace.json"))
	f := Figures{Cycles: line.Cycles, Lower: 17737, Upper: 23113, Microseconds: 13, InputFillBytes: 34816, OutputSpillBytes: 10240}
	return New(SoCs[0], f, line, read(t, "qnn", zoo+".schematic.txt"))
}

func TestPartsAreJoined(t *testing.T) {
	t.Parallel()
	a, b := fixtureEstimate(t), fixtureEstimate(t)
	if Join([]*Estimate{a}) != a {
		t.Error("one estimate is itself")
	}
	x := Join([]*Estimate{a, b})
	if x.Cycles != 2*a.Cycles || x.Upper != 2*23113 || x.InputFillBytes != 2*34816 || x.Timeline.Cycles != 2*a.Cycles || len(x.Timeline.Events) != 2*len(a.Timeline.Events) || x.Base != "Kailua" {
		t.Errorf("%+v", x.Figures)
	}
	if total := sum(x.Layers); !near(total, 2*float64(a.Cycles)) {
		t.Errorf("the layers add up to %g", total)
	}
	share, kinds := 0.0, map[Kind]int{}
	for _, l := range x.Layers {
		share += l.Share
		kinds[l.Kind]++
	}
	if !near(share, 1) || kinds[Input] != 1 || kinds[Output] != 1 || kinds[Idle] != 1 || kinds[Operator] != 2*len(a.Layers)-6 {
		t.Errorf("shares %g, %v", share, kinds)
	}
	if x.Layers[0].Kind != Input || x.Layers[len(x.Layers)-1].Kind != Idle {
		t.Error("the rows are in another order")
	}
	if len(x.Notes) != 1 || !strings.Contains(x.Notes[0], "2 graphs") {
		t.Errorf("%q", x.Notes)
	}
	// The joined timeline is as good as one of the compiler's.
	var out bytes.Buffer
	if err := Chrome(&out, x.Timeline, x.Names()); err != nil {
		t.Fatal(err)
	}
	again := timeline(t, out.Bytes())
	if total := sum(Layers(again, x.Names())); again.Cycles != 2*a.Cycles || !near(total, 2*float64(a.Cycles)) {
		t.Errorf("%d cycles, layers %g", again.Cycles, total)
	}
	if a.Cycles != b.Cycles || len(a.Timeline.Events) != len(b.Timeline.Events) || a.Timeline.Events[0].Start != b.Timeline.Events[0].Start {
		t.Error("a part was changed")
	}
}

func TestDifferencesAddUp(t *testing.T) {
	t.Parallel()
	a, b := fixtureEstimate(t), fixtureEstimate(t)
	for _, d := range Differences(a, b) {
		if d.Change() != 0 || d.Before == nil || d.After == nil {
			t.Errorf("%+v", d)
		}
	}
	for i := range b.Layers {
		if b.Layers[i].Kind == Operator && b.Layers[i].Cycles > 0 {
			b.Layers[i].Name = "another"
			b.Layers[i].Cycles += 5000
			break
		}
	}
	list := Differences(a, b)
	change := 0.0
	for _, d := range list {
		change += d.Change()
	}
	if list[0].Name != "another" || list[0].Before != nil || math.Abs(change-5000) > 1e-6 {
		t.Errorf("%+v, %g", list[0], change)
	}
}

func TestThePeakIsKnownOfTheRVC4(t *testing.T) {
	t.Parallel()
	if p, ok := SoCs[0].Peak(); p != 16384 || !ok {
		t.Errorf("%d %v", p, ok)
	}
	if _, ok := (SoC{Model: 72}).Peak(); ok {
		t.Error("nothing is known of another architecture")
	}
}
