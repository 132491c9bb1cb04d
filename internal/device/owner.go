package device

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Owner is a run of the program: whom a lock or something made on a device belongs to.
type Owner struct {
	Host string `json:"host"`
	User string `json:"user"`
	PID  int    `json:"pid"`
}

// Me is this run.
func Me() Owner { return me() }

var me = sync.OnceValue(func() Owner {
	o := Owner{Host: "unknown", User: strconv.Itoa(os.Getuid()), PID: os.Getpid()}
	if name, err := os.Hostname(); err == nil {
		o.Host = name
	}
	if u, err := user.Current(); err == nil {
		o.User = u.Username
	}
	return o
})

// String is for people.
func (o Owner) String() string { return fmt.Sprintf("%s on %s (process %d)", o.User, o.Host, o.PID) }

// Dead reports whether the run was one of this user's on this machine and has ended. Of others it is never known.
func (o Owner) Dead() bool {
	mine := Me()
	if o.Host != mine.Host || o.User != mine.User || o.PID <= 0 {
		return false
	}
	return errors.Is(syscall.Kill(o.PID, 0), syscall.ESRCH)
}

// runVariable is in the environment of every command on a device, with its run's owner, so that a later run finds what was
// left running when the connection broke.
const runVariable = "QUANTCHECK_RUN"

var runID = sync.OnceValue(func() string { return Me().id() })

func (o Owner) id() string { return fmt.Sprintf("%d:%q:%q", o.PID, o.User, o.Host) }

// readID is the inverse of id.
func readID(text string) (o Owner, ok bool) {
	pid, rest, _ := strings.Cut(text, ":")
	var err error
	if o.PID, err = strconv.Atoi(pid); err != nil {
		return Owner{}, false
	}
	quoted, err := strconv.QuotedPrefix(rest)
	if err != nil {
		return Owner{}, false
	}
	host, found := strings.CutPrefix(rest[len(quoted):], ":")
	if o.User, err = strconv.Unquote(quoted); err != nil || !found {
		return Owner{}, false
	}
	if o.Host, err = strconv.Unquote(host); err != nil {
		return Owner{}, false
	}
	return o, true
}
