package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// ErrLocked is a device that somebody else works on.
var ErrLocked = errors.New("the device is in use")

// LockedError is a lock that somebody holds; it is ErrLocked.
type LockedError struct {
	// Path is the lock's file on the device.
	Path string
	// Owner holds it, for Age by the device's clock. A lock that was not written by this program has no owner.
	Owner Owner
	Age   time.Duration

	content string
}

func (e *LockedError) Error() string {
	who := e.Owner.String()
	if e.Owner == (Owner{}) {
		who = "somebody unknown"
	}
	return fmt.Sprintf("the device is in use by %s since %s ago (%s there)", who, e.Age, e.Path)
}

// Unwrap gives ErrLocked.
func (*LockedError) Unwrap() error { return ErrLocked }

// Locked is a lock that is held. It holds no connection.
type Locked struct {
	path, content, device string
}

// held are the locks that this process holds, as *Locked.
var held sync.Map

// Held names the devices whose lock this process holds: as long as there is one, something may be left there that its holder is going to
// remove, and who ends the process should wait for that.
func Held() (devices []string) {
	held.Range(func(l, _ any) bool {
		devices = append(devices, l.(*Locked).device) //nolint:forcetypeassert // nothing else is stored
		return true
	})
	slices.Sort(devices)
	return slices.Compact(devices)
}

// note is what stands in a lock's file, behind the time.
type note struct {
	Owner
	// Token tells two locks of one run apart.
	Token string `json:"token"`
}

// $1 lock, $2 note, $3 temporary name, $4 folder. A link is made or not, whole; a lock may go between the two looks at it,
// hence the second attempt.
const lockScript = `mkdir -p "$4" || exit 1
trap 'rm -f "$3"' EXIT
trap 'exit 129' HUP INT TERM PIPE
now=$(date +%s) && printf '%s %s\n' "$now" "$2" > "$3" || exit 1
for again in 1 2 3; do
if ln "$3" "$1" 2>/dev/null; then printf 'taken '; cat "$3"; exit; fi
if held=$(cat "$1" 2>/dev/null); then printf 'held %s %s\n' "$now" "$held"; exit 0; fi
done
ln "$3" "$1" && printf 'taken ' && cat "$3"`

