// Package ssh is a device behind an SSH server:
//
//  1. ~/.ssh/config says what is meant by the target's host (config.go).
//  2. The server's key has to be in known_hosts (hostkey.go).
//  3. Keys of the agent and of files are tried, then a password (auth.go).
//  4. A device behind other servers is reached through them (jump.go).
//  5. Every command is a session of the one connection; a server that is silent for too long is given up.
package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
)

// Options say how to connect. The zero value of each is what the program ssh would take.
type Options struct {
	// ConfigFile is ~/.ssh/config, KnownHosts ~/.ssh/known_hosts, unless said otherwise. Neither has to be there.
	ConfigFile, KnownHosts string

	// AcceptNew takes the key of a server that known_hosts does not know and appends it. Accept asks somebody instead, and
	// may be nil. A key that differs from the known one is always refused.
	AcceptNew bool
	Accept    func(HostKey) bool

	// Identities are files of private keys, tried before those that the configuration names; where it names none, nil stands
	// for ~/.ssh/id_ed25519, id_ecdsa and id_rsa. Those that are not there are passed over; Ask is asked for the passphrase of one that the server
	// would take and the agent does not hold.
	Identities []string
	// Agent is the agent's socket; "" is $SSH_AUTH_SOCK, "none" is no agent.
	Agent string
	// Password is tried after the keys, and then what Ask gives. "" and nil are none. A server that asks in words of its own gets
	// Password only if it asks for the password.
	Password string
	Ask      func(Question) (string, error)
	// Warn is told of keys that are not used since others may read them; nil: only the error of a login that fails tells.
	Warn func(text string)

	// Dial makes the connection below; nil is TCP.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout is how long connecting may take, and how long the server may be silent; 0 is 15 seconds.
	Timeout time.Duration
}

// Device is a connection.
type Device struct {
	name   string
	client *ssh.Client
	// timeout is how long the server may be silent, also before it begins a command.
	timeout time.Duration
	ctx     context.Context // ends with the connection, for the cause of it
	close   context.CancelCauseFunc
}

// Open connects to target. An error is *HostKeyError if the server's key is not accepted, *AuthError if the user is not; it is
// device.ErrLost if the server cannot be reached.
func Open(ctx context.Context, target device.Target, o Options) (*Device, error) {
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	h, err := resolve(target, o)
	if err != nil {
		return nil, err
	}
	d := &Device{name: h.target().String(), timeout: o.Timeout}
	d.ctx, d.close = context.WithCancelCause(context.Background())
	clients, err := reach(ctx, h, o)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", d.name, err)
	}
	way := clients[:len(clients)-1]
	d.client = clients[len(way)]
	go func() {
		err := d.client.Wait()
		closeAll(way)
		if err == nil || errors.Is(err, io.EOF) {
			d.close(device.ErrLost)
		} else {
			d.close(fmt.Errorf("%w: %w", device.ErrLost, err))
		}
	}()
	go d.watch(o.Timeout)
	return d, nil
}

func (h host) target() device.Target {
	return device.Target{Kind: device.SSH, User: h.user, Host: h.host, Port: h.port}
}

// server is user@host:port.
func (h host) server() string { return h.user + "@" + net.JoinHostPort(h.host, strconv.Itoa(h.port)) }

// connect dials, checks the server and logs in, all of it within the time-out and the context.
func connect(ctx context.Context, h host, o Options) (*ssh.Client, error) {
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	address := net.JoinHostPort(h.host, strconv.Itoa(h.port))
	conn, err := dial(limited, "tcp", address)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, fmt.Errorf("%w: %w", device.ErrLost, err)
	}
	// People may take their time to answer: only the context ends the questions, only silence the handshake.
	quiet := time.AfterFunc(o.Timeout, func() { _ = conn.Close() }) // Closed, it fails the handshake, which is told.
	defer quiet.Stop()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	known, err := readKnownHosts(o, address)
	if err != nil {
		_ = conn.Close() // The first error is the one to tell.
		return nil, err
	}
	asked := &waiting{timer: quiet, timeout: o.Timeout}
	a := &auth{host: h, options: o, waiting: asked}
	defer a.close()
	known.waiting = asked
	config := &ssh.ClientConfig{
		User: h.user, Auth: a.methods(), HostKeyCallback: known.check, HostKeyAlgorithms: known.algorithms(),
	}
	c, channels, requests, err := ssh.NewClientConn(conn, address, config)
	switch {
	case err == nil:
		return ssh.NewClient(c, channels, requests), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case known.failure != nil:
		return nil, known.failure
	// The library has no type for a refusal, and no one text.
	case a.failure != nil || strings.Contains(err.Error(), "authenticat") || a.begun && !broken(err):
		return nil, &AuthError{User: h.user, Tried: a.said(), Err: err}
	}
	return nil, fmt.Errorf("%w: %w", device.ErrLost, err)
}

