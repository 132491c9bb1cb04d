// Package speed measures how fast a DLC is on a device: inferences in a second, and the cycles of its layers beside the compiler's estimate.
package speed

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"

	"quantcheck/internal/benchmark/hold"
	"quantcheck/internal/result"
	"quantcheck/internal/workspace"
)

// Throughput measures how many inferences the device makes in a second. The file holds what the median repeat printed.
func Throughput(ctx context.Context, d *hold.Device) error {
	p := d.Plan
	t := &result.DeviceThroughput{Runtime: p.On.Runtime, Profile: p.On.Profile, Duration: p.Seconds}
	var texts [][]byte
	d.Progress.Phase("measuring throughput", p.Repeats)
	for i := range p.Repeats {
		text, rate, err := d.Board.Throughput(ctx, d.Model, p.Seconds)
		if err != nil {
			return err
		}
		t.PerSecond, texts = append(t.PerSecond, rate), append(texts, text)
		d.Progress.Step(i + 1)
	}
	order := make([]int, len(texts))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(x, y int) int { return cmp.Compare(t.PerSecond[x], t.PerSecond[y]) })
	p.Done.Throughput = t
	return workspace.WriteFile(filepath.Join(p.ModelFolder(), "throughput.txt"), texts[order[(len(order)-1)/2]])
}
