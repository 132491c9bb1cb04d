// Package lock lets processes share a folder: a lock is a file that one process at a time holds, and that says who does.
//
//  1. The file is opened, made if need be, and locked with flock, which the kernel takes back when the holder ends, however it ends.
//  2. A file that was removed meanwhile is another one than the path's: the lock is tried anew.
//  3. What an earlier holder wrote is read. On this kernel flock alone decides. A holder on another machine may not be seen by
//     flock, so it keeps the lock until the file was not touched for Stale.
//  4. The holder writes who it is, and touches the file every Beat.
//  5. Release removes the file while it is still locked.
package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/process"
	"quantcheck/internal/scratch"
)

const (
	// Beat is how often a holder touches its lock.
	Beat = time.Minute
	// Stale is how long a holder on another machine may leave its lock untouched before it counts as gone.
	Stale = 15 * time.Minute
)

// ErrHeld is what every HeldError is.
var ErrHeld = errors.New("the lock is held")

// Holder is who holds a lock. The zero value is a holder that has not said yet who it is.
type Holder struct {
	Process process.ID `json:"-"`
	ID      string     `json:"process"` // Process, as text
	Host    string     `json:"host"`    // the machine's name, for people
	Command string     `json:"command"`
	Since   time.Time  `json:"since"`
}

// Lock is a lock that this process holds.
type Lock struct {
	path string
	file *os.File
	text []byte
	end  chan struct{}
	over sync.WaitGroup
	once sync.Once
}

// HeldError says that somebody else holds a lock.
type HeldError struct {
	Path   string
	Holder Holder
	// Far says that the holder runs on another machine: whether it still does is told by the file's time only.
	Far bool
}

// Error says who holds the lock and since when.
func (e *HeldError) Error() string {
	if e.Holder.ID == "" {
		return "another process holds it, which has not said yet who it is"
	}
	text := fmt.Sprintf("process %d on %s holds it since %s (%s): %s", e.Holder.Process.PID, e.Holder.Host, e.Holder.Since.Local().Format("2006-01-02 15:04:05"),
		time.Since(e.Holder.Since).Round(time.Second), e.Holder.Command)
	if e.Far {
		text += fmt.Sprintf(". If it does not run there any more, the lock ends %d minutes after its last sign of life, or at once with: rm '%s'",
			int(Stale.Minutes()), strings.ReplaceAll(e.Path, "'", `'\''`))
	}
	return text
}

// Is says that the error is ErrHeld.
func (e *HeldError) Is(target error) bool { return target == ErrHeld }

// pause is the time between two looks at a lock that is held.
const pause = 100 * time.Millisecond

// settles is how long somebody may hold a lock without saying who it is: it is being taken, or a leftover is being removed.
const settles = 2 * time.Second

