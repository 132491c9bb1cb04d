package search_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"quantcheck/internal/search"
)

// landscape scores sets by a formula and counts.
type landscape struct {
	score func(search.Set) float64
	asked int
	most  int // answers before the budget is spent; 0: no bound
}

func (l *landscape) Score(_ context.Context, set search.Set, _ float64) (search.Score, error) {
	if l.most > 0 && l.asked >= l.most {
		return search.Score{}, search.ErrBudget
	}
	l.asked++
	return search.Score{Value: l.score(set)}, nil
}

func additive(gains []float64) func(search.Set) float64 {
	return func(set search.Set) float64 {
		sum := 0.0
		for _, c := range set {
			sum += gains[c]
		}
		return sum
	}
}

func ranked(gains []float64) []int {
	order := make([]int, len(gains))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case gains[a] > gains[b]:
			return -1
		case gains[a] < gains[b]:
			return 1
		}
		return 0
	})
	return order
}

func changes(gains, prices []float64) []search.Change {
	list := make([]search.Change, len(gains))
	for i := range list {
		list[i] = search.Change{Gain: gains[i], Price: 1}
		if prices != nil {
			list[i].Price = prices[i]
		}
	}
	return list
}

func TestClimbAndPruneFindTheLeastSet(t *testing.T) {
	t.Parallel()
	gains := []float64{0.1, 0.2, 9, 0.1, 5, 0.3, 7, 0.2}
	tests := []struct {
		name    string
		score   func(search.Set) float64
		ranking []int
		target  float64
		want    search.Set
	}{
		{"nothing is needed", additive(gains), ranked(gains), 0, search.Set{}},
		{"the three that count", additive(gains), ranked(gains), 20, search.Set{2, 4, 6}},
		{"a bad ranking costs only what is pruned", additive(gains), []int{0, 1, 3, 5, 7, 4, 6, 2}, 20.5, search.Set{2, 4, 6}},
		{"all are needed", additive(gains), ranked(gains), 21.85, search.Set{0, 1, 2, 3, 4, 5, 6, 7}},
		{"two that only help together", func(s search.Set) float64 {
			if s.Has(1) && s.Has(5) {
				return 1
			}
			return 0
		}, []int{0, 1, 2, 3, 4, 5, 6, 7}, 1, search.Set{1, 5}},
		{"one that harms is left out", func(s search.Set) float64 {
			v := additive(gains)(s)
			if s.Has(0) {
				v -= 4
			}
			return v
		}, []int{2, 0, 6, 4, 1, 3, 5, 7}, 20, search.Set{2, 4, 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := search.New(&landscape{score: tt.score}, changes(gains, nil), tt.target)
			set, reached, err := s.Climb(t.Context(), nil, tt.ranking)
			if err != nil || !reached && len(set) < len(gains) {
				t.Fatalf("climb: %v %v %v", set, reached, err)
			}
			if set, err = s.Prune(t.Context(), set); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(set, tt.want) {
				t.Errorf("%v, want %v", set, tt.want)
			}
		})
	}
}

func TestBlocksAreAddedUntilTheTargetIsReached(t *testing.T) {
	t.Parallel()
	gains := []float64{1, 2, 3, 4}
	l := &landscape{score: additive(gains)}
	s := search.New(l, changes(gains, nil), 6)
	if set, reached, err := s.Blocks(t.Context(), search.Set{0}, [][]int{{1}, {2}, {3}}); err != nil || !reached || !slices.Equal(set, search.Set{0, 1, 2}) || l.asked != 3 {
		t.Errorf("%v %v %v after %d scores", set, reached, err, l.asked)
	}
	if set, reached, err := search.New(l, changes(gains, nil), 60).Blocks(t.Context(), nil, [][]int{{1}, {2}}); err != nil || reached || len(set) != 2 {
		t.Errorf("%v %v %v", set, reached, err)
	}
}

func TestATargetOutOfReachIsSaidWithTheBest(t *testing.T) {
	t.Parallel()
	gains := []float64{1, 2, 3, -1}
	s := search.New(&landscape{score: additive(gains)}, changes(gains, nil), 100)
	set, reached, err := s.Climb(t.Context(), nil, ranked(gains))
	if err != nil || reached || len(set) != 4 {
		t.Errorf("%v %v %v", set, reached, err)
	}
	// It looked at 0, 1, 2, 3 and all 4.
	if best, ok := s.Best(); !ok || best.Score.Value != 6 {
		t.Errorf("best %v %v, want 6", best, ok)
	}
}