// Lock takes the lock file at name, an absolute path on the device. While another run holds it, wait is asked whether to go on
// waiting, about once a second; nil does not wait, and the error is *LockedError then. A lock of an own run that has ended, or that
// this run could not give back, is taken over. Locks of others are only ever broken by hand, with Break.
func Lock(ctx context.Context, d Device, name string, wait func(*LockedError) bool) (*Locked, error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	text, err := json.Marshal(note{Me(), rand.Text()})
	if err != nil {
		return nil, err
	}
	for takenOver := 0; ; {
		var out bytes.Buffer
		c := Shell(lockScript, name, string(text), path.Join(path.Dir(name), partPrefix+rand.Text()), path.Dir(name))
		c.Stdout, c.Limits.Output = &out, lockOutput
		l := &Locked{path: name, device: d.Name()}
		held.Store(l, true) // from here on it may be there, even if no answer comes
		if err := d.Run(ctx, c); err != nil {
			return nil, errors.Join(fmt.Errorf("lock the device: %w", err), l.abandon(ctx, d, string(text), err))
		}
		answer := strings.TrimSuffix(out.String(), "\n")
		if content, ok := strings.CutPrefix(answer, "taken "); ok {
			l.content = content
			return l, nil
		}
		held.Delete(l)
		other := readLock(name, answer)
		if _, mine, _ := strings.Cut(other.content, " "); other.Owner.Dead() || isGivenUp(other.content) || isGivenUp(mine) {
			if takenOver++; takenOver > takeOvers {
				return nil, fmt.Errorf("lock the device: the lock of %s, who is gone, was taken over %d times and is still there", other.Owner, takeOvers)
			}
			if err := takeOver(ctx, d, other); err != nil {
				return nil, err
			}
			continue
		}
		if wait == nil || !wait(other) {
			return nil, other
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// A lock's file is some hundred bytes, and who is gone does not come back: a device that says otherwise makes it up.
const (
	lockOutput = 16 << 10
	takeOvers  = 10
)

// readLock reads "held NOW SINCE NOTE".
func readLock(name, answer string) *LockedError {
	e := &LockedError{Path: name}
	rest := strings.TrimPrefix(answer, "held ")
	now, content, _ := strings.Cut(rest, " ")
	e.content = content
	since, text, _ := strings.Cut(content, " ")
	n, err := strconv.ParseInt(now, 10, 64)
	s, e2 := strconv.ParseInt(since, 10, 64)
	if err == nil && e2 == nil && n > s {
		e.Age = time.Duration(n-s) * time.Second
	}
	var who note
	if json.Unmarshal([]byte(text), &who) == nil {
		e.Owner = who.Owner
	}
	return e
}

// $1 lock, $2 what it has to hold, $3 a name beside it. Only one of several gets the file by renaming it; who got another one
// than he meant puts it back.
const removeLockScript = `mv "$1" "$3" 2>/dev/null || exit 0
[ "$(cat "$3")" = "$2" ] || ln "$3" "$1"
rm -f "$3"`

func removeLock(ctx context.Context, d Device, name, content string) error {
	return d.Run(ctx, Shell(removeLockScript, name, content, path.Join(path.Dir(name), partPrefix+rand.Text())))
}

func takeOver(ctx context.Context, d Device, old *LockedError) error {
	if err := removeLock(ctx, d, old.Path, old.content); err != nil {
		return fmt.Errorf("take over the lock of %s, who is gone: %w", old.Owner, err)
	}
	return nil
}

// Unlock gives the lock back, over any connection to the device, and within a few seconds even if ctx has ended. A lock that
// was broken meanwhile is left to its new owner. After an error it can be called again.
func (l *Locked) Unlock(ctx context.Context, d Device) error {
	ctx, cancel := last(ctx)
	defer cancel()
	defer held.Delete(l)
	if err := removeLock(ctx, d, l.path, l.content); err != nil {
		givenUp.Store(l.content, true)
		return fmt.Errorf("unlock the device: %w", err)
	}
	return nil
}

// abandonLockScript is removeLockScript for a lock of which $2 is the note alone.
const abandonLockScript = `held=$(cat "$1" 2>/dev/null) && [ "${held#* }" = "$2" ] || exit 0
set -- "$1" "$held" "$3"
` + removeLockScript

// abandon removes a lock that may have been taken although the attempt failed, with an error that says why: the command was ended
// after it had made the file, or its answer was lost. Where the device is not to be reached, a later attempt of this process takes the
// lock over.
func (l *Locked) abandon(ctx context.Context, d Device, text string, why error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), lastWait, ErrTimeout)
	defer cancel()
	defer held.Delete(l)
	err := d.Run(ctx, Shell(abandonLockScript, l.path, text, path.Join(path.Dir(l.path), partPrefix+rand.Text())))
	if err == nil {
		return nil
	}
	givenUp.Store(text, true)
	if errors.Is(why, ErrLost) {
		return nil // why says it
	}
	return fmt.Errorf("unlock the device: %w", err)
}

// givenUp are what locks of this process hold, or their notes alone, and the names of its markers, that it could not remove since the
// device was not to be reached: later it may remove them as it may those of an earlier process.
var givenUp sync.Map

func isGivenUp(key string) bool {
	_, is := givenUp.Load(key)
	return is
}

// Holder tells who holds a lock; nil is nobody.
func Holder(ctx context.Context, d Device, name string) (*LockedError, error) {
	if err := checkPath(name); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	c := Shell(`[ -e "$1" ] || exit 0; held=$(cat "$1") && printf 'held %s %s\n' "$(date +%s)" "$held"`, name)
	c.Stdout, c.Limits.Output = &out, lockOutput
	if err := d.Run(ctx, c); err != nil {
		return nil, err
	}
	if out.Len() == 0 {
		return nil, nil
	}
	return readLock(name, strings.TrimSuffix(out.String(), "\n")), nil
}

// Break removes a lock, if it is still the one that Holder or Lock told of. It is for people to decide.
func Break(ctx context.Context, d Device, other *LockedError) error {
	return removeLock(ctx, d, other.Path, other.content)
}

// lastWait is how long giving back and cleaning up may take after the context has ended.
const lastWait = 5 * time.Second

// last gives a context for what has to be done even if ctx has ended, or does meanwhile.
func last(ctx context.Context) (context.Context, func()) {
	lasting, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		late := time.AfterFunc(lastWait, func() { cancel(ErrTimeout) })
		context.AfterFunc(lasting, func() { late.Stop() })
	})
	return lasting, func() {
		stop()
		cancel(nil)
	}
}
