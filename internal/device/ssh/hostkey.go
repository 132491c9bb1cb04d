package ssh

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// HostKey is a server's key as it is shown to people.
type HostKey struct {
	// Address is host:port, Type the key's type, Fingerprint its SHA256 as ssh prints it.
	Address, Type, Fingerprint string
}

// HostKeyError is a server whose key was not accepted.
type HostKeyError struct {
	HostKey
	// Changed is set if another key is known for the server. Known lists where, as file:line.
	Changed bool
	Known   []string
}

func (e *HostKeyError) Error() string {
	if e.Changed {
		return fmt.Sprintf("the %s key of %s has changed: it is %s now, and another one stands at %s. Somebody may be listening in. If the device was set up anew, remove that line",
			e.Type, e.Address, e.Fingerprint, e.Known)
	}
	return fmt.Sprintf("the %s key %s of %s is not known; compare it with the device's own and accept it", e.Type, e.Fingerprint, e.Address)
}

// knownHosts checks one server against a known_hosts file.
type knownHosts struct {
	path     string
	address  string
	options  Options
	callback ssh.HostKeyCallback
	waiting  *waiting
	failure  error // why the key was refused
}

func readKnownHosts(o Options, address string) (*knownHosts, error) {
	k := &knownHosts{path: o.KnownHosts, address: address, options: o}
	if k.path == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		k.path = filepath.Join(home, ".ssh", "known_hosts")
	}
	var err error
	if _, e := os.Stat(k.path); errors.Is(e, fs.ErrNotExist) {
		k.callback, err = knownhosts.New()
	} else {
		k.callback, err = knownhosts.New(k.path)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", k.path, err)
	}
	return k, nil
}

// algorithms gives the key types that are known for the server, so that it shows one of those; nil if there is none.
func (k *knownHosts) algorithms() []string {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil
	}
	probe, err := ssh.NewPublicKey(public)
	if err != nil {
		return nil
	}
	var unlike *knownhosts.KeyError
	if !errors.As(k.callback(k.address, &net.TCPAddr{IP: net.IPv4zero}, probe), &unlike) {
		return nil
	}
	var list []string
	for _, want := range unlike.Want {
		kind := want.Key.Type()
		if slices.Contains(list, kind) {
			continue
		}
		if kind == ssh.KeyAlgoRSA {
			list = append(list, ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256)
		}
		list = append(list, kind)
	}
	return list
}

// check implements ssh.HostKeyCallback.
func (k *knownHosts) check(address string, remote net.Addr, key ssh.PublicKey) error {
	k.failure = k.judge(address, remote, key)
	return k.failure
}

func (k *knownHosts) judge(address string, remote net.Addr, key ssh.PublicKey) error {
	err := k.callback(address, remote, key)
	var unlike *knownhosts.KeyError
	if !errors.As(err, &unlike) {
		return err // nil, a revoked key, or a broken line
	}
	shown := HostKey{address, key.Type(), ssh.FingerprintSHA256(key)}
	if len(unlike.Want) > 0 {
		e := &HostKeyError{HostKey: shown, Changed: true}
		for _, w := range unlike.Want {
			e.Known = append(e.Known, fmt.Sprintf("%s:%d", w.Filename, w.Line))
		}
		return e
	}
	accepted := k.options.AcceptNew
	if !accepted && k.options.Accept != nil {
		k.waiting.begin()
		accepted = k.options.Accept(shown)
		k.waiting.end()
	}
	if !accepted {
		return &HostKeyError{HostKey: shown}
	}
	if err := remember(k.path, knownhosts.Line([]string{address}, key)); err != nil {
		return fmt.Errorf("remember the key of %s: %w", address, err)
	}
	return nil
}

// remember appends a line in one write, so that others who append do not tear it.
func remember(path, line string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	text := []byte(line + "\n")
	last := make([]byte, 1)
	if info, e := f.Stat(); e == nil && info.Size() > 0 {
		if _, e := f.ReadAt(last, info.Size()-1); e == nil && !bytes.Equal(last, []byte("\n")) {
			text = append([]byte("\n"), text...)
		}
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
