package policy

import "time"

// Budget hands out the time of an exploration.
type Budget struct {
	Whole time.Duration
	end   time.Time // when the work that may be cut short has to be done
	now   func() time.Time
}

// NewBudget begins a budget of so many seconds. What comes last keeps its share, which is not handed out.
func NewBudget(seconds float64, started time.Time, s Shares, now func() time.Time) Budget {
	b := Budget{Whole: time.Duration(seconds * float64(time.Second)), now: now}
	b.end = started.Add(b.Whole - min(b.Share(s.Ending), s.MostEnding))
	return b
}

// Share is a part of the whole budget.
func (b Budget) Share(part float64) time.Duration { return time.Duration(part * float64(b.Whole)) }

// Left is how much there is, without what is kept for later.
func (b Budget) Left(kept time.Duration) time.Duration { return b.end.Sub(b.now()) - kept }

// Spent says whether there is nothing left, without what is kept for later.
func (b Budget) Spent(kept time.Duration) bool { return b.Left(kept) <= 0 }

// UpTo begins work that may take a part of the budget: the function says whether it has.
func (b Budget) UpTo(part float64) (over func() bool) {
	until := b.now().Add(b.Share(part))
	return func() bool { return b.now().After(until) }
}
