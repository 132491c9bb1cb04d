// Package control is what tests and the stand-in board tell each other, as files in a folder: how it is set up, which faults
// it shows, and how it was called. It is for tests only.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Variable is the environment variable by which a tool of the board knows its folder.
const Variable = "QUANTCHECK_STANDIN"

// Folder is a board's state.
type Folder string

// Config is how a board is set up.
type Config struct {
	Libraries string        // folder of Qualcomm's libraries
	Cache     string        // results of inferences are kept there; "": each run computes
	SleepMost time.Duration // a tool that is to run for some time sleeps no longer than that
	// Simulation takes the emulator's place where that is not installed.
	Simulation *Simulation `json:",omitempty"`
}

// Simulation are the models that belong to the DLC: the float one, and the QDQ model that is run on the CPU. Both are files.
type Simulation struct {
	Float, QDQ string
	Library    string // ONNX Runtime
}

// Call is how a tool was called.
type Call struct {
	Tool   string
	Number int // of the calls of this tool, from 1
	Argv   []string
	Dir    string // the working folder
	PID    int
	Began  time.Time
	Faults []Fault // that it was told to show
}

// Path is a place in the folder.
func (f Folder) Path(elem ...string) string {
	return filepath.Join(append([]string{string(f)}, elem...)...)
}

// Config reads the set-up.
func (f Folder) Config() (c Config, err error) {
	err = read(f.Path("config.json"), &c)
	return c, err
}

// Configure writes the set-up.
func (f Folder) Configure(c Config) error { return write(f.Path("config.json"), c) }

// Faults reads the faults that are to be shown.
func (f Folder) Faults() (list []Fault, err error) {
	if err = read(f.Path("faults.json"), &list); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return list, err
}

// SetFaults writes the faults that are to be shown.
func (f Folder) SetFaults(list []Fault) error { return write(f.Path("faults.json"), list) }

// Begin gives this process's call its number and notes it. Several may begin at once.
func (f Folder) Begin(tool string, argv []string) (*Call, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(f.Path("calls"), 0o700); err != nil {
		return nil, err
	}
	all, err := f.Faults()
	if err != nil {
		return nil, err
	}
	c := &Call{Tool: tool, Number: 1, Argv: argv, Dir: dir, PID: os.Getpid(), Began: time.Now()}
	for ; ; c.Number++ {
		path := f.Path("calls", fmt.Sprintf("%s.%06d.json", tool, c.Number))
		place, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		place.Close()
		for _, one := range all {
			if one.meets(tool, c.Number) {
				c.Faults = append(c.Faults, one)
			}
		}
		return c, write(path, c)
	}
}

// Calls lists the calls up to now, the earliest first. One that is about to be noted is left out.
func (f Folder) Calls() ([]Call, error) {
	paths, err := filepath.Glob(f.Path("calls", "*.json"))
	if err != nil {
		return nil, err
	}
	var list []Call
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.Size() == 0 {
			continue
		}
		var c Call
		if err := read(path, &c); err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b Call) int { return a.Began.Compare(b.Began) })
	return list, nil
}

func read(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// write writes a file that is whole or not there. Nobody needs it after the machine's next start, so nothing waits for the disk.
func write(path string, v any) error {
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	temporary := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}
