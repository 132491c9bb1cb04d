package ssh

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"quantcheck/internal/device"
	"quantcheck/internal/device/sshtest"
	"quantcheck/internal/terminal"
)

// without are options for a server that lets everybody in, and gives up after a second.
func without(known string) Options {
	return Options{ConfigFile: "/none", KnownHosts: known, Identities: []string{}, Agent: "none", Timeout: time.Second}
}

// TestLogins are those that a server draws out: none lasts much longer than the time-out, or takes much memory.
func TestLogins(t *testing.T) {
	t.Parallel()
	drip := func(what string) func(net.Conn) {
		return func(c net.Conn) {
			for {
				for i := range len(what) {
					if _, err := c.Write([]byte{what[i]}); err != nil {
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			}
		}
	}
	flood := func(what string) func(net.Conn) {
		block := []byte(strings.Repeat(what, 1<<16/len(what)))
		return func(c net.Conn) {
			for {
				if _, err := c.Write(block); err != nil {
					return
				}
			}
		}
	}
	banner := func(text string) func(*ssh.ServerConfig) {
		return func(c *ssh.ServerConfig) {
			c.BannerCallback = func(ssh.ConnMetadata) string { return text }
			c.PasswordCallback = func(ssh.ConnMetadata, []byte) (*ssh.Permissions, error) { return nil, errors.New(text) }
		}
	}
	for _, row := range []struct {
		name string
		sshtest.Hostile
	}{
		{"never a word", sshtest.Hostile{Raw: func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }}},
		{"closes at once", sshtest.Hostile{Raw: func(net.Conn) {}}},
		{"drips its version", sshtest.Hostile{Raw: drip("SSH-2.0-slow")}},
		{"drips lines before it", sshtest.Hostile{Raw: drip("\x1b[2J\r\n")}},
		{"floods lines before it", sshtest.Hostile{Raw: flood("\x1b]0;t\x07\r\n")}},
		{"floods a version", sshtest.Hostile{Raw: flood("SSH-2.0-x")}},
		{"floods what is no handshake", sshtest.Hostile{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n") // The flood notices the end.
			flood("\x1b\x07\xff\x00")(c)
		}}},
		{"drips after its version", sshtest.Hostile{Raw: func(c net.Conn) {
			_, _ = io.WriteString(c, "SSH-2.0-x\r\n") // The drip notices the end.
			drip("\x00\x00\x10\x00\x05\x14")(c)
		}}},
		{"a banner of many bytes, and a refusal", sshtest.Hostile{Configure: banner(strings.Repeat("\x1b[2J", 50000))}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			target, known := row.Serve(t)
			o := without(known)
			o.Password = "s3cret"
			began := time.Now()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Open(t.Context(), target, o)
			runtime.ReadMemStats(&after)
			if err == nil || time.Since(began) > 4*time.Second || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%v after %s", err, time.Since(began))
			}
			if err != nil && len(err.Error()) > 4096 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			if grown := int64(after.Sys) - int64(before.Sys); grown > 200<<20 { //nolint:gosec // no exabytes
				t.Errorf("it took %d MiB", grown>>20)
			}
		})
	}
}

