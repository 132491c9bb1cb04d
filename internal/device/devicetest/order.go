package devicetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"quantcheck/internal/device"
)

// Ended gives a run of this user's on this machine that has ended.
func Ended(t *testing.T) device.Owner {
	t.Helper()
	c := exec.CommandContext(t.Context(), "true")
	if err := c.Run(); err != nil {
		t.Fatal(err)
	}
	o := device.Me()
	o.PID = c.Process.Pid
	return o
}

// lastWords is a device whose next commands do not bring their answer: the first is run, the others are not.
type lastWords struct {
	device.Device
	then  func() error
	times int
	ran   bool
}

func (l *lastWords) Run(ctx context.Context, c device.Command) error {
	if l.times == 0 {
		return l.Device.Run(ctx, c)
	}
	l.times--
	if !l.ran {
		l.ran = true
		if err := l.Device.Run(ctx, c); err != nil {
			return err
		}
	}
	return l.then()
}

// order is about sharing a device.
func order(t *testing.T, h Harness) {
	d := h.Open(t)
	ctx := t.Context()
	t.Run("an attempt that is ended leaves no lock", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "lock")
		ending, end := context.WithCancelCause(ctx)
		why := errors.New("interrupted")
		_, err := device.Lock(ending, &lastWords{Device: d, then: func() error { end(why); return why }, times: 1}, name, nil)
		if !errors.Is(err, why) || left(t, filepath.Dir(name)) != nil || len(device.Held()) > 0 {
			t.Errorf("%v; %q are left, %v are held", err, left(t, filepath.Dir(name)), device.Held())
		}
		lost := &lastWords{Device: d, then: func() error { return device.ErrLost }, times: 2}
		if _, err := device.Lock(ctx, lost, name, nil); !errors.Is(err, device.ErrLost) || lost.times != 0 || len(device.Held()) > 0 {
			t.Errorf("the answer was lost: %v, %d to come, %v are held", err, lost.times, device.Held())
		}
		l, err := device.Lock(ctx, d, name, nil)
		if err != nil {
			t.Fatalf("after a lost answer: %v", err)
		}
		if err := l.Unlock(ctx, d); err != nil || left(t, filepath.Dir(name)) != nil {
			t.Errorf("%v; %q are left", err, left(t, filepath.Dir(name)))
		}
	})
	t.Run("one at a time", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "new", "lock")
		var inside, most atomic.Int32
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				l, err := device.Lock(ctx, d, name, func(e *device.LockedError) bool { return e.Owner == device.Me() })
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > most.Load() {
					most.Store(n)
				}
				inside.Add(-1)
				if err := l.Unlock(ctx, d); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if most.Load() != 1 || left(t, filepath.Dir(name)) != nil {
			t.Errorf("%d at a time; %q are left", most.Load(), left(t, filepath.Dir(name)))
		}
	})
	t.Run("held, waited for, broken", func(t *testing.T) {
		name := filepath.Join(t.TempDir(), "lock")
		l, err := device.Lock(ctx, d, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		var held *device.LockedError
		if _, err := device.Lock(ctx, d, name, nil); !errors.As(err, &held) || !errors.Is(err, device.ErrLocked) || held.Owner != device.Me() {
			t.Errorf("%v", err)
		}
		waiting, cancel := context.WithCancel(ctx)
		if _, err := device.Lock(waiting, d, name, func(*device.LockedError) bool { cancel(); return true }); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		held, err = device.Holder(ctx, d, name)
		if err != nil || held == nil {
			t.Fatalf("%v %v", held, err)
		}
		if err := device.Break(ctx, d, held); err != nil {
			t.Error(err)
		}
		second, err := device.Lock(ctx, d, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Neither the first owner nor who broke it takes it from the second.
		if err := errors.Join(l.Unlock(ctx, d), device.Break(ctx, d, held)); err != nil {
			t.Error(err)
		}
		if names := left(t, filepath.Dir(name)); !slices.Equal(names, []string{"lock"}) {
			t.Errorf("%q", names)
		}
		if err := second.Unlock(waiting, d); err != nil { // Its context has ended.
			t.Error(err)
		}
		if held, err := device.Holder(ctx, d, name); held != nil || err != nil {
			t.Errorf("%v %v", held, err)
		}
	})
	t.Run("left behind", func(t *testing.T) {
		foreign := Ended(t)
		foreign.Host = "elsewhere"
		for _, row := range []struct {
			name, content string
			free          bool
		}{
			{"by an own run that has ended", mark(t, Ended(t)), true},
			{"by another machine's run", mark(t, foreign), false},
			{"by something else", "what is this", false},
			{"empty", "", false},
		} {
			name := filepath.Join(t.TempDir(), "lock")
			if row.content != "what is this" && row.content != "" {
				row.content = fmt.Sprintf("%d %s\n", time.Now().Unix()-100, row.content)
			}
			if err := os.WriteFile(name, []byte(row.content), 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := device.Lock(ctx, d, name, nil)
			var held *device.LockedError
			if row.free && err != nil || !row.free && !errors.As(err, &held) {
				t.Errorf("%s: %v", row.name, err)
			}
			if held != nil && held.Owner == foreign && (held.Age < 99*time.Second || held.Age > 200*time.Second) {
				t.Errorf("%s: %s", row.name, held.Age)
			}
		}
	})
	t.Run("given up by this run", func(t *testing.T) {
		base := filepath.Join(t.TempDir(), "base")
		name := filepath.Join(base, "lock")
		l, err := device.Lock(ctx, d, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := device.NewRegistry(base)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Add(ctx, d, filepath.Join(base, "made")); err != nil {
			t.Fatal(err)
		}
		write(t, base, "made", "f")
		gone := lost{d}
		if err := errors.Join(r.Clean(ctx, gone), l.Unlock(ctx, gone)); !errors.Is(err, device.ErrLost) {
			t.Fatalf("a lost device: %v", err)
		}
		again, err := device.Lock(ctx, d, name, nil)
		if err != nil {
			t.Fatalf("its own lock: %v", err)
		}
		if _, err := device.Sweep(ctx, d, base); err != nil {
			t.Error(err)
		}
		if names := left(t, base); !slices.Equal(names, []string{"lock"}) {
			t.Errorf("%q are left", names)
		}
		if err := again.Unlock(ctx, d); err != nil {
			t.Error(err)
		}
	})
	t.Run("what was made goes", func(t *testing.T) { cleaned(t, d) })
	t.Run("what an earlier run left goes", func(t *testing.T) { swept(t, d) })
}

// lost is a device that is away.
type lost struct{ device.Device }

func (lost) Run(context.Context, device.Command) error { return device.ErrLost }

func mark(t *testing.T, o device.Owner) string {
	t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t *testing.T, elem ...string) string {
	t.Helper()
	name := filepath.Join(elem...)
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("x"), 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

func cleaned(t *testing.T, d device.Device) {
	base := filepath.Join(t.TempDir(), "base")
	r, err := device.NewRegistry(base)
	if err != nil {
		t.Fatal(err)
	}
	old := write(t, base, "old")
	made, odd := filepath.Join(base, "made"), filepath.Join(base, "-rf 'x'\n\xff")
	kept, err := r.Add(t.Context(), d, old, made, odd)
	if err != nil || !slices.Equal(kept, []string{old}) {
		t.Errorf("%q %v", kept, err)
	}
	write(t, made, "sub", "f")
	write(t, odd)
	if kept, err := r.Add(t.Context(), d, made); kept != nil || err != nil {
		t.Errorf("the second time: %q %v", kept, err)
	}
	for _, p := range []string{base, filepath.Dir(base), base + "x/y", "relative", base + "/../z"} {
		if _, err := r.Add(t.Context(), d, p); err == nil {
			t.Errorf("%q was taken", p)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Clean(ctx, d); err != nil {
		t.Error(err)
	}
	if names := left(t, base); !slices.Equal(names, []string{"old"}) {
		t.Errorf("%q are left", names)
	}
}

func swept(t *testing.T, d device.Device) {
	base := filepath.Join(t.TempDir(), "base")
	if s, err := device.Sweep(t.Context(), d, base); err != nil || s.Paths != nil || s.Parts != 0 {
		t.Errorf("a folder that is not there: %+v %v", s, err)
	}
	gone, foreign := Ended(t), Ended(t)
	foreign.Host = "elsewhere"
	outside := write(t, base+"-outside")
	write(t, base, "mine", "-a 'b'\n", "f")
	write(t, base, "theirs")
	write(t, base, "sub", ".quantcheck-part-X")
	for name, o := range map[string]device.Owner{"1": gone, "2": foreign, "3": device.Me()} {
		text := mark(t, o) + "\n" + fmt.Sprintf("%q\n%q\n%q\n", outside, base, base+"/../base-outside")
		text += fmt.Sprintf("%q\n%q\n", base+"/"+map[string]string{"1": "mine", "2": "theirs", "3": "theirs"}[name], base+"/never made")
		if name == "1" {
			text += `"` + base + `/cut off while it was writ`
		}
		if err := os.WriteFile(write(t, base, ".quantcheck-made-"+name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// A command that was left running.
	began := newSignal()
	running := make(chan error, 1)
	go func() {
		c := device.Shell("echo begun; sleep 60; echo not killed")
		c.Env, c.Stdout = []string{fmt.Sprintf("QUANTCHECK_RUN=%d:%q:%q", gone.PID, gone.User, gone.Host)}, began
		running <- d.Run(t.Context(), c)
	}()
	<-began.c
	if s, err := device.Leftovers(t.Context(), d, base); err != nil || !slices.Equal(s.Runs, []device.Owner{gone}) || s.Parts != 1 || len(s.Paths) != 2 {
		t.Errorf("before: %+v %v", s, err)
	}
	s, err := device.Sweep(t.Context(), d, base)
	if err != nil || !slices.Equal(s.Runs, []device.Owner{gone}) || s.Parts != 1 {
		t.Errorf("%+v %v", s, err)
	}
	if want := []string{base + "/mine", base + "/never made"}; !slices.Equal(s.Paths, want) {
		t.Errorf("removed %q, want %q", s.Paths, want)
	}
	if want := []string{".quantcheck-made-2", ".quantcheck-made-3", "theirs"}; !slices.Equal(left(t, base), want) {
		t.Errorf("%q are left, want %q", left(t, base), want)
	}
	if _, err := os.Stat(outside); err != nil {
		t.Errorf("what is outside: %v", err)
	}
	// It may be the suite of another connection that has ended it: commands are those of the whole machine.
	if err := <-running; err == nil || strings.Contains(err.Error(), "not killed") {
		t.Errorf("the command that was left: %v", err)
	}
}
