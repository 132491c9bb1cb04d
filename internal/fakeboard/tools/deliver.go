package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/fakeboard/control"
)

// key names the results by all that they depend on: the DLC's bytes, the inputs' bytes, and what is written how.
func (r *netRunning) key() (string, error) {
	h := sha256.New()
	spec := r.spec
	dlc, err := atomicfile.SHA256(spec.Container)
	if err != nil {
		return "", err
	}
	spec.Container, spec.InputList, spec.OutputDir = dlc, "", ""
	list := *r.list
	if err := json.NewEncoder(h).Encode([]any{spec, list.Layers, list.Tensors}); err != nil {
		return "", err
	}
	planted, err := r.plantedList()
	if err != nil {
		return "", err
	}
	for _, line := range planted.Inferences {
		for _, item := range line.Items {
			sum, err := atomicfile.SHA256(item.Path)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(h, "%q %s\n", item.Name, sum)
		}
		fmt.Fprintln(h)
	}
	return hex.EncodeToString(h.Sum(nil)[:16]), nil
}

// deliver puts results into the output folder, one after the other, and shows the faults of files.
func (r *netRunning) deliver(kept string) error {
	stop := r.Fault(control.Killed, control.Signal, control.Hung, control.Full)
	var unwritten []string
	for i := range r.list.Inferences {
		r.Begins(nil)
		from, to := filepath.Join(kept, fmt.Sprintf("Result_%d", i)), filepath.Join(r.out, fmt.Sprintf("Result_%d", i))
		if i > 0 && r.Fault(control.Disorder) != nil {
			from = filepath.Join(kept, fmt.Sprintf("Result_%d", i-1))
		}
		files, err := filesBelow(from)
		if err != nil {
			return err
		}
		if stop != nil && i >= stop.After {
			return r.stopAt(stop, filepath.Join(from, files[0]), filepath.Join(to, files[0]))
		}
		for k, name := range files {
			missed, err := r.put(from, to, name, r.fileFault(i, name, k == len(files)-1))
			if err != nil {
				return err
			}
			if missed {
				unwritten = append(unwritten, filepath.Join(to, name))
			}
		}
	}
	if stop != nil && stop.Kind != control.Full {
		return statusError(r.end(stop))
	}
	for _, path := range unwritten {
		fmt.Fprintf(r.stderr, "Failed to write data to: %s\n", path)
	}
	if len(unwritten) > 0 {
		return statusError(1)
	}
	return nil
}

// stopAt leaves the first half of a file behind and ends as the fault says.
func (r *netRunning) stopAt(f *control.Fault, from, to string) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := half(from, to); err != nil {
		return err
	}
	if f.Kind == control.Full {
		fmt.Fprintf(r.stderr, "%s: No space left on device\n", to)
		return statusError(1)
	}
	return statusError(r.end(f))
}

// fileFault is the fault of a result's file, nil if it has none. Without a layer it is that of the result's last file.
func (r *netRunning) fileFault(result int, name string, last bool) *control.Fault {
	for i, f := range r.Faults {
		switch f.Kind {
		case control.Truncated, control.Resized, control.Lost:
			if f.Result == result && (f.Layer == "" && last || strings.TrimLeft(f.Layer, "/")+".raw" == name) {
				return &r.Faults[i]
			}
		case control.Unwritten:
			return &r.Faults[i]
		}
	}
	return nil
}

// put puts one file of a result into its place. missed means that there was no folder for it.
func (r *netRunning) put(fromDir, toDir, name string, f *control.Fault) (missed bool, err error) {
	from, to := filepath.Join(fromDir, name), filepath.Join(toDir, name)
	folder := filepath.Dir(to)
	if f != nil && f.Kind == control.Unwritten {
		if _, err := os.Stat(folder); errors.Is(err, fs.ErrNotExist) && folder != toDir {
			return true, nil
		}
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return false, err
	}
	switch {
	case f == nil || f.Kind == control.Unwritten:
		return false, linked(from, to)
	case f.Kind == control.Truncated:
		return false, half(from, to)
	case f.Kind == control.Lost:
		return false, gone(to)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return false, err
	}
	return false, rewritten(to, append(data, 0, 0, 0, 0))
}

// gone removes a file that may be there.
func gone(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// linked makes a file the same as another one, which nobody may write into.
func linked(from, to string) error {
	if err := gone(to); err != nil {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// rewritten writes a file anew: what stood there may be a link.
func rewritten(path string, data []byte) error {
	if err := gone(path); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

func half(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return rewritten(to, data[:len(data)/2])
}

// filesBelow lists the files of a folder, by their paths in it.
func filesBelow(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, name)
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no results", dir)
	}
	return files, err
}