// asks lets users in who answer a server's questions.
func asks(name, instruction string, questions []string, echo bool, right string) func(*ssh.ServerConfig) {
	return func(c *ssh.ServerConfig) {
		c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			echos := make([]bool, len(questions))
			for i := range echos {
				echos[i] = echo
			}
			answers, err := ask(name, instruction, questions, echos)
			if err != nil || len(answers) == 0 || answers[len(answers)-1] != right {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	}
}

// A server's questions are its own: marked with its name, harmless, and none of them gets what is meant for another.
func TestAServersQuestions(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "id")
	if _, _, err := sshtest.WriteKey(key, "local s3cret"); err != nil {
		t.Fatal(err)
	}
	mine := Question{What: "passphrase of the private key " + key}.String()
	for _, row := range []struct {
		name, says, asks string
		echo             bool
		takesSet         bool // the password that is set is sent
	}{
		{"the password", "", "Password: ", false, true},
		{"in PAM's words", "", "(root@127.0.0.1) Password: ", false, true},
		{"with the user's name", "", "root's password:", false, true},
		{"for the user", "", "Password for root@board:", false, true},
		{"the password, to be shown", "", "Password: ", true, false},
		{"the passphrase of a local key", "", mine, false, false},
		{"the same in OpenSSH's words", "", "Enter passphrase for key '" + key + "': ", false, false},
		{"a one-time password", "", "One-time password (OATH) for `root': ", false, false},
		{"a code", "", "Verification code: ", false, false},
		{"nothing", "", "", false, false},
		{"words that a terminal obeys", "\x1b]0;t\x07\u202e", "\x1b[2J\x1b[H\r\nquantcheck needs the password: \x9b", false, false},
		{"very many words", strings.Repeat("x", 100000), strings.Repeat("Password: ", 10000), false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			target, known := sshtest.Hostile{Configure: asks("", row.says, []string{row.asks}, row.echo, "set s3cret")}.Serve(t)
			o := without(known)
			o.Identities, o.Password = []string{key}, "set s3cret"
			// Without anybody to ask.
			d, err := Open(t.Context(), target, o)
			if (err == nil) != row.takesSet {
				t.Errorf("the password that is set: %v", err)
			}
			if err == nil {
				_ = d.Close() // It was only opened.
			}
			// With somebody who tells everybody everything.
			var asked []Question
			o.Password = ""
			o.Ask = func(q Question) (string, error) {
				asked = append(asked, q)
				return "local s3cret", nil
			}
			if _, err := Open(t.Context(), target, o); err == nil {
				t.Error("the wrong answer lets in")
			}
			server := fmt.Sprintf("root@127.0.0.1:%d", target.Port)
			if len(asked) == 0 || len(asked) > questionsLimit {
				t.Errorf("asked %d times", len(asked))
			}
			for _, q := range asked {
				text := q.String()
				if q.Server != server || !strings.HasPrefix(text, "The server "+server+" ") || text == mine || len(text) > 3000 || strings.Contains(text, "\n") {
					t.Errorf("%q", text)
				}
				if strings.ContainsFunc(text, terminal.Unsafe) {
					t.Errorf("not harmless: %q", text)
				}
			}
		})
	}
	for name, questions := range map[string]int{"many at once": 1000, "none": 0, "one after the other": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			target, known := sshtest.Hostile{Configure: func(c *ssh.ServerConfig) {
				c.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
					for {
						if _, err := ask("", "", make([]string, questions), make([]bool, questions)); err != nil {
							return nil, err
						}
					}
				}
			}}.Serve(t)
			o := without(known)
			asked := 0
			o.Ask = func(Question) (string, error) { asked++; return "", nil }
			began := time.Now()
			if _, err := Open(t.Context(), target, o); err == nil || asked > questionsLimit || time.Since(began) > 5*time.Second {
				t.Errorf("%v, asked %d times in %s", err, asked, time.Since(began))
			}
		})
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add("says \"x\"", "Password: ")
	f.Add("0", " ")
	f.Fuzz(func(t *testing.T, says, asks string) {
		text := asked("u@h:22", says, asks).String()
		if strings.ContainsFunc(text, terminal.Unsafe) || len(text) > 20*wordsLimit || !strings.HasPrefix(text, "The server u@h:22 ") {
			t.Errorf("%q", text)
		}
		if strings.Count(text, `"`) > 4 {
			t.Errorf("it leaves its quotation marks: %q", text)
		}
	})
}

// A server that answers signs of life, and nothing else.
func TestCommandsThatAreNotBegun(t *testing.T) {
	t.Parallel()
	target, known := sshtest.Hostile{Refuse: true}.Serve(t)
	d, err := Open(t.Context(), target, without(known))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	began := time.Now()
	if err := d.Run(t.Context(), device.Shell("true")); !errors.Is(err, device.ErrLost) || time.Since(began) > 3*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

func TestKeysThatOthersCanRead(t *testing.T) {
	t.Parallel()
	s := sshtest.Start(t, sshtest.Options{})
	text, err := os.ReadFile(s.Identity)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		mode os.FileMode
		in   bool
	}{{0o600, true}, {0o400, true}, {0o700, true}, {0o640, false}, {0o604, false}, {0o644, false}, {0o660, false}, {0o601, false}} {
		key := filepath.Join(t.TempDir(), "id")
		if err := os.WriteFile(key, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(key, row.mode); err != nil {
			t.Fatal(err)
		}
		o := options(s)
		var warned []string
		o.Identities, o.Warn = []string{key}, func(text string) { warned = append(warned, text) }
		d, err := Open(t.Context(), s.Target, o)
		if (err == nil) != row.in || (len(warned) == 0) != row.in {
			t.Errorf("%04o: %v, warned %q", row.mode, err, warned)
		}
		if err == nil {
			_ = d.Close() // It was only opened.
			continue
		}
		want := fmt.Sprintf("permissions %04o are too open", row.mode)
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "chmod 600 "+key) || !strings.Contains(strings.Join(warned, ""), want) {
			t.Errorf("%04o: %v, warned %q", row.mode, err, warned)
		}
	}
}

func TestFilesOfSettings(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		mode  os.FileMode
		owner int
		good  bool
	}{
		{0o600, os.Getuid(), true}, {0o644, os.Getuid(), true}, {0o664, os.Getuid(), false}, {0o646, os.Getuid(), false}, {0o644, 65533, false},
	} {
		name := filepath.Join(t.TempDir(), "config")
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if row.owner != os.Getuid() {
			if err := os.Chown(name, row.owner, -1); err != nil {
				t.Logf("not tried, since only root may give files away: %v", err)
				continue
			}
		}
		if err := os.Chmod(name, row.mode); err != nil {
			t.Fatal(err)
		}
		var e *FileError
		if err := Foreign(name); (err == nil) != row.good || err != nil && !errors.As(err, &e) {
			t.Errorf("%04o of %d: %v", row.mode, row.owner, err)
		}
	}
	for _, name := range []string{os.DevNull, "/none/none"} {
		if Foreign(name) != nil || TooOpen(name) != nil {
			t.Errorf("%s is no file", name)
		}
	}
}
