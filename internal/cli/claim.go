package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"quantcheck/internal/lock"
	"quantcheck/internal/report"
	"quantcheck/internal/workspace"
)

// waitFlags say what happens if another run writes under the same name.
type waitFlags struct {
	NoWait bool `help:"Fail with status 4 if another run writes under the same name into the workspace, instead of waiting for its end."`
}

// claim takes the names under which a run writes into a workspace, for as long as it lasts. Who waits for another run says so.
func (con *console) claim(folder workspace.Folder, noWait bool, names ...string) (*workspace.Claim, error) {
	told := map[string]bool{}
	who := workspace.Claimant{Command: con.command(), Waiting: func(held *lock.HeldError) bool {
		if noWait {
			return false
		}
		if key := held.Path + held.Holder.ID; !told[key] {
			told[key] = true
			con.say("another run writes under this name into %s: %s; waiting for its end (Ctrl-C ends that, --no-wait does without)", folder, held)
		}
		return true
	}}
	c, err := folder.Claim(con.ctx, who, names...)
	var held *lock.HeldError
	if errors.As(err, &held) {
		return nil, fmt.Errorf("another run writes under this name into %s: %w", folder, held)
	}
	return c, err
}

// patientFor is how long a run waits for the shared results before it says so: others have them for moments.
const patientFor = 3 * time.Second

// results takes what all runs of a workspace share, for as long as store runs.
func (con *console) results(folder workspace.Folder, store func() error) error {
	began, told := time.Now(), ""
	who := workspace.Claimant{Command: con.command(), Waiting: func(held *lock.HeldError) bool {
		if time.Since(began) > patientFor && told != held.Holder.ID {
			told = held.Holder.ID
			con.say("waiting to store the results in %s: %s", folder, held)
		}
		return true
	}}
	c, err := folder.ClaimResults(con.ctx, who)
	if err != nil {
		return err
	}
	defer c.Release()
	return store()
}

// mostCommand bounds what others are told of a command line.
const mostCommand = 400

// command is this run's command line, for those who wait for it.
func (con *console) command() string {
	return report.Short("quantcheck "+strings.Join(con.args, " "), mostCommand)
}

// interrupted says whether an error is the user's doing.
func (con *console) interrupted(err error) bool {
	return err != nil && (con.ctx.Err() != nil || errors.Is(err, context.Canceled))
}

// runNames are the names under which a run of a model and its variants writes files.
func runNames(name string, variants []string) ([]string, error) {
	names := []string{name}
	specs, err := variantNames(variants)
	if err != nil {
		return nil, usageError{err}
	}
	for _, v := range specs {
		names = append(names, name+"-"+v)
	}
	return names, nil
}
