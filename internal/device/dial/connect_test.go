package dial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
	"quantcheck/internal/device/sshtest"
)

// asked answers questions from a list, and keeps them.
type asked struct {
	secrets   []string
	yes       bool
	questions []string
}

func (a *asked) Secret(_ context.Context, prompt string) (string, error) {
	a.questions = append(a.questions, prompt)
	if len(a.secrets) == 0 {
		return "", errNoAnswer
	}
	answer := a.secrets[0]
	a.secrets = a.secrets[1:]
	return answer, nil
}

func (a *asked) Confirm(_ context.Context, question string) (bool, error) {
	a.questions = append(a.questions, question)
	return a.yes, nil
}

// none is a file that is not there.
const none = "/none/none"

func options(s *sshtest.Server) Options {
	return Options{
		Target: s.Target.String(), EnvFile: os.DevNull, ConfigFile: none, KnownHosts: s.KnownHosts, Agent: "none",
		Identities: []string{s.Identity},
	}
}

func envFileOf(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTargets(t *testing.T) {
	t.Parallel()
	const seed = "HOSTNAME=10.0.0.2\nDEVICE_USER=root\nPASSWORD=s3cret\n"
	for _, row := range []struct {
		name, target, env string
		want              string // "" is wrong usage
		password          string
		says              string
	}{
		{"the seed's file alone", "", seed, "ssh://root@10.0.0.2", "s3cret", ""},
		{"the file's host, said again", "10.0.0.2", seed, "ssh://root@10.0.0.2", "s3cret", ""},
		{"the file's host with a port", "ssh://10.0.0.2:2222", seed, "ssh://root@10.0.0.2:2222", "s3cret", ""},
		{"another host does not get the password", "other", seed, "ssh://other", "", ""},
		{"another user does not get it either", "me@10.0.0.2", seed, "ssh://me@10.0.0.2", "", ""},
		{"a file without a host is for all", "other", "DEVICE_USER=root\nPASSWORD=s3cret", "ssh://root@other", "s3cret", ""},
		{"a host with a port in the file", "", "HOSTNAME=ssh://a:22\nPASSWORD=s3cret", "ssh://a:22", "s3cret", ""},
		{"ADB in the file", "", "HOSTNAME=adb:x", "adb:x", "", ""},
		{"local, whatever the file says", "local", seed, "local", "", ""},
		{"nothing said at all", "", "", "", "", "--device"},
		{"no target", "a:b", seed, "", "", "ssh://"},
		{"no target in the file", "", "HOSTNAME=ssh://u:s3cret@h", "", "", "HOSTNAME in"},
		{"a broken file", "h", "PASSWORD='s3cret", "", "", "line 1"},
	} {
		got, env, err := Options{Target: row.target, EnvFile: envFileOf(t, row.env)}.target()
		if row.want == "" {
			if err == nil || !strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v %v", row.name, got, err)
			}
			continue
		}
		if err != nil || got.String() != row.want || env.passwordFor(got) != row.password {
			t.Errorf("%s: %s %q %v", row.name, got, env.passwordFor(got), err)
		}
	}
	if _, err := Open(t.Context(), Options{Target: "h", EnvFile: none}); !errors.Is(err, ErrUsage) {
		t.Errorf("a named file that is not there: %v", err)
	}
	if _, err := Open(t.Context(), Options{Target: "a:b", EnvFile: os.DevNull}); !errors.Is(err, ErrUsage) {
		t.Errorf("no target: %v", err)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{Env: map[string]string{"BOARD": "a b $x"}})
	run := func(t *testing.T, o Options) {
		t.Helper()
		d, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		var out bytes.Buffer
		c := device.Shell(`printf %s "$BOARD"`)
		c.Stdout = &out
		if err := d.Run(t.Context(), c); err != nil || o.Target != "local" && out.String() != "a b $x" {
			t.Errorf("%q %v", out.String(), err)
		}
	}
	t.Run("local", func(t *testing.T) {
		t.Parallel()
		run(t, Options{Target: "local"})
	})
	t.Run("over SSH", func(t *testing.T) {
		t.Parallel()
		run(t, options(s))
	})
	t.Run("the host of the file", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.EnvFile = envFileOf(t, "HOSTNAME="+o.Target)
		o.Target = ""
		run(t, o)
	})
	t.Run("an unknown key is shown, and remembered if somebody says yes", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
		a := &asked{}
		o.Asker = a
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || len(a.questions) != 1 || !strings.Contains(a.questions[0], ssh.FingerprintSHA256(s.HostKey)) {
			t.Errorf("no: %v %q", err, a.questions)
		}
		a.yes = true
		run(t, o)
		o.Asker = nil
		run(t, o)
	})
	t.Run("nobody can say yes", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "--accept-new-host-key") {
			t.Errorf("%v", err)
		}
		o.AcceptNewHostKey = true
		run(t, o)
	})
	t.Run("a changed key is refused, whatever is said, and its line is named", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		other, _, err := sshtest.WriteKey(filepath.Join(t.TempDir(), "k"), "")
		if err != nil {
			t.Fatal(err)
		}
		o.KnownHosts = filepath.Join(t.TempDir(), "known_hosts")
		text := fmt.Sprintf("# a comment\n\n[127.0.0.1]:%d %s", s.Target.Port, ssh.MarshalAuthorizedKey(other))
		if err := os.WriteFile(o.KnownHosts, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o.AcceptNewHostKey, o.Asker = true, &asked{yes: true}
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), o.KnownHosts+":3") {
			t.Errorf("%v", err)
		}
	})
	t.Run("nobody is there", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.Target = "ssh://127.0.0.1:1"
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || !errors.Is(err, device.ErrLost) {
			t.Errorf("%v", err)
		}
	})
	t.Run("not let in, and nobody to ask: what to do is said, the password is not", func(t *testing.T) {
		t.Parallel()
		o := options(s)
		o.Identities = []string{}
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "ssh-copy-id") {
			t.Errorf("%v", err)
		}
		o.EnvFile = envFileOf(t, "PASSWORD=s3cret")
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "s3cret") {
			t.Errorf("%v", err)
		}
		o.EnvFile = envFileOf(t, "HOSTNAME=elsewhere\nPASSWORD=s3cret")
		if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), "is for elsewhere and was not sent") {
			t.Errorf("%v", err)
		}
	})
}

