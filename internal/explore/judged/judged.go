// Package judged has the points that an exploration speaks of judged as quantcheck check judges a variant, and says it in the same words.
package judged

import (
	"context"
	"fmt"
	"strings"

	"quantcheck/internal/compare/brief"
	"quantcheck/internal/explore/stage"
	"quantcheck/internal/report"
	"quantcheck/internal/result"
	"quantcheck/internal/verdict"
)

// most is on how many pictures a point is judged.
const most = 128

// Verdicts judges the recipe as it is and the point that is recommended, and adds to the story what check would say of them.
func Verdicts(ctx context.Context, s *stage.Stage, f *result.Explored) error {
	set, recorded := s.Recorded(most)
	s.Session.Recorded = recorded
	bench := brief.New(s.Session, set, set)
	bench.Calibrated(s.Stats, len(set.Sources))
	points := []int{f.Start}
	if f.Best >= 0 && f.Best != f.Start {
		points = append(points, f.Best)
	}
	for _, k := range points {
		p := &f.Points[k]
		if !p.Scored.Share.OK { // it could not be run
			continue
		}
		a, err := bench.Judge(ctx, brief.Question{Variant: p.Recipe, Samples: len(set.Sources)})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			f.Warnings = append(f.Warnings, fmt.Sprintf("%s has no verdict: %v", p.Title, err))
			continue
		}
		v := &a.Run.Variants[0]
		if k != f.Start {
			v.Spec.Name = "the recommended point"
		}
		p.Judged = &result.PointVerdict{Grade: a.Verdict.Grade, Basis: a.Verdict.Basis, Samples: a.Samples, Text: report.Judged(a.Run, v)}
		if least := verdict.Least(a.Verdict); least != nil {
			p.Judged.Kept = least.Share()
		}
		if worst := verdict.Worst(a.Verdict); worst != nil {
			p.Judged.SQNR = worst.SQNR.Min
		}
		p.Judged.Apart = apart(f, p)
		f.Story = append(f.Story, strings.TrimSpace("As check says it: "+p.Judged.Text+" "+p.Judged.Apart))
	}
	return nil
}

// apart says where the words of the score and of the verdict differ, with the figures of both; "" where they do not.
func apart(f *result.Explored, p *result.ExplorePoint) string {
	v := p.Judged
	scored := verdict.GradeOf(p.Scored.Share.V)
	if v.Grade == scored || v.Grade == result.Unknown {
		return ""
	}
	text := fmt.Sprintf("By its score it is %s (%s of float's %s on %d pictures", scored, verdict.Percent(p.Scored.Share.V), f.Column.Key, f.Pictures.Searched+f.Pictures.HeldOut)
	if p.Scored.HeldShare.OK {
		text += fmt.Sprintf(", %s on the %d that were held out", verdict.Percent(p.Scored.HeldShare.V), f.Pictures.HeldOut)
	}
	text += fmt.Sprintf("), by its outputs %s on %d pictures", v.Grade, v.Samples)
	switch {
	case v.Basis == result.ByDecisions && v.Kept.OK:
		text += fmt.Sprintf(" (%s of the decisions are kept)", verdict.Percent(v.Kept.V))
	case v.SQNR.OK:
		text += fmt.Sprintf(" (%.1f dB at the worst part)", v.SQNR.V)
	}
	if f.Task == result.Agreement {
		return text + ": there are no labels, so trust the outputs."
	}
	return text + ": trust the score, which comes from labels."
}
