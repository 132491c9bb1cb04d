package atomicfile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"quantcheck/internal/workpool"
)

// Commit puts drafts into their places, in their order, and waits for the disk once for all of them. When it returns without
// an error, a power cut does not lose them any more. After an error the drafts that are not in their places are discarded,
// and those paths are as they were; as long as a content cannot be written, that holds for all of them.
func Commit(drafts ...*Draft) error {
	drafts = slices.DeleteFunc(slices.Clone(drafts), func(d *Draft) bool { return d.temporary == "" })
	err := workpool.Together(len(drafts), func(k int) error { return drafts[k].named(drafts[k].settle()) })
	for k, d := range drafts {
		if err == nil {
			err = d.named(d.move())
		}
		if err != nil {
			Discard(drafts[k:]...)
			return err
		}
	}
	var folders []string
	for _, d := range drafts {
		folders = append(folders, filepath.Dir(d.path))
	}
	return syncNames(folders)
}

// Discard removes drafts. Those that are nil are passed over.
func Discard(drafts ...*Draft) {
	for _, d := range drafts {
		if d != nil {
			d.Discard()
		}
	}
}

func (d *Draft) named(err error) error {
	if err != nil {
		return fmt.Errorf("write %s: %w", d.asked, err)
	}
	return nil
}

// Batch collects drafts that are committed together. It may be used from one goroutine at a time; the zero value is ready.
type Batch struct{ drafts []*Draft }

// Write adds a file that is filled by write.
func (b *Batch) Write(path string, write func(*os.File) error) error {
	return b.WriteIn("", path, write)
}

// WriteIn is Write with the temporary file in another folder, as BeginIn has it.
func (b *Batch) WriteIn(stage, path string, write func(*os.File) error) error {
	d, err := BeginIn(stage, path, write)
	if err != nil {
		return err
	}
	b.drafts = append(b.drafts, d)
	return nil
}

// WriteBytes adds a file whose content is there.
func (b *Batch) WriteBytes(path string, data []byte) error { return b.Write(path, Bytes(data)) }

// Redirect gives files that were written with WriteIn other places, at which nothing lies: to gives each one's from the path that was
// asked for.
func (b *Batch) Redirect(to func(path string) string) {
	for _, d := range b.drafts {
		d.asked = to(d.asked)
		d.path, d.replaced = d.asked, nil
	}
}

// Commit puts all files into their places, as the function Commit does, and leaves the batch empty.
func (b *Batch) Commit() error {
	drafts := b.drafts
	b.drafts = nil
	return Commit(drafts...)
}

// Discard removes what was written and not committed.
func (b *Batch) Discard() {
	Discard(b.drafts...)
	b.drafts = nil
}
