package workspace

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"quantcheck/internal/lock"
	"quantcheck/internal/result"
)

var patient = Claimant{Command: "test", Waiting: func(*lock.HeldError) bool { return true }}

func TestAClaimMakesAWorkspaceAndLeavesNothing(t *testing.T) {
	root := t.TempDir()
	f := Folder(filepath.Join(root, "a", "b"))
	c, err := f.Claim(t.Context(), patient, "two", "one", "two", "../odd/name")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(string(f.locks()))
	if err != nil || len(entries) != 3 {
		t.Errorf("%v %v", entries, err)
	}
	impatient := Claimant{Command: "test", Waiting: func(*lock.HeldError) bool { return false }}
	if _, err := f.Claim(t.Context(), impatient, "three", "one"); !errors.Is(err, lock.ErrHeld) {
		t.Error(err)
	}
	other, err := f.Claim(t.Context(), impatient, "three") // which the claim before has given back
	if err != nil {
		t.Fatal(err)
	}
	shared, err := f.ClaimResults(t.Context(), impatient)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Claim{other, nil, shared, c, c} { // who made the folder comes last
		c.Release()
	}
	if entries, err := os.ReadDir(root); err != nil || len(entries) != 0 {
		t.Errorf("left: %v %v", entries, err)
	}

	left := filepath.Join(string(f.locks()), "name-killed.lock")
	if err := os.MkdirAll(string(f.locks()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c, err = f.Claim(t.Context(), patient, "x"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed run left is there: %v", err)
	}
	c.Release()
}

// Claims of overlapping names in any order never wait for each other in a circle.
func TestOverlappingClaimsEnd(t *testing.T) {
	t.Parallel()
	f := Folder(t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	names := []string{"a", "b", "c"}
	var all sync.WaitGroup
	for k := range 6 {
		all.Go(func() {
			for i := range 3 {
				c, err := f.Claim(ctx, patient, names[(k+i)%3], names[(k+2*i+1)%3])
				if err != nil {
					t.Error(err)
					return
				}
				c.Release()
			}
		})
	}
	all.Wait()
}

// TestManyOpenADatabaseAtOnce lets many make, or bring up to date, one database, and write into it.
func TestManyOpenADatabaseAtOnce(t *testing.T) {
	t.Parallel()
	for _, old := range []bool{false, true} {
		f := Folder(t.TempDir())
		if old {
			s, err := OpenStore(t.Context(), f)
			if err != nil {
				t.Fatal(err)
			}
			for _, statement := range []string{"ALTER TABLE variants DROP COLUMN verdict", "DROP TABLE explorations", "DROP TABLE trials", "PRAGMA user_version = 3"} {
				if _, err := s.db.ExecContext(t.Context(), statement); err != nil {
					t.Fatal(err)
				}
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		const many = 12
		var all sync.WaitGroup
		for k := range many {
			all.Go(func() {
				s, err := OpenStore(t.Context(), f)
				if err != nil {
					t.Errorf("old %v: %v", old, err)
					return
				}
				defer s.Close()
				if err := s.Runs.Add(t.Context(), &result.Run{Command: "check", Name: strconv.Itoa(k)}); err != nil {
					t.Errorf("old %v: %v", old, err)
				}
				if err := s.Trials.Put(t.Context(), "key", "score", []byte("1")); err != nil {
					t.Errorf("old %v: %v", old, err)
				}
			})
		}
		all.Wait()
		s, err := OpenExisting(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		if ids, err := s.Runs.Numbers(t.Context()); err != nil || len(ids) != many {
			t.Errorf("old %v: %d runs, %v", old, len(ids), err)
		}
		s.Close()
	}
}

func TestADatabaseWaitsForAnotherProgramAndTheWaitCanBeEnded(t *testing.T) {
	t.Parallel()
	f := Folder(t.TempDir())
	first, err := OpenStore(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := OpenStore(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	for _, s := range []*Store{first, second} {
		var ms int64
		if err := s.db.QueryRowContext(t.Context(), "PRAGMA busy_timeout").Scan(&ms); err != nil || ms != patience.Milliseconds() {
			t.Errorf("it waits %d ms: %v", ms, err)
		}
	}
	tx, err := first.db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	began := time.Now()
	if err := second.Runs.Add(ctx, &result.Run{Name: "x"}); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
	time.AfterFunc(300*time.Millisecond, func() { _ = tx.Rollback() })
	if err := second.Runs.Add(t.Context(), &result.Run{Name: "x"}); err != nil {
		t.Error(err)
	}
}
