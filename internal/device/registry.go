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

// Registry knows what a run makes on a device, here and in a marker file there, so that it is removed at the end: by Clean, or,
// if the connection is lost for good, by the next run's Sweep. Its methods may be called by several goroutines at once.
type Registry struct {
	base, marker string
	mu           sync.Mutex
	made         []string
}

// markerPrefix begins the name of a registry's file on the device.
const markerPrefix = ".quantcheck-made-"

// NewRegistry gives an empty one for files and folders below base, an absolute folder of the device.
func NewRegistry(base string) (*Registry, error) {
	if err := checkPath(base); err != nil {
		return nil, err
	}
	return &Registry{base: base, marker: path.Join(base, markerPrefix+rand.Text())}, nil
}

// $1 folder, $2 marker, $3 owner, then pairs of a path and its line in the marker. It prints how many pairs come before each
// path that is there already.
const registerScript = `mkdir -p "$1" || exit 1
m=$2
[ -e "$m" ] || printf '%s\n' "$3" > "$m" || exit 1
shift 3
i=0
while [ $# -gt 0 ]; do
if [ -e "$1" ] || [ -L "$1" ]; then echo $i; else printf '%s\n' "$2" >> "$m" || exit 1; fi
shift 2
i=$((i+1))
done`

// Add says that paths below the registry's folder are about to be made. Those that are there already do not belong to this
// run and will not be removed; it returns them.
func (r *Registry) Add(ctx context.Context, d Device, paths ...string) (kept []string, err error) {
	owner, err := json.Marshal(Me())
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	args := []string{r.base, r.marker, string(owner)}
	for _, p := range paths {
		if err := below(r.base, p); err != nil {
			return nil, err
		}
		args = append(args, p, strconv.Quote(p))
	}
	var out bytes.Buffer
	c := Shell(registerScript, args...)
	c.Stdout = &out
	if err := d.Run(ctx, c); err != nil {
		return nil, fmt.Errorf("note what is made on the device: %w", err)
	}
	for i, p := range paths {
		switch {
		case slices.Contains(r.made, p):
		case slices.Contains(strings.Fields(out.String()), strconv.Itoa(i)):
			kept = append(kept, p)
		default:
			r.made = append(r.made, p)
		}
	}
	return kept, nil
}

// Clean removes everything that was added, over any connection to the device, and within a few seconds even if ctx has ended.
// After an error it can be called again.
func (r *Registry) Clean(ctx context.Context, d Device) error {
	ctx, cancel := last(ctx)
	defer cancel()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := remove(ctx, d, append(slices.Clone(r.made), r.marker)); err != nil {
		givenUp.Store(path.Base(r.marker), true)
		return fmt.Errorf("clean up on the device: %w", err)
	}
	r.made = nil
	return nil
}

// removeTime is how long removing may take: thousands of large files on a slow disk.
const removeTime = 10 * time.Minute

// remove removes files and folders, in order, in as many commands as their names need.
func remove(ctx context.Context, d Device, paths []string) error {
	for len(paths) > 0 {
		n, bytes := 0, 0
		for n < len(paths) && (n == 0 || bytes+len(paths[n]) < namesPerCommand) {
			bytes += 3 + len(paths[n])
			n++
		}
		if err := d.Run(ctx, Command{Args: append([]string{"rm", "-rf"}, paths[:n]...), Limits: Limits{Time: removeTime}}); err != nil {
			return err
		}
		paths = paths[n:]
	}
	return nil
}

func below(base, p string) error {
	if err := checkPath(p); err != nil {
		return err
	}
	if !strings.HasPrefix(p, base+"/") {
		return fmt.Errorf("%q is not below %q", p, base)
	}
	return nil
}

// Swept is what Sweep found and removed.
type Swept struct {
	// Runs are own runs that had ended without cleaning up, Paths what they had made.
	Runs  []Owner
	Paths []string
	// Parts is how many files were there that had not arrived whole, Processes how many commands still ran.
	Parts, Processes int
}

// $1 is the folder. A marker's last line may be cut off, hence the echo.
const sweepListScript = `[ -d "$1" ] || exit 0
for f in "$1"/` + markerPrefix + `*; do
[ -f "$f" ] || continue
printf 'marker %s\n' "${f##*/}"
cat "$f" && echo
done`

const sweepPartsScript = `[ -d "$1" ] || exit 0
find "$1" -name '` + partPrefix + `*' -type f -print -exec rm -f {} \; | grep -c '/` + partPrefix + `' || :`

