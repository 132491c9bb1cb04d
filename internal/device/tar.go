package device

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"
)

// Pulled is what PullTar saw.
type Pulled struct {
	Files int
	Bytes int64
	// Others names what is neither a file nor a folder and was passed over.
	Others []string
}

// PullTar reads all files below a folder of the device as one stream, while tar writes it there: each gets a file's path
// relative to dir, its size and its content, of which it reads what it needs before it returns. Nothing is kept on either
// side. Every file is whole when each has read it to its end; that there are no more is only certain without an error, which
// is ErrLost or ErrDamaged if the stream ends early. An error of each ends it. The stream may be of any length as long as it moves: each
// has to know which files and sizes it takes.
func PullTar(ctx context.Context, d Device, dir string, each func(name string, size int64, r io.Reader) error) (Pulled, error) {
	if err := checkPath(dir); err != nil {
		return Pulled{}, err
	}
	limits := Limits{Output: Unlimited, Time: Unlimited, Idle: time.Minute}
	return ReadTar(ctx, d, Command{Args: []string{"tar", "-cf", "-", "."}, Dir: dir, Limits: limits}, each)
}

// ReadTar is PullTar for the stream that a command of the caller's writes on its stdout, which is replaced: a tar, or several,
// one behind the other, as a command writes them that hands out what it has before it has all.
func ReadTar(ctx context.Context, d Device, c Command, each func(name string, size int64, r io.Reader) error) (Pulled, error) {
	caller := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = pw.CloseWithError(context.Cause(ctx)) }) // It always succeeds.
	defer stop()
	c.Stdout = pw
	ran := make(chan error, 1)
	go func() {
		err := d.Run(ctx, c)
		_ = pw.CloseWithError(err) // nil is the stream's end.
		ran <- err
	}()
	p, mine, err := walkTar(pr, each)
	if err != nil {
		cancel(err)
		_ = pr.CloseWithError(err) // The command cannot write any more.
	}
	end := <-ran
	switch {
	case mine: // each's error, which ended the command.
		return p, err
	case end != nil && (err == nil || caller.Err() != nil || !errors.Is(end, err) || errors.Is(err, end)): // It is not the end that err brought.
		return p, fmt.Errorf("read files: %w", end)
	case err != nil:
		return p, fmt.Errorf("read files: %w: %w", ErrDamaged, err)
	}
	return p, nil
}

// walkTar reads a tar to its end, or several, one behind the other. mine says that the error is each's.
func walkTar(r io.Reader, each func(string, int64, io.Reader) error) (p Pulled, mine bool, err error) {
	z := &zeros{r: r}
	for rest := io.Reader(z); rest != nil; {
		if mine, err := p.walk(rest, each); err != nil {
			return p, mine, err
		}
		// A stream that ends between two files looks whole but for the two empty blocks that end a tar.
		if z.n < 1024 {
			return p, false, io.ErrUnexpectedEOF
		}
		if rest, err = another(z); err != nil {
			return p, false, err
		}
	}
	return p, false, nil
}

// another skips the empty blocks behind a tar's end; nil: nothing follows.
func another(r io.Reader) (io.Reader, error) {
	block := make([]byte, 512)
	for {
		n, err := io.ReadFull(r, block)
		for _, b := range block[:n] {
			if b != 0 {
				return io.MultiReader(bytes.NewReader(block[:n]), r), nil
			}
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return nil, nil
		case err != nil:
			return nil, err
		}
	}
}

// othersLimit is how many entries may be passed over: a folder of outputs has none.
const othersLimit = 10000

// walk reads one tar up to the blocks that end it.
func (p *Pulled) walk(r io.Reader, each func(string, int64, io.Reader) error) (mine bool, err error) {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		name := path.Clean(h.Name)
		switch h.Typeflag {
		case tar.TypeDir, tar.TypeXGlobalHeader:
			continue
		case tar.TypeReg:
		default:
			if len(p.Others) == othersLimit {
				return false, fmt.Errorf("%w: over %d entries that are no files", ErrTooMuch, othersLimit)
			}
			p.Others = append(p.Others, name)
			continue
		}
		if path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../") {
			return false, fmt.Errorf("%q leads out of the folder", h.Name)
		}
		content := &failing{r: t}
		if err := each(name, h.Size, content); err != nil {
			// An error of the stream that each only passed on is the stream's.
			return content.err == nil, err
		}
		p.Files++
		p.Bytes += h.Size
	}
}

// failing remembers the error that reading ended with.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// zeros counts the zero bytes that were read last.
type zeros struct {
	r io.Reader
	n int
}

func (z *zeros) Read(p []byte) (int, error) {
	n, err := z.r.Read(p)
	i := n
	for i > 0 && p[i-1] == 0 {
		i--
	}
	if i > 0 {
		z.n = 0
	}
	z.n += n - i
	return n, err
}
