package ssh

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
	"quantcheck/internal/device/sshtest"
)

func writeKey(t testing.TB, path string) (ssh.PublicKey, ed25519.PrivateKey) {
	t.Helper()
	key, private, err := sshtest.WriteKey(path, "")
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

// doorkeeper lets users in or not, with host keys of two types, and does nothing more. It stands where sshd would need an
// account with a password.
func doorkeeper(t *testing.T, config *ssh.ServerConfig) (target device.Target, known string) {
	t.Helper()
	dir := t.TempDir()
	_, private := writeKey(t, filepath.Join(dir, "host"))
	second, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	var signers []ssh.Signer
	for _, key := range []any{private, second} {
		s, err := ssh.NewSignerFromKey(key)
		if err != nil {
			t.Fatal(err)
		}
		config.AddHostKey(s)
		signers = append(signers, s)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, channels, requests, err := ssh.NewServerConn(conn, config)
				if err != nil {
					_ = conn.Close() // The client has been told.
					return
				}
				go ssh.DiscardRequests(requests)
				for c := range channels {
					_ = c.Reject(ssh.Prohibited, "nothing here") // The client is about to end.
				}
			}()
		}
	}()
	port := l.Addr().(*net.TCPAddr).Port
	known = filepath.Join(dir, "known_hosts")
	// Only the second key is known: the server has to be asked for that.
	line := fmt.Sprintf("[127.0.0.1]:%d %s", port, ssh.MarshalAuthorizedKey(signers[1].PublicKey()))
	if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	return device.Target{Kind: device.SSH, User: "root", Host: "127.0.0.1", Port: port}, known
}

func TestPasswords(t *testing.T) {
	t.Parallel()
	const right = "s3cret ä'\""
	denied := errors.New("no")
	password := func() *ssh.ServerConfig {
		return &ssh.ServerConfig{PasswordCallback: func(c ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) {
			if c.User() != "root" || string(p) != right {
				return nil, denied
			}
			return nil, nil
		}}
	}
	questions := func() *ssh.ServerConfig {
		return &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil || len(answers) != 1 || answers[0] != right {
				return nil, denied
			}
			return nil, nil
		}}
	}
	asked := func(answers ...string) func(Question) (string, error) {
		return func(Question) (string, error) {
			if len(answers) == 0 {
				return "", errors.New("nobody answers")
			}
			answer := answers[0]
			answers = answers[1:]
			return answer, nil
		}
	}
	for _, row := range []struct {
		name   string
		config *ssh.ServerConfig
		set    string
		ask    func(Question) (string, error)
		in     bool
	}{
		{"set", password(), right, nil, true},
		{"set, for a server that asks questions", questions(), right, nil, true},
		{"asked for", password(), "", asked(right), true},
		{"asked for by a server that asks questions", questions(), "", asked(right), true},
		{"asked for again", password(), "", asked("wrong s3cret", right), true},
		{"asked for when the set one is wrong", password(), "wrong s3cret", asked(right), true},
		{"wrong", password(), "wrong s3cret", nil, false},
		{"wrong, for a server that asks questions", questions(), "wrong s3cret", nil, false},
		{"asked for and not answered", password(), "", asked(), false},
		{"none", password(), "", nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			target, known := doorkeeper(t, row.config)
			d, err := Open(t.Context(), target, Options{
				ConfigFile: "/none", KnownHosts: known, Identities: []string{}, Agent: "none", Password: row.set, Ask: row.ask,
			})
			if row.in {
				if err != nil {
					t.Fatal(err)
				}
				if err := d.Run(context.WithoutCancel(t.Context()), device.Shell("true")); !errors.Is(err, device.ErrLost) {
					t.Errorf("a server without commands: %v", err)
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
				return
			}
			var e *AuthError
			if !errors.As(err, &e) || strings.Contains(fmt.Sprintf("%v %+v %q", err, e, e), "s3cret") {
				t.Errorf("%v", err)
			}
		})
	}
}
