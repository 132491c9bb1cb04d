// Package dial is the way from what a user says of a device to an open connection:
//
//  1. The target is what --device says, or the host that the file .env names (target.go); transports.go lists the kinds.
//  2. It is reached over SSH, over ADB or locally; what SSH needs to know is asked for where somebody can answer (asker.go).
//  3. The connection can be made anew when it is lost (device/reconnect); what was typed is remembered for that, in memory only.
package dial

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/reconnect"
	"quantcheck/internal/device/ssh"
)

// What Open fails with, apart from the context's cause. Test with errors.Is.
var (
	// ErrUsage is a target or a file .env that cannot be understood.
	ErrUsage = errors.New("wrong usage")
	// ErrUnavailable is a device that cannot be reached or does not let the user in.
	ErrUnavailable = errors.New("the device is not available")
)

// Options say which device, and how it is reached. Only Target holds what comes from a command line, and it holds no secret.
type Options struct {
	// Target is as Parse reads it; "" is the host that the file .env names.
	Target string
	// EnvFile holds HOSTNAME, DEVICE_USER and PASSWORD. "" is .env in the working folder, which need not be there.
	EnvFile string
	// AcceptNewHostKey takes the key of an SSH server that is not known, without asking. A changed key is refused always.
	AcceptNewHostKey bool
	// Identities are files of private SSH keys, tried before those of ~/.ssh/config and instead of the usual ones.
	Identities []string
	// Asker is asked for passwords and about unknown host keys; nil is nobody.
	Asker Asker
	// Warn is told of files that are not used since others can read them; nil is nobody.
	Warn func(text string)
	// Retry says how patient the connection is when it is made anew.
	Retry reconnect.Options

	// For tests: what ssh and adb would find by themselves. "" is what they find.
	ConfigFile, KnownHosts, Agent, ADB string
	// Timeout is how long connecting may take, and how long a device may be silent; 0 is 15 seconds.
	Timeout time.Duration
}

// Asker asks somebody. Both methods return when the context ends.
type Asker interface {
	// Secret asks for what must not be seen.
	Secret(ctx context.Context, prompt string) (string, error)
	// Confirm asks a question that is answered with yes or no.
	Confirm(ctx context.Context, question string) (bool, error)
}

// Open connects to the device. The error is ErrUsage or ErrUnavailable, and says what to do; no secret is in it.
func Open(ctx context.Context, o Options) (*reconnect.Device, error) {
	t, env, err := o.target()
	if err != nil {
		return nil, mark(ErrUsage, err)
	}
	dial := of(t.Kind).open(o, t, env)
	return reconnect.Open(ctx, func(ctx context.Context) (device.Device, error) {
		d, err := dial(ctx)
		if err != nil && ctx.Err() == nil {
			return nil, mark(ErrUnavailable, err)
		}
		return d, err
	}, o.Retry)
}

// once gives what warns of each thing once, however often the connection is made.
func (o Options) once() func(string) {
	var mu sync.Mutex
	said := map[string]bool{}
	return func(text string) {
		mu.Lock()
		defer mu.Unlock()
		if o.Warn != nil && !said[text] {
			said[text] = true
			o.Warn(text)
		}
	}
}

// advise says what to do about an SSH server that does not let the user in.
func (o Options) advise(err error, t device.Target, env envFile) error {
	if e := (*ssh.HostKeyError)(nil); errors.As(err, &e) && !e.Changed {
		if o.Asker == nil {
			return fmt.Errorf("%w; run it once on a terminal, where it is asked for, or with --accept-new-host-key", err)
		}
		return err
	}
	if e := (*ssh.AuthError)(nil); errors.As(err, &e) {
		switch {
		case env.open != nil:
			return fmt.Errorf("%w; the PASSWORD is not used: %w", err, env.open)
		case env.Password != "" && env.passwordFor(t) == "":
			return fmt.Errorf("%w; the PASSWORD in %s is for %s and was not sent", err, env.path, env.Host)
		case o.Asker == nil && env.Password == "":
			return fmt.Errorf("%w; there is no terminal to ask for a password: put a key on the device (ssh-copy-id), name one with --identity, or write PASSWORD into %s", err, env.path)
		}
	}
	return err
}

// marked is an error that is of a kind besides.
type marked struct {
	error
	kind error
}

func mark(kind, err error) error { return marked{err, kind} }

func (m marked) Is(target error) bool { return target == m.kind }

func (m marked) Unwrap() error { return m.error }
