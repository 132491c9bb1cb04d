// Package labels reads data sets: pictures with what is to be found in them.
//
//  1. Detections, Masks, Depths and Classes each list the pictures of a data set with their truth, in one of the layouts
//     that people have: COCO's JSON, YOLO's text labels, folders of masks or depth maps, folders of classes, a CSV.
//  2. Nothing of a picture is read yet but what its truth needs (YOLO's labels are relative to its size).
//
// What does not fit together is counted and named, never dropped silently.
package labels

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Image is a picture of a data set.
type Image struct {
	Name  string // its file, relative to the set
	Path  string
	ID    int64  // of COCO's image, else its number
	Truth string // file of its mask or depth
	Class int    // of classification
}

// Problems counts and names what does not fit together.
type Problems struct {
	order  []string
	counts map[string]int
	first  map[string][]string
}

const named = 3

// Add counts a problem of a kind, such as "pictures are missing", with what it is about.
func (p *Problems) Add(kind, about string) {
	if p.counts == nil {
		p.counts, p.first = map[string]int{}, map[string][]string{}
	}
	if p.counts[kind] == 0 {
		p.order = append(p.order, kind)
	}
	p.counts[kind]++
	if len(p.first[kind]) < named {
		p.first[kind] = append(p.first[kind], about)
	}
}

// List gives a line per kind: how many, and the first of them.
func (p *Problems) List() []string {
	lines := []string{}
	for _, kind := range p.order {
		more := ""
		if n := p.counts[kind]; n > named {
			more = fmt.Sprintf(" and %d more", n-named)
		}
		lines = append(lines, fmt.Sprintf("%d %s: %s%s", p.counts[kind], kind, strings.Join(p.first[kind], ", "), more))
	}
	return lines
}

var pictureEndings = []string{".jpg", ".jpeg", ".png"}

func isPicture(name string) bool {
	return slices.Contains(pictureEndings, strings.ToLower(filepath.Ext(name)))
}

// stem is a file's name without its ending.
func stem(name string) string { return strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)) }

// listPictures lists the pictures below a folder, sorted by name.
func listPictures(dir string) ([]string, error) {
	var list []string
	root := strings.TrimSuffix(dir, "/") + "/" // with which a link is followed
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(e.Name(), ".") && path != root {
			if e.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		if !e.IsDir() && isPicture(path) {
			list = append(list, path)
		}
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s holds no pictures (.jpg, .png)", dir)
	}
	return list, err
}

// sub finds the first of some folders below dir.
func sub(dir string, names ...string) (string, bool) {
	for _, n := range names {
		path := filepath.Join(dir, n)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path, true
		}
	}
	return "", false
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// staysIn says whether a name below a folder leads to a file in that folder, unless the name is that of the file itself: links of
// single pictures are how people gather a set, links of folders within it are not.
func staysIn(folder, path string) bool {
	root, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return false
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return false
	}
	relative, err := filepath.Rel(root, dir)
	return err == nil && filepath.IsLocal(relative)
}
