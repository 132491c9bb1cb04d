package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/sshtest"
)

func TestAProxyCommandIsRunAsSSHDoes(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	open := func(t *testing.T, command string) (*Device, error) {
		t.Helper()
		o := options(s)
		o.ConfigFile = filepath.Join(t.TempDir(), "config")
		text := fmt.Sprintf("Host board\n  HostName 127.0.0.1\n  Port %d\n  User root\n  ProxyCommand %s\n", s.Target.Port, command)
		if err := os.WriteFile(o.ConfigFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return Open(t.Context(), device.Target{Kind: device.SSH, Host: "board"}, o)
	}
	forward := fmt.Sprintf("ssh -q -F none -i %s -o UserKnownHostsFile=%s -p %d -W %%h:%%p root@127.0.0.1", s.Identity, s.KnownHosts, s.Target.Port)

	t.Run("a server behind a server", func(t *testing.T) {
		t.Parallel()
		d, err := open(t, forward)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var out bytes.Buffer
		if err := d.Run(t.Context(), device.Command{Args: []string{"echo", "here"}, Stdout: &out}); err != nil || out.String() != "here\n" {
			t.Errorf("%q %v", out.String(), err)
		}
		// The command is gone with the connection.
		began := time.Now()
		if err := d.Close(); err != nil || time.Since(began) > 3*time.Second {
			t.Errorf("closed after %v: %v", time.Since(began), err)
		}
	})
	for name, row := range map[string]struct{ command, says string }{
		"a command that fails":      {"sh -c 'echo no way there >&2; exit 1'", "no way there"},
		"a command that is missing": {"/there/is/no/such %h", "not found"},
		"an unknown token":          {"nc %h %x", "%x"},
		"half a token":              {"nc %h %", "ends with %"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := open(t, row.command)
			if err == nil {
				_ = d.Close()
			}
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), row.says) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("a name that a shell would obey", func(t *testing.T) {
		t.Parallel()
		for _, name := range []string{"a;touch x", "$(id)", "-oProxyCommand=x", "a b", "`id`"} {
			if _, err := proxied(host{host: name, port: 22, proxy: "nc %h %p"}); err == nil {
				t.Errorf("%q was given to a shell", name)
			}
		}
	})
	t.Run("silence", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.Timeout = 500 * time.Millisecond
		o.ConfigFile = filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(o.ConfigFile, []byte("Host board\n  ProxyCommand sleep 60\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := Open(t.Context(), device.Target{Kind: device.SSH, User: "root", Host: "board"}, o); !errors.Is(err, device.ErrLost) || time.Since(began) > 5*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
	})
}
