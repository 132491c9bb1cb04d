package rewrite

import (
	"slices"

	"quantcheck/internal/onnx"
	"quantcheck/internal/onnx/onnxpb"
)

// span is what a Slice takes of an axis: count places from start on, step apart; a negative step runs backwards.
type span struct{ start, step, count int64 }

// cut applies a Slice to a view; it is false if the Slice takes less than all of the batch, nothing, or rows or columns
// backwards.
func (r *viewer) cut(n *onnxpb.NodeProto, of, v *view) (bool, error) {
	spans, ok, err := r.f.spans(n, []int64{of.shape[0], int64(len(of.at)), of.height, of.width})
	if err != nil || !ok || spans[0] != (span{0, 1, of.shape[0]}) || spans[2].step < 1 || spans[3].step < 1 {
		return false, err
	}
	channels, rows, columns := spans[1], spans[2], spans[3]
	v.stepY, v.stepX, v.height, v.width = of.stepY*rows.step, of.stepX*columns.step, rows.count, columns.count
	if v.stepY > most || v.stepX > most {
		return false, nil
	}
	v.at = nil
	for k := range channels.count {
		p := of.at[channels.start+k*channels.step]
		v.at = append(v.at, place{p.channel, p.y + rows.start*of.stepY, p.x + columns.start*of.stepX})
	}
	return true, nil
}

// spans reads a Slice of a tensor of that shape (https://onnx.ai/onnx/operators/onnx__Slice.html): negative starts and ends
// count from the end, and all are clamped to the axis. It is false if they are no constants, or nothing is left.
func (f *facts) spans(n *onnxpb.NodeProto, shape []int64) ([]span, bool, error) {
	starts, ends, axes, steps, ok, err := f.sliced(n)
	if err != nil || !ok || len(starts) == 0 || len(ends) != len(starts) || len(axes) != len(starts) || len(steps) != len(starts) {
		return nil, false, err
	}
	spans := make([]span, len(shape))
	for d, size := range shape {
		spans[d] = span{0, 1, size}
	}
	var done []int64
	for k, axis := range axes {
		if axis < 0 {
			axis += int64(len(shape))
		}
		if axis < 0 || axis >= int64(len(shape)) || slices.Contains(done, axis) || steps[k] == 0 || steps[k] > most || steps[k] < -most {
			return nil, false, nil
		}
		done = append(done, axis)
		size, start, end, step := shape[axis], starts[k], ends[k], steps[k]
		if start < 0 {
			start += size
		}
		if end < 0 {
			end += size
		}
		var count int64
		if step > 0 {
			start, end = min(max(start, 0), size), min(max(end, 0), size)
			count = (end - start + step - 1) / step
		} else {
			start, end = min(max(start, 0), size-1), min(max(end, -1), size-1)
			count = (start - end - step - 1) / -step
		}
		if count < 1 {
			return nil, false, nil
		}
		spans[axis] = span{start, step, count}
	}
	return spans, true, nil
}

// sliced gives a Slice's numbers: inputs since opset 10, attributes before.
func (f *facts) sliced(n *onnxpb.NodeProto) (starts, ends, axes, steps []int64, ok bool, err error) {
	lists := make([][]int64, 5)
	if len(n.GetInput()) < 3 {
		for k, name := range []string{"starts", "ends", "axes"} {
			lists[k+1] = onnx.Attr(n, name).GetInts()
		}
	}
	for k, name := range n.GetInput() {
		if k == 0 || k > 4 || name == "" {
			continue
		}
		if lists[k], ok, err = f.ints(name); err != nil || !ok {
			return nil, nil, nil, nil, false, err
		}
	}
	if lists[3] == nil {
		for d := range len(lists[1]) {
			lists[3] = append(lists[3], int64(d))
		}
	}
	if lists[4] == nil {
		lists[4] = repeat(1, len(lists[1]))
	}
	return lists[1], lists[2], lists[3], lists[4], true, nil
}
