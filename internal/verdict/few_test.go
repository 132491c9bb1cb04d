package verdict

import (
	"fmt"
	"math"
	"testing"

	"quantcheck/internal/decode"
	"quantcheck/internal/metric"
	"quantcheck/internal/result"
)

// The bounds are those of statsmodels' proportion_confint(k, n, 0.05, "wilson").
func TestWilsonsInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kept, number, low, high float64 }{
		{2, 2, 0.342380, 1}, {0, 2, 0, 0.657620}, {1, 2, 0.094531, 0.905469}, {16, 16, 0.806387, 1}, {95, 100, 0.888246, 0.978464}, {0, 0, 0, 1},
	} {
		low, high := Interval(c.kept, c.number)
		if math.Abs(low-c.low) > 2e-5 || math.Abs(high-c.high) > 2e-5 {
			t.Errorf("%v of %v: %.6f…%.6f, not %.6f…%.6f", c.kept, c.number, low, high, c.low, c.high)
		}
	}
}

// k of n decisions, the worst part's SQNR and how much of it is dead → the grade.
func TestFewDecisionsLookAtTheSignal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kept, number, sqnr, dead float64
		few                      bool
		want                     result.Grade
	}{
		{1.84, 2, 0, 0.94, true, result.Bad},      // a detector whose scores are dead: 92 % of 2 boxes
		{2, 2, 0, 0.94, true, result.Bad},         // all of 2
		{2, 2, 45, 0, true, result.Good},          // nothing speaks against it
		{2, 2, 25, 0, true, result.Fair},          // noise lowers it by one grade …
		{20, 20, 13.9, 0, true, result.Fair},      // … at most: detectors bear it
		{16, 16, 0, 0.94, true, result.Poor},      // the interval ends at 81 %: it is not bad
		{34, 34, 0, 0.94, true, result.Poor},      // 89.8 %
		{35, 35, 0, 0.94, false, result.Good},     // 90.1 %: good or fair, which 35 decisions tell from poor
		{300, 300, 13.9, 0.9, false, result.Good}, // decisions have the word
		{0, 2, 45, 0, false, result.Bad},          // 0 to 66 %: bad, whatever the signal says
		{1, 2, 45, 0, true, result.Bad},
		{5, 10, 45, 0, false, result.Bad},
		{19, 20, 45, 0, true, result.Fair},
		{19, 20, 5, 0, true, result.Poor},
		{95, 100, 5, 0.9, false, result.Fair},
		{33.8, 34, 5, 0, true, result.Fair}, // noise lowers the grade of the share by one, not that of a lost decision again
		{61, 64, 45, 0, true, result.Fair},
		{11.4, 11.5, 45, 0, true, result.Fair},         // a box of little weight is lost among few
		{34.9, 35, 45, 0, true, result.Fair},           // 89.7 %
		{99.9, 100, 45, 0, false, result.Good},         // among many it says little
		{11.5 - 1e-12, 11.5, 45, 0, true, result.Good}, // the same weights in another order
		{147, 150, 5, 0, false, result.Good},
	} {
		v := &result.Verdict{
			Parts:     []result.OutputPart{{Layer: 3, Dead: c.dead, SQNR: metric.Spread{Min: metric.Defined(c.sqnr)}}, {Layer: 4, Dead: 0, SQNR: metric.Spread{Min: metric.Defined(80)}}},
			Decisions: []result.Decision{{Kind: "top-1", Layers: []int{3}, Kept: c.kept, Of: c.number, Number: c.number}},
		}
		doubt(&v.Decisions[0])
		grade(v, nil)
		if d := v.Decisions[0]; v.Grade != c.want || d.Few != c.few || (d.Wanted > 0) != c.few {
			t.Errorf("%v of %v with %v dB, %v dead: %s, few: %v (%.3f…%.3f); want %s, %v", c.kept, c.number, c.sqnr, c.dead, v.Grade, d.Few, d.Low, d.High, c.want, c.few)
		}
	}
	low, _ := Interval(enough, enough)
	under, _ := Interval(enough-1, enough-1)
	if rank(low, 1) != 1 || rank(under, 1) != 2 {
		t.Errorf("%d decisions are not the least that tell good from poor", enough)
	}
}

