package adb

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"quantcheck/internal/device"
	"quantcheck/internal/device/devicetest"
)

// The test's own program takes adb's place, with this machine as the device, if this variable says so. Its value is after how
// many bytes the connection breaks; less than 0 is never.
const standIn = "QUANTCHECK_TEST_ADB"

func TestMain(m *testing.M) {
	if cut := os.Getenv(standIn); cut != "" {
		after, err := strconv.ParseInt(cut, 10, 64)
		if err != nil {
			panic(err)
		}
		os.Exit(actAsADB(os.Args[1:], after))
	}
	os.Exit(m.Run())
}

func actAsADB(args []string, after int64) int {
	if len(args) > 1 && args[0] == "-s" {
		if args[1] == "flood" {
			for {
				if _, err := fmt.Println(strings.Repeat("shell_v2,", 1000)); err != nil {
					return 1
				}
			}
		}
		if args[1] != "serial-1" && args[1] != "old" {
			fmt.Fprintf(os.Stderr, "error: device '%s' not found\n", args[1])
			return 1
		}
		args = append([]string{args[1]}, args[2:]...)
	} else {
		args = append([]string{"serial-1"}, args...)
	}
	switch {
	case len(args) == 2 && args[1] == "get-serialno":
		fmt.Println(args[0])
	case len(args) == 2 && args[1] == "features" && args[0] == "old":
		fmt.Println("cmd")
	case len(args) == 2 && args[1] == "features":
		fmt.Println("shell_v2\ncmd\nstat_v2")
	case len(args) == 4 && args[1] == "shell" && args[2] == "-T":
		return actAsShell(args[3], after)
	default:
		fmt.Fprintf(os.Stderr, "adb: usage: not %q\n", args)
		return 1
	}
	return 0
}

// actAsShell runs a script as adbd does: in a session of its own, which goes on without its streams when adb is gone.
func actAsShell(script string, after int64) int {
	cmd := exec.Command("sh", "-c", script) //nolint:noctx // It is meant to go on.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	var left atomic.Int64
	left.Store(after)
	limit := func(w io.Writer) io.Writer {
		if after < 0 {
			return w
		}
		return writer(func(p []byte) (int, error) {
			if rest := left.Add(-int64(len(p))); rest < 0 {
				_, _ = w.Write(p[:max(0, int64(len(p))+rest)]) // It is about to break.
				fmt.Fprintln(os.Stderr, "error: closed")
				os.Exit(1)
			}
			return w.Write(p)
		})
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		panic(err)
	}
	cmd.Stdout, cmd.Stderr = limit(os.Stdout), limit(os.Stderr)
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	go func() {
		_, _ = io.Copy(limit(struct{ io.Writer }{in}), struct{ io.Reader }{os.Stdin}) // The command need not read it.
		_ = in.Close()
	}()
	_ = cmd.Wait() // The status says it.
	return cmd.ProcessState.ExitCode() & 0xff
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// program writes a script that runs the stand-in.
func program(t testing.TB, after int64) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "adb")
	// A program with the race detector sleeps for a second at its end, unless it is told not to.
	text := fmt.Sprintf("#!/bin/sh\nGORACE=atexit_sleep_ms=0 %s=%d exec %s \"$@\"\n", standIn, after, device.Quote(self))
	syscall.ForkLock.RLock() // A child of another test that held it open for writing would make it "text file busy".
	err = os.WriteFile(name, []byte(text), 0o700)
	syscall.ForkLock.RUnlock()
	if err != nil {
		t.Fatal(err)
	}
	return name
}

func open(t testing.TB, after int64) device.Device {
	t.Helper()
	d, err := Open(t.Context(), device.Target{Kind: device.ADB}, Options{Program: program(t, after)})
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

func TestConformance(t *testing.T) {
	devicetest.Run(t, devicetest.Harness{
		Open: func(t testing.TB) device.Device { return open(t, -1) },
		// When the stand-in has ended, so has the connection.
		Cut: func(t testing.TB, after int64) (device.Device, func() bool) {
			return open(t, after), func() bool { return true }
		},
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	p := program(t, -1)
	for _, row := range []struct {
		name, serial, program string
		is                    error
		says                  string
	}{
		{"no such device", "x", p, device.ErrLost, "device 'x' not found"},
		{"no adb", "x", "quantcheck-no-adb", device.ErrToolMissing, "platform tools"},
		{"an old device", "old", p, nil, "shell_v2"},
		{"one that floods", "flood", p, device.ErrTooMuch, "features"},
	} {
		_, err := Open(t.Context(), device.Target{Kind: device.ADB, Serial: row.serial}, Options{Program: row.program})
		if err == nil || row.is != nil && !errors.Is(err, row.is) || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	if d := open(t, -1); d.Name() != "adb:serial-1" {
		t.Errorf("%q", d.Name())
	}
}
