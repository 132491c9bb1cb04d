//go:build unix

package lock

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"quantcheck/internal/process"
)

// role makes this test program one of the processes that a test needs.
const role = "QUANTCHECK_LOCK_TEST"

func TestMain(m *testing.M) {
	switch what, path, _ := strings.Cut(os.Getenv(role), ":"); what {
	case "hold": // the lock, with a child that outlives this process, until it is killed
		if _, err := Take(context.Background(), path, "hold", wait); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		child := exec.CommandContext(context.Background(), "sleep", "60")
		if err := child.Start(); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held", child.Process.Pid)
		select {}
	case "count":
		if err := count(context.Background(), path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func wait(*HeldError) bool   { return true }
func noWait(*HeldError) bool { return false }

// count adds one to a number in a file, slowly, as often as somebody who does it without a lock would lose some.
func count(ctx context.Context, path string) error {
	for range 3 {
		l, err := Take(ctx, path, "count", wait)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path + ".count")
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(string(text))
		if err != nil {
			return err
		}
		time.Sleep(2 * time.Millisecond)
		if err := os.WriteFile(path+".count", []byte(strconv.Itoa(n+1)), 0o600); err != nil {
			return err
		}
		l.Release()
	}
	return nil
}

func child(t *testing.T, what, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), role+"="+what+":"+path)
	return cmd
}

// hold starts a process that holds a lock.
func hold(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := child(t, "hold", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	word, number, _ := strings.Cut(strings.TrimSpace(line), " ")
	sleeper, bad := strconv.Atoi(number)
	if err != nil || word != "held" || bad != nil {
		t.Fatalf("%q %v %v", line, err, bad)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if p, err := os.FindProcess(sleeper); err == nil {
			_ = p.Kill()
		}
	})
	return cmd
}

func TestOneProcessAndOneGoroutineAtATime(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "locks", "a")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".count", []byte("0"), 0o600); err != nil {
		t.Fatal(err)
	}
	const processes, goroutines = 8, 8
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			if out, err := child(t, "count", path).CombinedOutput(); err != nil {
				t.Errorf("%v %s", err, out)
			}
		})
	}
	for range goroutines {
		all.Go(func() {
			if err := count(t.Context(), path); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if text, err := os.ReadFile(path + ".count"); err != nil || string(text) != strconv.Itoa(3*(processes+goroutines)) {
		t.Errorf("%s %v", text, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the lock's file is left: %v", err)
	}
}

func TestTheLockOfAKilledHolderIsTakenOverAlthoughItsChildLives(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	cmd := hold(t, path)
	_, err := Try(path, "me")
	var held *HeldError
	if !errors.As(err, &held) || !errors.Is(err, ErrHeld) || held.Holder.Process.PID != cmd.Process.Pid || held.Holder.Command != "hold" || held.Far ||
		time.Since(held.Holder.Since) > time.Minute || held.Holder.Host == "" {
		t.Fatalf("%v %+v", err, held)
	}
	Sweep(path)
	if _, err := Take(t.Context(), path, "me", noWait); !errors.Is(err, ErrHeld) {
		t.Errorf("without waiting: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(200*time.Millisecond, cancel)
	began := time.Now()
	if _, err := Take(ctx, path, "me", wait); !errors.Is(err, context.Canceled) || time.Since(began) > time.Second {
		t.Errorf("a wait that was ended: %v after %v", err, time.Since(began))
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	l, err := Take(t.Context(), path, "me", noWait)
	if err != nil {
		t.Fatal(err)
	}
	l.Release()
	l.Release()
}

func TestWhoseLockALeftFileIs(t *testing.T) {
	t.Parallel()
	self := process.Self()
	with := func(change func(*process.ID)) string {
		id := self
		change(&id)
		text, err := json.Marshal(Holder{ID: id.String(), Host: "x", Command: "c", Since: time.Now()})
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	other := func(id *process.ID) { id.Host, id.Boot, id.Space = "aaaaaa", "bbbbbb", "cccccc" }
	for _, row := range []struct {
		name, text string
		age        time.Duration
		held       bool
	}{
		{"nothing was written", "", 0, false},
		{"half a holder", with(other)[:20], 0, false},
		{"no holder", `{"process":"x"}`, 0, false},
		{"this process", with(func(*process.ID) {}), 0, false},
		{"an earlier process with this number", with(func(id *process.ID) { id.Start++ }), 0, false},
		{"before the machine was started anew", with(func(id *process.ID) { id.Boot = "bbbbbb" }), 0, false},
		{"another container on this machine", with(func(id *process.ID) { id.Host, id.Space = "aaaaaa", "cccccc" }), 0, false},
		{"another machine", with(other), 0, true},
		{"another machine that beat late", with(other), Stale - time.Minute, true},
		{"another machine that ended", with(other), Stale + time.Minute, false},
		{"another machine of this name", with(func(id *process.ID) { id.Host, id.Boot = "aaaaaa", "bbbbbb" }), 0, true},
	} {
		path := filepath.Join(t.TempDir(), "a'b")
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		then := time.Now().Add(-row.age)
		if err := os.Chtimes(path, then, then); err != nil {
			t.Fatal(err)
		}
		if swept := path + ".swept"; os.Link(path, swept) == nil { // another name of the same file
			Sweep(swept)
			if _, err := os.Stat(swept); (err == nil) != row.held {
				t.Errorf("%s: swept, it is %v", row.name, err)
			}
			_ = os.Remove(swept)
		}
		l, err := Try(path, "me")
		var held *HeldError
		if errors.As(err, &held) != row.held || (l == nil) != row.held {
			t.Errorf("%s: %v", row.name, err)
			continue
		}
		if l == nil {
			if !held.Far || !strings.Contains(err.Error(), `rm '`+strings.ReplaceAll(path, "'", `'\''`)+"'") {
				t.Errorf("%s: %v", row.name, err)
			}
			continue
		}
		if h := read(l.file); h.Process != self || h.Command != "me" {
			t.Errorf("%s: then %+v holds it", row.name, h)
		}
		l.Release()
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 0 {
			t.Errorf("%s: %v %v", row.name, entries, err)
		}
	}
}

func TestAReleaseLeavesTheLockOfAnother(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a")
	first, err := Try(path, "first")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil { // somebody did what the message of a far holder says
		t.Fatal(err)
	}
	second, err := Try(path, "second")
	if err != nil {
		t.Fatal(err)
	}
	first.Release()
	if _, err := Try(path, "third"); !errors.Is(err, ErrHeld) {
		t.Errorf("the second one's lock is gone: %v", err)
	}
	second.Release()
}