const countPartsScript = `[ -d "$1" ] || exit 0
find "$1" -name '` + partPrefix + `*' -type f -print | grep -c '/` + partPrefix + `' || :`

const sweepProcessesScript = `for f in $(grep -l ` + runVariable + `= /proc/[0-9]*/environ 2>/dev/null); do
v=$(tr '\000' '\n' < "$f" 2>/dev/null | grep '^` + runVariable + `=') || continue
p=${f#/proc/}
printf '%s %s\n' "${p%/environ}" "$v"
done`

// found is what an own run that has ended left.
type found struct {
	Swept
	pids, markers []string
}

// look finds it, but for the parts.
func look(ctx context.Context, d Device, base string) (found, error) {
	var f found
	if err := checkPath(base); err != nil {
		return f, err
	}
	running, err := output(ctx, d, Shell(sweepProcessesScript))
	if err != nil {
		return f, err
	}
	for line := range strings.Lines(running) {
		pid, id, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " "+runVariable+"=")
		if o, ok := readID(id); ok && o.Dead() {
			f.pids = append(f.pids, pid)
		}
	}
	f.Processes = len(f.pids)
	markers, err := output(ctx, d, Shell(sweepListScript, base))
	if err != nil {
		return f, err
	}
	f.Runs, f.Paths, f.markers = readMarkers(base, markers)
	return f, nil
}

// count reads what grep -c printed; nothing is 0.
func count(text string) (int, error) {
	if text = strings.TrimSpace(text); text == "" {
		return 0, nil
	}
	return strconv.Atoi(text)
}

// Leftovers tells what Sweep would remove, and removes nothing. Paths need not be there any more; the parts may be files that
// somebody is just sending.
func Leftovers(ctx context.Context, d Device, base string) (Swept, error) {
	f, err := look(ctx, d, base)
	if err == nil {
		var text string
		if text, err = output(ctx, d, Shell(countPartsScript, base)); err == nil {
			f.Parts, err = count(text)
		}
	}
	if err != nil {
		return f.Swept, fmt.Errorf("look for what an earlier run left on the device: %w", err)
	}
	return f.Swept, nil
}

// Sweep removes what own runs that have ended, or could not clean up, left below base: what their markers name, parts of files of
// anyone, and commands that still run. The caller holds the device's lock, so that nobody is just sending a file.
func Sweep(ctx context.Context, d Device, base string) (Swept, error) {
	f, err := look(ctx, d, base)
	fail := func(err error) (Swept, error) {
		return f.Swept, fmt.Errorf("clean up on the device after an earlier run: %w", err)
	}
	if err != nil {
		return fail(err)
	}
	// The processes first: they might write on.
	if len(f.pids) > 0 {
		var exit *ExitError // One of them may just have ended.
		if err := d.Run(ctx, Command{Args: append([]string{"kill", "-KILL"}, f.pids...)}); err != nil && !errors.As(err, &exit) {
			return fail(err)
		}
	}
	if err := remove(ctx, d, append(slices.Clone(f.Paths), f.markers...)); err != nil {
		return fail(err)
	}
	parts := Shell(sweepPartsScript, base)
	parts.Limits.Time = removeTime
	text, err := output(ctx, d, parts)
	if err != nil {
		return fail(err)
	}
	if f.Parts, err = count(text); err != nil {
		return fail(err)
	}
	return f.Swept, nil
}

// readMarkers reads the list of markers and gives those of own runs that have ended: the runs, what they made, the markers.
// A path that is not below base is none of ours, whatever the marker says.
func readMarkers(base, text string) (runs []Owner, paths, files []string) {
	var own, first bool
	var name string
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch rest, marker := strings.CutPrefix(line, "marker "); {
		case marker:
			name, own, first = rest, false, true
		case first:
			first = false
			var o Owner
			if json.Unmarshal([]byte(line), &o) == nil && (o.Dead() || isGivenUp(name)) {
				own = true
				runs = append(runs, o)
				files = append(files, path.Join(base, name))
			}
		case own:
			if p, err := strconv.Unquote(line); err == nil && below(base, p) == nil {
				paths = append(paths, p)
			}
		}
	}
	return runs, paths, files
}

func output(ctx context.Context, d Device, c Command) (string, error) {
	var out strings.Builder
	c.Stdout = &out
	err := d.Run(ctx, c)
	return out.String(), err
}
