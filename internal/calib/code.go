package calib

import (
	"maps"
	"slices"

	"quantcheck/internal/resume"
)

// Code writes or reads all that was observed. Nothing may be observed meanwhile.
func (s *Statistics) Code(c *resume.Coder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	histograms := s.histograms
	c.Bool(&histograms)
	c.Need(histograms == s.histograms, "statistics of other calibrators")
	names := slices.Sorted(maps.Keys(s.tensors))
	resume.Slice(c, &names, func(name *string) {
		c.String(name)
		o := s.tensors[*name]
		if o == nil {
			o = &observed{}
			s.tensors[*name] = o
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		o.histogram.Code(c)
		o.gated.Code(c)
		c.Int(&o.bad)
	})
}
