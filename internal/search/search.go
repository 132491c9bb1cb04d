// Package search finds the least set of changes that brings a score to a target, and the front of score against price. It
// knows nothing of networks: an Objective scores sets of changes, which are numbers.
//
//  1. Climb walks a ranking: how many of its first changes reach the target, by growing steps and bisection.
//     Blocks adds whole blocks of changes, where scores take long.
//  2. Prune drops what is not needed, in ever smaller chunks, the least worthy changes first.
//  3. Exchange gives up dear changes for cheap ones further down the ranking.
//  4. Front keeps, of all sets that were scored, those that no other beats in score and price.
//
// Nothing is assumed of the landscape: what a step gives was scored, and reached the target if the step says so. Where it is
// not monotone, the result is a good set, not the least one. Same landscape, same result.
package search

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrBudget is what an Objective returns when there is no time for another answer. The steps then end with the best so far.
var ErrBudget = errors.New("the budget is spent")

// Set is a set of changes, ascending and each once.
type Set []int

// NewSet makes a set of changes in any order.
func NewSet(changes ...int) Set {
	return slices.Compact(slices.Sorted(slices.Values(changes)))
}

// Key names a set.
func (s Set) Key() string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, "%d,", c)
	}
	return b.String()
}

// Has says whether a change is in it.
func (s Set) Has(change int) bool {
	_, found := slices.BinarySearch(s, change)
	return found
}

// Without is the set without some changes.
func (s Set) Without(changes ...int) Set {
	return slices.DeleteFunc(slices.Clone(s), func(c int) bool { return slices.Contains(changes, c) })
}

// With is the set with more changes.
func (s Set) With(changes ...int) Set { return NewSet(append(slices.Clone(changes), s...)...) }

// Score is how good a set is; more is better.
type Score struct {
	Value float64
	// Partial says that the set was given up before it was scored to the end: its value is under the floor that was asked
	// for, and is no value to compare with others.
	Partial bool
}

// Objective says what sets are worth. An error of ErrBudget ends a search with what it has.
type Objective interface {
	// Score scores a set. Of a set that is going to miss the floor by far it may give up and return a partial score.
	Score(ctx context.Context, set Set, floor float64) (Score, error)
}

// Change is what is known of one change before the search.
type Change struct {
	Gain  float64 // how much it alone is thought to bring, in any unit
	Price float64 // what it is thought to cost alone, in any unit
}

// worth orders changes: what little they bring for what they cost.
func (c Change) worth() float64 {
	if c.Price <= 0 {
		return c.Gain
	}
	return c.Gain / c.Price
}

// Point is a set that was scored.
type Point struct {
	Set   Set
	Score Score
}

// Search remembers what was scored on one landscape. It is not for several goroutines.
type Search struct {
	landscape Objective
	changes   []Change
	target    float64
	known     map[string]int // into points
	points    []Point
}

// New begins a search for a score of at least target, over the changes 0 to len(changes)−1.
func New(l Objective, changes []Change, target float64) *Search {
	return &Search{landscape: l, changes: changes, target: target, known: map[string]int{}}
}

// Points are all sets that were scored, in the order in which they were.
func (s *Search) Points() []Point { return s.points }

// Reaches scores a set, if it is new, and says whether it reaches the target.
func (s *Search) Reaches(ctx context.Context, set Set) (bool, error) {
	key := set.Key()
	i, ok := s.known[key]
	if !ok {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		score, err := s.landscape.Score(ctx, set, s.target)
		if err != nil {
			return false, err
		}
		i = len(s.points)
		s.known[key], s.points = i, append(s.points, Point{slices.Clone(set), score})
	}
	got := s.points[i].Score
	return !got.Partial && got.Value >= s.target, nil
}

// Best is the set with the highest score that was scored to the end; ok is false if there is none. Of equal ones the smaller
// set is taken, then the earlier.
func (s *Search) Best() (best Point, ok bool) {
	for _, p := range s.points {
		if p.Score.Partial {
			continue
		}
		if !ok || p.Score.Value > best.Score.Value || p.Score.Value == best.Score.Value && len(p.Set) < len(best.Set) {
			best, ok = p, true
		}
	}
	return best, ok
}

