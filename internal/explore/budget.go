package explore

import "time"

// budget hands out the time of an exploration.
type budget struct {
	whole time.Duration
	end   time.Time // when the work that may be cut short has to be done
	now   func() time.Time
}

// newBudget begins a budget of so many seconds. What comes last keeps its share, which is not handed out.
func newBudget(seconds float64, started time.Time, s shares, now func() time.Time) budget {
	b := budget{whole: time.Duration(seconds * float64(time.Second)), now: now}
	b.end = started.Add(b.whole - min(b.share(s.ending), s.mostEnding))
	return b
}

// share is a part of the whole budget.
func (b budget) share(part float64) time.Duration { return time.Duration(part * float64(b.whole)) }

// left is how much there is, without what is kept for later.
func (b budget) left(kept time.Duration) time.Duration { return b.end.Sub(b.now()) - kept }

// spent says whether there is nothing left, without what is kept for later.
func (b budget) spent(kept time.Duration) bool { return b.left(kept) <= 0 }

// upTo begins work that may take a part of the budget: the function says whether it has.
func (b budget) upTo(part float64) (over func() bool) {
	until := b.now().Add(b.share(part))
	return func() bool { return b.now().After(until) }
}
