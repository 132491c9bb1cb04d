package main

import (
	"math"
	"strings"
	"testing"

	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

func TestChance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lost, n, p, want float64 }{
		{0, 64, 0.02, 1},
		{1, 64, 0.02, 1 - math.Pow(0.98, 64)},
		{2, 2, 0.5, 0.25},
		{3, 4, 0.5, 5.0 / 16},
	} {
		if got := chance(c.lost, c.n, c.p); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("%v of %v at %v: %v, not %v", c.lost, c.n, c.p, got, c.want)
		}
	}
}

func TestWhichVerdictsAreWrong(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		grade result.Grade
		r     row
		want  string
	}{
		{result.Good, row{known: true, drop: 0.021}, "FALSE GOOD"},
		{result.Good, row{known: true, drop: 0.019}, ""},
		{result.Good, row{drop: 0.5}, ""}, // nothing is known
		{result.Fair, row{known: true, drop: 0.5}, ""},
		{result.Fair, row{known: true}, ""},
		{result.Poor, row{known: true, drop: 0.009}, "FALSE ALARM"},
		{result.Bad, row{known: true, drop: -0.02}, "FALSE ALARM"},
		{result.Bad, row{known: true, drop: 0.011}, ""},
		{result.Bad, row{known: true, others: true}, ""},
		{result.Unknown, row{known: true, drop: 0.5}, ""},
		{result.Good, row{known: true, drop: 2.0 / 64, single: true, lost: 2, total: 64}, ""}, // two of 64 are chance
		{result.Good, row{known: true, drop: 4.0 / 64, single: true, lost: 4, total: 64}, "FALSE GOOD"},
		{result.Good, row{known: true, drop: 0.03, single: true, lost: 60, total: 2000}, "FALSE GOOD"},
	} {
		c.r.verdict.Grade = c.grade
		if got := c.r.wrong(); got != c.want || !strings.HasSuffix(strings.TrimSuffix(c.r.line("m"), " |"), got) {
			t.Errorf("%s %+v: %q, not %q", c.grade, c.r, got, c.want)
		}
	}
}

func TestOutputsWithoutDecisions(t *testing.T) {
	t.Parallel()
	part := func(layer int, db float64) result.OutputPart {
		return result.OutputPart{Layer: layer, SQNR: metric.Spread{Min: metric.Defined(db)}}
	}
	v := result.Verdict{Decisions: []result.Decision{{Layers: []int{3}}}, Parts: []result.OutputPart{part(3, 5), part(4, 25)}}
	if undecided(&v) {
		t.Error("an output that decisions are read from is taken for another")
	}
	if v.Parts = append(v.Parts, part(5, 15)); !undecided(&v) {
		t.Error("an output at 15 dB is not seen")
	}
}
