package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"quantcheck/internal/dlc"
	"quantcheck/internal/fakeboard/control"
	"quantcheck/internal/fakeboard/simulation"
	"quantcheck/internal/netrun"
	"quantcheck/internal/snpe"
)

// plant puts faults of numbers into what is run: a copy of the DLC with bytes changed, or copies of the inputs.
func (r *netRunning) plant(m model) error {
	var data []byte
	for _, f := range r.Faults {
		var err error
		switch f.Kind {
		case control.Clipped, control.Zeroed:
			if r.config.Simulation != nil {
				return errors.New("without the emulator a DLC that is changed computes as before")
			}
			if data == nil {
				if data, err = os.ReadFile(m.Path); err != nil {
					return err
				}
			}
			if f.Kind == control.Clipped {
				err = clip(data, m.Path, f)
			} else {
				err = zero(data, m.Path, f)
			}
		case control.Swapped:
			err = r.swap(m)
		}
		if err != nil {
			return err
		}
	}
	if data == nil {
		return nil
	}
	r.spec.Container = r.folder.Path("tmp", fmt.Sprintf("planted-%d.dlc", os.Getpid()))
	return r.keep(r.spec.Container, data)
}

// clip multiplies the scale of a tensor's encoding, and with it its range. Zero keeps its place.
func clip(data []byte, path string, f control.Fault) error {
	factor := f.Factor
	if factor == 0 {
		factor = 0.25
	}
	if !(factor > 0 && factor < 1) {
		return fmt.Errorf("a range is clipped to a part of it, not to %g", factor)
	}
	places, err := encodingPlaces(data, f.Layer)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, at := range places {
		b := data[at : at+4]
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))*factor)))
	}
	return nil
}

// zero makes the weights and the bias of one channel that an operator puts out zero.
func zero(data []byte, path string, f control.Fault) error {
	file, g, err := simulation.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	i := slices.IndexFunc(g.Nodes, func(n dlc.Node) bool { return slices.Contains(n.Outputs, f.Layer) })
	if i < 0 {
		return fmt.Errorf("no operator makes a tensor %q", f.Layer)
	}
	changed := false
	for _, name := range g.Nodes[i].Inputs {
		t := g.Tensor(name)
		if t == nil || t.Location != dlc.Static || t.DType.Bits() < 8 {
			continue
		}
		axis := len(t.Shape) - 1
		if g.Nodes[i].Type == "FullyConnected" || g.Nodes[i].Type == "MatMul" && len(t.Shape) == 2 {
			axis = 0
		}
		if axis < 0 || f.Channel < 0 || f.Channel >= t.Shape[axis] {
			return fmt.Errorf("%s has no channel %d", name, f.Channel)
		}
		values, err := file.Data(t)
		if err != nil {
			return err
		}
		at := bytes.Index(data, values)
		if at < 0 || len(values) >= 16 && bytes.Contains(data[at+1:], values) {
			return fmt.Errorf("the values of %s stand in the file not just once", name)
		}
		if len(values) < 16 { // too short to be found for sure
			continue
		}
		zeroAlong(data[at:at+len(values)], t, axis, f.Channel)
		changed = true
	}
	if !changed {
		return fmt.Errorf("%s, which makes %q, has no weights of 8 bits or more", g.Nodes[i].Type, f.Layer)
	}
	return nil
}

// zeroAlong sets the values at one place along an axis to what stands for zero.
func zeroAlong(values []byte, t *dlc.Tensor, axis, channel int) {
	width := t.DType.Bits() / 8
	inner := 1
	for _, d := range t.Shape[axis+1:] {
		inner *= d
	}
	var zero [8]byte
	if e := t.Encoding; e != nil && !t.DType.Signed() {
		offset := e.Offset[0]
		if e.Axis >= 0 && e.Axis == axis {
			offset = e.Offset[channel]
		}
		binary.LittleEndian.PutUint64(zero[:], uint64(-int64(offset)))
	}
	for i := range len(values) / width {
		if i/inner%t.Shape[axis] == channel {
			copy(values[i*width:(i+1)*width], zero[:width])
		}
	}
}

// swap makes copies of the inputs in which the first and the last of three channels are exchanged, and a list of them.
func (r *netRunning) swap(m model) error {
	file, g, err := simulation.Open(m.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	dir := r.folder.Path("tmp", fmt.Sprintf("swapped-%d", os.Getpid()))
	var b strings.Builder
	for i, line := range r.list.Inferences {
		for k, item := range line.Items {
			t := inputOf(g, item.Name, k)
			if t == nil {
				return fmt.Errorf("the DLC has no input %q", item.Name)
			}
			path := filepath.Join(dir, fmt.Sprintf("%d-%d.raw", i, k))
			data, err := os.ReadFile(item.Path)
			if err == nil {
				data, err = swapped(data, t, r.spec.Input)
			}
			if err == nil {
				err = r.keep(path, data)
			}
			if err != nil {
				return err
			}
			if item.Name != "" {
				b.WriteString(item.Name + ":=")
			}
			b.WriteString(path + " ")
		}
		b.WriteByte('\n')
	}
	r.spec.InputList = filepath.Join(dir, "inputs.txt")
	head := ""
	if len(r.list.Layers) > 0 {
		head += "#" + strings.Join(r.list.Layers, " ") + "\n"
	}
	if len(r.list.Tensors) > 0 {
		head += "%" + strings.Join(r.list.Tensors, " ") + "\n"
	}
	return r.keep(r.spec.InputList, []byte(head+b.String()))
}

// inputOf finds an input by its name, or by its place where lines have no names.
func inputOf(g *dlc.Graph, name string, place int) *dlc.Tensor {
	list := g.At(dlc.Input)
	for _, t := range list {
		if t.Name == name {
			return t
		}
	}
	if name == "" && place < len(list) {
		return list[place]
	}
	return nil
}

// swapped exchanges the channels of an input's values: those along the last axis of three, else the first such one.
func swapped(data []byte, t *dlc.Tensor, kind netrun.FileType) ([]byte, error) {
	axis := len(t.Shape) - 1
	if axis < 0 || t.Shape[axis] != 3 {
		axis = slices.Index(t.Shape, 3)
	}
	if axis < 0 {
		return nil, fmt.Errorf("the input %s, %v, has no three channels", t.Name, t.Shape)
	}
	width := kind.Bits / 8
	if kind.Kind != netrun.Floats {
		width = t.DType.Bits() / 8
	}
	if width == 0 || int64(len(data)) != t.Elements()*int64(width) {
		return nil, errors.New("an input's file has another size than the input")
	}
	inner := width
	for _, d := range t.Shape[axis+1:] {
		inner *= d
	}
	out := slices.Clone(data)
	for at := 0; at+3*inner <= len(data); at += 3 * inner {
		copy(out[at:at+inner], data[at+2*inner:])
		copy(out[at+2*inner:at+3*inner], data[at:])
	}
	return out, nil
}

// plantedList is the list of the inputs that are run.
func (r *netRunning) plantedList() (*snpe.InputList, error) {
	data, err := os.ReadFile(r.spec.InputList)
	if err != nil {
		return nil, err
	}
	return snpe.ReadInputList(data)
}