// Take waits until the lock at path is free and takes it. waiting is called whenever somebody else turns out to hold it; if it gives false, Take
// ends with the HeldError. waiting must be quick. The wait ends with ctx.
func Take(ctx context.Context, path, command string, waiting func(*HeldError) bool) (*Lock, error) {
	var unclear time.Time // since when nobody has said that he holds it
	for {
		l, err := Try(path, command)
		var held *HeldError
		if !errors.As(err, &held) {
			return l, err
		}
		switch {
		case held.Holder.ID != "" && held.Holder.Process.State() != process.Gone:
			unclear = time.Time{}
			if !waiting(held) {
				return nil, held
			}
		case unclear.IsZero():
			unclear = time.Now()
		case time.Since(unclear) > settles && !waiting(held):
			return nil, held
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}

// Try takes the lock at path if it is free; a HeldError says who holds it otherwise. Folders are made.
func Try(path, command string) (*Lock, error) {
	const attempts = 100
	for range attempts {
		f, err := grab(path, open)
		if err != nil {
			return nil, err
		}
		if f == nil {
			continue
		}
		l, err := claim(path, f, command)
		if l != nil {
			return l, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("lock %s: the file is removed again and again", path)
}

// grab opens and locks the file that path names; nil: it was removed meanwhile.
func grab(path string, open func(string) (*os.File, error)) (*os.File, error) {
	f, err := open(path)
	if errors.Is(err, fs.ErrNotExist) { // the folder was removed
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	free, err := flock(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: the file system has no locks: %w", path, err)
	}
	if !free {
		defer f.Close()
		h := read(f)
		return nil, &HeldError{Path: path, Holder: h, Far: far(h)}
	}
	mine, err := f.Stat()
	if err == nil {
		var there fs.FileInfo
		if there, err = os.Stat(path); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
	}
	f.Close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return nil, nil
}

// open opens the file, made if need be. One that another user left, which cannot be written, is opened for reading: flock takes that.
func open(path string) (*os.File, error) {
	if err := atomicfile.MakeFolder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o666)
	if errors.Is(err, fs.ErrPermission) {
		if reading, e := os.Open(path); e == nil {
			return reading, nil
		}
	}
	return f, err
}

// claim looks at what is left in a file that flock gave, and writes who has it now. Both results are nil if the file had to be removed,
// because another user made it: the next attempt makes it anew.
func claim(path string, f *os.File, command string) (*Lock, error) {
	left := read(f)
	if far(left) && !stale(f, path) {
		return nil, &HeldError{Path: path, Holder: left, Far: true}
	}
	name, err := os.Hostname()
	if err != nil {
		name = "unknown"
	}
	h := Holder{ID: process.Self().String(), Host: name, Command: command, Since: time.Now().UTC().Truncate(time.Second)}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	l := &Lock{path: path, file: f, text: text, end: make(chan struct{})}
	if readOnly(f) {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("lock: %w", err)
		}
		return nil, nil
	}
	if err := l.write(); err != nil {
		_ = os.Remove(path) // the write's error is the one to tell
		return nil, fmt.Errorf("lock: %w", err)
	}
	l.over.Go(l.beat)
	return l, nil
}

// far says that a holder runs under another kernel.
func far(h Holder) bool {
	self := process.Self()
	return h.ID != "" && h.Process.Boot != self.Boot && h.Process.State() == process.Elsewhere
}

// stale says that a lock was not touched for long, by the clock of the file system that it lies on.
func stale(f *os.File, path string) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	now := time.Now()
	if probe, err := scratch.File(filepath.Dir(path), "probe", 0o600); err == nil {
		if made, err := probe.Stat(); err == nil {
			now = made.ModTime()
		}
		probe.Close()
		_ = os.Remove(probe.Name()) // it is empty
	}
	return now.Sub(info.ModTime()) > Stale
}

// Sweep removes the lock at path if its holder has ended without doing so.
func Sweep(path string) {
	f, err := grab(path, os.Open)
	if err != nil || f == nil {
		return
	}
	defer f.Close()
	if left := read(f); !far(left) || stale(f, path) {
		_ = os.Remove(path) // if it stays, its next holder takes it over
	}
}

// mostText bounds what is read of a lock.
const mostText = 1 << 16

// read is the holder that a lock's file names; the zero value if it names none.
func read(f *os.File) Holder {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, mostText))
	if err != nil {
		return Holder{}
	}
	var h Holder
	if json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	if h.Process, err = process.Parse(h.ID); err != nil {
		return Holder{}
	}
	return h
}

func (l *Lock) write() error {
	if err := l.file.Truncate(0); err != nil {
		return err
	}
	_, err := l.file.WriteAt(l.text, 0)
	return err
}

// beat shows that the holder lives.
func (l *Lock) beat() {
	tick := time.NewTicker(Beat)
	defer tick.Stop()
	for {
		select {
		case <-l.end:
			return
		case <-tick.C:
			_, _ = l.file.WriteAt(l.text, 0) // on this machine nobody needs it
		}
	}
}

// Release gives the lock back and removes its file. It may be called more than once.
func (l *Lock) Release() {
	l.once.Do(func() {
		close(l.end)
		l.over.Wait()
		mine, err := l.file.Stat()
		if err == nil {
			if there, err := os.Stat(l.path); err == nil && os.SameFile(mine, there) {
				_ = os.Remove(l.path) // if it stays, the next holder takes it over
			}
		}
		_ = l.file.Close() // which unlocks it
	})
}
