package policy

import (
	"testing"
	"time"
)

func TestABudgetHandsOutItsTime(t *testing.T) {
	t.Parallel()
	begun := time.Unix(1000, 0)
	now := begun
	b := NewBudget(100, begun, Shares{Ending: 0.06, MostEnding: 10 * time.Second}, func() time.Time { return now })
	if b.Share(0.25) != 25*time.Second || b.Left(0) != 94*time.Second || b.Left(20*time.Second) != 74*time.Second {
		t.Errorf("%v %v %v", b.Share(0.25), b.Left(0), b.Left(20*time.Second))
	}
	now = begun.Add(30 * time.Second)
	over := b.UpTo(0.1)
	if over() || b.Spent(0) || !b.Spent(64*time.Second) || b.Spent(63*time.Second) {
		t.Error("after 30 s of 94")
	}
	now = begun.Add(41 * time.Second)
	if !over() {
		t.Error("11 s of 10 are not over")
	}
	now = begun.Add(95 * time.Second)
	if !b.Spent(0) || b.Left(0) != -time.Second {
		t.Error(b.Left(0))
	}
	// What comes last keeps so much at most.
	if long := NewBudget(3600, begun, Usual().Shares, func() time.Time { return begun }); long.Left(0) != time.Hour-10*time.Second {
		t.Error(long.Left(0))
	}
}

func TestTheUsualPolicyIsWhole(t *testing.T) {
	t.Parallel()
	p := Usual()
	for name, v := range map[string]float64{
		"ending": p.Shares.Ending, "origins": p.Shares.Origins, "shown": p.Shares.Shown, "pricing": p.Shares.Pricing, "examining": p.Shares.Examining,
		"front": p.Shares.Front, "correcting": p.Shares.Correcting, "clearlyUnder": p.ClearlyUnder, "margin": p.Margin, "clearlyBetter": p.ClearlyBetter, "negligible": p.Negligible,
	} {
		if v <= 0 || v >= 1 {
			t.Errorf("the share %s is %g", name, v)
		}
	}
	if p.Shares.Correcting < p.Shares.Front {
		t.Error("the search in the simulation leaves the emulator less than the front takes")
	}
	for i := 1; i < len(p.Steps); i++ {
		if p.Steps[0] <= 1 || p.Steps[i] <= p.Steps[i-1] {
			t.Errorf("steps %v", p.Steps)
		}
	}
}
