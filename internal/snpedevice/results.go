package snpedevice

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/device"
	"quantcheck/internal/snpe"
)

// Run is a DLC on many inputs.
type Run struct {
	Name  string                             // of the files of this run on the device
	Args  func(list, output string) []string // the command line
	Lines []string                           // of the input list, one per inference
	// Chunk is how many inferences one start of the tool makes, so that their results fit the device's disk; 0: all.
	Chunk int
	// Want says which files of a result are kept, by their path in its folder; Size how many bytes one must have, −1 if that is
	// not known.
	Want func(name string) bool
	Size func(name string) int64
	// Folders are those that the files of one result need, for tools that do not make them.
	Folders []string
	// Dir is the local folder that results come into: Result_0, Result_1, …, one per line.
	Dir string
	// Hold is how many results may lie there that were not given back by done; more wait on the device. 0: any number.
	Hold int
	// Arrived is told how many results are there; nil: nobody is.
	Arrived func(done int)
}

// Results are what a run makes, as they arrive.
type Results struct {
	b      *Board
	run    Run
	cancel context.CancelCauseFunc
	over   chan struct{} // closed when the run has ended

	mu      sync.Mutex
	changed chan struct{} // closed and made anew when something below changes
	arrived int           // results that are whole
	held    int
	err     error
	Log     string // the profile's file in the output folder, SNPEDiag.log; "": there is none
	Text    []byte // what the tool printed, of the last start
	Notes   []string
}

// errNoResult means that a result is not there although the run has ended.
var errNoResult = errors.New("the run gave no such result")

// Start begins a run; it goes on beside the caller until all results are there, ctx ends, or Close.
func (b *Board) Start(ctx context.Context, run Run) *Results {
	ctx, cancel := context.WithCancelCause(ctx)
	r := &Results{b: b, run: run, cancel: cancel, over: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		err := r.all(ctx)
		r.change(func() { r.err = err })
		close(r.over)
	}()
	return r
}

// change alters what others wait for.
func (r *Results) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
	close(r.changed)
	r.changed = make(chan struct{})
}

// Result waits for the result of a line and gives its folder; done gives it back, after which it is removed if results are held
// back at all.
func (r *Results) Result(ctx context.Context, number int) (dir string, done func(), err error) {
	for {
		r.mu.Lock()
		arrived, failed, changed := r.arrived, r.err, r.changed
		r.mu.Unlock()
		if number < arrived {
			dir = filepath.Join(r.run.Dir, "Result_"+strconv.Itoa(number))
			return dir, sync.OnceFunc(func() { r.giveBack(dir) }), nil
		}
		if failed != nil {
			return "", nil, failed
		}
		select {
		case <-ctx.Done():
			return "", nil, context.Cause(ctx)
		case <-r.over:
			if r.err == nil && number >= r.arrived {
				return "", nil, errNoResult
			}
		case <-changed:
		}
	}
}

func (r *Results) giveBack(dir string) {
	if r.run.Hold == 0 {
		return
	}
	_ = os.RemoveAll(dir) // It lies in a folder that is removed as a whole.
	r.change(func() { r.held-- })
}

// Wait waits until all results are there, and gives the error that ended the run.
func (r *Results) Wait() error {
	<-r.over
	return r.err
}

// Close ends the run if it still goes on.
func (r *Results) Close() {
	r.cancel(context.Canceled)
	<-r.over
}

// all makes all inferences, a chunk at a time; what has arrived is not made again.
func (r *Results) all(ctx context.Context) error {
	chunk := r.run.Chunk
	if chunk <= 0 {
		chunk = len(r.run.Lines)
	}
	wrong := 0 // starts whose files had wrong sizes
	folders := false
	for r.arrived < len(r.run.Lines) {
		s := &start{r: r, first: r.arrived, lines: r.run.Lines[r.arrived:min(r.arrived+chunk, len(r.run.Lines))], folders: folders, strict: wrong == 0}
		err := r.b.o.Again(ctx, "run "+snpe.NetRunTool, func(ctx context.Context) error {
			s.lines, s.first = s.lines[r.arrived-s.first:], r.arrived
			if len(s.lines) == 0 {
				return nil
			}
			return s.stream(ctx)
		})
		var size *sizeError
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &size) && wrong == 0:
			wrong++
			r.note("%v; it was run again", err)
		case errors.Is(err, errFolders) && !folders:
			folders = true
			r.note("%s does not make the folders that names with '/' need (%v); they were made for it", snpe.NetRunTool, err)
		case (errors.Is(err, device.ErrOutOfMemory) || errors.Is(err, device.ErrDiskFull)) && chunk > 1:
			chunk = max(1, chunk/4)
			r.note("%v; it was run again with %d inputs at a time", err, chunk)
		default:
			return explain(err)
		}
	}
	return nil
}

