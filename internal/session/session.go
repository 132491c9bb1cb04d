// Package session holds a float model and its variants, ready to run on the same samples.
//
//  1. Open reads the float model and says how samples become its inputs.
//  2. Each Variant is read, built and opened by the Builder and the Opener that Register has for its kind and its engine; the package
//     prepare, which imports all of them, has that done in order.
//  3. Session.EachSample reads the samples; Close frees what was opened.
//
// The use cases compare, score, explore, estimate and quantize stand on it.
package session

import (
	"context"
	"time"

	"quantcheck/internal/calib"
	"quantcheck/internal/checkpoint"
	"quantcheck/internal/dataset"
	"quantcheck/internal/model"
	"quantcheck/internal/onnx"
	"quantcheck/internal/progress"
	"quantcheck/internal/result"
	"quantcheck/internal/runner"
	"quantcheck/internal/runner/dump"
	"quantcheck/internal/runner/htp"
	"quantcheck/internal/runner/ort"
	"quantcheck/internal/variant"
)

// What is done with a model that is quantized already, unless it is refused.
const (
	AsItIs = model.AsItIs // it is the model, and a warning says what it is
	Twin   = model.Twin   // its float twin is the model
)

// Options say what a session is opened on, and what is wanted of it.
type Options struct {
	Command, Name string // of the run: the command, and the model's name in the workspace
	Model         string // path of the float model
	Input         dataset.Description
	SamplePath    string // samples whose .npy files say what open dimensions of the inputs are; "": none
	MemoryMiB     int
	LocalSamples  int          // on how many samples each layer is computed alone too; 0: it is not
	Quantized     model.Taking // what is done with a model that is quantized already
	AllLayers     bool         // the float model gives every layer, also one that no variant is compared on
	DLC           result.DLCRun
}

// Session is a float model and its variants.
type Session struct {
	ORT      ort.Engine
	Emulator htp.Engine
	Float    *model.Float
	Options  Options
	Variants []*Variant
	Progress progress.Reporter
	Run      *result.Run

	Keeper    *checkpoint.Keeper // nil: an interrupted run begins anew
	Device    dump.Device
	Compared  *dataset.Set
	Loader    dataset.Loader
	Stats     *calib.Statistics // of a calibration that was made already; nil: prepare makes it
	Samples   int               // that are compared
	Skipped   []string          // what was said of samples that could not be read
	Arena     *runner.Arena
	Reference runner.Runner // the float model
	// Recorded are the float model's outputs on the first samples that could be read, by number and layer: on a few, as far as little memory
	// holds them.
	Recorded map[int]map[int]runner.Tap
}

// Open reads the float model and makes a session of it with variants that are not built yet.
func Open(ctx context.Context, r ort.Engine, o Options, variants []variant.Spec, progress progress.Reporter, started time.Time) (*Session, error) {
	run, ref, loader, err := begin(ctx, r, o, started)
	if err != nil {
		return nil, err
	}
	return &Session{ORT: r, Float: ref, Options: o, Variants: Of(variants), Progress: progress, Run: run, Loader: loader}, nil
}

// Beside makes a session of other variants of the same float model, for a run of its own. Its owner closes it before this one.
func (b *Session) Beside(o Options, run *result.Run, variants ...variant.Spec) *Session {
	return &Session{ORT: b.ORT, Emulator: b.Emulator, Float: b.Float, Options: o, Variants: Of(variants), Progress: progress.Silent{}, Run: run, Loader: b.Loader}
}

// Close frees the runners of the float model and of all variants.
func (b *Session) Close() {
	if b.Reference != nil {
		b.Reference.Close()
	}
	for _, v := range b.Variants {
		v.close()
	}
	if b.Arena != nil {
		b.Arena.Empty()
	}
}

// HandOver gives the variants' models and encodings to the output.
func (b *Session) HandOver(out Output) error {
	for _, v := range b.Variants {
		if !v.Written {
			continue
		}
		m, err := onnx.Inline(v.Model)
		if err != nil {
			return err
		}
		data, err := m.Bytes()
		if err != nil {
			return err
		}
		if err := out.Model(v.Result, b.Run.Layers, data); err != nil {
			return err
		}
	}
	return nil
}
