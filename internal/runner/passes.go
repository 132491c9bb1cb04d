package runner

// Passes divides segments among runs of a whole graph, each with other tensors exposed, so that no run exposes more bytes than a bound.
// sizes are the segments' bytes; 0: no bound. It gives for each segment its pass, counted from 0.
func Passes(sizes []int64, bound int64) []int {
	of := make([]int, len(sizes))
	pass, held := 0, int64(0)
	for k, size := range sizes {
		if bound > 0 && size > 0 && held > 0 && held+size > bound {
			pass, held = pass+1, 0
		}
		of[k] = pass
		held += size
	}
	return of
}

// Schedule runs the passes of one inference as its segments ask for them, one at a time, beside the caller.
type Schedule struct {
	run     func(pass int) error
	of      []int // segment → pass
	started int   // pass that runs or has run last, −1: none
	ended   chan error
	made    map[int]bool // passes whose results are there
	err     error
}

// NewSchedule makes a schedule of which nothing runs yet.
func NewSchedule(of []int, run func(pass int) error) *Schedule {
	return &Schedule{run: run, of: of, started: -1, made: map[int]bool{}}
}

// Begin starts a pass.
func (s *Schedule) Begin(pass int) {
	_ = s.Wait() // of a pass whose result is not needed any more
	ended := make(chan error, 1)
	s.started, s.ended = pass, ended
	go func() { ended <- s.run(pass) }()
}

// Pass waits for the pass of a segment, which it starts if another one ran, and gives its number. An error is that of all later segments,
// too.
func (s *Schedule) Pass(segment int) (int, error) {
	pass := s.of[segment]
	if s.err != nil {
		return pass, s.err
	}
	if s.started != pass {
		s.Begin(pass)
	}
	if !s.made[pass] {
		if s.err = s.Wait(); s.err != nil {
			return pass, s.err
		}
		s.made[pass] = true
	}
	return pass, nil
}

// Wait waits for the pass that runs, if there is one.
func (s *Schedule) Wait() error {
	if s.ended == nil {
		return nil
	}
	err := <-s.ended
	s.ended = nil
	return err
}
