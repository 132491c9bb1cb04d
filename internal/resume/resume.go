// Package resume keeps what an interrupted run has computed, so that the same request goes on from there.
//
//  1. A Coder turns state into bytes and bytes into state: one function per type serves both directions.
//  2. A File is the state of one request in a folder of states. It is written whole or not at all, with the request's hash, the
//     format's version and a checksum; a file that is damaged, foreign or of another version is not read.
//  3. Old states are dropped: at most Most of them are kept, none longer than Age.
package resume

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"quantcheck/internal/atomicfile"
)

// Version is the version of the format, of the container and of all that Coders write into it. Another version is not read.
const Version = 1

// What is kept of older requests.
const (
	Most = 8
	Age  = 30 * 24 * time.Hour
)

// largest bounds a state file.
const largest = 2 << 30

const (
	magic  = "quantcheck-state"
	ending = ".state"
)

// ErrNone means that there is no state of a request.
var ErrNone = errors.New("there is no state")

// File is the state of one request.
type File struct {
	dir string
	key [sha256.Size]byte
}

// At names the state of a request, by the hash of all that determines its numbers, in a folder of states. Nothing is read or
// made.
func At(dir string, key [sha256.Size]byte) File { return File{dir, key} }

// Path is where the file lies.
func (f File) Path() string { return filepath.Join(f.dir, fmt.Sprintf("%x%s", f.key[:12], ending)) }

// State is what a file holds.
type State struct {
	Saved   time.Time // to the second
	Stopped bool      // the run ended in order, by an interrupt or an error; else it was killed after it had saved this
	Data    []byte    // what Coders wrote
}

// header is everything in front of the data, in this order.
const headerBytes = len(magic) + 4 + sha256.Size + 8 + 1 + 8 + sha256.Size

// encode puts a state behind its header.
func encode(key [sha256.Size]byte, s State) []byte {
	head := make([]byte, 0, headerBytes)
	head = append(head, magic...)
	head = binary.LittleEndian.AppendUint32(head, Version)
	head = append(head, key[:]...)
	head = binary.LittleEndian.AppendUint64(head, uint64(s.Saved.Unix()))
	stopped := byte(0)
	if s.Stopped {
		stopped = 1
	}
	head = append(head, stopped)
	head = binary.LittleEndian.AppendUint64(head, uint64(len(s.Data)))
	h := sha256.New()
	h.Write(head)
	h.Write(s.Data)
	return h.Sum(head)
}

// decode reads a state of the request with this key.
func decode(key [sha256.Size]byte, data []byte) (State, error) {
	if len(data) < headerBytes || !bytes.HasPrefix(data, []byte(magic)) {
		return State{}, errors.New("it is no state of a run, or its beginning is damaged")
	}
	rest := data[len(magic):]
	if v := binary.LittleEndian.Uint32(rest); v != Version {
		return State{}, fmt.Errorf("it has the format's version %d, this program reads %d", v, Version)
	}
	rest = rest[4:]
	if !bytes.Equal(rest[:len(key)], key[:]) {
		return State{}, errors.New("it belongs to another request")
	}
	rest = rest[len(key):]
	s := State{Saved: time.Unix(int64(binary.LittleEndian.Uint64(rest)), 0), Stopped: rest[8] == 1}
	size := binary.LittleEndian.Uint64(rest[9:])
	sum := rest[17 : 17+sha256.Size]
	s.Data = rest[17+sha256.Size:]
	if size != uint64(len(s.Data)) {
		return State{}, fmt.Errorf("it is damaged: %d bytes of state where it says %d", len(s.Data), size)
	}
	h := sha256.New()
	h.Write(data[:headerBytes-sha256.Size])
	h.Write(s.Data)
	if !bytes.Equal(h.Sum(nil), sum) {
		return State{}, errors.New("it is damaged: its checksum does not fit")
	}
	return s, nil
}

// Load reads the state of the request. The error is ErrNone if there is none; any other says why the file is not used.
func (f File) Load() (State, error) {
	r, err := os.Open(f.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, ErrNone
	}
	if err != nil {
		return State{}, err
	}
	defer r.Close()
	info, err := r.Stat()
	switch {
	case err != nil:
		return State{}, err
	case !info.Mode().IsRegular() || info.Size() > largest:
		return State{}, errors.New("it is no state of a run: no plain file, or too large")
	}
	data := make([]byte, info.Size())
	if _, err := io.ReadFull(r, data); err != nil {
		return State{}, err
	}
	return decode(f.key, data)
}

// Save writes the state of the request, whole or not at all, and drops old states of others.
func (f File) Save(s State) error {
	if len(s.Data) > largest-headerBytes {
		return fmt.Errorf("the state has %d bytes, too many to be kept", len(s.Data))
	}
	head := encode(f.key, s)
	err := atomicfile.Write(f.Path(), func(w *os.File) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		_, err := w.Write(s.Data)
		return err
	})
	if err != nil {
		return err
	}
	f.dropOld(time.Now())
	return nil
}

// Remove deletes the state of the request, if there is one, and the folder if it is the last.
func (f File) Remove() error {
	err := os.Remove(f.Path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	_ = os.Remove(f.dir) // it stays if there are others
	return err
}

// dropOld deletes states beyond the bounds, oldest first. What cannot be deleted is tried again by the next run.
func (f File) dropOld(now time.Time) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return
	}
	type old struct {
		path  string
		saved time.Time
	}
	var others []old
	for _, e := range entries {
		info, err := e.Info()
		path := filepath.Join(f.dir, e.Name())
		if err != nil || !info.Mode().IsRegular() || !strings.HasSuffix(e.Name(), ending) || path == f.Path() {
			continue
		}
		others = append(others, old{path, info.ModTime()})
	}
	slices.SortFunc(others, func(a, b old) int { return b.saved.Compare(a.saved) })
	for i, o := range others {
		if i >= Most-1 || now.Sub(o.saved) > Age {
			_ = os.Remove(o.path)
		}
	}
}
