// Package checkpoint keeps what a long run has computed, so that an interrupted run of the same request goes on from there.
//
//  1. New looks for the state of a request, which is known by its hash.
//  2. Keeper.Put encodes a part of the state, Keeper.WriteIfOld writes it beside the run, Keeper.Restore reads it back.
//  3. Keeper.End writes the last state of a run that ends early; Keeping.Remove deletes the state of a run that is done.
package checkpoint

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"quantcheck/internal/resume"
)

// Keeping says where the state of a run that does not end is kept, so that the same request goes on from there.
type Keeping struct {
	Folder string        // of the workspace's states
	Fresh  bool          // begin anew, whatever is kept
	Every  time.Duration // how often the state is written; 0: every minute
	// Say tells people one sentence: where the run goes on, or why it does not. nil: nobody is told.
	Say func(sentence string)

	File  resume.File // of the request, once that is known
	known bool
}

// Remove deletes the state: the run is done, and its results are where they belong.
func (k *Keeping) Remove() error {
	if k == nil || !k.known {
		return nil
	}
	return k.File.Remove()
}

// UnfinishedError means that a run ended early and that what it had computed is kept: the same request goes on from there.
type UnfinishedError struct {
	Err  error
	What string // what is kept, in words
	Path string // the file
}

func (e *UnfinishedError) Error() string { return e.Err.Error() }

// Unwrap gives the error that ended the run.
func (e *UnfinishedError) Unwrap() error { return e.Err }

const (
	keepEvery = time.Minute
	// RememberEvery is how often the state of a calibration is encoded in memory: of a sample that was observed in part nothing can be
	// taken back, so that an interrupt keeps the last state between two samples.
	RememberEvery = 5 * time.Second
	// What keeping costs is bounded: the time between two states is at least so many times what it takes to encode one, for which
	// inference waits, and to write one, beside the inference.
	encodingShare, writingShare = 200, 20
)

// Keeper keeps the state of one run. It has two parts: of the calibration, and of the work that follows it. A nil Keeper keeps
// nothing. Its methods are called from one goroutine at a time.
type Keeper struct {
	To      *Keeping
	every   time.Duration
	began   time.Time     // of this process
	before  time.Duration // what earlier ones spent
	started time.Time     // of the first one
	Saved   time.Time     // when the state that was found was written; zero: none was
	stopped bool          // it was written by a run that ended in order

	Calibration, Work []byte // as they are now; nil: none
	What              string // that is kept, in words

	last       time.Time // when the last state was encoded
	wrote      time.Time // when the last one was begun to be written
	cost       time.Duration
	written    bool // a file is there
	unwritten  bool // something newer than the file is here
	background sync.WaitGroup
	mu         sync.Mutex
	writing    time.Duration // what writing took last
	busy       bool
}

// New looks for the state of a request, whose hash is key. It is nil if nothing is to be kept.
func New(to *Keeping, key [32]byte, started time.Time) (*Keeper, error) {
	if to == nil {
		return nil, nil //nolint:nilnil // a nil Keeper keeps nothing, which is no error
	}
	to.File, to.known = resume.At(to.Folder, key), true
	k := &Keeper{To: to, every: to.Every, began: started, started: started, last: started, wrote: started}
	if k.every <= 0 {
		k.every = keepEvery
	}
	if to.Fresh {
		return k, to.File.Remove()
	}
	state, err := to.File.Load()
	if errors.Is(err, resume.ErrNone) {
		return k, nil
	}
	if err == nil {
		err = k.read(state)
	}
	if err != nil {
		k.say("the state of an earlier run is not used, this one begins anew: %s: %v", to.File.Path(), err)
		return k, nil
	}
	k.Saved, k.stopped, k.written, k.What = state.Saved, state.Stopped, true, "the results of an earlier run"
	return k, nil
}

// Since is when the first process began to work on the run.
func (k *Keeper) Since(started time.Time) time.Time {
	if k == nil {
		return started
	}
	return k.started.UTC().Truncate(time.Millisecond)
}

func (k *Keeper) say(format string, args ...any) {
	if k.To.Say != nil {
		k.To.Say(fmt.Sprintf(format, args...))
	}
}

