package align

import (
	"slices"
	"testing"

	"quantcheck/internal/dlc"
	"quantcheck/internal/tensor"
)

func TestDoAndUndoAreInverse(t *testing.T) {
	x := tensor.Floats(nil, 1, 2, 3, 4)
	for i := range 24 {
		x.F32 = append(x.F32, float32(i))
	}
	for _, l := range []Layout{nil, channelLast(4), channelFirst(4), {3, 1, 0, 2}} {
		there := l.Do(x)
		if back := l.Undo(there, x.Shape); !slices.Equal(back.F32, x.F32) || !slices.Equal(back.Shape, x.Shape) {
			t.Errorf("%v: %v %v", l, back.Shape, back.F32)
		}
	}
	last := channelLast(4).Do(x)
	if !slices.Equal(last.Shape, []int64{1, 3, 4, 2}) || !slices.Equal(last.F32[:4], []float32{0, 12, 1, 13}) {
		t.Errorf("%v %v", last.Shape, last.F32)
	}
}

func TestOrdersThatFit(t *testing.T) {
	for _, row := range []struct {
		l     Layout
		shape []int64
		dlc   []int
		want  bool
	}{
		{nil, []int64{1, 3, 8, 9}, []int{1, 3, 8, 9}, true},
		{nil, []int64{1, 3, 8, 9}, []int{3, 8, 9}, true},
		{channelLast(4), []int64{1, 3, 8, 9}, []int{1, 8, 9, 3}, true},
		{channelLast(4), []int64{1, 256, 256, 3}, []int{1, 256, 3, 256}, true}, // a channels-last model that was taken for channels-first
		{channelLast(4), []int64{1, 3, 8, 9}, []int{1, 3, 8, 9}, false},
		{Layout{0, 1, 1, 2}, []int64{1, 3, 3, 3}, []int{1, 3, 3, 3}, false},
		{Layout{0, 1}, []int64{1, 3, 3, 3}, []int{1, 3, 3, 3}, false},
	} {
		if got := row.l.Fits(row.shape, &dlc.Tensor{Shape: row.dlc}); got != row.want {
			t.Errorf("%+v: %v", row, got)
		}
	}
	if got := Candidates([]int64{1, 3, 3, 3}, &dlc.Tensor{Shape: []int{1, 3, 3, 3}}); len(got) != 3 {
		t.Errorf("%v", got)
	}
}
