package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/ulikunitz/xz"
	"github.com/ulikunitz/xz/lzma"

	"quantcheck/internal/atomicfile"
)

// The limits of an archive: what is in it may be a trap.
const (
	MaxConfig  = 4 << 20 // bytes of config.json
	MaxMembers = 1000
	MaxBytes   = 8 << 30 // that it unpacks to
	MaxRatio   = 100     // of what it unpacks to by its own size, beyond the first 64 MiB
	freeBytes  = 64 << 20
)

// budget counts the bytes that an archive unpacks to.
type budget struct {
	ctx         context.Context //nolint:containedctx // it lives as long as one walk over an archive
	left, limit int64
}

// newBudget is what an archive of so many bytes may unpack to.
func newBudget(ctx context.Context, packed int64) *budget {
	most := min(int64(MaxBytes), freeBytes+MaxRatio*min(packed, MaxBytes/MaxRatio))
	return &budget{ctx, most, most}
}

// take counts bytes and says whether the walk may go on.
func (b *budget) take(n int) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if b.left -= int64(n); b.left < 0 {
		return fmt.Errorf("it unpacks to more than %d MiB, the limit for its size (%d MiB and %d times its own size, %d GiB at most)", b.limit>>20, freeBytes>>20, MaxRatio, int64(MaxBytes)>>30)
	}
	return nil
}

// counted is a reader whose bytes a budget counts.
type counted struct {
	r io.Reader
	b *budget
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if e := c.b.take(n); e != nil {
		return 0, e
	}
	return n, err
}

// each goes through the members until use says to stop. What is unpacked is bounded, members that are passed over included.
func (a *Archive) each(ctx context.Context, use func(h *tar.Header, r io.Reader) (more bool, err error)) error {
	info, err := os.Stat(a.Path) // before it is opened: a pipe would wait
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a file")
	}
	f, err := os.Open(a.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := unpacked(bufio.NewReaderSize(f, 1<<16))
	if err != nil {
		return err
	}
	limit := newBudget(ctx, info.Size())
	holes := newBudget(ctx, info.Size()) // of sparse members, which no decompressor counts
	t := tar.NewReader(counted{r, limit})
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if n == MaxMembers {
			return fmt.Errorf("it has more than %d members, which is the limit", MaxMembers)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		more, err := use(h, counted{t, holes})
		if err != nil || !more {
			return err
		}
	}
}

// unpacked is the tar within a packed file, told by its first bytes.
func unpacked(b *bufio.Reader) (io.Reader, error) {
	head, err := b.Peek(6)
	if err != nil {
		return nil, errors.New("it is empty or too short for an archive")
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return xz.ReaderConfig{DictCap: lzma.MinDictCap}.NewReader(newDictionaries(b))
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return gzip.NewReader(b)
	case bytes.HasPrefix(head, []byte("BZh")):
		return bzip2.NewReader(b), nil
	}
	return b, nil
}

// Extract writes the model, and files of its weights that lie beside it, into a folder and gives the model's path. All of them are
// written, or, after an error or when ctx ends, none.
func (a *Archive) Extract(ctx context.Context, dir string) (model string, err error) {
	wanted := path.Clean(a.Config.Model.Metadata.Path)
	if !filepath.IsLocal(wanted) {
		return "", fmt.Errorf("%s: the model's path %q leads out of it", a.Path, wanted)
	}
	var drafts []*atomicfile.Draft
	err = a.each(ctx, func(h *tar.Header, r io.Reader) (bool, error) {
		name := path.Clean(h.Name)
		beside := path.Dir(name) == path.Dir(wanted) && name != wanted && strings.HasPrefix(path.Base(name), strings.TrimSuffix(path.Base(wanted), path.Ext(wanted)))
		if name != wanted && !beside {
			return true, nil
		}
		to := filepath.Join(dir, path.Base(name))
		if name == wanted {
			model = to
		}
		d, err := atomicfile.Begin(to, func(f *os.File) error {
			_, err := io.Copy(f, r)
			return err
		})
		if err == nil {
			drafts = append(drafts, d)
		}
		return true, err
	})
	if err == nil && model == "" {
		err = fmt.Errorf("its config.json names the model %q, which is not in it", wanted)
	}
	for err == nil && len(drafts) > 0 {
		err, drafts = drafts[0].Commit(), drafts[1:]
	}
	if err != nil {
		for _, d := range drafts {
			d.Discard()
		}
		_ = os.Remove(dir) // these are removed if they are empty
		_ = os.Remove(filepath.Dir(dir))
		return "", fmt.Errorf("%s: %w", a.Path, err)
	}
	return model, nil
}