func (r *Results) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

// start is one start of the tool.
type start struct {
	r       *Results
	first   int // number of the first line
	lines   []string
	folders bool // are made for the tool
	strict  bool // a file of a wrong size ends it

	current int           // result that is coming in, −1: none
	end     *bytes.Buffer // what the tool said of its end
	status  string
	rest    *time.Timer // ends it when nothing comes
}

// sizeError is a file that is not as large as its tensor.
type sizeError struct {
	name      string
	got, want int64
}

func (e *sizeError) Error() string {
	return fmt.Sprintf("%s wrote %d bytes of %s, which has %d", snpe.NetRunTool, e.got, e.name, e.want)
}

// errFolders means that the tool failed for want of folders.
var errFolders = errors.New("it failed to write")

// $1 output folder, $2 how many folders are to be made in it, those, "early" if results may be handed over before the end, the
// command. A result is whole when the one after the next is begun (files may still be written beside the next), or all are when the
// tool ends well; each is handed over as a tar with an empty file behind it, and removed; at the end what the tool printed, its
// profile and its status.
const streamScript = `out=$1 n=$2
shift 2
rm -rf "$out" "$out.log" "$out.status" || exit 1
mkdir -p "$out" && cd "$out" && : > done || exit 1
while [ "$n" -gt 0 ]; do mkdir -p "$1" || exit 1; shift; n=$((n-1)); done
early=$1
shift
(cd ..; "$@"; echo $? > "$out.status") < /dev/null > "$out.log" 2>&1 &
i=0 over= all=
while :; do
if [ -s "$out.status" ]; then over=1; read -r all < "$out.status"; fi
while { [ -n "$early" ] && [ -d "Result_$((i+2))" ]; } || { [ "$all" = 0 ] && [ -d "Result_$i" ]; }; do
tar -cf - "Result_$i" done || exit 1
rm -rf "Result_$i"
i=$((i+1))
done
[ -n "$over" ] && break
sleep 0.02 2>/dev/null || sleep 1
done
mv "$out.log" log && mv "$out.status" status || exit 1
set --
for f in SNPEDiag*.log; do [ -f "$f" ] && set -- "$f"; done
tar -cf - "$@" log status`

// stream starts the tool and takes in what it makes.
func (s *start) stream(ctx context.Context) error {
	r, b := s.r, s.r.b
	list, output := b.Path(r.run.Name+".txt"), b.Path(r.run.Name+".out")
	if err := b.make(ctx, list, output, output+".log", output+".status"); err != nil {
		return err
	}
	if err := device.Push(ctx, b.d, device.FromBytes([]byte(strings.Join(s.lines, "\n")+"\n"), list)); err != nil {
		return err
	}
	args := []string{output}
	early := "early"
	if s.folders { // which look like results that are there
		early = ""
		args = append(args, strconv.Itoa(len(s.lines)*len(r.run.Folders)))
		for i := range s.lines {
			for _, f := range r.run.Folders {
				args = append(args, path.Join("Result_"+strconv.Itoa(i), f))
			}
		}
	} else {
		args = append(args, "0")
	}
	args = append(append(args, early), r.run.Args(list, output)...)
	c := device.Shell(streamScript, args...)
	c.Dir = b.o.Base
	// It takes as long as the tool takes, and as much as it makes: s.rest and take bound both, result by result.
	c.Limits = device.Limits{Output: device.Unlimited, Time: device.Unlimited}
	s.current, s.end, s.status = -1, &bytes.Buffer{}, ""
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.rest = time.AfterFunc(b.o.Idle, func() {
		cancel(fmt.Errorf("%s gave nothing for %s: %w", snpe.NetRunTool, b.o.Idle, device.ErrTimeout))
	})
	defer s.rest.Stop()
	began := time.Now()
	_, err := device.ReadTar(ctx, b.d, c, func(name string, size int64, content io.Reader) error { return s.take(ctx, name, size, content) })
	b.ToolFor += time.Since(began)
	switch {
	case errors.Is(err, device.ErrTimeout):
		return fmt.Errorf("%w%s", err, b.said(ctx, output+".log"))
	case err != nil:
		return err
	}
	return s.judge()
}

// said is the end of what a tool that was ended had printed.
func (b *Board) said(ctx context.Context, log string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var out bytes.Buffer
	c := device.Shell(`tail -n 10 "$1"`, log)
	c.Stdout = &out
	if err := b.d.Run(ctx, c); err != nil {
		return "" // The time-out is what counts.
	}
	return lastLines(out.Bytes())
}