func TestDearChangesAreGivenUpForCheapOnes(t *testing.T) {
	t.Parallel()
	gains, prices := []float64{10, 6, 5, 1}, []float64{20, 1, 1, 1}
	s := search.New(&landscape{score: additive(gains)}, changes(gains, prices), 10)
	set, err := s.Exchange(t.Context(), search.Set{0}, ranked(gains), 3, nil)
	if err != nil || !slices.Equal(set, search.Set{1, 2}) {
		t.Errorf("%v %v, want [1 2]", set, err)
	}
	// An alternative of its own comes first; one that costs more is not tried.
	gains, prices = append(gains, 10, 30), append(prices, 0.5, 40)
	s = search.New(&landscape{score: additive(gains)}, changes(gains, prices), 10)
	set, err = s.Exchange(t.Context(), search.Set{0}, ranked(gains)[2:], 3, func(int) [][]int { return [][]int{{5}, {4}} })
	if err != nil || !slices.Equal(set, search.Set{4}) {
		t.Errorf("%v %v, want [4]", set, err)
	}
}

func TestASpentBudgetLeavesWhatReachesTheTarget(t *testing.T) {
	t.Parallel()
	gains := make([]float64, 64)
	for i := range gains {
		gains[i] = 1
	}
	l := &landscape{score: additive(gains)}
	s := search.New(l, changes(gains, nil), 40)
	set, reached, err := s.Climb(t.Context(), nil, ranked(gains))
	if err != nil || !reached || len(set) != 40 {
		t.Fatalf("%v %v %v", set, reached, err)
	}
	l.most = l.asked + 2
	full := search.NewSet(ranked(gains)...)
	if _, err := s.Reaches(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	less, err := s.Prune(t.Context(), full)
	if !errors.Is(err, search.ErrBudget) {
		t.Fatalf("error %v", err)
	}
	if v := additive(gains)(less); v < 40 {
		t.Errorf("what is left scores %v", v)
	}
}

// TestWhatIsFoundReachesTheTarget holds on random landscapes with interactions.
func TestWhatIsFoundReachesTheTarget(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		n := 1 + rng.IntN(40)
		gains, prices := make([]float64, n), make([]float64, n)
		pairs := map[[2]int]float64{}
		for i := range gains {
			gains[i], prices[i] = rng.ExpFloat64(), 0.1+rng.Float64()
			pairs[[2]int{rng.IntN(n), rng.IntN(n)}] = rng.NormFloat64() / 2
		}
		keys := make([][2]int, 0, len(pairs))
		for k := range pairs {
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(a, b [2]int) int { return (a[0]-b[0])*n + a[1] - b[1] })
		score := func(s search.Set) float64 {
			v := additive(gains)(s)
			for _, k := range keys {
				if s.Has(k[0]) && s.Has(k[1]) {
					v += pairs[k]
				}
			}
			return v
		}
		target := score(search.NewSet(ranked(gains)...)) * 0.8
		find := func() (search.Set, *landscape) {
			l := &landscape{score: score}
			s := search.New(l, changes(gains, prices), target)
			set, reached, err := s.Climb(t.Context(), nil, ranked(gains))
			if err != nil || !reached {
				t.Fatalf("seed %d: %v %v", seed, reached, err)
			}
			if set, err = s.Prune(t.Context(), set); err != nil {
				t.Fatal(err)
			}
			return set, l
		}
		set, l := find()
		if score(set) < target {
			t.Errorf("seed %d: %v scores %v, not %v", seed, set, score(set), target)
		}
		if limit := 4*n + 20; l.asked > limit {
			t.Errorf("seed %d: %d sets of %d changes were scored, more than %d", seed, l.asked, n, limit)
		}
		if again, _ := find(); !slices.Equal(set, again) {
			t.Errorf("seed %d: %v, then %v", seed, set, again)
		}
	}
}

func TestTheFrontHoldsWhatNoOtherBeats(t *testing.T) {
	t.Parallel()
	list := []search.Priced{{0.1, 1}, {0.5, 3}, {0.4, 4}, {0.5, 3}, {0.9, 9}, {0.3, 1}, {0.95, 20}, {0.6, 5}}
	front := search.Front(list)
	if want := []int{5, 1, 7, 4, 6}; !slices.Equal(front, want) {
		t.Fatalf("%v, want %v", front, want)
	}
	if thin, want := search.Thin(front, list, 3, func(i int) bool { return i == 7 }), []int{5, 7, 6}; !slices.Equal(thin, want) {
		t.Errorf("thinned %v, want %v", thin, want)
	}
	rng := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		list := make([]search.Priced, rng.IntN(30))
		for i := range list {
			list[i] = search.Priced{Score: float64(rng.IntN(10)), Price: float64(rng.IntN(10))}
		}
		front := search.Front(list)
		for i, p := range list {
			if !slices.ContainsFunc(front, func(k int) bool { return list[k].Price <= p.Price && list[k].Score >= p.Score }) {
				t.Errorf("%v: %d is beaten by nothing and not on the front %v", list, i, front)
			}
		}
	}
}
