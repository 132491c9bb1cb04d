package workspace

import (
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/fixture"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/result"
	"quantcheck/internal/variant"
)

func TestEstimatesComeBackAsTheyWereStored(t *testing.T) {
	t.Parallel()
	read := func(name string) []byte {
		data, err := os.ReadFile(fixture.Path(t, "qnn", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	timeline, err := htpcost.ReadTrace(read("zoo_w8a8_per_channel.trace.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := htpcost.Figures{Cycles: 20176, Lower: 17737, Upper: 23113, Microseconds: 13, InputFillBytes: 34816, OutputSpillBytes: 10240}
	spec, err := variant.Parse("w8a8")
	if err != nil {
		t.Fatal(err)
	}
	want := &result.Estimated{
		Name: "zoo", Variant: "w8a8", Spec: &spec, Path: "/zoo.dlc", Started: time.Date(2026, 11, 25, 1, 2, 3, 4e6, time.UTC), Tool: "t", Wheel: "2.7.0",
		MACs: map[string]int64{"a": 3}, Refused: []string{"b"}, Covered: 0.5, Advice: &result.Advice{Pass: "p", Cycles: 3, Microseconds: 2},
		Estimate: htpcost.New(htpcost.SoCs[0], f, timeline, read("zoo_w8a8_per_channel.schematic.txt")),
	}
	s, err := OpenStore(t.Context(), Folder(t.TempDir()))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	without := *want
	estimate := *want.Estimate
	estimate.Timeline, without.Estimate = nil, &estimate
	for _, e := range []*result.Estimated{want, &without} {
		if err := s.Estimates.Add(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	list, _, err := s.Estimates.All(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%d, %v", len(list), err)
	}
	for i, e := range []*result.Estimated{want, &without} {
		got := list[i]
		if (got.Timeline == nil) != (e.Timeline == nil) || e.Timeline != nil && !reflect.DeepEqual(got.Timeline.Events, e.Timeline.Events) {
			t.Errorf("%d: another timeline", i)
		}
		got.Timeline, e.Timeline = nil, nil
		if !reflect.DeepEqual(got, e) {
			t.Errorf("%d: %+v, want %+v", i, got, e)
		}
	}
	for _, damage := range []string{
		"UPDATE estimates SET timeline = x'1f8b00' WHERE id = 1", "UPDATE estimates SET timeline = NULL, result = '{}' WHERE id = 1",
	} {
		if _, err := s.db.ExecContext(t.Context(), damage); err != nil {
			t.Fatal(err)
		}
		if left, problems, err := s.Estimates.All(t.Context()); err != nil || len(left) != len(list)-1 || len(problems) == 0 || !strings.Contains(problems[0], "estimate 1 of") {
			t.Errorf("%s: %v %v", damage, err, problems)
		}
	}
}
