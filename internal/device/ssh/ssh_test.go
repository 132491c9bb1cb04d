package ssh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"quantcheck/internal/device"
	"quantcheck/internal/device/devicetest"
	"quantcheck/internal/device/sshtest"
)

func options(s *sshtest.Server) Options {
	return Options{
		ConfigFile: filepath.Join(filepath.Dir(s.Identity), "none"), KnownHosts: s.KnownHosts, Identities: []string{s.Identity}, Agent: "none",
	}
}

func open(t testing.TB, s *sshtest.Server, o Options) *Device {
	t.Helper()
	d, err := Open(t.Context(), s.Target, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// cutting is a connection that breaks after so many more bytes, once armed.
type cutting struct {
	net.Conn
	armed *atomic.Bool
	left  *atomic.Int64
}

func (c cutting) cut(n int) bool { return c.armed.Load() && c.left.Add(-int64(n)) < 0 }

func (c cutting) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.cut(n) {
		_ = c.Close() // This is the fault.
		return 0, net.ErrClosed
	}
	return n, err
}

func (c cutting) Write(p []byte) (int, error) {
	if !c.cut(len(p)) {
		return c.Conn.Write(p)
	}
	n, _ := c.Conn.Write(p[:max(0, len(p)+int(c.left.Load()))])
	_ = c.Close() // This is the fault.
	return n, net.ErrClosed
}

func TestConformance(t *testing.T) {
	s := sshtest.Start(t, sshtest.Options{})
	devicetest.Run(t, devicetest.Harness{
		Open: func(t testing.TB) device.Device { return open(t, s, options(s)) },
		Cut: func(t testing.TB, after int64) (device.Device, func() bool) {
			o := options(s)
			var port int
			var armed atomic.Bool
			var left atomic.Int64
			left.Store(after)
			o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := new(net.Dialer).DialContext(ctx, network, address)
				if err == nil {
					port = conn.LocalAddr().(*net.TCPAddr).Port
				}
				return cutting{conn, &armed, &left}, err
			}
			d, err := Open(t.Context(), s.Target, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = d.Close() }) // It may be broken.
			armed.Store(true)
			return d, func() bool {
				held, err := s.Connected(port)
				if err != nil {
					t.Fatal(err)
				}
				return !held
			}
		},
	})
}

func TestHostKeysAreChecked(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	other, _ := writeKey(t, filepath.Join(t.TempDir(), "other"))
	stranger := fmt.Sprintf("[127.0.0.1]:%d %s", s.Target.Port, ssh.MarshalAuthorizedKey(other))
	for _, row := range []struct {
		name     string
		known    string // "-" is no file
		set      func(*Options)
		accepted bool
		changed  bool
	}{
		{"unknown", "-", func(*Options) {}, false, false},
		{"unknown and refused by somebody", "-", func(o *Options) { o.Accept = func(HostKey) bool { return false } }, false, false},
		{"unknown and accepted by somebody", "-", func(o *Options) {
			o.Accept = func(k HostKey) bool {
				return k.Fingerprint == ssh.FingerprintSHA256(s.HostKey) && k.Type == "ssh-ed25519"
			}
		}, true, false},
		{"unknown and accepted for scripts", "# no line end", func(o *Options) { o.AcceptNew = true }, true, false},
		{"changed", stranger, func(*Options) {}, false, true},
		{"changed, and all who could accept would", stranger, func(o *Options) {
			o.AcceptNew, o.Accept = true, func(HostKey) bool { return true }
		}, false, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := options(s)
			o.KnownHosts = filepath.Join(t.TempDir(), "new", "known_hosts")
			if row.known != "-" {
				if err := os.MkdirAll(filepath.Dir(o.KnownHosts), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(o.KnownHosts, []byte(row.known), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			row.set(&o)
			d, err := Open(t.Context(), s.Target, o)
			text, _ := os.ReadFile(o.KnownHosts)
			if row.accepted {
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close()
				// The second time nobody is asked.
				o.AcceptNew, o.Accept = false, nil
				open(t, s, o)
				return
			}
			var e *HostKeyError
			if !errors.As(err, &e) || e.Changed != row.changed || e.Fingerprint != ssh.FingerprintSHA256(s.HostKey) || !strings.Contains(err.Error(), e.Fingerprint) {
				t.Errorf("%v", err)
			}
			if row.known == "-" && len(text) > 0 || row.known != "-" && string(text) != row.known {
				t.Errorf("known_hosts holds %q", text)
			}
		})
	}
}

// serveAgent gives the socket of an agent.
func serveAgent(t *testing.T, ring agent.Agent) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "agent")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
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
			go func() { _ = agent.ServeAgent(ring, conn) }() // It ends with the connection.
		}
	}()
	return socket
}

