package workpool

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
)

func TestTogetherCallsForAllAndGivesTheFirstError(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 15, 16, 17, 100} {
		called := make([]atomic.Int32, n)
		if err := Together(n, func(k int) error { called[k].Add(1); return nil }); err != nil {
			t.Error(err)
		}
		for k := range called {
			if called[k].Load() != 1 {
				t.Errorf("%d of %d was called %d times", k, n, called[k].Load())
			}
		}
	}
	early, late := errors.New("early"), errors.New("late")
	err := Together(40, func(k int) error {
		switch k {
		case 7:
			return early
		case 3 + waits:
			return late
		}
		return nil
	})
	if !errors.Is(err, early) {
		t.Error(err)
	}
}

func TestTogetherWaitsForManyAtOnce(t *testing.T) {
	t.Parallel()
	var all sync.WaitGroup
	all.Add(waits)
	if err := Together(waits, func(int) error { all.Done(); all.Wait(); return nil }); err != nil { // one after the other would never end
		t.Error(err)
	}
}

func TestAPoolHoldsBackWhatWouldTakeTooMuch(t *testing.T) {
	t.Parallel()
	p := New(100)
	defer p.Close()
	var held, most atomic.Int64
	for range 200 {
		now := held.Add(40)
		for m := most.Load(); now > m && !most.CompareAndSwap(m, now); m = most.Load() {
		}
		p.Do(40, func() { held.Add(-40) })
	}
	p.Wait()
	// Two jobs of 40 are within the bound of 100; a third is being brought.
	if most.Load() > 160 || held.Load() != 0 {
		t.Errorf("%d bytes were held at once, %d at the end", most.Load(), held.Load())
	}
}
