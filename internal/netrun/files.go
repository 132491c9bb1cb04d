package netrun

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dlc"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/snpe"
	"quantcheck/internal/suggest"
	"quantcheck/internal/tensor"
	"quantcheck/internal/workpool"
)

// FileKind says what the numbers in a file are.
type FileKind string

// Kinds of files.
const (
	Floats FileKind = "float"       // real numbers of 16 or 32 bits
	Native FileKind = "native"      // what the tensor is in the DLC
	Fixed  FileKind = "fixed point" // of so many bits, with the DLC's encoding
	Uints  FileKind = "integers"    // unsigned, of so many bits
)

// FileType says of which type the numbers in files are.
type FileType struct {
	Kind FileKind
	Bits int // 0: does not matter
}

// native says that files hold what the tensor is.
func (f FileType) native() bool { return f.Kind != Floats }

// of names the type for a tensor. It is an error if the tensor has no real numbers, or integers of another width, for which
// the DLC has no encoding.
func (f FileType) of(t dlc.Tensor) (string, error) {
	fits := true
	switch f.Kind {
	case Floats:
		if _, known := qnnworker.Stored(t.DType); !known || t.DType.Quantized() && (t.Encoding == nil || t.Encoding.Axis >= 0) {
			return "", fmt.Errorf("it is %s without an encoding for the whole of it, so there are no real numbers", t.DType)
		}
		return fmt.Sprintf("Float_%d", f.Bits), nil
	case Fixed:
		fits = t.DType.Quantized() && t.DType.Bits() == f.Bits
	case Uints:
		fits = t.DType.Bits() == f.Bits && !t.DType.Signed()
	}
	if !fits {
		return "", fmt.Errorf("it is %s in the DLC, not %s of %d bits", t.DType, f.Kind, f.Bits)
	}
	return t.DType.String(), nil
}

// bytes is the size of a tensor's file.
func (f FileType) bytes(t dlc.Tensor) int64 {
	if f.native() {
		return t.Bytes()
	}
	return t.Elements() * int64(f.Bits/8)
}

// read reads a file for an input and gives what the input takes.
func (f FileType) read(path string, t dlc.Tensor) ([]byte, error) {
	data, err := readSized(path, f.bytes(t))
	if err != nil || f.native() {
		return data, err
	}
	d := tensor.Float32
	if f.Bits == 16 {
		d = tensor.Float16
	}
	x, err := tensor.FromLittleEndian(d, []int64{t.Elements()}, data)
	if err != nil {
		return nil, err
	}
	return qnnworker.Encode(&t, x)
}

// readSized reads a file that has this size.
func readSized(path string, size int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	data := make([]byte, size)
	if _, err = io.ReadFull(f, data); err == nil {
		var n int
		if n, err = f.Read(make([]byte, 1)); n > 0 || err == nil {
			return nil, fmt.Errorf("it has more than %d bytes", size)
		}
		if errors.Is(err, io.EOF) {
			return data, nil
		}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = fmt.Errorf("it has fewer than %d bytes", size)
	}
	return nil, bare(err)
}

// bare takes the path out of a file system's error, which is said in front.
func bare(err error) error {
	if p, ok := err.(*os.PathError); ok { //nolint:errorlint // only the outermost
		return p.Err
	}
	return err
}

// write puts what a tensor holds into the form of the files.
func (f FileType) write(t dlc.Tensor, raw []byte) ([]byte, error) {
	if f.native() {
		return raw, nil
	}
	x, err := qnnworker.Decode(&t, raw)
	if err != nil {
		return nil, err
	}
	if f.Bits == 32 {
		return x.LittleEndian(), nil
	}
	out := make([]byte, 0, 2*len(x.F32))
	for _, v := range x.F32 {
		out = binary.LittleEndian.AppendUint16(out, tensor.FloatToHalf(v))
	}
	return out, nil
}

// inputFiles are the files of one inference, in the order of the graph's inputs.
type inputFiles struct {
	number int // of the line
	files  []string
}

func (l inputFiles) paths() []string { return l.files }

func (l inputFiles) named(inputs []qnnworker.Tensor) map[string]string {
	m := map[string]string{}
	for i, x := range inputs {
		m[x.Called()] = l.files[i]
	}
	return m
}

// files gives each line's files to the graph's inputs and looks at all of them.
func (n *netRun) files(list *snpe.InputList) ([]inputFiles, error) {
	var all []inputFiles
	for _, line := range list.Inferences {
		files, err := n.line(line)
		if err == nil {
			for k, path := range files {
				if err = n.look(path, n.inputs[k]); err != nil {
					break
				}
			}
		}
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", n.spec.InputList, line.Number, err)
		}
		all = append(all, inputFiles{line.Number, files})
	}
	return all, nil
}