// broken reports whether a handshake ended with the connection.
func broken(err error) bool {
	network := (*net.OpError)(nil)
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &network)
}

// waiting stops the clock while somebody thinks.
type waiting struct {
	timer   *time.Timer
	timeout time.Duration
}

func (w *waiting) begin() { w.timer.Stop() }
func (w *waiting) end()   { w.timer.Reset(w.timeout) }

// keepAlive is a request that servers answer, most by refusing it.
const keepAlive = "keepalive@openssh.com"

// watch asks the server for a sign of life, and gives it up if none comes.
func (d *Device) watch(timeout time.Duration) {
	tick := time.NewTicker(timeout / 3)
	defer tick.Stop()
	for {
		select {
		case <-d.ctx.Done():
			return
		case <-tick.C:
		}
		silent := time.AfterFunc(timeout, func() {
			d.close(fmt.Errorf("%w: the device has been silent for %s", device.ErrLost, timeout))
			_ = d.client.Close() // It is given up.
		})
		_, _, err := d.client.SendRequest(keepAlive, true, nil)
		silent.Stop()
		if err != nil {
			return // The connection has ended, and its Wait tells it.
		}
	}
}

// Name implements device.Device.
func (d *Device) Name() string { return d.name }

// Run implements device.Device.
func (d *Device) Run(ctx context.Context, c device.Command) error {
	ctx, cancel := device.Until(ctx, d.ctx)
	defer cancel()
	return device.RunShell(ctx, d.start, c)
}

// Close implements device.Device.
func (d *Device) Close() error {
	d.close(device.ErrLost)
	if err := d.client.Close(); err != nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// start implements device.Start with a session of its own.
func (d *Device) start(ctx context.Context, script string, input io.Reader, stdout, stderr io.Writer) (device.Process, error) {
	type begun struct {
		p   *process
		err error
	}
	ctx, cancel := context.WithTimeoutCause(ctx, d.timeout, fmt.Errorf("%w: the server did not begin a command within %s", device.ErrLost, d.timeout))
	defer cancel()
	done := make(chan begun, 1)
	go func() {
		p, err := d.begin(script, input, stdout, stderr)
		done <- begun{p, err}
	}()
	select {
	case b := <-done:
		if b.err != nil {
			return nil, b.err
		}
		return b.p, nil
	case <-ctx.Done():
		go func() {
			if b := <-done; b.err == nil {
				b.p.Abandon()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func (d *Device) begin(script string, input io.Reader, stdout, stderr io.Writer) (*process, error) {
	s, err := d.client.NewSession()
	if err != nil {
		return nil, err
	}
	s.Stdout, s.Stderr = stdout, stderr
	var pipe io.WriteCloser
	if input != nil {
		if pipe, err = s.StdinPipe(); err != nil {
			return nil, err
		}
	}
	if err := s.Start(script); err != nil {
		_ = s.Close() // The first error is the one to tell.
		return nil, err
	}
	if input != nil {
		go device.Feed(pipe, input)
	}
	return &process{s, d.client}, nil
}

type process struct {
	s      *ssh.Session
	client *ssh.Client
}

func (p *process) Wait() error {
	err := p.s.Wait()
	_ = p.s.Close() // Most often the other side has closed it.
	exit, missing := (*ssh.ExitError)(nil), (*ssh.ExitMissingError)(nil)
	switch {
	case errors.As(err, &missing):
		return device.ErrLost
	case err != nil && !errors.As(err, &exit): // The script told its status.
		return err
	}
	// A status may overtake output, and a broken connection ends output as its end does: what still answers has sent all.
	if _, _, err := p.client.SendRequest(keepAlive, true, nil); err != nil {
		return fmt.Errorf("%w: %w", device.ErrLost, err)
	}
	return nil
}

func (p *process) Abandon() { _ = p.s.Close() } // Nothing can be done about it.
