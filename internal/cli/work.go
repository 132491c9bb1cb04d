package cli

import (
	"quantcheck/internal/result"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/workspace"
)

// work is what a command has while it computes something for a workspace.
type work struct {
	folder   workspace.Folder
	engine   ort.Engine
	progress *progress
	claimed  *workspace.Claim
}

// start claims what a command writes in its workspace, unpacks an NN archive's model, of which sources has the path then, and opens the engine. The caller ends
// the work, behind which the names are free again.
func (e *engineFlags) start(con *console, sources *result.Sources, place result.Place, claim func(workspace.Folder) (*workspace.Claim, error)) (*work, error) {
	w := &work{folder: workspace.Folder(place.Out)}
	var err error
	if w.claimed, err = claim(w.folder); err != nil {
		return nil, err
	}
	if sources.Model, err = openModel(con.ctx, sources.Model, place.Name, place.Out); err == nil {
		w.engine, err = e.open(con)
	}
	if err != nil {
		w.claimed.Release()
		return nil, err
	}
	w.progress = newProgress(con.stderr)
	return w, nil
}

func (w *work) end() {
	w.progress.clear()
	w.claimed.Release()
}
