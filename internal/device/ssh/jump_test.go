package ssh

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"quantcheck/internal/device"
	"quantcheck/internal/device/sshtest"
)

// chain starts servers and writes a configuration that names them a, b, c …, and a known_hosts with all their keys.
func chain(t *testing.T, n int, more string) ([]*sshtest.Server, Options) {
	t.Helper()
	dir := t.TempDir()
	o := Options{ConfigFile: filepath.Join(dir, "config"), KnownHosts: filepath.Join(dir, "known_hosts"), Agent: "none", Timeout: 5 * time.Second}
	var servers []*sshtest.Server
	var config, known strings.Builder
	for i := range n {
		s := sshtest.Start(t, sshtest.Options{})
		servers = append(servers, s)
		fmt.Fprintf(&config, "Host %c\n  HostName 127.0.0.1\n  Port %d\n  IdentityFile %s\n", 'a'+i, s.Target.Port, s.Identity)
		known.WriteString(s.KnownLine())
	}
	config.WriteString(more)
	for name, text := range map[string]string{o.ConfigFile: config.String(), o.KnownHosts: known.String()} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return servers, o
}

func alias(name string) device.Target { return device.Target{Kind: device.SSH, Host: name} }

func TestJumps(t *testing.T) {
	t.Parallel()
	s, o := chain(t, 3, `
Host over-a
  ProxyJump a
Host over-a-b
  ProxyJump a, b
Host b-over-a
  ProxyJump a
Host twice
  ProxyJump b-over-a
Host never
  ProxyJump none
Host over-nobody
  ProxyJump ssh://127.0.0.1:1
Host over-something
  ProxyJump adb:x
Host circle
  ProxyJump circle
Host over-* twice never circle
  HostName 127.0.0.1
`)
	// The device is the last one; its lines come first, since they would be hidden else.
	text, err := os.ReadFile(o.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	device3 := fmt.Sprintf("Host over-* twice never circle\n  Port %d\n  IdentityFile %s\n", s[2].Target.Port, s[2].Identity)
	between := fmt.Sprintf("Host b-over-a\n  HostName 127.0.0.1\n  Port %d\n  IdentityFile %s\n", s[1].Target.Port, s[1].Identity)
	if err := os.WriteFile(o.ConfigFile, append([]byte(device3+between), text...), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, says string }{
		{"over-a", ""}, {"over-a-b", ""}, {"twice", ""}, {"never", ""},
		{"over-nobody", "on the way over ssh://"}, {"over-something", "ProxyJump"}, {"circle", "circle"},
	} {
		t.Run(row.name, func(t *testing.T) {
			d, err := Open(t.Context(), alias(row.name), o)
			if row.says != "" {
				if err == nil || !strings.Contains(err.Error(), row.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if d.Name() != fmt.Sprintf("ssh://%s@127.0.0.1:%d", mustUser(t), s[2].Target.Port) {
				t.Errorf("%s", d.Name())
			}
			if err := d.Run(t.Context(), device.Shell("true")); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("the key of a server on the way is checked", func(t *testing.T) {
		other := o
		other.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
		if err := os.WriteFile(other.KnownHosts, []byte(s[0].KnownLine()+s[2].KnownLine()), 0o600); err != nil {
			t.Fatal(err)
		}
		var e *HostKeyError
		if _, err := Open(t.Context(), alias("over-a-b"), other); !errors.As(err, &e) || e.Fingerprint != ssh.FingerprintSHA256(s[1].HostKey) {
			t.Errorf("%v", err)
		}
	})
	t.Run("a server on the way is cut off", func(t *testing.T) {
		d, err := Open(t.Context(), alias("over-a-b"), o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		go s[0].Stop()
		if err := d.Run(t.Context(), device.Shell("sleep 60")); !errors.Is(err, device.ErrLost) {
			t.Errorf("%v", err)
		}
	})
}

func mustUser(t *testing.T) string {
	t.Helper()
	h, err := resolve(alias("x"), Options{ConfigFile: "/none"})
	if err != nil {
		t.Fatal(err)
	}
	return h.user
}

func TestKeysWithAPassphrase(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	path, private := s.NewKey(t, "right s3cret")
	stranger := filepath.Join(t.TempDir(), "stranger")
	if _, _, err := sshtest.WriteKey(stranger, "x"); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name    string
		keys    []string
		answers []string
		asked   int
		in      bool
	}{
		{"asked for", []string{path}, []string{"right s3cret"}, 1, true},
		{"mistyped", []string{path}, []string{"wrong s3cret", "right s3cret"}, 2, true},
		{"mistyped for good", []string{path}, []string{"wrong s3cret", "b", "c", "right s3cret"}, 3, false},
		{"not answered", []string{path}, nil, 1, false},
		{"only of the key that the server takes", []string{stranger, path}, []string{"right s3cret"}, 1, true},
		{"of no key that the server does not take", []string{s.Identity, path}, nil, 0, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := options(s)
			o.Identities = row.keys
			asked := 0
			o.Ask = func(q Question) (string, error) {
				if q != (Question{What: "passphrase of the private key " + path}) {
					t.Errorf("%+v", q)
				}
				if asked++; asked > len(row.answers) {
					return "", errors.New("nobody answers")
				}
				return row.answers[asked-1], nil
			}
			d, err := Open(t.Context(), s.Target, o)
			var e *AuthError
			if (err == nil) != row.in || asked != row.asked || err != nil && (!errors.As(err, &e) || strings.Contains(fmt.Sprintf("%v %+v", err, e), "s3cret")) {
				t.Errorf("%v, asked %d times", err, asked)
			}
			if err == nil {
				_ = d.Close() // It was only opened.
			}
		})
	}
	t.Run("nobody to ask", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.Identities = []string{path}
		if _, err := Open(t.Context(), s.Target, o); err == nil || !strings.Contains(err.Error(), "passphrase") {
			t.Errorf("%v", err)
		}
	})
	t.Run("the agent holds it", func(t *testing.T) {
		t.Parallel()
		ring := agent.NewKeyring()
		if err := ring.Add(agent.AddedKey{PrivateKey: private}); err != nil {
			t.Fatal(err)
		}
		o := options(s)
		o.Identities, o.Agent = []string{path}, serveAgent(t, ring)
		o.Ask = func(q Question) (string, error) {
			t.Errorf("%q", q)
			return "", errors.New("nobody answers")
		}
		open(t, s, o)
	})
}

func FuzzSettings(f *testing.F) {
	f.Add("HOSTNAME=h\nexport DEVICE_USER='u'\nPASSWORD=\"p\"\n# x\n", "u@h:22")
	f.Fuzz(func(t *testing.T, text, jump string) {
		if e, err := ParseEnv([]byte(text)); err != nil && e != (Env{}) {
			t.Errorf("%+v beside %v", e, err)
		}
		if to, err := parseJump(jump); err == nil && (to.Kind != device.SSH || to.Host == "") {
			t.Errorf("%q: %+v", jump, to)
		}
	})
}
