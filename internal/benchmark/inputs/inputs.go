// Package inputs brings samples to a device as raw files, in the seed tool's layout.
package inputs

import (
	"context"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"quantcheck/internal/align"
	"quantcheck/internal/atomicfile"
	"quantcheck/internal/benchmark/hold"
	"quantcheck/internal/dataset"
	"quantcheck/internal/device"
	"quantcheck/internal/dlc"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/tensor"
	"quantcheck/internal/variant"
)

// Encoder turns a sample's values, in the DLC's order of axes, into a raw file.
type Encoder func(t *dlc.Tensor, x tensor.Tensor) ([]byte, error)

// Floats is what snpe-net-run takes with --userbuffer_float.
func Floats(t *dlc.Tensor, x tensor.Tensor) ([]byte, error) {
	values, ok := x.AsFloat32()
	if !ok || int64(len(values)) != t.Elements() {
		return nil, fmt.Errorf("%d numbers of type %s for the input %s %v", x.Len(), x.DType, t.Name, t.Shape)
	}
	return tensor.Floats(values).LittleEndian(), nil
}

// Sent are the samples on the device.
type Sent struct {
	Lines []string // of the input list, relative to the base
	Line  []int    // sample → line, −1: it could not be read
}

// Send writes the samples as raw files, data_raw/<name> as the seed has it, and brings them to a folder of that name.
func Send(ctx context.Context, d *hold.Device, work dump.Work, name string, encode Encoder) (*Sent, error) {
	local := d.Plan.Folder.RawInputs(name)
	s := &Sent{}
	var files []device.File
	var written atomicfile.Batch
	defer written.Discard()
	d.Progress.Phase("preparing inputs", len(work.Samples.Sources))
	for i, source := range work.Samples.Sources {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		sample, err := work.Loader.Load(source)
		if err != nil { // the comparison says so too, and goes on without it
			s.Line = append(s.Line, -1)
			continue
		}
		items, pushed, err := rawOf(d, &written, i, source.Name, sample, work.Inputs, encode, name)
		if err != nil {
			return nil, fmt.Errorf("sample %s: %w", source.Name, err)
		}
		s.Line = append(s.Line, len(s.Lines))
		s.Lines, files = append(s.Lines, strings.Join(items, " ")), append(files, pushed...)
		d.Progress.Step(i + 1)
	}
	if len(s.Lines) == 0 {
		return nil, errors.New("none of the samples could be read")
	}
	list := strings.Join(s.Lines, "\n") + "\n"
	if err := written.WriteBytes(filepath.Join(local, "inputs_raw.txt"), []byte(list)); err != nil {
		return nil, err
	}
	if err := written.Commit(); err != nil {
		return nil, err
	}
	d.Progress.Phase("sending inputs", len(files))
	_, err := d.Board.Send(ctx, d.Plan.Keep, d.Board.Path(name), files, d.Progress.Step)
	return s, err
}

// rawOf adds one sample's files to those that are written, and gives its line of the input list.
func rawOf(d *hold.Device, written *atomicfile.Batch, number int, source string, sample *dataset.Sample, inputs []align.Tap, encode Encoder, name string) (items []string, files []device.File, err error) {
	local := d.Plan.Folder.RawInputs(name)
	for _, in := range inputs {
		x, ok := sample.Inputs[in.Name]
		if !ok {
			return nil, nil, fmt.Errorf("it has no input %q", in.Name)
		}
		data, err := encode(in.Tensor, in.Layout.Do(x))
		if err != nil {
			return nil, nil, err
		}
		input := ""
		if len(inputs) > 1 {
			input = in.Tensor.Name
			if strings.ContainsAny(input, " \t\r\n") {
				return nil, nil, fmt.Errorf("an input list cannot name the input %q, whose name has blanks", input)
			}
		}
		own := RemoteName(number, source, input)
		path := filepath.Join(local, own)
		if err := written.WriteBytes(path, data); err != nil {
			return nil, nil, err
		}
		item := name + "/" + own
		files = append(files, device.FromDisk(path, d.Board.Path(item)))
		if input != "" {
			item = input + ":=" + item
		}
		items = append(items, item)
	}
	return items, files, nil
}

// RemoteName is the name that a raw file gets on the device: an input list cannot hold blanks.
func RemoteName(number int, source, input string) string {
	stem := variant.Clean(strings.TrimSuffix(path.Base(filepath.ToSlash(source)), filepath.Ext(source)))
	if input != "" {
		stem += "-" + variant.Clean(input)
	}
	return fmt.Sprintf("%04d-%s.raw", number, stem)
}
