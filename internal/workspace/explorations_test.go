package workspace

import (
	"strings"
	"testing"

	"quantcheck/internal/result"
)

func TestExplorationsAndTrialsAreKept(t *testing.T) {
	t.Parallel()
	f := Folder(t.TempDir())
	s, err := OpenStore(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Trials.Get(t.Context(), "k"); ok || err != nil {
		t.Errorf("something was recalled of nothing: %v", err)
	}
	for _, value := range []string{`{"a":1}`, `{"a":2}`} {
		if err := s.Trials.Put(t.Context(), "k", "score", []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	x := &result.Explored{Name: "m", Verdict: result.BitsHeal, Best: 0, Points: []result.ExplorePoint{{Title: "p"}}}
	if err := s.Explorations.Add(t.Context(), x); err != nil || x.ID != 1 {
		t.Fatal(err, x.ID)
	}
	// What a killed program has kept is there for the next one.
	again, err := OpenExisting(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if v, ok, err := again.Trials.Get(t.Context(), "k"); !ok || err != nil || string(v) != `{"a":2}` {
		t.Errorf("%s %v %v", v, ok, err)
	}
	if list, _, err := again.Explorations.All(t.Context()); err != nil || len(list) != 1 || list[0].Points[0].Title != "p" || list[0].ID != 1 {
		t.Errorf("%v %v", list, err)
	}
	if err := s.Explorations.Add(t.Context(), &result.Explored{Best: 3}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if list, problems, err := again.Explorations.All(t.Context()); err != nil || len(list) != 1 || len(problems) != 1 || !strings.Contains(problems[0], "exploration 2 of") {
		t.Errorf("a damaged exploration: %v %v", err, problems)
	}
}