// code is the frame around the two parts.
func (k *Keeper) code(c *resume.Coder, started *time.Time, spent *time.Duration) {
	at := started.UnixMilli()
	c.Int64(&at)
	*started = time.UnixMilli(at).UTC()
	c.Int64((*int64)(spent))
	c.Blob(&k.Calibration)
	c.Blob(&k.Work)
}

func (k *Keeper) read(s resume.State) error {
	c := resume.NewReader(s.Data)
	var started time.Time
	var spent time.Duration
	k.code(c, &started, &spent)
	if err := c.Close(); err != nil {
		k.Calibration, k.Work = nil, nil
		return err
	}
	k.started, k.before = started, spent
	return nil
}

// Spent is what the run took, over all the processes that worked on it.
func (k *Keeper) Spent(started time.Time) time.Duration {
	if k == nil {
		return time.Since(started)
	}
	return k.before + time.Since(k.began)
}

// Restore reads a part that was found into state; ok is false if there is none. A part that cannot be read is as good as none,
// which is said; then state is to be made anew.
func (k *Keeper) Restore(part *[]byte, state func(*resume.Coder)) (ok bool) {
	if len(*part) == 0 || k.Saved.IsZero() {
		return false
	}
	c := resume.NewReader(*part)
	state(c)
	if err := c.Close(); err != nil {
		k.say("the state of an earlier run is not used, this one begins anew: %s: %v", k.To.File.Path(), err)
		*part = nil
		return false
	}
	return true
}

// GoesOn tells people where the run goes on.
func (k *Keeper) GoesOn(kind string, next, of int) {
	how := "last kept"
	if k.stopped {
		how = "interrupted"
	}
	layout := "15:04"
	if at, now := k.Saved.Local(), time.Now(); at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		layout = "2006-01-02 15:04"
	}
	where := fmt.Sprintf("%s %d of %d", kind, next, of)
	if next > of {
		where = "the results, all of the work being done"
	}
	k.say("continuing at %s (%s at %s)", where, how, k.Saved.Local().Format(layout))
}

// Due says whether it is time to encode the state, given how often that is to be at most; 0: as often as it is written.
func (k *Keeper) Due(every time.Duration) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if every == 0 || every > k.every {
		every = k.every
	}
	return !k.busy && time.Since(k.last) >= max(every, encodingShare*k.cost, writingShare*k.writing)
}

// Put encodes a part of the state; what says what it is, for people.
func (k *Keeper) Put(part *[]byte, what string, state func(*resume.Coder)) {
	if k == nil {
		return
	}
	began := time.Now()
	c := resume.NewWriter()
	if state(c); c.Err() != nil {
		return // the last state is good
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	*part, k.What, k.unwritten = c.Data(), what, true
	k.last = time.Now()
	k.cost = k.last.Sub(began)
}

// WriteIfOld begins to write the state beside the run, if that was not done for a while and is not being done.
func (k *Keeper) WriteIfOld() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.busy || time.Since(k.wrote) < k.every {
		return
	}
	k.busy, k.unwritten, k.wrote = true, false, time.Now()
	data := k.encode()
	k.background.Go(func() {
		began := time.Now()
		err := k.To.File.Save(resume.State{Saved: began, Data: data})
		k.mu.Lock()
		defer k.mu.Unlock()
		k.busy, k.writing = false, time.Since(began)
		k.written, k.unwritten = k.written || err == nil, k.unwritten || err != nil
	})
}

func (k *Keeper) encode() []byte {
	c := resume.NewWriter()
	started, spent := k.started, k.Spent(k.began)
	k.code(c, &started, &spent)
	return c.Data()
}

// End is called when the run ends with an error: it writes what is kept, and says so in the error.
func (k *Keeper) End(err error) error {
	if k == nil || err == nil {
		return err
	}
	k.background.Wait()
	if k.unwritten {
		if e := k.To.File.Save(resume.State{Saved: time.Now(), Stopped: true, Data: k.encode()}); e != nil {
			k.say("what was computed so far could not be kept: %v", e)
		} else {
			k.written = true
		}
	}
	if !k.written || k.What == "" {
		return err
	}
	return &UnfinishedError{err, k.What, k.To.File.Path()}
}

// Done waits for what is still being written. A state that could not be kept is no error of the run.
func (k *Keeper) Done() {
	if k != nil {
		k.background.Wait()
	}
}
