package runner

import (
	"errors"
	"slices"
	"testing"
)

func TestSegmentsAreDividedAmongPasses(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sizes []int64
		bound int64
		want  []int
	}{
		{[]int64{5, 5, 5}, 0, []int{0, 0, 0}},
		{[]int64{5, 5, 5}, 10, []int{0, 0, 1}},
		{[]int64{5, 0, 6, 0}, 10, []int{0, 0, 1, 1}},
		{[]int64{50, 0, 1}, 10, []int{0, 0, 1}}, // one that is too large has a pass of its own
		{[]int64{0, 0}, 10, []int{0, 0}},
		{nil, 10, []int{}},
	} {
		if got := Passes(row.sizes, row.bound); !slices.Equal(got, row.want) {
			t.Errorf("%v under %d: %v, want %v", row.sizes, row.bound, got, row.want)
		}
	}
}

func TestAScheduleRunsEachPassOnce(t *testing.T) {
	t.Parallel()
	var ran []int
	s := NewSchedule([]int{0, 0, 1, 2}, func(pass int) error { ran = append(ran, pass); return nil })
	s.Begin(0)
	for segment, want := range []int{0, 0, 1, 2} {
		if pass, err := s.Pass(segment); pass != want || err != nil {
			t.Errorf("segment %d: pass %d, %v", segment, pass, err)
		}
	}
	if err := s.Wait(); err != nil || !slices.Equal(ran, []int{0, 1, 2}) {
		t.Errorf("%v %v", ran, err)
	}
	// A pass whose results nobody asked for is waited for and forgotten.
	ran = nil
	s = NewSchedule([]int{0, 1}, func(pass int) error { ran = append(ran, pass); return nil })
	s.Begin(0)
	if pass, err := s.Pass(1); pass != 1 || err != nil || !slices.Equal(ran, []int{0, 1}) {
		t.Errorf("pass %d of %v: %v", pass, ran, err)
	}
}

func TestAFailedPassFailsTheRest(t *testing.T) {
	t.Parallel()
	failure, runs := errors.New("refused"), 0
	s := NewSchedule([]int{0, 0, 1}, func(int) error { runs++; return failure })
	for segment := range 3 {
		if _, err := s.Pass(segment); !errors.Is(err, failure) {
			t.Errorf("segment %d: %v", segment, err)
		}
	}
	if runs != 1 {
		t.Errorf("%d runs", runs)
	}
}