func TestWaysIn(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	t.Run("an alias", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.Identities = []string{filepath.Join(t.TempDir(), "is not there")}
		o.ConfigFile = filepath.Join(t.TempDir(), "config")
		text := fmt.Sprintf("Host board\n  HostName 127.0.0.1\n  Port %d\n  User root\n  IdentityFile %s\n", s.Target.Port, s.Identity)
		if err := os.WriteFile(o.ConfigFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		target, err := Parse("board")
		if err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), target, o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if want := "ssh://root@127.0.0.1:" + strconv.Itoa(s.Target.Port); d.Name() != want {
			t.Errorf("%s, want %s", d.Name(), want)
		}
	})
	t.Run("the agent", func(t *testing.T) {
		t.Parallel()
		text, err := os.ReadFile(s.Identity)
		if err != nil {
			t.Fatal(err)
		}
		key, err := ssh.ParseRawPrivateKey(text)
		if err != nil {
			t.Fatal(err)
		}
		ring := agent.NewKeyring()
		if err := ring.Add(agent.AddedKey{PrivateKey: key}); err != nil {
			t.Fatal(err)
		}
		o := options(s)
		o.Identities = []string{}
		o.Agent = serveAgent(t, ring)
		open(t, s, o)
	})
	t.Run("nobody is let in without a key, and no secret is told", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.Identities, o.Password = []string{filepath.Join(filepath.Dir(s.Identity), "sshd_config")}, "s3cret"
		_, err := Open(t.Context(), s.Target, o)
		var e *AuthError
		if !errors.As(err, &e) || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "sshd_config") {
			t.Errorf("%v", err)
		}
	})
	t.Run("no server", func(t *testing.T) {
		t.Parallel()
		_, err := Open(t.Context(), device.Target{Kind: device.SSH, Host: "127.0.0.1", Port: 1}, options(s))
		if !errors.Is(err, device.ErrLost) {
			t.Errorf("%v", err)
		}
	})
}

// silent accepts connections and says nothing.
func TestAServerThatIsSilent(t *testing.T) {
	t.Parallel()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target := device.Target{Kind: device.SSH, Host: "127.0.0.1", Port: l.Addr().(*net.TCPAddr).Port}
	o := Options{ConfigFile: "/none", KnownHosts: filepath.Join(t.TempDir(), "k"), Agent: "none", Timeout: 300 * time.Millisecond}
	if _, err := Open(t.Context(), target, o); !errors.Is(err, device.ErrLost) {
		t.Errorf("%v", err)
	}
	o.Timeout = time.Minute
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := Open(ctx, target, o); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}

// A device that is unplugged sends nothing more, not even an end.
func TestADeviceThatFallsSilent(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	o := options(s)
	o.Timeout = time.Second
	var deaf atomic.Bool
	o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return unplugged{conn, &deaf}, err
	}
	d := open(t, s, o)
	deaf.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- d.Run(t.Context(), device.Shell("sleep 60")) }()
	select {
	case err := <-ended:
		if !errors.Is(err, device.ErrLost) {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody noticed")
	}
}

type unplugged struct {
	net.Conn
	deaf *atomic.Bool
}

func (u unplugged) Write(p []byte) (int, error) {
	if u.deaf.Load() {
		return len(p), nil
	}
	return u.Conn.Write(p)
}

func TestEnv(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, text string
		want       Env
		bad        bool
	}{
		{"the seed's", "HOSTNAME=10.0.0.2\nDEVICE_USER=root\nPASSWORD=a=b #c\n", Env{"10.0.0.2", "root", "a=b #c"}, false},
		{"quotes, comments, others", "# x\n\nexport HOSTNAME = \"h\"\r\nPASSWORD=' p '\nOTHER=1", Env{Host: "h", Password: " p "}, false},
		{"not an assignment", "HOSTNAME=h\ns3cret", Env{}, true},
		{"an open quote", "PASSWORD='s3cret", Env{}, true},
	} {
		got, err := ParseEnv([]byte(row.text))
		if got != row.want || (err != nil) != row.bad || err != nil && strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %+v %v", row.name, got, err)
		}
	}
}
