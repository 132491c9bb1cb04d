package dial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	gossh "golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
	"quantcheck/internal/device/monitor"
	"quantcheck/internal/device/probe"
	"quantcheck/internal/device/ssh"
	"quantcheck/internal/device/sshtest"
)

// hasty is a device whose commands have a second where they have minutes, and counts what they take in.
type hasty struct {
	device.Device
	limit time.Duration
	took  atomic.Int64
}

func (h *hasty) Run(ctx context.Context, c device.Command) error {
	if c.Limits.Time >= 0 {
		c.Limits.Time = h.limit
	}
	if c.Limits.Idle > 0 {
		c.Limits.Idle = h.limit
	}
	if c.Stdout != nil {
		c.Stdout = &counted{c.Stdout, &h.took}
	}
	return h.Device.Run(ctx, c)
}

type counted struct {
	io.Writer
	n *atomic.Int64
}

func (c *counted) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return c.Writer.Write(p)
}

// Whatever a device says to whatever it is asked, and however long it takes: every use of it ends, with an error, without having taken
// in more than it may.
func TestWhatADeviceMaySayAndHowLong(t *testing.T) {
	t.Parallel()
	repeat := func(text string, pause time.Duration, to func(gossh.Channel) io.Writer) func(string, gossh.Channel) {
		return func(_ string, c gossh.Channel) {
			for w := to(c); ; time.Sleep(pause) {
				if _, err := io.WriteString(w, text); err != nil {
					return
				}
			}
		}
	}
	stdout := func(c gossh.Channel) io.Writer { return c }
	stderr := func(c gossh.Channel) io.Writer { return c.Stderr() }
	lines := strings.Repeat("held 1 1 {\"host\":\"\x1b[2J\"}\nmarker x\n", 1000)
	behaviours := map[string]func(string, gossh.Channel){
		"floods on stdout":  repeat(lines, 0, stdout),
		"floods on stderr":  repeat(lines, 0, stderr),
		"floods one line":   repeat(strings.Repeat("x", 1<<15), 0, stdout),
		"drips on stdout":   repeat("x", 20*time.Millisecond, stdout),
		"drips on stderr":   repeat("x", 20*time.Millisecond, stderr),
		"is silent":         nil,
		"closes at once":    func(_ string, c gossh.Channel) { _ = c.Close() },
		"ends without word": func(string, gossh.Channel) {},
	}
	const dir = "/data/tests"
	uses := map[string]func(context.Context, device.Device) error{
		"show": func(ctx context.Context, d device.Device) error {
			_, err := probe.Describe(ctx, d, dir, dir+"/lock")
			return err
		},
		"clean": func(ctx context.Context, d device.Device) error {
			_, err := device.Leftovers(ctx, d, dir)
			return err
		},
		"sweep": func(ctx context.Context, d device.Device) error { _, err := device.Sweep(ctx, d, dir); return err },
		"lock": func(ctx context.Context, d device.Device) error {
			_, err := device.Lock(ctx, d, dir+"/lock", nil)
			return err
		},
		"holder": func(ctx context.Context, d device.Device) error {
			_, err := device.Holder(ctx, d, dir+"/lock")
			return err
		},
		"push": func(ctx context.Context, d device.Device) error {
			return device.Push(ctx, d, device.FromBytes(make([]byte, 1<<20), dir+"/f"))
		},
		"sums": func(ctx context.Context, d device.Device) error {
			_, err := device.Sums(ctx, d, []string{dir + "/f"})
			return err
		},
		"pull": func(ctx context.Context, d device.Device) error {
			return device.Pull(ctx, d, dir+"/f", 1<<20, io.Discard)
		},
		"watch": func(ctx context.Context, d device.Device) error {
			ctx, cancel := context.WithTimeoutCause(ctx, 2*time.Second, errors.New("the user's Ctrl-C"))
			defer cancel()
			if err := monitor.Watch(ctx, d, time.Second, func(monitor.Sample) {}); err != nil {
				return err
			}
			return context.Cause(ctx)
		},
	}
	for how, session := range behaviours {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			target, known := sshtest.Hostile{Session: session}.Serve(t)
			var all sync.WaitGroup
			for what, use := range uses {
				all.Go(func() { endsBadly(t, what, strings.HasPrefix(how, "floods"), target, known, use) })
			}
			all.Wait()
		})
	}
}

