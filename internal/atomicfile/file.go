// Package atomicfile writes files that are either whole or not there, and that a power cut does not take away again:
//
//  1. Begin fills a draft, under a temporary name in the folder of its path.
//  2. Commit waits until the disk has the drafts' content, several at once, and renames them to their paths.
//  3. It waits until the disk has the names: every folder once, and the folders above those that were made.
//
// A new file gets the mode that the umask leaves, one that replaces another its mode, and its owner where the system allows
// that. A path that is a symbolic link stays one: what it leads to is replaced. Another hard link of the file that is replaced
// keeps the content from before. A path that is no regular file, such as /dev/stdout, is written to directly.
package atomicfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"quantcheck/internal/scratch"
)

// Write lets write fill a file under a temporary name, and puts it in the place of path. When it returns without an error, a
// power cut does not lose the file any more. If anything fails, path is as it was. Folders are made.
func Write(path string, write func(*os.File) error) error {
	d, err := Begin(path, write)
	if err != nil {
		return err
	}
	return d.Commit()
}

// WriteBytes is Write for content that is there.
func WriteBytes(path string, data []byte) error { return Write(path, Bytes(data)) }

// Bytes writes content that is there, for Write and Begin.
func Bytes(data []byte) func(*os.File) error {
	return func(f *os.File) error {
		_, err := f.Write(data)
		return err
	}
}

// Touch makes an empty file that a power cut does not lose, if there is none. Folders are made.
func Touch(path string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if err := makeFolder(filepath.Dir(path)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	tell(Op{Kind: Wrote, Path: path})
	return syncNames([]string{filepath.Dir(path)})
}

// Draft is a file that is written under a temporary name. It holds nothing open; it must be committed or discarded.
type Draft struct {
	asked     string      // the path that was asked for
	path      string      // where that leads
	temporary string      // "" if the path was written to directly
	staged    bool        // the temporary file does not lie beside the path
	replaced  os.FileInfo // nil: there was none
}

// Begin is the first half of Write: it lets write fill a file under a temporary name. Waiting for the disk is left to Commit,
// which another goroutine may call.
func Begin(path string, write func(*os.File) error) (*Draft, error) { return BeginIn("", path, write) }

// BeginIn is Begin with the temporary file in another folder, which the caller made and removes, "" being that of the path: until it
// is committed, nothing is to be seen where the path is, not even folders. Another file system costs a copy.
func BeginIn(stage, path string, write func(*os.File) error) (*Draft, error) {
	d, err := begin(stage, path, write)
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", path, err)
	}
	return d, nil
}

func begin(stage, path string, write func(*os.File) error) (*Draft, error) {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return nil, syscall.EISDIR
	case err == nil && !info.Mode().IsRegular():
		return &Draft{asked: path, path: path}, stream(path, write)
	}
	d := &Draft{asked: path, staged: stage != ""}
	if d.path, d.replaced, err = target(path); err != nil {
		return nil, err
	}
	if !d.staged {
		stage = filepath.Dir(d.path)
		if err := makeFolder(stage); err != nil {
			return nil, err
		}
	}
	mode := os.FileMode(0o666)
	if d.replaced != nil {
		mode = 0o600 // nobody reads the draft who may not read the file
	}
	f, err := scratch.File(stage, "draft", mode)
	if err != nil {
		return nil, err
	}
	d.temporary = f.Name()
	if err = write(f); err == nil {
		beginSync(f)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	tell(Op{Kind: Wrote, Path: d.temporary})
	if err != nil {
		d.Discard() // the write's own error is the one to tell
		return nil, err
	}
	return d, nil
}

// stream writes to what is no regular file.
func stream(path string, write func(*os.File) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// Target is the file that writing to a path replaces, or makes: what the symbolic links lead to.
func Target(path string) (string, error) {
	to, _, err := target(path)
	return to, err
}

// target follows symbolic links to the file that they lead to, which need not be there.
func target(path string) (string, os.FileInfo, error) {
	const most = 40 // links, as Linux has it
	for range most {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return path, nil, nil
		}
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return path, info, err
		}
		to, err := os.Readlink(path)
		if err != nil {
			return "", nil, err
		}
		if !filepath.IsAbs(to) { // not joined: ".." behind a folder that is a link leads elsewhere than the text says
			to = filepath.Dir(path) + string(filepath.Separator) + to
		}
		path = to
	}
	return "", nil, syscall.ELOOP
}

// Commit puts the draft into its place, as the function Commit does.
func (d *Draft) Commit() error { return Commit(d) }

// Discard removes the draft.
func (d *Draft) Discard() {
	if d.temporary != "" {
		_ = os.Remove(d.temporary)
		tell(Op{Kind: Removed, Path: d.temporary})
	}
}

// settle gives the draft the mode that its path shall have, and waits until the disk has its content.
func (d *Draft) settle() error {
	f, err := os.Open(d.temporary)
	if err != nil {
		return err
	}
	defer f.Close()
	if d.replaced != nil {
		own(f, d.replaced)
		if err := f.Chmod(d.replaced.Mode().Perm()); err != nil {
			return err
		}
	}
	return syncFile(f)
}

// move renames a draft whose content is synced.
func (d *Draft) move() error {
	if !d.staged {
		return rename(d.temporary, d.path)
	}
	if err := makeFolder(filepath.Dir(d.path)); err != nil {
		return err
	}
	err := rename(d.temporary, d.path)
	if !errors.Is(err, syscall.EXDEV) {
		return err
	}
	from, err := os.Open(d.temporary)
	if err != nil {
		return err
	}
	defer from.Close()
	copied, err := begin("", d.path, func(f *os.File) error { _, err := io.Copy(f, from); return err })
	if err != nil {
		return err
	}
	d.Discard()
	*d = Draft{asked: d.asked, path: d.path, temporary: copied.temporary, replaced: d.replaced}
	if err := d.settle(); err != nil {
		return err
	}
	return rename(d.temporary, d.path)
}
