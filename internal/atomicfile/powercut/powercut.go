// Package powercut is a model of a disk, for tests: it sees what package file does, and says what a power cut would leave of it.
//
// POSIX promises only this: a file's content after fsync, and the names in a folder after fsync of the folder. The model keeps no
// more: content that was not synced is empty, and of names that were not synced it gives both extremes, all of them and none.
// What is written past package file was never synced, as far as the model knows.
package powercut

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"quantcheck/internal/atomicfile"
)

// Disk is the model of what lies in one folder. It may be used by several goroutines at once.
type Disk struct {
	mu   sync.Mutex
	root string
	top  *node
	stop func()
	each func(op atomicfile.Op)
}

// node is a file or a folder.
type node struct {
	now, kept map[string]*node // of a folder: the names in it, and those that the disk has
	content   []byte           // of a file: what the disk has; nil if it was never synced
}

func newFolder() *node { return &node{now: map[string]*node{}, kept: map[string]*node{}} }

// Watch begins with what lies in a folder, all of which the disk has, and sees what is done there until Stop. The function, which
// may be nil, is called after everything that is done.
func Watch(root string, each func(op atomicfile.Op)) (*Disk, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	d := &Disk{root: root, each: each}
	if d.top, err = read(root); err != nil {
		return nil, err
	}
	d.stop = atomicfile.Observe(d.see)
	return d, nil
}

// Stop ends the watching.
func (d *Disk) Stop() { d.stop() }

func read(dir string) (*node, error) {
	n := newFolder()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var child *node
		switch {
		case e.IsDir():
			child, err = read(path)
		case e.Type().IsRegular():
			child = &node{}
			child.content, err = content(path)
		default:
			continue
		}
		if err != nil {
			return nil, err
		}
		n.now[e.Name()], n.kept[e.Name()] = child, child
	}
	return n, nil
}

// content is never nil.
func content(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	return append([]byte{}, b...), err
}

// at finds the folder in which a path lies, and its name there. Folders that were made past package file are added, unsynced.
func (d *Disk) at(path string) (folder *node, name string, ok bool) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, "", false
	}
	rel, err := filepath.Rel(d.root, abs)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return nil, "", false
	}
	parts := strings.Split(rel, string(filepath.Separator))
	folder = d.top
	for _, p := range parts[:len(parts)-1] {
		if next := folder.now[p]; next == nil || next.now == nil {
			folder.now[p] = newFolder()
		}
		folder = folder.now[p]
	}
	return folder, parts[len(parts)-1], true
}

func (d *Disk) see(op atomicfile.Op) {
	d.mu.Lock()
	d.apply(op)
	d.mu.Unlock()
	if d.each != nil {
		d.each(op)
	}
}

func (d *Disk) apply(op atomicfile.Op) {
	folder, name, ok := d.at(op.Path)
	if !ok {
		if abs, err := filepath.Abs(op.Path); err == nil && abs == d.root && op.Kind == atomicfile.SyncedFolder {
			d.top.kept = maps.Clone(d.top.now)
		}
		return
	}
	n := folder.now[name]
	switch op.Kind {
	case atomicfile.MadeFolder:
		if n == nil || n.now == nil {
			folder.now[name] = newFolder()
		}
	case atomicfile.Wrote:
		if n == nil {
			folder.now[name] = &node{}
		}
	case atomicfile.Synced:
		if n == nil {
			n = &node{}
			folder.now[name] = n
		}
		if b, err := content(op.Path); err == nil {
			n.content = b
		}
	case atomicfile.SyncedFolder:
		if n != nil {
			n.kept = maps.Clone(n.now)
		}
	case atomicfile.Removed:
		delete(folder.now, name)
	case atomicfile.Renamed, atomicfile.Exchanged:
		other, to, ok := d.at(op.To)
		if !ok {
			delete(folder.now, name)
			return
		}
		was := other.now[to]
		other.now[to] = n
		if op.Kind == atomicfile.Exchanged {
			folder.now[name] = was
		} else {
			delete(folder.now, name)
		}
	}
}

// After gives the files that lie in the folder after a power cut now: their content by their path below the folder; empty if it
// was not synced. With names, those that were not synced are there too, else none of them is.
func (d *Disk) After(names bool) map[string]string {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string]string{}
	d.top.list(files, "", names)
	return files
}

func (n *node) list(files map[string]string, path string, names bool) {
	if n.now == nil {
		files[path] = string(n.content)
		return
	}
	children := n.kept
	if names {
		children = n.now
	}
	for name, child := range children {
		if child != nil {
			child.list(files, filepath.Join(path, name), names)
		}
	}
}

// Files gives what really lies in a folder, as After does.
func Files(root string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(path)
		files[rel] = string(b)
		return err
	})
	return files, err
}