// take takes one file of the stream.
func (s *start) take(ctx context.Context, name string, size int64, content io.Reader) error {
	switch {
	case name == "done":
		s.moved(0)
		s.whole()
		return nil
	case name == "log":
		s.end.Reset()
		_, err := io.Copy(s.end, io.LimitReader(content, 1<<20))
		s.r.Text = s.end.Bytes()
		return err
	case name == "status":
		text, err := io.ReadAll(io.LimitReader(content, 16))
		s.status = strings.TrimSpace(string(text))
		return err
	case strings.HasPrefix(name, "SNPEDiag"):
		s.r.Log = name
		return nil
	}
	folder, within, _ := strings.Cut(name, "/")
	number, ok := numberOf(folder)
	if !ok || within == "" {
		return nil // nothing of ours
	}
	if s.first+number != s.r.arrived || number >= len(s.lines) {
		return fmt.Errorf("%w: %s came in the place of Result_%d", device.ErrDamaged, folder, s.r.arrived-s.first)
	}
	if number != s.current {
		if err := s.room(ctx, number); err != nil {
			return err
		}
	}
	if !s.r.run.Want(within) {
		return nil
	}
	if want := s.r.run.Size(within); s.strict && want >= 0 && want != size {
		return &sizeError{within, size, want}
	}
	local := filepath.Join(s.r.run.Dir, "Result_"+strconv.Itoa(s.first+number), filepath.FromSlash(within))
	if err := fits(s.r.run.Dir, within, size); err != nil {
		return err
	}
	if _, err := os.Lstat(local); err == nil {
		return fmt.Errorf("%w: %s came twice", device.ErrDamaged, within)
	}
	s.moved(size)
	return atomicfile.PutUnsynced(local, func(f *os.File) error {
		_, err := io.Copy(f, content)
		return err
	})
}

// moved says that something arrived that was waited for, and that a file of so many bytes begins. Anything else a device may send
// as long as it likes, but not longer than Idle.
func (s *start) moved(size int64) {
	const slowest = 64 << 10 // bytes a second
	s.rest.Reset(s.r.b.o.Idle + time.Duration(min(size/slowest, 1<<30))*time.Second)
}

// fits refuses a file that the disk here has no room for.
func fits(dir, name string, size int64) error {
	free, err := device.FreeSpace(dir)
	if err != nil {
		return err
	}
	if size < 0 || size > free {
		return fmt.Errorf("%w: %s has %d bytes, and %d are free here", device.ErrTooMuch, name, size, free)
	}
	return nil
}

// numberOf reads the number in Result_<i>.
func numberOf(folder string) (number int, ok bool) {
	text, ok := strings.CutPrefix(folder, "Result_")
	number, err := strconv.Atoi(text)
	return number, ok && err == nil && number >= 0
}

// room waits until a further result may lie here.
func (s *start) room(ctx context.Context, number int) error {
	s.rest.Stop()
	defer s.rest.Reset(s.r.b.o.Idle)
	for {
		s.r.mu.Lock()
		free, changed := s.r.run.Hold == 0 || s.r.held < s.r.run.Hold, s.r.changed
		s.r.mu.Unlock()
		if free {
			break
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
	s.current = number
	dir := filepath.Join(s.r.run.Dir, "Result_"+strconv.Itoa(s.first+number))
	return errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o777)) // of an attempt before
}

// whole says that the result that came in is whole.
func (s *start) whole() {
	if s.current < 0 {
		return
	}
	s.current = -1
	s.r.change(func() { s.r.arrived++; s.r.held++ })
	if s.r.run.Arrived != nil {
		s.r.run.Arrived(s.r.arrived)
	}
}

// judge says whether the tool did what it was started for: by its status, by what it printed, and by what it left.
func (s *start) judge() error {
	text := s.end.Bytes()
	if failed := snpe.FailedWrites(text); len(failed) > 0 && !s.folders {
		return fmt.Errorf("%w %s", errFolders, failed[0])
	}
	status, err := strconv.Atoi(s.status)
	switch missing := s.first + len(s.lines) - s.r.arrived; {
	case err != nil:
		return fmt.Errorf("%w: the device did not tell how %s ended", device.ErrDamaged, snpe.NetRunTool)
	case status != 0:
		return &device.ExitError{Program: snpe.NetRunTool, Status: status, Tail: tailOf(text)}
	case !snpe.Executed(text):
		return fmt.Errorf("%s ended with status 0 but does not say that it executed successfully%s", snpe.NetRunTool, lastLines(text))
	case missing > 0:
		return fmt.Errorf("%s says that it executed successfully but left results for %d of %d inputs%s", snpe.NetRunTool, len(s.lines)-missing, len(s.lines), lastLines(text))
	}
	return nil
}