// A password that was not even needed goes nowhere: it is in no name and not on the device.
func TestThePasswordIsNotOnTheDevice(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	o := options(s)
	o.EnvFile = envFileOf(t, "PASSWORD=s3cret-word")
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	var out bytes.Buffer
	c := device.Shell("env; cat /proc/$$/cmdline /proc/$PPID/cmdline; ps ax 2>/dev/null || :")
	c.Stdout = &out
	if err := d.Run(t.Context(), c); err != nil || out.Len() == 0 || strings.Contains(out.String()+d.Name(), "s3cret") {
		t.Errorf("%v, %d bytes", err, out.Len())
	}
}

func TestAnswersAreRememberedForANewConnection(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	path, _ := s.NewKey(t, "s3cret")
	o := options(s)
	a := &asked{secrets: []string{"mistyped", "s3cret"}}
	o.Identities, o.Asker = []string{path}, a
	o.Retry.Delay = 10 * time.Millisecond
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 2 {
		s.Drop()
		if err := d.Reconnect(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := d.Run(t.Context(), device.Shell("true")); err != nil {
			t.Error(err)
		}
	}
	if len(a.questions) != 2 {
		t.Errorf("asked %q", a.questions)
	}
}

// A device whose key is another one after it was lost is refused, and not waited for.
func TestAnotherDeviceInItsPlace(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	o := options(s)
	o.AcceptNewHostKey = true
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	other, _, err := sshtest.WriteKey(filepath.Join(t.TempDir(), "k"), "")
	if err != nil {
		t.Fatal(err)
	}
	line := fmt.Sprintf("[127.0.0.1]:%d %s", s.Target.Port, ssh.MarshalAuthorizedKey(other))
	if err := os.WriteFile(s.KnownHosts, []byte(line), 0o600); err != nil {
		t.Fatal(err)
	}
	s.Drop()
	err = d.Retry(t.Context(), "step", 3, nil, func(ctx context.Context) error { return d.Run(ctx, device.Shell("true")) })
	if !errors.Is(err, ErrUnavailable) || !strings.Contains(err.Error(), s.KnownHosts+":1") {
		t.Errorf("%v", err)
	}
}
