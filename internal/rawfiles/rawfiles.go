// Package rawfiles is the use case of quantcheck raw: samples are written as raw files for a device's tools.
package rawfiles

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"quantcheck/internal/dataset"
	"quantcheck/internal/dlc"
	"quantcheck/internal/inspect"
	"quantcheck/internal/modelfile"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/session"
	"quantcheck/internal/tensor"
	"quantcheck/internal/usage"
)

// Spec says which pictures become raw files, and how.
type Spec struct {
	Images        string
	Limit         int
	Input         dataset.Description
	DType         tensor.DType
	Width, Height int    // 0: the model tells
	Model         string // a DLC, a listing of one, or an ONNX model
}

// RawResult says what the files hold.
type RawResult struct {
	Shape    []int64
	Layout   string
	Bytes    int
	Warnings []string
}

// Write turns pictures into the bytes of a model's input and hands them out one after another.
func Write(ctx context.Context, spec Spec, progress progress.Reporter, out func(picture string, data []byte) error) (*RawResult, error) {
	d := spec.Input
	if err := d.Check(); err != nil {
		return nil, usage.Mark(err)
	}
	pixels := spec.DType == tensor.Uint8 || spec.DType == tensor.Uint16
	if pixels && (!slices.Equal(d.Mean, dataset.Numbers{0}) || !slices.Equal(d.Scale, dataset.Numbers{1})) {
		return nil, usage.Mark(errors.New("whole numbers hold pixels: --mean and --scale go with fp16 and f32, or with the encoding of the DLC's input"))
	}
	shape, err := spec.shape()
	if err != nil {
		return nil, usage.Mark(err)
	}
	// Pixels go through float32, which holds them exactly.
	in := dataset.Input{DType: tensor.Float32, Shape: shape}
	loader := dataset.Loader{Inputs: []dataset.Input{in}, Description: d}
	set, err := session.Samples(spec.Images, spec.Limit, loader)
	if err != nil {
		return nil, err
	}
	r := &RawResult{Shape: shape, Layout: loader.Layout(), Warnings: append([]string{}, set.Warnings...)}
	progress.Phase("writing", len(set.Sources))
	done := 0
	for i, source := range set.Sources {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, err := loader.Load(source)
		if err != nil {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s is left out: %v", source.Name, err))
			continue
		}
		for _, t := range s.Inputs {
			data := packed(t, spec.DType)
			r.Bytes = len(data)
			if err := out(source.Files[""], data); err != nil {
				return nil, err
			}
			done++
		}
		progress.Step(i + 1)
	}
	if done == 0 {
		return nil, fmt.Errorf("none of the %d pictures could be read; the first: %s", len(set.Sources), r.Warnings[len(set.Warnings)])
	}
	return r, nil
}

// packed gives float32 values in another type, little-endian. Pixels are whole numbers already.
func packed(t tensor.Tensor, d tensor.DType) []byte {
	if d == tensor.Float32 {
		return t.LittleEndian()
	}
	data := make([]byte, tensor.ByteSize(d, len(t.F32)))
	for i, v := range t.F32 {
		switch d {
		case tensor.Uint8:
			data[i] = uint8(v)
		case tensor.Uint16:
			data[2*i], data[2*i+1] = uint8(uint16(v)), uint8(uint16(v)>>8)
		default:
			h := tensor.FloatToHalf(v)
			data[2*i], data[2*i+1] = uint8(h), uint8(h>>8)
		}
	}
	return data
}

// shape is that of the files: the size that was asked for, HWC unless the layout says otherwise, or the model's.
func (s Spec) shape() ([]int64, error) {
	channels := int64(3)
	if s.Input.InputColor == "gray" {
		channels = 1
	}
	if s.Width > 0 {
		if s.Input.Layout == "NCHW" {
			return []int64{1, channels, int64(s.Height), int64(s.Width)}, nil
		}
		return []int64{1, int64(s.Height), int64(s.Width), channels}, nil
	}
	if inspect.IsDLC(s.Model) {
		f, err := inspect.OpenDLC(s.Model)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		inputs := f.Graphs[0].At(dlc.Input)
		if len(inputs) == 0 {
			return nil, fmt.Errorf("%s names no input", s.Model)
		}
		var shape []int64
		for _, d := range inputs[0].Shape {
			shape = append(shape, int64(d))
		}
		return shape, nil
	}
	m, err := modelfile.Load(s.Model)
	if err != nil {
		return nil, err
	}
	shapes, err := s.Input.Shapes()
	if err != nil {
		return nil, err
	}
	fixed, _, err := onnx.FixInputs(m, shapes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Model, err)
	}
	if len(fixed.Inputs()) == 0 {
		return nil, fmt.Errorf("%s has no inputs", s.Model)
	}
	_, shape, _ := onnx.TypeOf(fixed.Inputs()[0])
	if len(shape) == 4 && s.Input.Layout == "" && shape[1] == channels { // a DLC of the model takes its pictures HWC
		shape = []int64{shape[0], shape[2], shape[3], shape[1]}
	}
	return shape, nil
}
