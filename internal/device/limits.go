package device

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// ErrTooMuch is a command that said more than it may.
var ErrTooMuch = errors.New("the device said too much")

// Limits bound what a command may say and how long it may take, whatever the device does: flood, drip, or fall silent. The zero value is
// for questions, which are answered in a moment with a little text. Unlimited lifts a limit; who does that bounds the command in another
// way.
type Limits struct {
	// Output is how many bytes it may write on both streams together; 0 is 16 MiB. One more ends it with ErrTooMuch.
	Output int64
	// Time is how long it may take in all; 0 is two minutes. Later it ends with ErrTimeout.
	Time time.Duration
	// Idle is how long it may neither write nor take input; 0 is Time. Then it ends with ErrTimeout. Tools that compute for minutes are
	// silent, and a connection that is dead is noticed by other means: this is for transfers.
	Idle time.Duration
}

// Unlimited is no limit.
const Unlimited = -1

// What a question may take.
const (
	questionOutput = 16 << 20
	questionTime   = 2 * time.Minute
)

// textOutput bounds answers that are a line or a few: a lock, a number, a state.
const textOutput = 1 << 20

func (l Limits) output() int64 {
	if l.Output == 0 {
		return questionOutput
	}
	return l.Output
}

func (l Limits) time() time.Duration {
	if l.Time == 0 {
		return questionTime
	}
	return l.Time
}

// Transfers are given time for so many bytes a second, and for hashing on slow disks so many.
const (
	slowestLink = 32 << 10
	slowestDisk = 4 << 20
)

// forTransfer gives the limits of a command that moves so many bytes, and reads them once more to hash them, which is silent.
func forTransfer(bytes int64) Limits {
	return Limits{
		Output: bytes + textOutput,
		Time:   5*time.Minute + seconds(bytes, slowestLink),
		Idle:   time.Minute + seconds(bytes, slowestDisk),
	}
}

// seconds is how long so many bytes take at a rate, which is at most some years.
func seconds(bytes, rate int64) time.Duration {
	return time.Duration(min(bytes/rate, 1<<30)) * time.Second
}

// bounded is what limits do to one command: a context that ends when one is passed, with the reason as its cause.
type bounded struct {
	limits Limits
	fail   context.CancelCauseFunc

	mu   sync.Mutex
	left int64
	idle *time.Timer
	stop func()
}

// bound begins to watch over a command.
func bound(ctx context.Context, fail context.CancelCauseFunc, l Limits) (context.Context, *bounded) {
	b := &bounded{limits: l, fail: fail, left: l.output(), stop: func() {}}
	if limit := l.time(); limit > 0 {
		cause := fmt.Errorf("%w: it did not end within %s", ErrTimeout, limit)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, limit, cause)
		b.stop = cancel
	}
	if l.Idle > 0 {
		b.idle = time.AfterFunc(l.Idle, func() {
			fail(fmt.Errorf("%w: nothing moved for %s", ErrTimeout, l.Idle))
		})
	}
	return ctx, b
}

// end ends the watching.
func (b *bounded) end() {
	b.stop()
	if b.idle != nil {
		b.idle.Stop()
	}
}

// moved says that something came or went.
func (b *bounded) moved() {
	if b.idle != nil {
		b.idle.Reset(b.limits.Idle)
	}
}

// take counts output; it gives an error, and ends the command, if that is too much.
func (b *bounded) take(n int) error {
	b.moved()
	if b.limits.Output < 0 {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left -= int64(n); b.left >= 0 {
		return nil
	}
	err := fmt.Errorf("%w: more than %s", ErrTooMuch, size(b.limits.output()))
	b.fail(err)
	return err
}

// size says a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.4g MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.4g KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}

// movingReader tells of input that is taken.
type movingReader struct {
	io.Reader
	b *bounded
}

func (m movingReader) Read(p []byte) (int, error) {
	m.b.moved()
	n, err := m.Reader.Read(p)
	m.b.moved()
	return n, err
}
