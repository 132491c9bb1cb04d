package reconnect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/devicetest"
	"quantcheck/internal/device/local"
	"quantcheck/internal/device/ssh"
	"quantcheck/internal/device/sshtest"
)

// flaky is this machine, behind a connection that is lost at the n-th command, for good.
type flaky struct {
	*local.Device
	left *atomic.Int64
}

func (f flaky) Run(ctx context.Context, c device.Command) error {
	if f.left.Add(-1) == 0 {
		_ = f.Close() // This is the fault.
	}
	return f.Device.Run(ctx, c)
}

// failing gives a dial whose n-th connection is lost at the commands[n]-th command; later ones never. away says which dials
// find nobody.
func failing(commands []int64, away ...int) (Dial, *atomic.Int64) {
	var dials, opened atomic.Int64
	return func(context.Context) (device.Device, error) {
		n := int(dials.Add(1))
		for _, a := range away {
			if a == n {
				return nil, fmt.Errorf("dial %d: %w", n, device.ErrLost)
			}
		}
		var left atomic.Int64
		left.Store(-1)
		if i := int(opened.Add(1)) - 1; i < len(commands) {
			left.Store(commands[i])
		}
		return flaky{local.Open(), &left}, nil
	}, &dials
}

var quick = Options{Delay: time.Millisecond, Wait: 5 * time.Second}

func TestConformance(t *testing.T) {
	devicetest.Run(t, devicetest.Harness{Open: func(t testing.TB) device.Device {
		d, err := Open(t.Context(), func(context.Context) (device.Device, error) { return local.Open(), nil }, quick)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = d.Close() })
		return d
	}})
}

func TestRetry(t *testing.T) {
	t.Parallel()
	damaged := fmt.Errorf("x: %w", device.ErrDamaged)
	other := errors.New("other")
	for _, row := range []struct {
		name     string
		commands []int64
		away     []int
		attempts int
		step     func(try int) error // before the command
		is       error
		tries    int
		dials    int64
		notices  int
	}{
		{"nothing happens", nil, nil, 3, nil, nil, 1, 1, 0},
		{"lost once", []int64{1}, nil, 3, nil, nil, 2, 2, 1},
		{"lost at each attempt", []int64{1, 1, 1, 1}, nil, 3, nil, device.ErrLost, 3, 3, 2},
		{"lost, and away for three dials", []int64{1}, []int{2, 3, 4}, 2, nil, nil, 2, 5, 4},
		{"one attempt only", []int64{1}, nil, 1, nil, device.ErrLost, 1, 1, 0},
		{"damaged once", nil, nil, 3, func(try int) error {
			if try == 1 {
				return damaged
			}
			return nil
		}, nil, 2, 1, 1},
		{"damaged always", nil, nil, 3, func(int) error { return damaged }, device.ErrDamaged, 3, 1, 2},
		{"what another attempt does not help", nil, nil, 3, func(int) error { return other }, other, 1, 1, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			dial, dials := failing(row.commands, row.away...)
			d, err := Open(t.Context(), dial, quick)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			tries, notices := 0, 0
			err = d.Retry(t.Context(), "step", row.attempts, func(Notice) { notices++ }, func(ctx context.Context) error {
				tries++
				if row.step != nil {
					if err := row.step(tries); err != nil {
						return err
					}
				}
				return d.Run(ctx, device.Shell("true"))
			})
			if !errors.Is(err, row.is) || row.is == nil && err != nil || tries != row.tries || dials.Load() != row.dials || notices != row.notices {
				t.Errorf("%v; %d tries, %d dials, %d notices", err, tries, dials.Load(), notices)
			}
		})
	}
}