// line finds the file of each input in a line.
func (n *netRun) line(line snpe.InputLine) ([]string, error) {
	var names []string
	for _, x := range n.inputs {
		names = append(names, x.Called())
	}
	if line.Items[0].Name == "" {
		if len(names) == 1 {
			return []string{line.Text}, nil // which may hold blanks
		}
		if len(line.Items) != len(names) {
			return nil, fmt.Errorf("%d files for %d inputs; write %s", len(line.Items), len(names), strings.Join(names, ":=FILE ")+":=FILE")
		}
	}
	files := make([]string, len(names))
	for i, item := range line.Items {
		k := i
		if item.Name != "" {
			k = slices.IndexFunc(n.inputs, func(x qnnworker.Tensor) bool { return x.Own == item.Name })
			if k < 0 {
				k = slices.IndexFunc(n.inputs, func(x qnnworker.Tensor) bool { return x.Name == item.Name })
			}
		}
		if k < 0 {
			return nil, fmt.Errorf("the graph has no input %q; nearest: %q", item.Name, suggest.Nearest(item.Name, names)[0])
		}
		if files[k] != "" {
			return nil, fmt.Errorf("input %q is given twice", names[k])
		}
		files[k] = item.Path
	}
	for k, path := range files {
		if path == "" {
			return nil, fmt.Errorf("there is no file for the input %q", names[k])
		}
	}
	return files, nil
}

// look sees that a file is there and has the size that an input takes.
func (n *netRun) look(path string, x qnnworker.Tensor) error {
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("%s: %w", path, bare(err))
	}
	want := n.spec.Input.bytes(x.Tensor)
	switch {
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", path)
	case info.Size() == want:
		return nil
	}
	name, _ := n.spec.Input.of(x.Tensor)
	text := fmt.Sprintf("%s has %d bytes; the input %q, %v, has %d as %s", path, info.Size(), x.Called(), x.Shape, want, name)
	switch info.Size() {
	case x.Bytes():
		text += fmt.Sprintf("; its size is that of %s: give --use_native_input_files", x.DType)
	case 4 * x.Elements():
		text += "; its size is that of float32: leave --use_native_input_files out"
	}
	return fmt.Errorf("%s", text)
}

// output is a tensor that is written.
type output struct {
	qnnworker.Tensor
	path   string // below the result's folder
	native bool   // it is written as it is, whatever was asked for
}

// nameMost is how long a file's or folder's name may be; ".raw" still fits behind it.
const nameMost = 250

// short cuts a name that file systems do not take, and puts a hash in the place of its rest.
func short(name string) string {
	if len(name) <= nameMost {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return fmt.Sprintf("%s_%x", strings.ToValidUTF8(name[:nameMost-17], "_"), sum[:8])
}

// filePath is where a tensor is written: a '/' in its name makes folders. No name leads out of the result's folder.
func filePath(name string) string {
	var parts []string
	for part := range strings.SplitSeq(name, "/") {
		switch part {
		case "":
			continue
		case ".", "..":
			part = strings.ReplaceAll(part, ".", "_")
		}
		parts = append(parts, short(strings.ReplaceAll(part, "\x00", "_")))
	}
	if len(parts) == 0 {
		parts = []string{"_"}
	}
	return filepath.Join(parts...) + ".raw"
}

// clashes finds a file that cannot stand beside one of this path: the same, or one where the other needs a folder.
func clashes(paths map[string]string, path string) (name string, clash bool) {
	for other, name := range paths {
		if other == path || strings.HasPrefix(other, path+"/") || strings.HasPrefix(path, other+"/") {
			return name, true
		}
	}
	return "", false
}

// write writes the outputs of an inference under temporary names. Waiting for the disk is left to commit.
func (n *netRun) write(ctx context.Context, folder string, outputs map[string][]byte) ([]*atomicfile.Draft, error) {
	drafts := make([]*atomicfile.Draft, len(n.outputs))
	err := workpool.Together(len(drafts), func(k int) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		drafts[k], err = n.writeOne(folder, n.outputs[k], outputs)
		return err
	})
	if err != nil {
		atomicfile.Discard(drafts...)
		return nil, err
	}
	return drafts, nil
}

func (n *netRun) writeOne(folder string, o output, outputs map[string][]byte) (*atomicfile.Draft, error) {
	kind := n.spec.Output
	if o.native {
		kind = FileType{Kind: Native}
	}
	data, err := kind.write(o.Tensor.Tensor, outputs[o.Name])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.Called(), err)
	}
	return atomicfile.Begin(filepath.Join(folder, o.path), atomicfile.Bytes(data))
}

// commit puts an inference's files into their places, beside the next inference. The channel gives how that went.
func commit(drafts []*atomicfile.Draft) <-chan error {
	done := make(chan error, 1)
	go func() { done <- atomicfile.Commit(drafts...) }()
	return done
}
