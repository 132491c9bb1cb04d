// Package dlcwriter writes a quantized model as a DLC, through Qualcomm's public libraries, and holds what was written against what runs it: the file
// is read again, and Qualcomm's composer builds the graph of it once on the emulator.
package dlcwriter

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/dlc"
	"quantcheck/internal/onnx"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/runner/qnnworker"
	"quantcheck/internal/scratch"
)

// Write gives the bytes of a DLC of a model whose shapes are fixed. The error is a *htp.RefusedError if an operator cannot be written; else it says
// why what was written cannot be used.
func Write(ctx context.Context, engine ort.Engine, emulator htp.Engine, m *onnx.Model) ([]byte, error) {
	types, err := ort.Types(engine, m)
	if err != nil {
		return nil, err
	}
	data, err := emulator.WriteDLC(ctx, htp.LastAxis(m, func(tensor string) []int64 { return types[tensor].Shape }))
	if err != nil {
		return nil, err
	}
	if err := readable(data, m); err != nil {
		return nil, fmt.Errorf("the DLC that was made is not whole, so nothing was written: %w", err)
	}
	if err := composed(ctx, emulator, data); err != nil {
		return nil, fmt.Errorf("the DLC that was made cannot be composed by Qualcomm's libraries, so nothing was written; without --dlc the QDQ model is written, for a converter: %w", err)
	}
	return data, nil
}

// readable reads a DLC and looks for the model's outputs in it.
func readable(data []byte, m *onnx.Model) error {
	f, err := dlc.Read(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return err
	}
	defer f.Close()
	if len(f.Graphs) == 0 || len(f.Graphs[0].Nodes) == 0 {
		return errors.New("it has no graph")
	}
	for _, out := range m.Outputs() {
		if f.Graphs[0].Tensor(out) == nil {
			return fmt.Errorf("its graph does not make the output %q", out)
		}
	}
	return nil
}

// composed lets Qualcomm's composer build the graph of a DLC.
func composed(ctx context.Context, emulator htp.Engine, data []byte) error {
	dir, err := scratch.Folder("", "compose")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "made.dlc")
	if err := atomicfile.WriteBytes(path, data); err != nil {
		return err
	}
	r, err := qnnworker.New(ctx, qnnworker.Engine{Kit: emulator.Kit}, path, qnnworker.Options{})
	if err != nil {
		return err
	}
	r.Close()
	return nil
}