func TestReconnect(t *testing.T) {
	t.Parallel()
	t.Run("a device that does not come back", func(t *testing.T) {
		t.Parallel()
		dial, _ := failing([]int64{1})
		first := true
		d, err := Open(t.Context(), func(ctx context.Context) (device.Device, error) {
			if !first {
				return nil, device.ErrLost
			}
			first = false
			return dial(ctx)
		}, Options{Delay: time.Millisecond, Wait: 50 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Run(t.Context(), device.Shell("true")); !errors.Is(err, device.ErrLost) {
			t.Error(err)
		}
		if err := d.Reconnect(t.Context(), nil); !errors.Is(err, device.ErrLost) {
			t.Error(err)
		}
	})
	t.Run("a device that refuses is not asked again", func(t *testing.T) {
		t.Parallel()
		refused := errors.New("the key has changed")
		dials := 0
		d, err := Open(t.Context(), func(context.Context) (device.Device, error) {
			if dials++; dials > 1 {
				return nil, refused
			}
			return local.Open(), nil
		}, quick)
		if err != nil {
			t.Fatal(err)
		}
		_ = d.now.Close() // This is the fault.
		if err := d.Reconnect(t.Context(), nil); !errors.Is(err, refused) || dials != 2 {
			t.Errorf("%v after %d", err, dials)
		}
	})
	t.Run("the context ends the waiting", func(t *testing.T) {
		t.Parallel()
		first := true
		d, err := Open(t.Context(), func(context.Context) (device.Device, error) {
			if first {
				first = false
				return local.Open(), nil
			}
			return nil, device.ErrLost
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		_ = d.now.Close() // This is the fault.
		ctx, cancel := context.WithCancel(t.Context())
		began := time.Now()
		if err := d.Reconnect(ctx, func(Notice) { cancel() }); !errors.Is(err, context.Canceled) || time.Since(began) > time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
	t.Run("many at once reconnect once", func(t *testing.T) {
		t.Parallel()
		dial, dials := failing([]int64{1})
		d, err := Open(t.Context(), dial, quick)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		_ = d.Run(t.Context(), device.Shell("true")) // This is the fault.
		errs := make(chan error, 8)
		for range 8 {
			go func() { errs <- d.Reconnect(t.Context(), nil) }()
		}
		for range 8 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if dials.Load() != 2 {
			t.Errorf("%d dials", dials.Load())
		}
	})
	t.Run("what is closed stays closed", func(t *testing.T) {
		t.Parallel()
		dial, dials := failing(nil)
		d, err := Open(t.Context(), dial, quick)
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := d.Reconnect(t.Context(), nil); !errors.Is(err, device.ErrLost) || dials.Load() != 1 {
			t.Errorf("%v after %d", err, dials.Load())
		}
	})
}

// A board that restarts while a file is sent, as far as OpenSSH's server can play that.
func TestAServerThatIsKilledAndRestarted(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	o := ssh.Options{ConfigFile: "/none", KnownHosts: s.KnownHosts, Identities: []string{s.Identity}, Agent: "none", Timeout: 10 * time.Second}
	d, err := Open(t.Context(), func(ctx context.Context) (device.Device, error) {
		d, err := ssh.Open(ctx, s.Target, o)
		if err != nil {
			return nil, err
		}
		return d, nil
	}, Options{Delay: 20 * time.Millisecond, Wait: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<17)
	to := filepath.Join(t.TempDir(), "f")
	fault := true
	away := 0
	notify := func(n Notice) {
		t.Log(n)
		if n.Attempts == 0 {
			if away++; away == 3 {
				if err := s.Restart(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}
	}
	err = d.Retry(t.Context(), "send f", 3, notify, func(ctx context.Context) error {
		c := device.Shell(`head -c 1000000 > /dev/null; echo half; cat > "$1"`, to)
		c.Stdin = bytes.NewReader(data)
		c.Stdout = writer(func(p []byte) (int, error) {
			if fault {
				fault = false
				go s.Stop()
			}
			return len(p), nil
		})
		if fault {
			c.Args[2] += "; sleep 60"
		}
		if err := d.Run(ctx, c); err != nil {
			return err
		}
		return device.Push(ctx, d, device.FromBytes(data, to))
	})
	if err != nil || away < 3 {
		t.Fatalf("%v; away for %d dials", err, away)
	}
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }
