package explore

import (
	"testing"
	"time"
)

func TestABudgetHandsOutItsTime(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1000, 0)
	now := begun
	b := newBudget(100, begun, shares{ending: 0.06, mostEnding: 10 * time.Second}, func() time.Time { return now })
	if b.share(0.25) != 25*time.Second || b.left(0) != 94*time.Second || b.left(20*time.Second) != 74*time.Second {
		t.Errorf("%v %v %v", b.share(0.25), b.left(0), b.left(20*time.Second))
	}
	now = begun.Add(30 * time.Second)
	over := b.upTo(0.1)
	if over() || b.spent(0) || !b.spent(64*time.Second) || b.spent(63*time.Second) {
		t.Error("after 30 s of 94")
	}
	now = begun.Add(41 * time.Second)
	if !over() {
		t.Error("11 s of 10 are not over")
	}
	now = begun.Add(95 * time.Second)
	if !b.spent(0) || b.left(0) != -time.Second {
		t.Error(b.left(0))
	}
	// What comes last keeps so much at most.
	if long := newBudget(3600, begun, usual.shares, func() time.Time { return begun }); long.left(0) != time.Hour-10*time.Second {
		t.Error(long.left(0))
	}
}

func TestTheUsualPolicyIsWhole(t *testing.T) {
	t.Parallel()
	p := usual
	for name, v := range map[string]float64{
		"ending": p.shares.ending, "origins": p.shares.origins, "shown": p.shares.shown, "pricing": p.shares.pricing, "examining": p.shares.examining,
		"front": p.shares.front, "correcting": p.shares.correcting, "clearlyUnder": p.clearlyUnder, "margin": p.margin, "clearlyBetter": p.clearlyBetter, "negligible": p.negligible,
	} {
		if v <= 0 || v >= 1 {
			t.Errorf("the share %s is %g", name, v)
		}
	}
	if p.shares.correcting < p.shares.front {
		t.Error("the search in the simulation leaves the emulator less than the front takes")
	}
	for i := 1; i < len(p.steps); i++ {
		if p.steps[0] <= 1 || p.steps[i] <= p.steps[i-1] {
			t.Errorf("steps %v", p.steps)
		}
	}
}
