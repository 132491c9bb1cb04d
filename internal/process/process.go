// Package process names processes so that they can be told apart later: from another process with the same number, from one
// before the machine was started anew, and from one on another machine that shares the folder.
package process

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"sync"
)

// ID names one process of one machine. The zero value names none.
type ID struct {
	PID   int    // in its namespace of process numbers
	Start uint64 // when it was started, in the system's ticks since the machine was; 0 if the system does not tell
	Host  string // the machine: six hexadecimal digits
	Boot  string // the machine's start: six hexadecimal digits
	Space string // the namespace of process numbers (a container has one of its own): six hexadecimal digits
}

// State is what is known of a process.
type State string

const (
	// Running means that the process runs.
	Running State = "running"
	// Gone means that the process has ended, for certain.
	Gone State = "gone"
	// Elsewhere means that the process cannot be seen from here: it ran on another machine or in another container, or the
	// system does not let us look.
	Elsewhere State = "elsewhere"
)

// Self is this process.
func Self() ID { return self() }

var self = sync.OnceValue(func() ID {
	h := here()
	id := ID{PID: os.Getpid(), Host: h.host, Boot: h.boot, Space: h.space}
	if s, err := startOf(id.PID); err == nil {
		id.Start = s
	}
	return id
})

// place is what the processes that can be seen from here have in common.
type place struct {
	host, boot, space string
	nameless          bool // the machine has no name of its own, so that another one may be called the same
}

var here = sync.OnceValue(func() place {
	name, err := os.Hostname()
	machine := machineID()
	return place{
		host: digest(name, machine), boot: digest(bootID()), space: digest(pidSpace()),
		nameless: machine == "" && (err != nil || name == "" || name == "localhost"),
	}
})

func digest(parts ...string) string {
	sum := sha256.Sum256(fmt.Append(nil, parts))
	return hex.EncodeToString(sum[:3])
}

// String is the process in characters that a file's name may have: PID-START-PLACE. Parse reads it.
func (id ID) String() string {
	return strconv.Itoa(id.PID) + "-" + strconv.FormatUint(id.Start, 36) + "-" + id.Host + id.Boot + id.Space
}

// Pattern is a regular expression, without groups, that matches what String gives.
const Pattern = `[1-9][0-9]{0,9}-[0-9a-z]{1,13}-[0-9a-f]{18}`

var whole = regexp.MustCompile(`^([1-9][0-9]{0,9})-([0-9a-z]{1,13})-([0-9a-f]{6})([0-9a-f]{6})([0-9a-f]{6})$`)

// Parse reads what String wrote.
func Parse(text string) (ID, error) {
	m := whole.FindStringSubmatch(text)
	if m == nil {
		return ID{}, fmt.Errorf("%q names no process", text)
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return ID{}, fmt.Errorf("%q names no process: %w", text, err)
	}
	start, err := strconv.ParseUint(m[2], 36, 64)
	if err != nil {
		return ID{}, fmt.Errorf("%q names no process: %w", text, err)
	}
	return ID{PID: pid, Start: start, Host: m[3], Boot: m[4], Space: m[5]}, nil
}

// State says whether the process still runs. Another process that has its number by now does not count.
func (id ID) State() State {
	h := here()
	switch {
	case id.PID <= 0, id.Host != h.host:
		return Elsewhere
	case id.Boot != h.boot:
		if h.nameless {
			return Elsewhere
		}
		return Gone // the machine was started anew since
	case id.Space != h.space:
		return Elsewhere
	}
	start, err := startOf(id.PID)
	switch {
	case errors.Is(err, errGone):
		return Gone
	case err != nil:
		return Elsewhere
	case id.Start != 0 && start != 0 && start != id.Start:
		return Gone // its number went to another process
	}
	return Running
}