// Another output's dead part is judged by itself, not with these decisions.
func TestTheSignalOfOtherOutputsIsNotAsked(t *testing.T) {
	t.Parallel()
	v := &result.Verdict{
		Parts:     []result.OutputPart{{Layer: 7, Dead: 1, SQNR: metric.Spread{Min: metric.Defined(0)}}},
		Decisions: []result.Decision{{Kind: "top-1", Layers: []int{3}, Kept: 2, Of: 2, Number: 2, Few: true, Low: 0.34, High: 1}},
	}
	if k := decided(&v.Decisions[0], v.Parts); k != 0 {
		t.Errorf("%d", k)
	}
}

// Boxes of unlike scores tell as much as fewer ones of equal scores.
func TestBoxesAreCountedByTheirWeight(t *testing.T) {
	t.Parallel()
	box := func(x, score float32) decode.Detection {
		return decode.Detection{Box: [4]float32{x, 0, x + 10, 10}, Score: score}
	}
	for _, c := range []struct {
		scores []float32
		want   float64
	}{{[]float32{0.5, 0.5, 0.5, 0.5}, 4}, {[]float32{1, 0.3}, 1.1786}, {[]float32{0.9}, 1}} {
		var list []decode.Detection
		for i, s := range c.scores {
			list = append(list, box(float32(100*i), s))
		}
		got := compareBoxes(list, list, 0.25)
		if n := got.of * got.of / got.squares; math.Abs(n-c.want) > 1e-3 || got.boxes != len(list) {
			t.Errorf("%v: %s", c.scores, fmt.Sprint(n))
		}
	}
}

// An output in which neither model finds anything is judged where it is dead or as good as float, and else by nothing.
func TestOutputsWithoutFindings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name             string
		sqnr, dead, next float64 // of the empty output, and of another; 0: there is none
		want             result.Grade
		basis            result.Basis
	}{
		{"noise", 5, 0, 0, result.Unknown, result.ByNothing},
		{"as good as float", 45, 0, 0, result.Good, result.BySignal},
		{"dead", 5, 0.9, 0, result.Bad, result.BySignal},
		{"noise beside another output", 5, 0, 25, result.Fair, result.BySignal},
	} {
		v := &result.Verdict{Grade: result.Unknown, Basis: result.ByNothing, Undecided: []string{"masks"}}
		v.Parts = append(v.Parts, result.OutputPart{Layer: 3, Dead: c.dead, SQNR: metric.Spread{Min: metric.Defined(c.sqnr)}})
		if c.next > 0 {
			v.Parts = append(v.Parts, result.OutputPart{Layer: 4, SQNR: metric.Spread{Min: metric.Defined(c.next)}})
		}
		grade(v, map[int]bool{3: true})
		if v.Grade != c.want || v.Basis != c.basis {
			t.Errorf("%s: %s by %s, not %s by %s", c.name, v.Grade, v.Basis, c.want, c.basis)
		}
	}
}

// The part that is named is the one that gave the grade: of an output without decisions where its signal did, else of one that decisions are read from.
func TestThePartThatDecidesIsNamed(t *testing.T) {
	t.Parallel()
	part := func(layer int, sqnr float64) result.OutputPart {
		return result.OutputPart{Layer: layer, SQNR: metric.Spread{Min: metric.Defined(sqnr)}}
	}
	kept := func(share float64) []result.Decision {
		return []result.Decision{{Kind: "top-1", Layers: []int{3}, Kept: 100 * share, Of: 100, Number: 100}}
	}
	for _, c := range []struct {
		name      string
		parts     []result.OutputPart // worst first
		decisions []result.Decision
		want      int
	}{
		{"without decisions", []result.OutputPart{part(4, 10), part(3, 20)}, nil, 4},
		{"all decisions kept, another output is fair", []result.OutputPart{part(3, 13), part(4, 23)}, kept(1), 4},
		{"decisions lost, another output is better than they", []result.OutputPart{part(4, 22), part(3, 25)}, kept(0.5), 3},
		{"all is well", []result.OutputPart{part(4, 31), part(3, 35)}, kept(1), 3},
	} {
		if p := Worst(&result.Verdict{Parts: c.parts, Decisions: c.decisions}); p == nil || p.Layer != c.want {
			t.Errorf("%s: %+v, not layer %d", c.name, p, c.want)
		}
	}
	if p := Worst(&result.Verdict{Parts: []result.OutputPart{{Layer: 1}}}); p != nil {
		t.Errorf("a part without a signal: %+v", p)
	}
}
