// Package sshtest starts OpenSSH's server on the loopback, with keys of its own, for tests and measurements that want a real
// device behind SSH: it is this machine, as the user who runs the test.
package sshtest

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
)

// Options say how the server differs from the usual one.
type Options struct {
	// Env is the environment of the commands, for instance the PATH that leads to stand-ins of a device's tools. A value
	// with a quotation mark or a line's end is refused.
	Env map[string]string
	// Config holds more lines of sshd_config.
	Config []string
}

// Server is a server that runs until the test's end. Its methods may be called by several goroutines at once.
type Server struct {
	// Target is the server, without a user: whoever runs the test is let in.
	Target device.Target
	// KnownHosts is a file that knows the server's key, and HostKey is that key.
	KnownHosts string
	HostKey    ssh.PublicKey
	// Identity is the file of the private key that is let in.
	Identity string

	dir     string
	program string
	options Options
	log     string

	mu    sync.Mutex // held while the server is started or stopped
	cmd   *exec.Cmd
	ended chan struct{}
}

// Start starts a server. Where there is no sshd the test is skipped, with a line that says so.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	s, err := Launch(t.Context(), t.TempDir(), o)
	if errors.Is(err, exec.ErrNotFound) {
		t.Skipf("SKIPPED FOR WANT OF sshd: %v; install openssh-server", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() && testing.Verbose() {
			text, _ := os.ReadFile(s.log) // It is for people.
			t.Logf("sshd: %s", text)
		}
	})
	return s
}

// Launch starts a server that keeps its files in dir, an existing folder; the caller stops it. The error is exec.ErrNotFound if
// there is no sshd.
func Launch(ctx context.Context, dir string, o Options) (*Server, error) {
	program, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", exec.ErrNotFound, err)
	}
	if os.Getuid() == 0 {
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			return nil, err
		}
	}
	for name, value := range o.Env {
		if strings.ContainsAny(name+value, "\"\\\r\n\x00") {
			return nil, fmt.Errorf("sshd cannot be given %s=%q", name, value)
		}
	}
	s := &Server{
		Target:     device.Target{Kind: device.SSH, Host: "127.0.0.1"},
		KnownHosts: filepath.Join(dir, "known_hosts"), Identity: filepath.Join(dir, "id"),
		dir: dir, program: program, options: o, log: filepath.Join(dir, "log"),
	}
	if s.HostKey, _, err = WriteKey(filepath.Join(dir, "host"), ""); err != nil {
		return nil, err
	}
	user, _, err := WriteKey(s.Identity, "")
	if err != nil {
		return nil, err
	}
	if err := s.Admit(user); err != nil {
		return nil, err
	}
	// Somebody else may take the free port in between.
	for range 4 {
		if s.Target.Port, err = freePort(ctx); err != nil {
			return nil, err
		}
		if err = s.Restart(ctx); err == nil {
			return s, os.WriteFile(s.KnownHosts, []byte(s.KnownLine()), 0o600)
		}
	}
	return nil, err
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close() // Only its number was needed.
	return l.Addr().(*net.TCPAddr).Port, nil
}

// Admit lets another key in.
func (s *Server) Admit(key ssh.PublicKey) error {
	f, err := os.OpenFile(filepath.Join(s.dir, "authorized_keys"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(ssh.MarshalAuthorizedKey(key))
	return errors.Join(err, f.Close())
}

// NewKey makes a key that the server admits and gives the file of its private half, encrypted if there is a passphrase.
func (s *Server) NewKey(t *testing.T, passphrase string) (path string, private ed25519.PrivateKey) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "id")
	public, private, err := WriteKey(path, passphrase)
	if err == nil {
		err = s.Admit(public)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path, private
}

// KnownLine is the server's line of a known_hosts.
func (s *Server) KnownLine() string {
	return fmt.Sprintf("[%s]:%d %s", s.Target.Host, s.Target.Port, ssh.MarshalAuthorizedKey(s.HostKey))
}

// Restart stops the server if it runs and starts it at the same port, with the same keys and options.
func (s *Server) Restart(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop()
	// Only OpenSSH 9.8 and later know of penalties, and an older one ends at the word.
	err := s.run(ctx, "PerSourcePenalties no")
	if err != nil {
		err = s.run(ctx, "")
	}
	return err
}

// run starts the server and returns when it listens.
func (s *Server) run(ctx context.Context, more string) error {
	name := filepath.Join(s.dir, "sshd_config")
	if err := os.WriteFile(name, []byte(s.config(more)), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(s.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()                                      // The server has it.
	cmd := exec.Command(s.program, "-D", "-e", "-f", name) //nolint:noctx // Stop ends it, with what it has started.
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return err
	}
	s.cmd, s.ended = cmd, make(chan struct{})
	go func(ended chan struct{}) {
		_ = cmd.Wait() // It is killed.
		close(ended)
	}(s.ended)
	address := net.JoinHostPort(s.Target.Host, strconv.Itoa(s.Target.Port))
	for range 500 {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
		if err == nil {
			_ = conn.Close() // It was only a question.
			return nil
		}
		select {
		case <-s.ended:
			return fmt.Errorf("sshd ended; see %s", s.log)
		case <-ctx.Done():
			s.stop()
			return context.Cause(ctx)
		case <-time.After(10 * time.Millisecond):
		}
	}
	s.stop()
	return fmt.Errorf("sshd does not listen at %s; see %s", address, s.log)
}

func (s *Server) config(more string) string {
	// With that SHLVL bash does not read the .bashrc of whoever runs the test.
	env := []string{"SetEnv SHLVL=9"}
	for _, name := range slices.Sorted(maps.Keys(s.options.Env)) {
		env = append(env, fmt.Sprintf("\"%s=%s\"", name, s.options.Env[name]))
	}
	return fmt.Sprintf(`Port %d
ListenAddress %s
HostKey %[3]s/host
AuthorizedKeysFile %[3]s/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin yes
MaxStartups 200
MaxSessions 100
%s
Subsystem sftp internal-sftp
%s
`, s.Target.Port, s.Target.Host, s.dir, strings.Join(env, " "), strings.Join(append(slices.Clone(s.options.Config), more), "\n"))
}

// Connected reports whether the server holds its end of the connection from a port of this machine.
func (s *Server) Connected(port int) (bool, error) {
	table, err := os.ReadFile("/proc/net/tcp")
	ends := fmt.Sprintf(" 0100007F:%04X 0100007F:%04X ", s.Target.Port, port)
	return strings.Contains(string(table), ends+"01") || strings.Contains(string(table), ends+"08"), err // established, to be closed
}
