package coco

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
)

// Reader reads COCO's JSON. Keys may come in any order; those it does not know are skipped; of a key that comes twice
// the last counts. It is strict about syntax, but takes NaN and Infinity for numbers, as Python writes them. Errors say
// the byte. The zero value reads everything with all processors.
type Reader struct {
	BoxesOnly bool // leave segmentations out: less memory where only boxes are evaluated
	Parallel  int  // how many goroutines read a large array of annotations; 0 stands for GOMAXPROCS
}

// ReadDataset reads a JSON object with images, annotations and categories.
func ReadDataset(data []byte) (*Dataset, error) { return Reader{}.Dataset(data) }

// ReadResults reads detections: a JSON array of them, or an object that has one as its annotations.
func ReadResults(data []byte) ([]Annotation, error) { return Reader{}.Results(data) }

// ReadDatasetFile is ReadDataset of a file, which is never in memory as a whole.
func ReadDatasetFile(path string) (*Dataset, error) { return Reader{}.DatasetFile(path) }

// ReadResultsFile is ReadResults of a file, which is never in memory as a whole.
func ReadResultsFile(path string) ([]Annotation, error) { return Reader{}.ResultsFile(path) }

// Dataset is ReadDataset with the reader's options.
func (r Reader) Dataset(data []byte) (*Dataset, error) { return r.dataset(scanBytes(data)) }

// Results is ReadResults with the reader's options.
func (r Reader) Results(data []byte) ([]Annotation, error) { return r.results(scanBytes(data)) }

// DatasetFile is ReadDatasetFile with the reader's options.
func (r Reader) DatasetFile(path string) (d *Dataset, err error) {
	err = withFile(path, func(s *scanner) error {
		d, err = r.dataset(s)
		return err
	})
	return d, err
}

// ResultsFile is ReadResultsFile with the reader's options.
func (r Reader) ResultsFile(path string) (list []Annotation, err error) {
	err = withFile(path, func(s *scanner) error {
		list, err = r.results(s)
		return err
	})
	return list, err
}

func withFile(path string, read func(*scanner) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if err := read(scanFile(f, info.Size(), 0)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (r Reader) parallel() int {
	if r.Parallel > 0 {
		return r.Parallel
	}
	return runtime.GOMAXPROCS(0)
}

func (r Reader) results(s *scanner) ([]Annotation, error) {
	var list []Annotation
	var c byte
	ok := s.unit(func() (ok bool) { c, ok = s.peek(); return ok })
	switch {
	case !ok:
	case c == '[':
		s.pos++
		list, s = r.annotations(s)
	case c == '{':
		found := false
		s = r.object(s, func(s *scanner, key string) (*scanner, bool) {
			if key == "annotations" {
				found = true
				list, s = r.annotations(s)
			}
			return s, key == "annotations"
		}, nil)
		if s.err == nil && !found {
			s.failf("an object without annotations instead of an array of detections")
		}
	default:
		s.failf("%q instead of an array of detections", c)
	}
	if s.err != nil || !s.end() {
		return nil, fmt.Errorf("detections: %w", s.err)
	}
	return list, nil
}

func (r Reader) dataset(s *scanner) (*Dataset, error) {
	d := &Dataset{}
	found := false
	s = r.object(s, func(s *scanner, key string) (*scanner, bool) {
		switch key {
		case "images":
			found = true
			d.Images = nil
			array(s, readImage, &d.Images)
		case "categories":
			d.Categories = nil
			array(s, readCategory, &d.Categories)
		case "annotations":
			d.Annotations, s = r.annotations(s)
		default:
			return s, false
		}
		return s, true
	}, &d.Info)
	if s.err == nil && !found {
		s.failf("no images")
	}
	if s.err != nil || !s.end() {
		return nil, fmt.Errorf("dataset: %w", s.err)
	}
	return d, nil
}

// object reads the outermost object. Arrays under keys that known knows are left to it, from behind their bracket; it
// gives the scanner that stands behind them. The value of info goes to the last argument unless that is nil.
func (r Reader) object(s *scanner, known func(s *scanner, key string) (*scanner, bool), info *json.RawMessage) *scanner {
	if !s.unit(func() bool { return s.punctuation('{') }) {
		return s
	}
	for first := true; ; first = false {
		var name string
		more, inArray := false, false
		ok := s.unit(func() bool {
			key, m, ok := s.member(first)
			if more = m; !ok || !more {
				return ok
			}
			name = string(key)
			c, ok := s.peek()
			if !ok {
				return false
			}
			switch {
			case c == '[' && (name == "images" || name == "annotations" || name == "categories"):
				inArray = true
				s.pos++
				return true
			case name == "images" || name == "annotations" || name == "categories":
				return s.failf("%s is no array", name)
			}
			start := s.pos
			if !s.skip(0) {
				return false
			}
			if name == "info" && info != nil {
				*info = bytes.Clone(s.buf[start:s.pos])
			}
			return true
		})
		if !ok || !more {
			return s
		}
		if inArray {
			var used bool
			if s, used = known(s, name); !used {
				skipArray(s)
			}
			if s.err != nil {
				s.err = fmt.Errorf("%s: %w", name, s.err)
				return s
			}
		}
	}
}

// array reads the elements of an array from behind its bracket.
func array[T any](s *scanner, read func(*scanner, *T) bool, list *[]T) {
	first, more := true, false
	var v T
	scan := func() (ok bool) {
		if more, ok = s.element(first); !ok || !more {
			return ok
		}
		return read(s, &v)
	}
	for ; s.unit(scan) && more; first = false {
		*list = append(*list, v)
	}
}

func skipArray(s *scanner) {
	first, more := true, false
	scan := func() (ok bool) {
		if more, ok = s.element(first); !ok || !more {
			return ok
		}
		return s.skip(1)
	}
	for ; s.unit(scan) && more; first = false {
	}
}
