// Package reconnect is a device whose connection can be made anew, for steps that take minutes on boards that restart:
//
//  1. Run fails with device.ErrLost as on any other connection: whether the command has run is not known, so it is never
//     repeated by itself.
//  2. Reconnect waits until the device is back and takes the new connection.
//  3. Retry repeats a step of which the caller knows that it may be repeated.
package reconnect

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quantcheck/internal/device"
)

// Options say how patient to be; the zero value of each has a meaning.
type Options struct {
	// Wait is how long a device may take to be back; 0 is three minutes, since a board restarts in one or two.
	Wait time.Duration
	// Delay is how long the first pause between two attempts lasts; the following ones double, up to ten times that. 0 is a
	// second.
	Delay time.Duration
}

func (o Options) wait() time.Duration {
	if o.Wait > 0 {
		return o.Wait
	}
	return 3 * time.Minute
}

func (o Options) delay() time.Duration {
	if o.Delay > 0 {
		return o.Delay
	}
	return time.Second
}

// Dial makes a connection. It may be called from any goroutine, by one at a time.
type Dial func(ctx context.Context) (device.Device, error)

// Device implements device.Device over one connection after the other.
type Device struct {
	dial    Dial
	options Options
	name    string
	// turn holds one value, which who reconnects takes.
	turn chan struct{}

	mu     sync.Mutex
	now    device.Device
	closed bool
}

// Open makes the first connection; its errors are dial's, at once.
func Open(ctx context.Context, dial Dial, o Options) (*Device, error) {
	first, err := dial(ctx)
	if err != nil {
		return nil, err
	}
	d := &Device{dial: dial, options: o, name: first.Name(), now: first, turn: make(chan struct{}, 1)}
	d.turn <- struct{}{}
	return d, nil
}

// Name implements device.Device.
func (d *Device) Name() string { return d.name }

// Run implements device.Device.
func (d *Device) Run(ctx context.Context, c device.Command) error {
	d.mu.Lock()
	now := d.now
	d.mu.Unlock()
	return now.Run(ctx, c)
}

// Close implements device.Device; the device cannot be reconnected any more.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	return d.now.Close()
}

// Notice is what somebody who waits should know.
type Notice struct {
	// What is the step, or the device's name while the connection is made anew.
	What string
	// Attempt is the one that failed, of Attempts; 0 of 0 while the connection is made anew.
	Attempt, Attempts int
	// Err is why it failed.
	Err error
	// Waited is how long the device has been away, of Limit.
	Waited, Limit time.Duration
}

// String is for people.
func (n Notice) String() string {
	if n.Attempts > 0 {
		return fmt.Sprintf("%s failed, attempt %d of %d: %v", n.What, n.Attempt, n.Attempts, n.Err)
	}
	return fmt.Sprintf("waiting for %s to be back, %s of at most %s: %v", n.What, n.Waited.Round(time.Second), n.Limit, n.Err)
}

// Reconnect takes the old connection's place with a new one, unless it still answers, and waits for a device that is not back
// yet. notify is told of every attempt that failed, and may be nil. An error is device.ErrLost if the device was not back in
// time, else the one that waiting cannot help: the device's key has changed, it does not let the user in. Several goroutines
// may call it; the first reconnects for all.
func (d *Device) Reconnect(ctx context.Context, notify func(Notice)) error {
	select {
	case <-d.turn:
		defer func() { d.turn <- struct{}{} }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	d.mu.Lock()
	old, closed := d.now, d.closed
	d.mu.Unlock()
	if closed {
		return fmt.Errorf("reconnect to %s: %w: it was closed", d.name, device.ErrLost)
	}
	if answers(ctx, old) {
		return nil
	}
	_ = old.Close() // It is lost.
	fresh, err := d.wait(ctx, notify)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errors.Join(fmt.Errorf("reconnect to %s: %w: it was closed", d.name, device.ErrLost), fresh.Close())
	}
	d.now = fresh
	return nil
}

// answerLimit is how long a connection may take to say that it is there.
const answerLimit = 5 * time.Second

func answers(ctx context.Context, d device.Device) bool {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return d.Run(ctx, device.Shell(":")) == nil
}

// wait dials until somebody answers.
func (d *Device) wait(ctx context.Context, notify func(Notice)) (device.Device, error) {
	limit, began := d.options.wait(), time.Now()
	limited, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for pause := d.options.delay(); ; pause = min(2*pause, 10*d.options.delay()) {
		fresh, err := d.dial(limited)
		switch {
		case err == nil:
			return fresh, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case limited.Err() != nil:
			return nil, fmt.Errorf("%w: %s was not back after %s", device.ErrLost, d.name, limit)
		case !errors.Is(err, device.ErrLost):
			return nil, err
		}
		if notify != nil {
			notify(Notice{What: d.name, Err: err, Waited: time.Since(began), Limit: limit})
		}
		if !sleep(limited, pause) {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			return nil, fmt.Errorf("%s was not back after %s: %w", d.name, limit, err)
		}
	}
}

// Retry runs a step, which may be run again without harm, up to so many times: after a lost connection with a new one, after
// damaged data after a pause. Any other error, and the last one, is returned as it is. notify may be nil.
func (d *Device) Retry(ctx context.Context, what string, attempts int, notify func(Notice), step func(context.Context) error) error {
	for n, pause := 1, d.options.delay(); ; n, pause = n+1, min(2*pause, 10*d.options.delay()) {
		err := step(ctx)
		lost := errors.Is(err, device.ErrLost)
		if err == nil || ctx.Err() != nil || n >= attempts || !lost && !errors.Is(err, device.ErrDamaged) {
			return err
		}
		if notify != nil {
			notify(Notice{What: what, Attempt: n, Attempts: attempts, Err: err})
		}
		if lost {
			if e := d.Reconnect(ctx, notify); e != nil {
				return fmt.Errorf("%s: %w", what, e)
			}
			continue
		}
		if !sleep(ctx, pause) {
			return context.Cause(ctx)
		}
	}
}

// sleep reports whether the context lasted that long.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
