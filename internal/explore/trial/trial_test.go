package trial

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"quantcheck/internal/decode"
	"quantcheck/internal/eval"
	"quantcheck/internal/explore/cache"
	"quantcheck/internal/explore/candidate"
	"quantcheck/internal/explore/policy"
	"quantcheck/internal/labels"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// invented runs candidates that are no models: each turns the float model's output by an angle that goes by its name.
type invented struct {
	wrong map[string]float32 // how much of the output is something else
	fails map[string]error
	runs  []string // name, from and to
	seen  int      // pictures
}

func (r *invented) Run(_ context.Context, c candidate.Candidate, from, to int, use func(eval.Picture, [][]decode.Output) error) error {
	r.runs = append(r.runs, fmt.Sprintf("%s %d-%d", c.Spec.Name, from, to))
	if err := r.fails[c.Spec.Name]; err != nil {
		return err
	}
	for i := from; i < to; i++ {
		r.seen++
		out := func(values ...float32) []decode.Output {
			return []decode.Output{{Name: "y", Tensor: tensor.Floats(values, 1, 2)}}
		}
		if err := use(eval.Picture{Image: labels.Image{ID: int64(i + 1)}}, [][]decode.Output{out(1, 0), out(1, r.wrong[c.Spec.Name])}); err != nil {
			return err
		}
	}
	return nil
}

// kept is a store in memory.
type kept map[string][]byte

func (k kept) Get(_ context.Context, key string) ([]byte, bool, error) {
	value, ok := k[key]
	return value, ok, nil
}

func (k kept) Put(_ context.Context, key, _ string, value []byte) error {
	k[key] = slices.Clone(value)
	return nil
}

// on makes trials of a runner on 12 pictures, 8 of them for the search, scored by their agreement with the float model.
func on(t *testing.T, r Runner, store cache.Store, failed func(candidate.Candidate, error)) *Trials {
	t.Helper()
	c, err := cache.New(store, "the model")
	if err != nil {
		t.Fatal(err)
	}
	return New(r, 8, 12, Measure{Scorer: func() eval.Scorer { return eval.NewDistance(2, true) }, Column: 1, Higher: true}, policy.Usual(), c, failed)
}

// named is a candidate that the cache knows from others by its bits.
func named(name string, bits int) candidate.Candidate {
	return candidate.Of(variant.Spec{Name: name, Kind: variant.Recipe, ActBits: bits}, nil)
}

func TestHeldOutPicturesAreAddedToThoseOfTheSearch(t *testing.T) {
	t.Parallel()
	r := &invented{wrong: map[string]float32{"a": 0.5}}
	trials := on(t, r, nil, nil)
	search, err := trials.OnSearch(t.Context(), named("a", 8), 0)
	if err != nil {
		t.Fatal(err)
	}
	all, err := trials.OnAll(t.Context(), named("a", 8))
	if err != nil {
		t.Fatal(err)
	}
	again, err := trials.OnAll(t.Context(), named("a", 8))
	if err != nil || again != all {
		t.Errorf("%v %v", again, err)
	}
	if !slices.Equal(r.runs, []string{"a 0-8", "a 8-12"}) {
		t.Errorf("it ran %v", r.runs)
	}
	if search.Whole || !all.Whole || search.Scored.HeldOut.OK || !all.Scored.HeldOut.OK || !all.Scored.HeldShare.OK {
		t.Errorf("%+v\n%+v", search, all)
	}
	if got := all.SearchShare(true); got != search.SearchShare(true) || got.V < 0.89 || got.V > 0.9 { // cos of (1, ½) and (1, 0)
		t.Errorf("%v, %v on the search alone", got, search.SearchShare(true))
	}
}

func TestACandidateThatIsFarUnderTheFloorIsGivenUp(t *testing.T) {
	t.Parallel()
	r := &invented{wrong: map[string]float32{"bad": 3, "good": 0.1}}
	trials := on(t, r, nil, nil)
	bad, err := trials.OnSearch(t.Context(), named("bad", 4), 0.9)
	if err != nil || !bad.Partial || bad.Floor != 0.9 || r.seen >= 8 {
		t.Errorf("%+v after %d pictures: %v", bad, r.seen, err)
	}
	if x, err := trials.OnSearch(t.Context(), named("bad", 4), 0.95); err != nil || x != bad {
		t.Errorf("for a higher floor it was tried again: %v", err)
	}
	if x, err := trials.OnSearch(t.Context(), named("bad", 4), 0); err != nil || x.Partial {
		t.Errorf("without a floor it was given up: %v", err)
	}
	if x, err := trials.OnSearch(t.Context(), named("good", 8), 0.9); err != nil || x.Partial {
		t.Errorf("%+v %v", x, err)
	}
}

func TestAFailedCandidateIsToldOnceAndNotKept(t *testing.T) {
	t.Parallel()
	crash := &candidate.FailedError{Err: errors.New("it crashed")}
	refused := &candidate.RefusedError{Err: errors.New("no")}
	r := &invented{fails: map[string]error{"a": crash, "b": refused}}
	store, told := kept{}, 0
	trials := on(t, r, store, func(c candidate.Candidate, err error) {
		if told++; c.Spec.Name != "a" || !errors.Is(err, crash.Err) {
			t.Errorf("%s: %v", c.Spec.Name, err)
		}
	})
	for range 2 {
		x, err := trials.OnSearch(t.Context(), named("a", 8), 0)
		if err != nil || x.Failed != "it crashed" {
			t.Errorf("%+v %v", x, err)
		}
	}
	if told != 1 || len(store) != 0 || len(r.runs) != 1 {
		t.Errorf("told %d times, %d values kept, runs %v", told, len(store), r.runs)
	}
	var is *candidate.RefusedError
	if _, err := trials.OnSearch(t.Context(), named("b", 16), 0); !errors.As(err, &is) {
		t.Errorf("a candidate that the engine refuses: %v", err)
	}
}

func TestWhatIsInTheCacheIsNotRunAgain(t *testing.T) {
	t.Parallel()
	store := kept{}
	first := &invented{wrong: map[string]float32{"a": 0.5, "other name": 0.5}}
	trials := on(t, first, store, nil)
	a, err := trials.OnAll(t.Context(), named("a", 8))
	if err != nil {
		t.Fatal(err)
	}
	apart, err := trials.ApartOn(t.Context(), named("a", 8), 2)
	if err != nil {
		t.Fatal(err)
	}
	second := &invented{}
	trials = on(t, second, store, nil)
	b, err := trials.OnAll(t.Context(), named("other name", 8))
	if err != nil || b.Scored.Share != a.Scored.Share || len(second.runs) != 0 {
		t.Errorf("%v, it was %v; runs %v, %v", b.Scored.Share, a.Scored.Share, second.runs, err)
	}
	if x, err := trials.ApartOn(t.Context(), named("a", 8), 2); err != nil || x.Scored.SQNR != apart.Scored.SQNR || len(second.runs) != 0 {
		t.Errorf("%v, it was %v; runs %v, %v", x.Scored.SQNR, apart.Scored.SQNR, second.runs, err)
	}
	if tried, again := trials.Count(); tried != 1 || again != 1 {
		t.Errorf("%d tried, %d of them known", tried, again)
	}
	if _, err := trials.OnAll(t.Context(), named("a", 16)); err != nil || len(second.runs) != 1 {
		t.Errorf("another recipe: runs %v, %v", second.runs, err)
	}
}
