package hold

import (
	"context"
	"slices"
	"sync"
	"time"

	"quantcheck/internal/result"
)

// Watching notes the device's condition while a step runs; the function it gives ends that.
func (d *Device) Watching(ctx context.Context, step result.Step) (ended func()) {
	if d.Watch == nil || d.connection == nil || step == result.StepInfo {
		return func() {}
	}
	d.Plan.Done.Conditions = slices.DeleteFunc(d.Plan.Done.Conditions, func(c result.Condition) bool { return c.Step == step })
	if d.began.IsZero() {
		d.began = time.Now()
	}
	ctx, cancel := context.WithCancel(ctx)
	over := make(chan error, 1)
	var mu sync.Mutex
	var seen []result.Condition
	began := d.began
	d.watching.Go(func() {
		over <- d.Watch(ctx, d.connection, func(c result.Condition) {
			c.Step, c.At = step, time.Since(began).Seconds()
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, c)
		})
	})
	return func() {
		select {
		case err := <-over: // before the step was
			if err != nil && ctx.Err() == nil {
				d.Plan.Note("the device's condition was not watched to the end: %v", err)
			}
		default:
		}
		cancel()
		mu.Lock()
		defer mu.Unlock()
		d.Plan.Done.Conditions = append(d.Plan.Done.Conditions, thinned(seen)...)
		seen = nil
	}
}

// mostConditions is how many a step keeps.
const mostConditions = 600

func thinned(list []result.Condition) []result.Condition {
	every := (len(list) + mostConditions - 1) / mostConditions
	if every <= 1 {
		return list
	}
	var kept []result.Condition
	for i := 0; i < len(list); i += every {
		kept = append(kept, list[i])
	}
	return kept
}
