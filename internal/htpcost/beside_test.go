package htpcost

import (
	"maps"
	"os"
	"reflect"
	"slices"
	"testing"

	"quantcheck/internal/fixture"
)

func TestTheFixturesTimeline(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(fixture.Beside(t, "qnn", zoo+".trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	x := timeline(t, data)
	if x.Cycles != 20176 || len(x.Events) != 124 || len(x.VTCM) != 79 || len(x.Threads) != 10 || x.Threads[5].Name != "DMA:" {
		t.Errorf("%d cycles, %d events, %d levels, threads %v", x.Cycles, len(x.Events), len(x.VTCM), x.Threads)
	}
	want := Event{
		Op: "q::Transpose_impl", ID: 0x428600000011, Step: 16, Start: 2732, Cycles: 601, Unit: HVX, Thread: 1,
		Inputs: [][]int64{{1, 3, 32, 32}}, Outputs: [][]int64{{1, 32, 32, 3}}, Bytes: Traffic{VTCMRead: 4096, VTCMWrite: 4096},
	}
	if i := slices.IndexFunc(x.Events, func(e Event) bool { return e.Op == want.Op }); i < 0 || !reflect.DeepEqual(x.Events[i], want) || want.Node() != 0x11 || want.End() != 3333 {
		t.Errorf("event %d: %+v", i, x.Events[max(i, 0)])
	}
	units := map[Unit]int{}
	for _, e := range x.Events {
		units[e.Unit]++
	}
	if !maps.Equal(units, map[Unit]int{Scalar: 74, HMX: 10, HVX: 25, DMA: 15}) {
		t.Errorf("%v", units)
	}
	for key, want := range map[string]string{"soc_type": "QCS9100", "sim_base_soc": "Kailua", "sim_core_freq": "1497.6", "vtcm_size_in_bytes": "8388608"} {
		if got, ok := x.Setting(key); got != want || !ok {
			t.Errorf("%s is %q", key, got)
		}
	}
	if _, ok := x.Setting("nothing"); ok || len(x.Settings) != 30 {
		t.Errorf("%d settings", len(x.Settings))
	}
}
