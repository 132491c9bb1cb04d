package flow

import (
	"fmt"

	"quantcheck/internal/calib"
	"quantcheck/internal/result"
	"quantcheck/internal/resume"
)

// calibration is how far a calibration is, for the run's state. What was observed does not depend on the order of the samples, but
// of one that was observed in part nothing can be taken back: so the state is encoded between two samples.
type calibration struct {
	b                 *build
	empty             func() *calib.Statistics
	stats             *calib.Statistics
	sources, total    int // that are done, and all
	warnings, skipped int // of the run, before
}

// goOn takes up the calibration of an interrupted run, or begins one, and says how many sources are done.
func (s *calibration) goOn() int {
	k := s.b.keep
	s.stats = s.empty()
	if k == nil {
		return 0
	}
	if !k.restore(&k.calibration, s.code) {
		s.stats = s.empty()
		return 0
	}
	if s.sources < s.total {
		k.what = fmt.Sprintf("the statistics of %d of %d calibration samples", s.sources, s.total)
		k.goesOn("calibration sample", s.sources+1, s.total)
	} else {
		k.what = "the statistics of the calibration"
	}
	return s.sources
}

// step notes that so many sources are done; now and then the state is encoded, and less often written.
func (s *calibration) step(pool *pool, sources int) {
	s.sources = sources
	k := s.b.keep
	if sources == s.total || !k.due(rememberEvery) {
		return
	}
	pool.wait()
	s.put()
	k.writeIfOld()
}

func (s *calibration) put() {
	if k := s.b.keep; k != nil {
		what := "the statistics of the calibration"
		if s.sources < s.total {
			what = fmt.Sprintf("the statistics of %d of %d calibration samples", s.sources, s.total)
		}
		k.put(&k.calibration, what, s.code)
	}
}

// code writes the calibration as it is, or reads it into one that has not begun.
func (s *calibration) code(x *resume.Coder) {
	run := s.b.run
	sources, total := s.sources, s.total
	x.Int(&sources)
	x.Int(&total)
	x.Need(total == s.total && sources > 0 && sources <= total, "it has other calibration samples")
	samples, warnings, skipped := run.Calibration, run.Warnings[s.warnings:], s.b.skipped[s.skipped:]
	resume.Slice(x, &samples, func(c *result.Sample) { codeSample(x, c) })
	resume.Slice(x, &warnings, x.String)
	resume.Slice(x, &skipped, x.String)
	s.stats.Code(x)
	if x.Reading() && x.Err() == nil {
		s.sources, run.Calibration = sources, samples
		run.Warnings, s.b.skipped = append(run.Warnings[:s.warnings], warnings...), append(s.b.skipped[:s.skipped], skipped...)
	}
}
