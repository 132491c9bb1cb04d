package device

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"quantcheck/internal/atomicfile"
)

// File is what is to lie on a device.
type File struct {
	// Path is where: absolute, with /. Folders are made.
	Path string
	// Mode is its permission bits; 0 is 0644.
	Mode fs.FileMode
	// Open gives its content, the same each time.
	Open func() (io.ReadCloser, error)
}

// FromDisk is a file of this machine.
func FromDisk(local, remote string) File {
	return File{Path: remote, Open: func() (io.ReadCloser, error) { return os.Open(local) }}
}

// FromBytes is a file made of content.
func FromBytes(content []byte, remote string) File {
	return File{Path: remote, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil }}
}

// Sum is a file's SHA-256 and its size in bytes.
type Sum struct {
	SHA256 [sha256.Size]byte
	Size   int64
}

// Sum reads the file once.
func (f File) Sum() (Sum, error) {
	r, err := f.Open()
	if err != nil {
		return Sum{}, err
	}
	defer func() { _ = r.Close() }() // It was only read.
	h := sha256.New()
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{r}, make([]byte, 256<<10))
	if err != nil {
		return Sum{}, err
	}
	return Sum{[sha256.Size]byte(h.Sum(nil)), n}, nil
}

// partPrefix begins the name of what is not whole yet.
const partPrefix = ".quantcheck-part-"

// $1 the temporary name, $2 the path, $3 size, $4 sum, $5 mode, $6 the folder. The trap holds for an end of the connection
// too: then cat sees the input's end, and what came is too short.
const pushScript = `trap 'rm -f "$1"' EXIT
trap 'exit 129' HUP INT TERM PIPE
[ ! -d "$2" ] || { echo "$2 is a folder" >&2; exit 1; }
mkdir -p "$6" || exit 1
umask 077
cat > "$1" || exit 1
n=$(wc -c < "$1") || exit
[ "$n" -eq "$3" ] || { rm -f "$1"; echo "$n of $3 bytes arrived" >&2; exit 75; }
s=$(sha256sum < "$1") || exit
[ "${s%% *}" = "$4" ] || { rm -f "$1"; echo "the sum is $s" >&2; exit 75; }
chmod "$5" "$1" && mv -f "$1" "$2"`

// statusDamaged is a script's status when what arrived is not what was sent (EX_TEMPFAIL).
const statusDamaged = 75

// Push sends a file: to a temporary name in its folder, verified by size and SHA-256 there, renamed. If it fails, or the
// connection is lost, what was at its path before is untouched and nothing else is left; if it is lost at the very end, the
// file may be there, whole. The error is ErrDamaged if something else arrived than the first reading had given, which it is
// as well if the file was changed meanwhile.
func Push(ctx context.Context, d Device, f File) error {
	sum, err := f.Sum()
	if err != nil {
		return fmt.Errorf("push %s: %w", f.Path, err)
	}
	return push(ctx, d, f, sum)
}

func push(ctx context.Context, d Device, f File, sum Sum) error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	mode := f.Mode.Perm()
	if mode == 0 {
		mode = 0o644
	}
	r, err := f.Open()
	if err != nil {
		return fmt.Errorf("push %s: %w", f.Path, err)
	}
	defer func() { _ = r.Close() }() // It was only read.
	dir := path.Dir(f.Path)
	c := Shell(pushScript, path.Join(dir, partPrefix+rand.Text()), f.Path, strconv.FormatInt(sum.Size, 10),
		hex.EncodeToString(sum.SHA256[:]), fmt.Sprintf("%#o", mode), dir)
	c.Stdin, c.Limits = r, forTransfer(sum.Size)
	c.Limits.Output = textOutput
	err = d.Run(ctx, c)
	if exit := (*ExitError)(nil); errors.As(err, &exit) && exit.Status == statusDamaged {
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if err != nil {
		return fmt.Errorf("push %s: %w", f.Path, err)
	}
	return nil
}

const fileScript = `[ -f "$1" ] || { echo "$1 is not there, or not a file" >&2; exit 1; }
`

// Pull streams a file's content into w and checks that it is as long as the file said that it is. A file of more than most bytes
// is refused with ErrTooMuch before any of it is read. After an error w has got a part of it.
func Pull(ctx context.Context, d Device, name string, most int64, w io.Writer) error {
	if err := checkPath(name); err != nil {
		return err
	}
	var told bytes.Buffer
	c := Shell(fileScript+`wc -c < "$1"`, name)
	c.Stdout, c.Limits.Output = &told, textOutput
	if err := d.Run(ctx, c); err != nil {
		return fmt.Errorf("pull %s: %w", name, err)
	}
	n, err := strconv.ParseInt(strings.TrimSpace(told.String()), 10, 64)
	switch {
	case err != nil:
		return fmt.Errorf("pull %s: its size: %w", name, err)
	case n < 0:
		return fmt.Errorf("pull %s: its size: %d bytes", name, n)
	case n > most:
		return fmt.Errorf("pull %s: %w: it has %s, of which %s fit here", name, ErrTooMuch, size(n), size(most))
	}
	content := &exact{w: w, left: n}
	c = Shell(fileScript+`exec cat < "$1"`, name)
	c.Stdout, c.Limits = content, forTransfer(n)
	if err := d.Run(ctx, c); err != nil {
		return fmt.Errorf("pull %s: %w", name, err)
	}
	if content.left != 0 {
		return fmt.Errorf("pull %s: %w: %d of %d bytes", name, ErrDamaged, n-content.left, n)
	}
	return nil
}

