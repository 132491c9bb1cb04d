package qnnworker

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"quantcheck/internal/atomicfile"
	"quantcheck/internal/scratch"
)

// known is a small network of our own (Conv, Relu, Mul; 8 bit) as Qualcomm's IR backend of QNN 2.51 wrote it, and knownResult
// what its output was there on knownInput: what libraries of another version have to give before they are believed.
//
//go:embed known.dlc
var known []byte

const knownResult = "0a000012ffff000003ffff00002fffff000bffff67000000ff68000000006800000000ff000000ff770b0b0179770b00" +
	"7779010b0000ff000000010b00000000774700000000b7b7003bffff0000e8ff14000001ff0000000100030000000066" +
	"0000003e9dff00003effff0032c342000000ff0000000000000000000030000000662f24000064cf0c000063ce490000"

// ErrOtherResults means that libraries of another version do not compute what the ones do that were tried.
var ErrOtherResults = errors.New("these libraries, of another version than the one that was tried, do not compute a known network as it does; run `quantcheck doctor --install htp`")

// knownInput are the integers that go in.
func knownInput(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(37*i + 11*(i>>8))
	}
	return b
}

// tryKnown runs the known network. Everything that goes wrong with it is an error.
func (e Engine) tryKnown(ctx context.Context, parent, want string) error {
	dir, err := scratch.Folder(parent, "known")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "known.dlc")
	if err := atomicfile.PutUnsynced(path, atomicfile.Bytes(known)); err != nil {
		return err
	}
	r, err := open(ctx, e, path, Options{Scratch: parent}, false)
	if err != nil {
		return fmt.Errorf("the known network: %w", err)
	}
	defer r.Close()
	inputs := map[string][]byte{}
	for _, in := range r.Inputs() {
		inputs[in.Name] = knownInput(int(in.Bytes()))
	}
	out, err := r.Run(ctx, inputs)
	if err != nil {
		return fmt.Errorf("the known network: %w", err)
	}
	var got bytes.Buffer
	for _, t := range r.Outputs() {
		got.Write(out[t.Name])
	}
	if hex.EncodeToString(got.Bytes()) != want {
		return ErrOtherResults
	}
	return nil
}