// Climb adds a ranking's first changes to a set until the target is reached, a third more each time, and gives the smallest such
// set that it found. reached is false if even all of them do not. Where scores are noisy, the small steps find small sets that
// doubling would jump over.
func (s *Search) Climb(ctx context.Context, from Set, ranking []int) (set Set, reached bool, err error) {
	prefix := func(n int) Set { return from.With(ranking[:n]...) }
	low, high := -1, 0 // low changes do not reach it
	for {
		ok, err := s.Reaches(ctx, prefix(high))
		if err != nil {
			return prefix(high), false, err
		}
		if ok {
			break
		}
		if low = high; high == len(ranking) {
			return prefix(high), false, nil
		}
		high = min(high+1+high/3, len(ranking))
	}
	for high-low > 1 {
		middle := (low + high) / 2
		ok, err := s.Reaches(ctx, prefix(middle))
		if err != nil {
			return prefix(high), true, err
		}
		if ok {
			high = middle
		} else {
			low = middle
		}
	}
	return prefix(high), true, nil
}

// Blocks adds whole blocks of changes to a set, one after another, until the target is reached. It asks for few scores where each
// takes long; Prune then finds what of the last block is not needed. reached is false if even all of them do not.
func (s *Search) Blocks(ctx context.Context, from Set, blocks [][]int) (set Set, reached bool, err error) {
	set = from
	for i := 0; ; i++ {
		ok, err := s.Reaches(ctx, set)
		if err != nil || ok || i == len(blocks) {
			return set, ok, err
		}
		set = set.With(blocks[i]...)
	}
}

// byWorth lists a set's changes, those first that bring least for their price.
func (s *Search) byWorth(set Set) []int {
	list := slices.Clone([]int(set))
	slices.SortStableFunc(list, func(a, b int) int { return cmp.Compare(s.changes[a].worth(), s.changes[b].worth()) })
	return list
}

// Prune drops changes of a set that reaches the target as long as it still does: chunks of the half of it, of a quarter, and
// so on to single changes, the least worthy first. On an error it gives what is left so far, which reaches the target.
func (s *Search) Prune(ctx context.Context, set Set) (Set, error) {
	for size := (len(set) + 1) / 2; size > 0 && len(set) > 0; {
		order := s.byWorth(set)
		for at := 0; at < len(order); at += size {
			less := set.Without(order[at:min(at+size, len(order))]...)
			ok, err := s.Reaches(ctx, less)
			if err != nil {
				return set, err
			}
			if ok {
				set = less
			}
		}
		if size == 1 {
			break
		}
		size = (min(size, len(set)) + 1) / 2
	}
	return set, nil
}

// Exchange tries to give up each of a set's dearest changes: for one of the alternatives to it that cost less, in their order, or
// for the next one, two and four changes of the ranking that are not in the set and together cost less. What it gives reaches the
// target, as the set did, and is thought to cost no more. tries bounds for how many changes it is tried.
func (s *Search) Exchange(ctx context.Context, set Set, ranking []int, tries int, alternatives func(change int) [][]int) (Set, error) {
	dear := slices.Clone([]int(set))
	slices.SortStableFunc(dear, func(a, b int) int { return cmp.Compare(s.changes[b].Price, s.changes[a].Price) })
	for _, c := range dear[:min(tries, len(dear))] {
		var instead [][]int
		if alternatives != nil {
			instead = alternatives(c)
		}
		var cheap []int
		for _, r := range ranking {
			if !set.Has(r) && s.changes[r].Price < s.changes[c].Price {
				cheap = append(cheap, r)
			}
		}
		for n := 1; n <= 4 && n <= len(cheap); n *= 2 {
			instead = append(instead, cheap[:n])
		}
		for _, others := range instead {
			if s.price(others) >= s.changes[c].Price {
				continue
			}
			other := set.Without(c).With(others...)
			ok, err := s.Reaches(ctx, other)
			if err != nil {
				return set, err
			}
			if ok {
				set = other
				break
			}
		}
	}
	return set, nil
}

func (s *Search) price(changes []int) float64 {
	sum := 0.0
	for _, c := range changes {
		sum += s.changes[c].Price
	}
	return sum
}