// PullFile pulls a file to a path of this machine, where it is whole or what was there before. It has to fit the disk.
func PullFile(ctx context.Context, d Device, name, local string) error {
	return atomicfile.Write(local, func(f *os.File) error {
		most, err := FreeSpace(filepath.Dir(local))
		if err != nil {
			return err
		}
		if err = Pull(ctx, d, name, most, f); errors.Is(err, ErrTooMuch) {
			err = fmt.Errorf("%w: %w", syscall.ENOSPC, err)
		}
		return err
	})
}

// FreeSpace is how many bytes may be written to the disk of a folder of this machine, so that a little is left for others: a
// sixteenth of what is free, at most 64 MiB.
func FreeSpace(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: dir, Err: err}
	}
	block := uint64(s.Bsize) //nolint:gosec // a block has a size
	free := min(s.Bavail, math.MaxInt64/max(block, 1)) * block
	return int64(free - min(free/16, 64<<20)), nil //nolint:gosec // at most MaxInt64
}

// exact takes as many bytes as were announced, and not one more.
type exact struct {
	w    io.Writer
	left int64
}

func (e *exact) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, fmt.Errorf("%w: more comes than the file has", ErrDamaged)
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	return n, err
}

// Of the names, so many bytes go into one command: a single argument may have 128 KiB on Linux, a request to adb 64.
const namesPerCommand = 16 << 10

// sumsTime is how long hashing the files of one command may take: some tens of gigabytes.
const sumsTime = 15 * time.Minute

const sumScript = `for f in "$@"; do
if [ -f "$f" ]; then n=$(wc -c < "$f") && s=$(sha256sum < "$f") || exit; echo "$n" "${s%% *}"
elif [ -e "$f" ]; then echo "$f is not a file" >&2; exit 1
else echo -; fi; done`

// Sums gives the size and SHA-256 of files on the device, in the order of names; nil where there is none.
func Sums(ctx context.Context, d Device, names []string) ([]*Sum, error) {
	var all []*Sum
	for len(names) > 0 {
		n, bytes := 0, 0
		for n < len(names) && (n == 0 || bytes+len(names[n]) < namesPerCommand) {
			if err := checkPath(names[n]); err != nil {
				return nil, err
			}
			bytes += 3 + len(names[n])
			n++
		}
		sums, err := someSums(ctx, d, names[:n])
		if err != nil {
			return nil, err
		}
		all = append(all, sums...)
		names = names[n:]
	}
	return all, nil
}

func someSums(ctx context.Context, d Device, names []string) ([]*Sum, error) {
	var out bytes.Buffer
	c := Shell(sumScript, names...)
	c.Stdout, c.Limits = &out, Limits{Output: textOutput, Time: sumsTime}
	if err := d.Run(ctx, c); err != nil {
		return nil, fmt.Errorf("sums of files: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(names) {
		return nil, fmt.Errorf("sums of files: %w: %d lines for %d files", ErrDamaged, len(lines), len(names))
	}
	sums := make([]*Sum, len(names))
	for i, line := range lines {
		if line == "-" {
			continue
		}
		size, sum, _ := strings.Cut(line, " ")
		n, err := strconv.ParseInt(size, 10, 64)
		b, e := hex.DecodeString(sum)
		if err != nil || e != nil || len(b) != sha256.Size {
			return nil, fmt.Errorf("sums of files: %q is no size and sum", line)
		}
		sums[i] = &Sum{[sha256.Size]byte(b), n}
	}
	return sums, nil
}

// Synced is what Sync did.
type Synced struct {
	// Sent are the paths that were pushed, Same those that were there already, in the files' order. Bytes is the size of
	// the former.
	Sent, Same []string
	Bytes      int64
}

// pushesAtOnce is how many files are under way at a time: each waits for the device several times, where bytes do not.
const pushesAtOnce = 4

// Sync pushes the files that are not on the device yet, by size and SHA-256. The mode of the others is left as it is. After
// an error, what it returns tells how far it came.
func Sync(ctx context.Context, d Device, files []File) (Synced, error) {
	var done Synced
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Path
	}
	there, err := Sums(ctx, d, names)
	if err != nil {
		return done, err
	}
	sums := make([]*Sum, len(files)) // of those that are there now
	sent := make([]bool, len(files))
	some, within := errgroup.WithContext(ctx)
	some.SetLimit(pushesAtOnce)
	for i, f := range files {
		some.Go(func() error {
			if within.Err() != nil {
				return context.Cause(within)
			}
			sum, err := f.Sum()
			if err != nil {
				return fmt.Errorf("push %s: %w", f.Path, err)
			}
			if there[i] == nil || *there[i] != sum {
				if err := push(within, d, f, sum); err != nil {
					return err
				}
				sent[i] = true
			}
			sums[i] = &sum
			return nil
		})
	}
	err = some.Wait()
	for i, f := range files {
		switch {
		case sums[i] == nil:
		case sent[i]:
			done.Sent = append(done.Sent, f.Path)
			done.Bytes += sums[i].Size
		default:
			done.Same = append(done.Same, f.Path)
		}
	}
	if ctx.Err() != nil {
		return done, context.Cause(ctx)
	}
	return done, err
}

// checkPath refuses paths that mean something else in another folder or to another program.
func checkPath(name string) error {
	if !path.IsAbs(name) || path.Clean(name) != name || name == "/" {
		return fmt.Errorf("%q is not the plain, absolute path of a file on a device", name)
	}
	return nil
}
