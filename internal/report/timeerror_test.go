package report

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"quantcheck/internal/htpcost"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// timed is a run of a hundred layers of which the first four are special.
func timed(localSamples int) *result.Run {
	run := &result.Run{Spec: result.CheckSpec{LocalSamples: localSamples, DivergeUnder: 20}, Layers: make([]result.Layer, 100)}
	v := result.Variant{Time: &result.Time{SoC: htpcost.SoCs[0], Cycles: 1000, Microseconds: 1}, Layers: make([]result.LayerResult, 100)}
	for k := range v.Layers {
		cycles, share, sqnr := 4.0, 0.005, 40.0
		if k == 0 || k == 1 {
			cycles = 200
		}
		if k == 0 || k == 2 {
			share, sqnr = 0.2, 10
		}
		l := &v.Layers[k]
		l.Status = result.Compared
		l.Summary[metric.SQNR].Mean = metric.Defined(sqnr)
		if k != 3 {
			l.Cycles = &cycles
		} else {
			share = 0.3 // wrong, but its time is not known
		}
		if localSamples > 0 {
			l.Local = &result.Local{Share: share}
		}
	}
	run.Variants = []result.Variant{v}
	return run
}

func TestLayersStandInCornersByTimeAndError(t *testing.T) {
	t.Parallel()
	for _, samples := range []int{4, 0} {
		run := timed(samples)
		got := Corners(run, &run.Variants[0])
		if len(got) != 3 || !slices.Equal(got[0].Layers, []int{0}) || !slices.Equal(got[1].Layers, []int{1}) || !slices.Equal(got[2].Layers, []int{2}) {
			t.Errorf("%d: %+v", samples, got)
		}
		var b bytes.Buffer
		timeAndError(&b, run, &run.Variants[0])
		for _, says := range []string{"slow and wrong", "slow and harmless", "cheap and wrong", "give it more bits"} {
			if !strings.Contains(b.String(), says) {
				t.Errorf("%q is not said: %s", says, b.String())
			}
		}
	}
	run := timed(4)
	run.Variants[0].Time = nil
	var b bytes.Buffer
	timeAndError(&b, run, &run.Variants[0])
	if b.Len() > 0 || Corners(run, &run.Variants[0]) != nil {
		t.Error("without an estimate nothing is said of time")
	}
}

func TestNumbersOfAnEstimateAreReadable(t *testing.T) {
	t.Parallel()
	for us, want := range map[int64]string{7: "7 µs", 999: "999 µs", 1000: "1.00 ms", 4116: "4.12 ms", 12345: "12.3 ms", 2_500_000: "2.50 s"} {
		if got := Time(us); got != want {
			t.Errorf("%d: %s", us, got)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 6164540: "6,164,540", -1234: "-1,234", -123: "-123", -123456: "-123,456"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}
