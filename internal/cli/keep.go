package cli

import (
	"fmt"
	"time"

	"quantcheck/internal/checkpoint"
	"quantcheck/internal/workspace"
)

// keepFlags say what becomes of an interrupted run.
type keepFlags struct {
	Fresh     bool          `help:"Begin anew: do not go on with an interrupted run of the same command."`
	KeepEvery time.Duration `hidden:"" default:"1m" help:"How often the state of the run is written, for tests."`
}

// keeping is where the state of a run lies while it is not done.
func (k *keepFlags) keeping(folder workspace.Folder, p *progress) *checkpoint.Keeping {
	return &checkpoint.Keeping{Folder: folder.Unfinished(), Fresh: k.Fresh, Every: k.KeepEvery, Say: p.say}
}

// goesOn says what is kept of a run that ended early.
func goesOn(e *checkpoint.UnfinishedError) string {
	return fmt.Sprintf("%s are kept in %s, and the same command goes on from there (--fresh begins anew)", e.What, e.Path)
}
