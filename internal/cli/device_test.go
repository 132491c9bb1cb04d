package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"quantcheck/internal/device"
	"quantcheck/internal/device/devicetest"
	"quantcheck/internal/device/local"
	"quantcheck/internal/device/monitor"
	"quantcheck/internal/device/probe"
	"quantcheck/internal/device/sshtest"
	"quantcheck/internal/fakeboard"
	"quantcheck/internal/terminal"
)

// atHome lets what is read from the user's folder be the test's: known_hosts, keys, configuration.
func atHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("SSH_AUTH_SOCK", "")
	return home
}

// The whole way over a real SSH server: the host and a password in a file of settings, a new key that is accepted, a private key
// that lets in. Neither the password nor anything of the key is printed, or reaches the device.
func TestDeviceOverSSH(t *testing.T) {
	home := atHome(t)
	s := sshtest.Start(t, sshtest.Options{})
	const secret = "s3cret-word"
	settings := filepath.Join(home, "settings")
	if err := os.WriteFile(settings, []byte("HOSTNAME="+s.Target.String()+"\nPASSWORD="+secret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tests")
	flags := []string{"--env-file", settings, "--identity", s.Identity, "--device-dir", dir}
	run := func(status int, args ...string) (string, string) {
		t.Helper()
		var out, errs bytes.Buffer
		got := Run(t.Context(), append(append([]string{"device"}, args...), flags...), strings.NewReader(""), &out, &errs)
		if got != status || strings.Contains(out.String()+errs.String(), secret) {
			t.Errorf("%q: status %d\n%s%s", args, got, out.String(), errs.String())
		}
		return out.String(), errs.String()
	}
	if _, errs := run(exitUnavailable, "show"); !strings.Contains(errs, "--accept-new-host-key") {
		t.Errorf("an unknown key: %s", errs)
	}
	run(exitDone, "show", "--accept-new-host-key")
	out, _ := run(exitDone) // It is the default, and the key is known now.
	if !strings.Contains(out, "ssh://") || !strings.Contains(out, "missing: snpe-net-run") {
		t.Errorf("%s", out)
	}
	out, _ = run(exitDone, "show", "--json")
	var f struct {
		probe.Facts
		Advice []probe.Advice `json:"advice"`
	}
	if err := json.Unmarshal([]byte(out), &f); err != nil || f.Dir != dir || len(f.Advice) == 0 {
		t.Errorf("%v %+v", err, f)
	}
	out, _ = run(exitDone, "watch", "--json", "--interval", "50ms", "--for", "400ms")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, line := range lines {
		var sample monitor.Sample
		if err := json.Unmarshal([]byte(line), &sample); err != nil || sample.Load == nil || sample.Time.IsZero() {
			t.Errorf("%v %s", err, line)
		}
	}
	if len(lines) < 2 {
		t.Errorf("%d lines", len(lines))
	}
	if out, _ := run(exitDone, "watch", "--interval", "50ms", "--for", "300ms"); !strings.Contains(out, "memory") {
		t.Errorf("%s", out)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("looking made the folder")
	}
	// Another host does not get that password.
	if _, errs := run(exitUnavailable, "show", "ssh://nobody@127.0.0.1:1"); !strings.Contains(errs, "refused") {
		t.Errorf("%s", errs)
	}
	s.Stop()
	run(exitUnavailable)
}

// sampled counts the samples that are written, and calls back at some.
type sampled struct {
	n  int
	at map[int]func()
}

func (o *sampled) Write(p []byte) (int, error) {
	o.n++
	if f := o.at[o.n]; f != nil {
		go f()
	}
	return len(p), nil
}

// A board that restarts while it is watched is watched on; Ctrl-C ends it at once.
func TestDeviceWatchOverARestart(t *testing.T) {
	atHome(t)
	s := sshtest.Start(t, sshtest.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var interrupted time.Time
	out := &sampled{at: map[int]func(){
		2: func() {
			if err := s.Restart(t.Context()); err != nil {
				t.Error(err)
			}
		},
		20: func() { interrupted = time.Now(); cancel() },
	}}
	var errs bytes.Buffer
	status := Run(ctx, []string{"device", "watch", s.Target.String(), "--json", "--interval", "100ms", "--identity", s.Identity, "--accept-new-host-key"}, strings.NewReader(""), out, &errs)
	if status != exitInterrupted || time.Since(interrupted) > slowed*time.Second || out.n < 20 {
		t.Errorf("status %d after %s, %d samples\n%s", status, time.Since(interrupted), out.n, errs.String())
	}
	if !strings.Contains(errs.String(), "attempt 1") {
		t.Errorf("nothing was said of the lost connection: %s", errs.String())
	}
}

func TestDeviceLocks(t *testing.T) {
	atHome(t)
	dir := t.TempDir()
	run := func(status int, args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if got := Run(t.Context(), append([]string{"device"}, append(args, "local", "--device-dir", dir)...), strings.NewReader(""), &out, &errs); got != status {
			t.Errorf("%q: status %d\n%s%s", args, got, out.String(), errs.String())
		}
		return out.String() + errs.String()
	}
	d := local.Open()
	defer d.Close()
	lock := lockFile(dir)
	if text := run(exitDone, "unlock"); !strings.Contains(text, "Nobody") {
		t.Errorf("%s", text)
	}
	mine, err := device.Lock(t.Context(), d, lock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { // which is broken below
		if err := mine.Unlock(t.Context(), d); err != nil {
			t.Error(err)
		}
	}()
	if text := run(exitDone, "show"); !strings.Contains(text, device.Me().String()) || !strings.Contains(text, "somebody works") {
		t.Errorf("%s", text)
	}
	if text := run(exitUsage, "unlock"); !strings.Contains(text, device.Me().String()) || !strings.Contains(text, "--yes") {
		t.Errorf("%s", text)
	}
	// What an earlier run has left, while somebody works there.
	gone := devicetest.Ended(t)
	owner, err := json.Marshal(gone)
	if err != nil {
		t.Fatal(err)
	}
	made := filepath.Join(dir, "made by it")
	for name, text := range map[string]string{
		made: "x", filepath.Join(dir, ".quantcheck-made-X"): fmt.Sprintf("%s\n%q\n", owner, made), filepath.Join(dir, "kept"): "x",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(exitUnavailable, "clean")
	if text := run(exitDone, "unlock", "--yes"); !strings.Contains(text, "broken") {
		t.Errorf("%s", text)
	}
	if text := run(exitDone, "clean"); !strings.Contains(text, made) {
		t.Errorf("%s", text)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 || files[0].Name() != "kept" {
		t.Errorf("%v %v", files, err)
	}
	run(exitDone, "clean")
	if err := os.WriteFile(lock, fmt.Appendf(nil, "1700000000 %s\n", owner), 0o600); err != nil {
		t.Fatal(err)
	}
	if text := run(exitDone, "clean"); !strings.Contains(text, "the lock of "+gone.String()) {
		t.Errorf("%s", text)
	}
	if _, err := os.Stat(lock); err == nil {
		t.Error("the lock of a run that has ended is left")
	}
}

func TestDeviceUsage(t *testing.T) {
	atHome(t)
	for _, args := range [][]string{
		{"show", "a:b"}, {"show", "ssh://u:s3cret@h"}, {"show", "local", "--device-dir", "relative"}, {"show", "local", "--device-dir", "/"},
		{"watch", "local", "--interval", "1ms"}, {"show", "h", "--env-file", "/none/none"}, {"show"},
	} {
		var out, errs bytes.Buffer
		if got := Run(t.Context(), append([]string{"device"}, args...), strings.NewReader(""), &out, &errs); got != exitUsage || strings.Contains(errs.String(), "s3cret") {
			t.Errorf("%q: status %d %s", args, got, errs.String())
		}
	}
}

func TestWatchLines(t *testing.T) {
	t.Parallel()
	of := func(f float64) *float64 { return &f }
	for _, row := range []struct {
		name string
		s    monitor.Sample
		want string
	}{
		{"nothing", monitor.Sample{}, "the device offers nothing to watch"},
		{"zero is not nothing", monitor.Sample{CPU: of(0), DSP: of(0)}, "CPU   0 %|DSP   0 %"},
		{"hottest first", monitor.Sample{Temps: []monitor.Temp{{Zone: "a", Celsius: 30}, {Zone: "b", Type: "nsp", Celsius: 60.25}, {Zone: "c", Celsius: 40}}}, "60.2 °C nsp|40.0 °C c|(1 more, cooler)"},
		{"power and clocks", monitor.Sample{
			Power: []monitor.Power{{Source: "hwmon0/power1", Watts: 7.5}}, Clocks: []monitor.Clock{{Name: "cpu0", MHz: 2000}, {Name: "cpu1", MHz: 500}, {Name: "ddr", MHz: 800}},
		}, "7.50 W hwmon0/power1|cores at 500 to 2000 MHz, ddr 800 MHz"},
		{"what a terminal would obey", monitor.Sample{Temps: []monitor.Temp{{Type: "\x1b[2J", Celsius: 1}}}, `1.0 °C \u001b[2J`},
	} {
		if got := strings.Join(watchLines(&row.s, 2), "|"); got != row.want {
			t.Errorf("%s: %q", row.name, got)
		}
	}
	var out bytes.Buffer
	s := monitor.Sample{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), CPU: of(50)}
	if err := newWatchView(terminal.New(&out), false)(&s); err != nil || out.String() != "03:04:05  CPU  50 %\n" {
		t.Errorf("%q %v", out.String(), err)
	}
}

// With the stand-in board's tools: their version and verdicts are read, and the DSP's load.
func TestDeviceOfTheStandInBoard(t *testing.T) {
	t.Parallel()
	b := fakeboard.Install(t, fakeboard.Options{})
	s := sshtest.Start(t, sshtest.Options{Env: map[string]string{"PATH": b.Path()}})
	run := func(args ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		args = append(append([]string{"device"}, args...), "--known-hosts", s.KnownHosts, "--identity", s.Identity, "--device-dir", t.TempDir())
		if status := Run(t.Context(), args, strings.NewReader(""), &out, &errs); status != exitDone {
			t.Errorf("%q: status %d %s", args, status, errs.String())
		}
		return out.String()
	}
	text := run("show", s.Target.String())
	for _, want := range []string{"SNPE        2.22.6", "DSP: supported, Hexagon", filepath.Join(b.Bin, "snpe-net-run"), "left there  nothing"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.Contains(text, "needed") || strings.Contains(text, "DSP: not") {
		t.Errorf("%s", text)
	}
	lines := strings.Split(strings.TrimSpace(run("watch", s.Target.String(), "--json", "--interval", "100ms", "--for", "900ms")), "\n")
	var last monitor.Sample
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.DSP == nil {
		t.Errorf("%v %s", err, lines[len(lines)-1])
	}
	b.Inject(fakeboard.Fault{Kind: fakeboard.Unsupported})
	if text := run("show", s.Target.String()); !strings.Contains(text, "DSP: not supported, -2") || !strings.Contains(text, "ADSP_LIBRARY_PATH") {
		t.Errorf("%s", text)
	}
}
