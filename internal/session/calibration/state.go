package calibration

import (
	"fmt"

	"quantcheck/internal/calib"
	"quantcheck/internal/checkpoint"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
	"quantcheck/internal/session"
	"quantcheck/internal/workpool"
)

// progress is how far a calibration is, for the run's state. What was observed does not depend on the order of the samples, but
// of one that was observed in part nothing can be taken back: so the state is encoded between two samples.
type progress struct {
	b                 *session.Session
	empty             func() *calib.Statistics
	stats             *calib.Statistics
	sources, total    int // that are done, and all
	warnings, skipped int // of the run, before
}

// goOn takes up the calibration of an interrupted run, or begins one, and says how many sources are done.
func (s *progress) goOn() int {
	k := s.b.Keeper
	s.stats = s.empty()
	if k == nil {
		return 0
	}
	if !k.Restore(&k.Calibration, s.code) {
		s.stats = s.empty()
		return 0
	}
	if s.sources < s.total {
		k.What = fmt.Sprintf("the statistics of %d of %d calibration samples", s.sources, s.total)
		k.GoesOn("calibration sample", s.sources+1, s.total)
	} else {
		k.What = "the statistics of the calibration"
	}
	return s.sources
}

// step notes that so many sources are done; now and then the state is encoded, and less often written.
func (s *progress) step(pool *workpool.Pool, sources int) {
	s.sources = sources
	k := s.b.Keeper
	if sources == s.total || !k.Due(checkpoint.RememberEvery) {
		return
	}
	pool.Wait()
	s.put()
	k.WriteIfOld()
}

func (s *progress) put() {
	if k := s.b.Keeper; k != nil {
		what := "the statistics of the calibration"
		if s.sources < s.total {
			what = fmt.Sprintf("the statistics of %d of %d calibration samples", s.sources, s.total)
		}
		k.Put(&k.Calibration, what, s.code)
	}
}

// code writes the calibration as it is, or reads it into one that has not begun.
func (s *progress) code(x *resume.Coder) {
	run := s.b.Run
	sources, total := s.sources, s.total
	x.Int(&sources)
	x.Int(&total)
	x.Need(total == s.total && sources > 0 && sources <= total, "it has other calibration samples")
	samples, warnings, skipped := run.Calibration, run.Warnings[s.warnings:], s.b.Skipped[s.skipped:]
	resume.Slice(x, &samples, func(c *result.Sample) { session.CodeSample(x, c) })
	resume.Slice(x, &warnings, x.String)
	resume.Slice(x, &skipped, x.String)
	s.stats.Code(x)
	if x.Reading() && x.Err() == nil {
		s.sources, run.Calibration = sources, samples
		run.Warnings, s.b.Skipped = append(run.Warnings[:s.warnings], warnings...), append(s.b.Skipped[:s.skipped], skipped...)
	}
}
