package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/fakeboard/simulation"
	"quantcheck/internal/htpcost"
	"quantcheck/internal/runner/qnnworker"
)

// megahertz is the clock of the DSP in the profile "balanced", and overhead what an inference takes besides the DSP's cycles;
// docs/estimate.md has both.
const (
	megahertz = 1497.6
	overhead  = 160e-6 // seconds
)

// model is a DLC that the board keeps a copy of, so that its cycles are known as long as anybody asks for them.
type model struct {
	Path string // of the copy
	Sum  string
}

// remember keeps a copy of a DLC.
func (c *call) remember(path string) (model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return model{}, err
	}
	if !info.Mode().IsRegular() {
		return model{}, fmt.Errorf("%s: %w", path, qnnworker.ErrNotDLC)
	}
	sum, err := atomicfile.SHA256(path)
	if err != nil {
		return model{}, err
	}
	m := model{c.folder.Path("dlcs", sum+".dlc"), sum}
	if _, err := os.Stat(m.Path); err == nil {
		return m, nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return model{}, err
	}
	return m, c.keep(m.Path, data)
}

// keep writes a file of the board's own, whole or not at all.
func (*call) keep(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// estimate gives the cycles that the compiler expects of a DLC, which it is asked for once.
func (c *call) estimate(m model) (*htpcost.Estimate, error) {
	dir := c.config.Cache
	if dir == "" {
		dir = c.folder.Path("estimates")
	}
	path := filepath.Join(dir, "estimate-"+m.Sum+".json")
	if data, err := os.ReadFile(path); err == nil {
		e := &htpcost.Estimate{}
		return e, json.Unmarshal(data, e)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if c.config.Simulation != nil {
		return simulation.BySize(m.Path)
	}
	kit, err := c.kit()
	if err != nil {
		return nil, err
	}
	soc, err := htpcost.Find("")
	if err != nil {
		return nil, err
	}
	e, err := qnnworker.Estimate(c.ctx, qnnworker.Engine{Kit: kit}, soc, m.Path, "")
	if err != nil {
		return nil, err
	}
	data, err := json.Marshal(e)
	if err != nil {
		return nil, err
	}
	return e, c.keep(path, data)
}
