package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"quantcheck/bench/zoo/networks"
	"quantcheck/internal/atomicfile"
)

// How a command can end.
const (
	fine    = "ok"
	refused = "refused" // with an exit status other than 0, and a reason
	late    = "late"    // it was ended at its time limit
	crashed = "crashed" // a signal, or Go's own words
	skipped = "skipped" // what it reads was not written
)

// outcome is what is kept of a command on a network.
type outcome struct {
	Status    string   `json:"status"`
	Exit      int      `json:"exit,omitempty"`
	Reason    string   `json:"reason,omitempty"`
	Seconds   float64  `json:"seconds"`
	Processor float64  `json:"processor_seconds"`
	PeakMiB   int      `json:"peak_mib"`
	Note      string   `json:"note,omitempty"`    // what a look at its files or its output gave
	Problem   string   `json:"problem,omitempty"` // what is wrong with them; "": nothing
	Cycles    float64  `json:"cycles,omitempty"`
	Args      []string `json:"args,omitempty"`
	Stderr    string   `json:"stderr,omitempty"`
	Build     string   `json:"build"` // SHA-256 of the program
}

// line is the outcome for the terminal.
func (o *outcome) line() string {
	s := fmt.Sprintf("%-8s %6.1f s (processor %6.1f s) %5d MiB", o.Status, o.Seconds, o.Processor, o.PeakMiB)
	parts := []string{s}
	for _, more := range []string{o.Reason, o.Note} {
		if more != "" {
			parts = append(parts, more)
		}
	}
	if o.Problem != "" {
		parts = append(parts, "PROBLEM: "+o.Problem)
	}
	return strings.Join(parts, "  ")
}

func (b *bench) file(n networks.Network, command string) string {
	return filepath.Join(b.zoo.Dir, "outcomes", n.Name, command+".json")
}

// kept reads an outcome, whatever the build.
func (b *bench) kept(n networks.Network, command string) (*outcome, bool) {
	data, err := os.ReadFile(b.file(n, command))
	if err != nil {
		return nil, false
	}
	var o outcome
	return &o, json.Unmarshal(data, &o) == nil
}

// known says whether there is an outcome that need not be made again.
func (b *bench) known(n networks.Network, c command) bool {
	o, ok := b.kept(n, c.name)
	return ok && (b.reuse || o.Build == b.build)
}

func (b *bench) keep(n networks.Network, c command, o *outcome) error {
	data, err := json.MarshalIndent(o, "", " ")
	if err != nil {
		return err
	}
	path := b.file(n, c.name)
	if err := atomicfile.MakeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	if err := b.keepOutput(n, c); err != nil {
		return err
	}
	return atomicfile.WriteBytes(path, data)
}

// keepOutput keeps what the command printed beside its outcome.
func (b *bench) keepOutput(n networks.Network, c command) error {
	from := filepath.Join(b.work(n), "stdout")
	if _, err := os.Stat(from); err != nil {
		return nil //nolint:nilerr // a command that was left out printed nothing
	}
	return os.Rename(from, filepath.Join(b.zoo.Dir, "outcomes", n.Name, c.name+".stdout"))
}

var anyPath = regexp.MustCompile(`(^|[\s"'(])/[^\s:"'(),]*/([^\s/:"'(),]+)`)

// short is a reason without the paths of this machine.
func short(s, work string) string {
	s = strings.ReplaceAll(s, work+"/", "")
	return strings.TrimSpace(anyPath.ReplaceAllString(strings.Join(strings.Fields(s), " "), "$1$2"))
}