// endsBadly uses a hostile device.
func endsBadly(t *testing.T, what string, floods bool, target device.Target, known string, use func(context.Context, device.Device) error) {
	c, err := ssh.Open(t.Context(), target, ssh.Options{ConfigFile: none, KnownHosts: known, Identities: []string{}, Agent: "none", Timeout: 5 * time.Second})
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close()
	d := &hasty{Device: c, limit: time.Second}
	if floods { // It is to be the flood that ends it.
		d.limit = time.Minute
	}
	began := time.Now()
	err = use(t.Context(), d)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("%s: it took %s", what, took)
	}
	// A lock that nobody holds is an answer too.
	if err == nil && what != "holder" {
		t.Errorf("%s: it ended well", what)
	}
	if floods && what != "watch" && !errors.Is(err, device.ErrTooMuch) {
		t.Errorf("%s: %v", what, err)
	}
	if n := d.took.Load(); n > 20<<20 {
		t.Errorf("%s: %d MiB were taken in", what, n>>20)
	}
	if err != nil && len(err.Error()) > 16<<10 {
		t.Errorf("%s: an error of %d bytes", what, len(err.Error()))
	}
}

// A server that asks for the passphrase of a local key does not get it, not even from memory.
func TestAPassphraseIsNotAnAnswerToAServer(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "id")
	public, _, err := sshtest.WriteKey(path, "local s3cret")
	if err != nil {
		t.Fatal(err)
	}
	asksFor := ssh.Question{What: "passphrase of the private key " + path}.String()
	var got []string
	target, known := sshtest.Hostile{Configure: func(c *gossh.ServerConfig) {
		// The key is good, and not enough.
		c.PublicKeyCallback = func(_ gossh.ConnMetadata, key gossh.PublicKey) (*gossh.Permissions, error) {
			if string(key.Marshal()) != string(public.Marshal()) {
				return nil, errors.New("no")
			}
			return nil, &gossh.PartialSuccessError{Next: gossh.ServerAuthCallbacks{
				KeyboardInteractiveCallback: func(_ gossh.ConnMetadata, ask gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
					answers, err := ask("", "", []string{asksFor}, []bool{false})
					got = append(got, answers...)
					return nil, errors.Join(errors.New("no"), err)
				},
			}}
		}
	}}.Serve(t)
	a := &asked{secrets: []string{"local s3cret", "for the server"}}
	o := Options{
		Target: target.String(), EnvFile: os.DevNull, ConfigFile: none, KnownHosts: known, Agent: "none", Identities: []string{path}, Asker: a,
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v", err)
	}
	for _, answer := range got {
		if strings.Contains(answer, "local") {
			t.Errorf("the server got %q", answer)
		}
	}
	server := fmt.Sprintf("The server root@127.0.0.1:%d asks ", target.Port)
	if len(got) == 0 || len(a.questions) < 2 || a.questions[0] != asksFor || !strings.HasPrefix(a.questions[1], server) {
		t.Errorf("asked %q, the server got %q", a.questions, got)
	}
}

func TestSettingsThatOthersCanRead(t *testing.T) {
	t.Parallel()
	const secret = "s3cret"
	target, known := sshtest.Hostile{Configure: func(c *gossh.ServerConfig) {
		c.PasswordCallback = func(_ gossh.ConnMetadata, p []byte) (*gossh.Permissions, error) {
			if string(p) != secret {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	}}.Serve(t)
	for _, row := range []struct {
		mode os.FileMode
		is   error // nil: it is let in
	}{{0o600, nil}, {0o400, nil}, {0o644, ErrUnavailable}, {0o640, ErrUnavailable}, {0o606, ErrUsage}, {0o620, ErrUsage}} {
		name := envFileOf(t, "HOSTNAME="+target.String()+"\nPASSWORD="+secret+"\n")
		if err := os.Chmod(name, row.mode); err != nil {
			t.Fatal(err)
		}
		var warned []string
		d, err := Open(t.Context(), Options{
			EnvFile: name, ConfigFile: none, KnownHosts: known, Agent: "none", Identities: []string{none}, Warn: func(text string) { warned = append(warned, text) },
		})
		if row.is == nil {
			if err != nil || warned != nil {
				t.Errorf("%04o: %v, warned %q", row.mode, err, warned)
				continue
			}
			_ = d.Close() // It was only opened.
			continue
		}
		if !errors.Is(err, row.is) || !strings.Contains(err.Error(), "too open") || !strings.Contains(err.Error(), "chmod") || strings.Contains(err.Error(), secret) {
			t.Errorf("%04o: %v", row.mode, err)
		}
		if errors.Is(row.is, ErrUnavailable) && (len(warned) != 1 || !strings.Contains(warned[0], "chmod 600 "+name)) {
			t.Errorf("%04o: warned %q", row.mode, warned)
		}
	}
	// What is no secret needs no hiding.
	name := envFileOf(t, "HOSTNAME=local\n")
	if err := os.Chmod(name, 0o644); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), Options{EnvFile: name, Warn: func(text string) { t.Errorf("warned %q", text) }})
	if err != nil {
		t.Fatal(err)
	}
	_ = d.Close() // It was only opened.
}
